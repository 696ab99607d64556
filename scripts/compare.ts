/**
 * @file `npm run -s compare -- --data moons --parameterizations mean,x0,eps,v --weightings vlb,simple --seeds 3
 * --steps 4000 [--out DIR] [--json]`: the grid of lesson 04, trained, judged, drawn and put into a table; and
 * `npm run -s compare -- --configs LIST --data DIR`, the same on images (`compare/request.ts`).
 *
 * Each finished row is kept in the folder, so that the same command goes on where it was interrupted. With --json the
 * rows are the only thing on standard output.
 */
import "./engine";

import { mkdirSync } from "node:fs";
import { join, relative } from "node:path";
import { TOYS, toy } from "../lib/data";
import { PARAMETERIZATIONS } from "../lib/diffusion";
import { WEIGHTINGS } from "../lib/elbo";
import { render, table } from "../lib/notebook";
import { engine, rng } from "../lib/tensor";
import { writeWhole } from "../lib/training";
import {
  type ComparisonCell,
  type ComparisonResult,
  type ComparisonRow,
  type ComparisonSettings,
  type ComparisonSummary,
  compareCell,
  comparisonCells,
  judge,
  optimalModel,
  summarize,
} from "../lib/training/comparison";
import { comparisonFigures } from "./compare/figures";
import { recipesReport } from "./compare/recipes-report";
import { parseSweep, SWEEP_USAGE } from "./compare/request";
import { collectSweep } from "./compare/rows";
import { openStore, type Store } from "./compare/store";
import { Interrupted, runSweep } from "./compare/sweep";
import { sweepReport } from "./compare/sweep-report";
import { markdown, plusMinus } from "./markdown";
import { readOptions } from "./options";

const USAGE = `Usage: npm run -s compare -- [options]

Trains a network for every parameterization × weighting × seed on the same random numbers, and compares their bounds
and their samples.

  --data ${TOYS.join("|")}
  --parameterizations LIST  of ${PARAMETERIZATIONS.join(", ")}; default mean,x0,eps,v
  --weightings LIST         of ${WEIGHTINGS.join(", ")}; default vlb,simple
  --seeds N                 seeds 0…N−1; default 3
  --steps N                 training steps of each network; default 4000
  --points N                points that judge it, at most 2000; default 1000
  --out DIR                 where rows and figures go; default runs/compare/DATA-STEPS
  --engine NAME             what computes: cuda, webgpu, cpu or js (the first that is there)
  --json                    {"rows": […]} and nothing else on standard output

Interrupted, the same command goes on where it was.

${SWEEP_USAGE}`;

const OPTIONS = {
  values: ["data", "parameterizations", "weightings", "seeds", "steps", "points", "out"],
  flags: ["json", "help"],
} as const;

/** An exact W2 between more points takes too long. */
const MOST_POINTS = 2000;

interface Request {
  cells: ComparisonCell[];
  settings: ComparisonSettings;
  out: string;
  json: boolean;
}

/** The request that these arguments make, or "help". Throws with one line on the first that is wrong. */
export function parseRequest(args: readonly string[]): Request | "help" {
  const options = readOptions(args, OPTIONS);
  if (options.flag("help")) return "help";
  const data = options.oneOf("data", TOYS, "moons");
  const steps = options.wholeNumber("steps", 4000);
  const points = options.wholeNumber("points", 1000, MOST_POINTS);
  const cells = comparisonCells({
    parameterizations: options.someOf("parameterizations", PARAMETERIZATIONS, ["mean", "x0", "eps", "v"]),
    weightings: options.someOf("weightings", WEIGHTINGS, ["vlb", "simple"]),
    seeds: options.wholeNumber("seeds", 3),
  });
  const out = options.text("out") ?? join("runs", "compare", `${data}-${steps}`);
  return { cells, settings: { data, steps, points }, out, json: options.flag("json") };
}

/** All rows in order, those of the store first taken from there. Tells of each on standard error. */
async function runCells({ cells, settings }: Request, store: Store): Promise<ComparisonResult[]> {
  const results: ComparisonResult[] = [];
  for (const [i, cell] of cells.entries()) {
    const name = `[${i + 1}/${cells.length}] ${cell.parameterization}, ${cell.weighting}, seed ${cell.seed}`;
    const kept = store.find(cell);
    const result = kept ?? (await compareCell(cell, settings, progressOf(name, settings.steps)));
    if (!kept) store.keep(result);
    results.push(result);
    tell(`${name}: ${describe(result)}${kept ? " (kept)" : ""}\n`);
  }
  return results;
}

const isTerminal = process.stderr.isTTY === true;

function tell(text: string): void {
  process.stderr.write(isTerminal ? `\r\x1b[K${text}` : text);
}

/** A line that counts the steps, on a terminal only. */
function progressOf(name: string, steps: number): ((step: number, loss: number) => void) | undefined {
  if (!isTerminal) return undefined;
  return (step, loss) => {
    if (step % 100 === 0) tell(`${name}: step ${step} of ${steps}, loss ${loss.toPrecision(3)}`);
  };
}

function describe({ bound, boundStandardError, w2, w2Floor, seconds }: ComparisonRow): string {
  if (!Number.isFinite(bound)) return "diverged";
  const distance = `W2 ${w2.toFixed(4)} (floor ${w2Floor.toFixed(4)})`;
  return `bound ${bound.toFixed(4)} ± ${boundStandardError.toFixed(4)}, ${distance}, ${seconds.toFixed(1)} s`;
}

/** The optimal network's bound for each seed, on the very numbers that judge the others; undefined where it is not known. */
async function optimalBounds(
  { cells, settings }: Request,
  store: Store,
): Promise<Record<number, number> | undefined> {
  const model = optimalModel(settings.data);
  if (!model) return undefined;
  const bounds: Record<number, number> = {};
  for (const seed of new Set(cells.map((cell) => cell.seed))) {
    const bound = async () => (await judge(model, settings, seed)).bound.total;
    bounds[seed] = await store.once(`optimal-${seed}.json`, bound);
  }
  return bounds;
}

/** What programs are given of a result. */
function rowOf(result: ComparisonResult): ComparisonRow {
  const { parameterization, weighting, seed, steps, bound, boundStandardError, w2, w2Floor, seconds } =
    result;
  return { parameterization, weighting, seed, steps, bound, boundStandardError, w2, w2Floor, seconds };
}

/** The summary's columns as people read them. */
function columnsOf(summaries: readonly ComparisonSummary[], referenceName: string) {
  return summaries.map((summary) => ({
    predicts: summary.parameterization,
    weighting: summary.weighting,
    "bound (nats/dim)": summary.bound.toFixed(3),
    [`above ${referenceName}`]: plusMinus(
      { mean: summary.excess, standardError: summary.excessStandardError },
      3,
    ),
    W2: summary.w2.toFixed(3),
    "its floor": summary.w2Floor.toFixed(3),
    "W2 / floor": summary.ratio.toFixed(2),
    worst: summary.worstRatio.toFixed(2),
    "s / run": (summary.seconds / summary.seeds).toFixed(0),
  }));
}

async function draw(
  { settings }: Request,
  store: Store,
  results: readonly ComparisonResult[],
  summaries: readonly ComparisonSummary[],
  referenceName: string,
): Promise<string[]> {
  const { data, points = 1000 } = settings;
  const drawn = toy(data).sample(rng(0), points);
  const figures = comparisonFigures({ results, summaries, data, reference: drawn.dataSync(), referenceName });
  drawn.dispose();
  for (const [name, figure] of Object.entries(figures)) {
    store.write(`${name}.json`, JSON.stringify(figure));
    store.write(`${name}.png`, await render(figure));
  }
  return Object.keys(figures);
}

/** The comparison on images: trains and evaluates what is missing, then puts all together. */
async function compareImages(args: readonly string[]): Promise<void> {
  const request = parseSweep(args);
  if (request === "help") return console.log(SWEEP_USAGE);
  const failed = request.collect ? [] : await runSweep(request);
  const sweep = collectSweep(request.runs, { failed, recipes: request.recipes });
  const { page, figure, tables, words, published } = (request.recipes ? recipesReport : sweepReport)(sweep);
  const json = JSON.stringify({
    rows: sweep.rows,
    missing: sweep.missing.map(({ name }) => name),
    published,
  });
  const write = (name: string, content: string | Uint8Array) => writeWhole(join(request.out, name), content);
  mkdirSync(request.out, { recursive: true });
  write("table.md", `${page}\n`);
  write("figure.json", JSON.stringify(figure));
  write("figure.png", await render(figure));
  write("rows.json", json);
  tell(`table.md, figure.png, figure.json and rows.json are in ${relative(".", request.out) || "."}\n`);
  if (sweep.missing.length > 0) process.exitCode = 1;
  if (request.json) return console.log(json);
  for (const { columns, title } of tables) console.log(`${table(columns, { title })["text/plain"]}\n`);
  console.log(words.join("\n\n"));
}

const isSweep = (args: readonly string[]): boolean =>
  args.some((arg) => /^--(configs|collect|recipes)(=|$)/.test(arg));

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  if (isSweep(args)) return compareImages(args);
  const request = parseRequest(args);
  if (request === "help") {
    console.log(USAGE);
    return;
  }
  const store = openStore(request.out, request.settings);
  tell(`${engine.description}\n`);
  const results = await runCells(request, store);
  const optimal = await optimalBounds(request, store);
  const referenceName = optimal ? "the optimal network" : "the lowest";
  const summaries = summarize(results, optimal);
  const figures = await draw(request, store, results, summaries, referenceName);
  const columns = columnsOf(summaries, referenceName);
  store.write("table.md", `${markdown(columns)}\n`);
  store.write("rows.json", JSON.stringify({ rows: results.map(rowOf) }));
  tell(
    `Figures ${figures.join(", ")} (.png and .json) and table.md are in ${relative(".", request.out) || "."}\n`,
  );
  if (request.json) console.log(JSON.stringify({ rows: results.map(rowOf) }));
  else console.log(table(columns, { title: title(request) })["text/plain"]);
}

const title = ({ settings: { data, steps, points } }: Request): string =>
  `${data}, ${steps} steps, judged on ${points} points; means over seeds ± standard errors`;

if (require.main === module)
  main().catch((error: Error) => {
    const stopped = error instanceof Interrupted;
    console.error(
      stopped ? `stopped in ${error.message}; the same command goes on` : `compare: ${error.message}`,
    );
    process.exitCode = stopped ? 130 : 1;
  });
