/** @file Runs compiled cells in the main thread, where native addons are at home and a debugger can look. */
import { relative } from "node:path";
import vm from "node:vm";
import type { InterruptSwitch } from "./interrupt";
import type { CompiledCell, ImportedModule, Outcome } from "./messages";
import { importedValue, type ModuleLoader } from "./modules";
import { CELLS, CHECK_NAMES, CHECK_SYMBOL, IMPORT } from "./names";
import type { Output } from "./output";
import { describe, show } from "./show";
import { failureOf, registerSource } from "./trace";

type Cells = Record<string, unknown>;

const PARAMETERS = [CELLS, IMPORT, "require", ...Object.values(CHECK_NAMES)];

function toFunction(cell: CompiledCell, file: string): (...args: unknown[]) => unknown {
  registerSource(file, cell.sourceMap, file, cell.source);
  const head = `(${cell.async ? "async " : ""}function (${PARAMETERS.join(", ")}) { "use strict";`;
  return new vm.Script(`${head}\n${cell.code}\n})`, { filename: file, lineOffset: -1 }).runInThisContext();
}

/** Names of a module as live bindings: an ES module may assign what it exports later. */
function bind(cells: Cells, { names }: ImportedModule, namespace: Record<string, unknown>): void {
  for (const { name, exported } of names) {
    const whole = exported === "*" || exported === "default" ? importedValue(namespace, exported) : undefined;
    const get = whole === undefined ? () => importedValue(namespace, exported) : () => whole;
    const set = (value: unknown) =>
      Object.defineProperty(cells, name, { value, writable: true, enumerable: true, configurable: true });
    Object.defineProperty(cells, name, { get, set, enumerable: true, configurable: true });
  }
}

/** The declared names whose value is still what it was before the cell. */
function unassigned(cells: Cells, names: string[], before: Map<string, unknown>): string[] {
  return names.filter(
    (name) => !Object.hasOwn(cells, name) || (before.has(name) && Object.is(before.get(name), cells[name])),
  );
}

export interface Runner {
  run(cell: CompiledCell, name: string, request: string): Promise<Outcome>;
}

export function createRunner(
  interrupts: InterruptSwitch,
  loader: ModuleLoader,
  output: Output,
  builtins: Record<string, unknown>,
): Runner {
  const cells: Cells = { ...builtins };
  const warned = new Set<string>();
  const checks = (globalThis as Record<symbol, unknown>)[Symbol.for(CHECK_SYMBOL)] as Record<string, unknown>;
  const importAtRunTime = async (specifier: string) => {
    const namespace = await loader.load(specifier);
    return importedValue(namespace, "*");
  };

  const loadImports = async (imports: ImportedModule[]) => {
    if (imports.length === 0) return;
    const edited = loader.refresh().filter((file) => !warned.has(file));
    for (const file of edited) {
      warned.add(file);
      const shown = relative(process.cwd(), file);
      output.print(
        "stderr",
        `${shown} was edited: it is loaded anew; objects made before keep their old class.\n`,
      );
    }
    for (const module of imports) bind(cells, module, await loader.load(module.specifier));
  };

  const evaluate = async (cell: CompiledCell, file: string) => {
    await loadImports(cell.imports);
    const run = toFunction(cell, file);
    const value = await run(
      cells,
      importAtRunTime,
      loader.require,
      ...Object.values(CHECK_NAMES).map((name) => checks[name]),
    );
    return show(value);
  };

  const run = async (cell: CompiledCell, name: string, request: string): Promise<Outcome> => {
    const before = new Map(
      cell.values.filter((value) => Object.hasOwn(cells, value)).map((value) => [value, cells[value]]),
    );
    try {
      const result = await interrupts.run(request, () => evaluate(cell, name));
      return { result, missing: [] };
    } catch (error) {
      return { failure: failureOf(error, describe), missing: unassigned(cells, cell.values, before) };
    }
  };
  return { run };
}
