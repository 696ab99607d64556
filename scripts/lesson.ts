/**
 * @file `npm run lesson -- 02 03`: executes lessons from top to bottom in the real kernel and says how long each took.
 *
 * The executed notebooks go to `.cache/lessons`, so that the lessons themselves stay without outputs. `--fast` takes
 * the small budgets of the tests; without a number all lessons run.
 */
import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { jupyterEnvironment } from "./setup/jupyter.mjs";
import { layout, PROJECT } from "./setup/layout.mjs";

interface CellReport {
  cell?: number;
  seconds?: number;
  error?: string | null;
  failure?: string;
}

export interface LessonResult {
  name: string;
  /** Where the executed notebook is. */
  path: string;
  seconds: number;
  /** What went wrong, cell by cell; empty when all is well. */
  problems: string[];
}

/** Paths of the lessons whose file names start with one of `wanted` (all when empty), in order. Throws when one is unknown. */
export function findLessons(wanted: readonly string[] = []): string[] {
  const folder = join(PROJECT, "notebooks");
  const all = readdirSync(folder)
    .filter((name) => /^\d\d-.*\.ipynb$/.test(name))
    .sort();
  for (const start of wanted)
    if (!all.some((name) => name.startsWith(start)))
      throw new Error(
        `lesson: no lesson "${start}", expected one of ${all.map((name) => name.slice(0, 2)).join(", ")}.`,
      );
  const chosen =
    wanted.length === 0 ? all : all.filter((name) => wanted.some((start) => name.startsWith(start)));
  return chosen.map((name) => join(folder, name));
}

/** Paths of the lessons' solutions, in order. */
export function findSolutions(): string[] {
  const folder = join(PROJECT, "notebooks", "solutions");
  const names = readdirSync(folder).filter((name) => name.endsWith(".ipynb"));
  return names.sort().map((name) => join(folder, name));
}

/** Executes one notebook; `onCell` hears of each code cell as it ends. Throws before set-up. */
export async function executeLesson(
  source: string,
  { fast = false, onCell }: { fast?: boolean; onCell?: (report: CellReport) => void } = {},
): Promise<LessonResult> {
  const here = layout(PROJECT);
  const name = basename(source);
  const path = join(here.cache, "lessons", relative(join(PROJECT, "notebooks"), source));
  if (!existsSync(here.python))
    throw new Error(`lesson: ${here.python} is not there, expected what set-up makes. Run npm run setup.`);
  const started = performance.now();
  const environment = { ...jupyterEnvironment(here), LOWER_BOUND_FAST: fast ? "1" : "" };
  const child = spawn(here.python, [join(PROJECT, "scripts", "notebook", "execute.py"), source, path], {
    env: environment,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stderr = "";
  child.stderr.on("data", (text) => (stderr += text));
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  const problems: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    const report = JSON.parse(line) as CellReport;
    onCell?.(report);
    if (report.error) problems.push(`cell ${report.cell}: ${report.error}`);
    if (report.failure) problems.push(report.failure);
  }
  const status = await ended;
  if (status !== 0 && problems.length === 0)
    problems.push(stderr.trim() || `the runner ended with status ${status}`);
  return { name, path, seconds: (performance.now() - started) / 1000, problems };
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { fast: { type: "boolean" }, help: { type: "boolean", short: "h" } },
    allowPositionals: true,
  });
  if (values.help)
    return console.log("npm run lesson -- [--fast] [NUMBER …], such as 02 03; without a number, all");
  let failed = 0;
  for (const source of findLessons(positionals)) {
    const result = await executeLesson(source, {
      fast: values.fast,
      onCell: ({ cell, seconds = 0 }) => {
        if (seconds > 1) console.log(`    cell ${cell}: ${seconds.toFixed(1)} s`);
      },
    });
    console.log(
      `${result.problems.length ? "FAILED" : "ok    "} ${result.name}: ${result.seconds.toFixed(0)} s → ${result.path}`,
    );
    for (const problem of result.problems) console.log(problem);
    failed += result.problems.length ? 1 : 0;
  }
  process.exitCode = failed ? 1 : 0;
}

if (require.main === module)
  main().catch((error: Error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
