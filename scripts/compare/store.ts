/**
 * @file Finished rows of a comparison in a folder, one file each, written whole or not at all: what was interrupted goes
 * on where it was. A folder belongs to one data set and one budget.
 */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { writeWhole } from "../../lib/training";
import type { ComparisonCell, ComparisonResult, ComparisonSettings } from "../../lib/training/comparison";

/** The rows that a folder holds. */
export interface Store {
  /** The finished row of a cell, if there is one. */
  find(cell: ComparisonCell): ComparisonResult | undefined;
  keep(result: ComparisonResult): void;
  /** What is kept under a name, computed and written where it is not there yet. JSON. */
  once<Value>(name: string, compute: () => Promise<Value>): Promise<Value>;
  /** Writes another file of the folder. */
  write(name: string, content: string | Uint8Array): void;
}

/** The store in `folder`, made if need be. Throws where the folder holds rows of other settings. */
export function openStore(folder: string, settings: ComparisonSettings): Store {
  const own = JSON.stringify(settings);
  const settingsPath = join(folder, "settings.json");
  if (existsSync(settingsPath)) {
    const found = JSON.stringify(JSON.parse(readFileSync(settingsPath, "utf8")));
    if (found !== own)
      throw new Error(
        `--out ${folder} holds rows of ${found}, expected ${own}. Give another folder, or delete this one.`,
      );
  } else {
    mkdirSync(join(folder, "rows"), { recursive: true });
    writeWhole(settingsPath, own);
  }
  const pathOf = ({ parameterization, weighting, seed }: ComparisonCell) =>
    join(folder, "rows", `${parameterization}-${weighting}-${seed}.json`);
  return {
    find(cell) {
      const path = pathOf(cell);
      return existsSync(path) ? restored(JSON.parse(readFileSync(path, "utf8"))) : undefined;
    },
    keep: (result) => writeWhole(pathOf(result), JSON.stringify(result)),
    async once(name, compute) {
      const path = join(folder, name);
      if (existsSync(path)) return JSON.parse(readFileSync(path, "utf8"));
      const value = await compute();
      writeWhole(path, JSON.stringify(value));
      return value;
    },
    write: (name, content) => writeWhole(join(folder, name), content),
  };
}

/** JSON has no NaN: it reads null where training diverged. */
function restored(result: ComparisonResult): ComparisonResult {
  const numbers = ["bound", "boundStandardError", "w2", "w2Floor"] as const;
  for (const name of numbers) result[name] ??= Number.NaN;
  return result;
}
