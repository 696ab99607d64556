/**
 * @file `npm run -s compare -- --configs LIST --data DIR`: configurations of image runs trained, evaluated and set beside
 * one another. Training and evaluation are the project's own commands, run one after the other, into the folders that
 * the tasks of `npm run jobs` use: what those have done is not done again.
 */
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Evaluation } from "../../lib/metrics";
import { loadCheckpoint, type RunConfig, runConfig } from "../../lib/training";
import { SWEEP } from "../jobs";
import { type Options, readOptions } from "../options";
import { interruption } from "../progress";
import { checkpointPath, configPath, readMetrics } from "../train/folder";
import { differingKey, folderNames, readConfig } from "../train/request";

export const SWEEP_USAGE = `npm run -s compare -- --configs LIST --data DIR [options]

Trains and evaluates runs on images that differ in what the network predicts and how its loss is weighted, and puts them
into one table and one figure, with published figures beside.

  --configs LIST   configurations by name, or files; alike but for parameterization and weighting.
                   ${SWEEP} is the course's own
  --data DIR       the folder of the data set
  --runs DIR       a folder for each run, as npm run jobs has it (runs/sweep)
  --seeds N        seeds 0…N−1 of each (1)
  --steps N        of each run, in place of what the configurations say
  --collect        puts together what is there, and neither trains nor evaluates
  --out DIR        table.md, figure.png, figure.json and rows.json (RUNS/comparison)
  --json           {"rows": […], "published": […]} and nothing else on standard output
  --n, --bits-images, --parts, --draws, --reference, --classifier, --k
                   as npm run evaluate takes them

Interrupted, the same command goes on where it was.`;

/** Options that go on to `npm run evaluate` as they are. */
const FOR_EVALUATE = ["n", "bits-images", "parts", "draws", "reference", "classifier", "k"] as const;
const OPTIONS = {
  values: ["configs", "data", "runs", "seeds", "steps", "out", ...FOR_EVALUATE],
  flags: ["collect", "json", "help"],
} as const;
type Given = Options<(typeof OPTIONS.values)[number], (typeof OPTIONS.flags)[number]>;

/** One run of the sweep. */
export interface SweepRun {
  /** Of its folder. */
  name: string;
  /** As `npm run train` takes it: a name or a file. */
  source: string;
  config: RunConfig;
  folder: string;
}

export interface SweepRequest {
  runs: SweepRun[];
  data: string;
  out: string;
  collect: boolean;
  json: boolean;
  /** For `npm run evaluate`. */
  evaluateArgs: string[];
}

/** The request that these arguments make, or "help". Throws with one line on the first that is wrong. */
export function parseSweep(args: readonly string[]): SweepRequest | "help" {
  const options = readOptions(args, OPTIONS);
  if (options.flag("help")) return "help";
  const folder = options.text("runs") ?? "runs/sweep";
  const collect = options.flag("collect");
  const data = options.text("data");
  if (!data && !collect)
    throw new Error("--data is missing, expected the folder of the data set, or --collect.");
  const idle = FOR_EVALUATE.find((name) => collect && options.text(name) !== undefined);
  if (idle)
    throw new Error(
      `--${idle} is for evaluations, and --collect makes none. Leave it out, or leave out --collect.`,
    );
  return {
    runs: sweepRuns(options, folder),
    data: data ?? "",
    out: options.text("out") ?? join(folder, "comparison"),
    collect,
    json: options.flag("json"),
    evaluateArgs: FOR_EVALUATE.flatMap((name) => {
      const value = options.text(name);
      return value === undefined ? [] : [`--${name}`, value];
    }),
  };
}

/** The runs, seed by seed, so that an interrupted sweep is one of fewer seeds. */
function sweepRuns(options: Given, folder: string): SweepRun[] {
  const sources = (options.text("configs") ?? SWEEP).split(",").map((name) => name.trim());
  const names = folderNames(sources);
  const seeds = options.wholeNumber("seeds", 1, 1000);
  const configs = sources.map((source) => {
    const config = readConfig(source);
    return { name: source, config: { ...config, steps: options.wholeNumber("steps", config.steps) } };
  });
  checkCompared(configs);
  return Array.from({ length: seeds }, (_, seed) =>
    configs.map(({ name: source, config }, i) => {
      const name = `${names[i]}${seed === 0 ? "" : `-seed${seed}`}`;
      return { name, source, config: { ...config, seed }, folder: join(folder, name) };
    }),
  ).flat();
}

const MAY_DIFFER = ["parameterization", "weighting", "seed"] as const;

/** Throws where two configurations differ in more than what is compared. */
function checkAlike(configs: readonly { name: string; config: RunConfig }[]): void {
  const [first, ...others] = configs;
  for (const { name, config } of others) {
    const differs = differingKey(first.config, config, MAY_DIFFER);
    if (differs)
      throw new Error(
        `${name} has ${differs} ${JSON.stringify(config[differs])}, ${first.name} has ${JSON.stringify(first.config[differs])}, expected the same in all: what differs besides parameterization and weighting cannot be told apart from them.`,
      );
  }
}

/** Throws where two configurations are the same, or differ in more than what is compared. */
function checkCompared(configs: readonly { name: string; config: RunConfig }[]): void {
  checkAlike(configs);
  const keys = configs.map(({ config }) => `${config.parameterization}, ${config.weighting}`);
  const twice = keys.findIndex((key, i) => keys.indexOf(key) !== i);
  if (twice >= 0) throw new Error(`--configs has two that predict and weigh alike: ${keys[twice]}.`);
}

/** Thrown where the sweep was interrupted: the same command goes on. */
export class Interrupted extends Error {}

/**
 * Trains and evaluates what is missing, telling on standard error; a run that fails, as one that diverges, does not hold
 * up the others. Returns those that failed. Throws `Interrupted`, and where a folder holds another run than the one asked
 * for.
 */
export async function runSweep({ runs, data, evaluateArgs }: SweepRequest): Promise<SweepRun[]> {
  const signal = interruption("finishing this batch; the same command goes on from here");
  const command = (script: "train" | "evaluate", args: string[]) => runCommand(script, args, signal);
  const complete = async (run: SweepRun) => {
    if (stepsTaken(run) < run.config.steps) await command("train", trainArgs(run, data));
    await command("evaluate", [
      ...["--checkpoint", checkpointPath(run.folder), "--data", data, "--out", evaluationFolder(run)],
      ...evaluateArgs,
    ]);
  };
  runs.forEach(stepsTaken); // before hours are spent
  const failed: SweepRun[] = [];
  for (const [i, run] of runs.entries()) {
    process.stderr.write(`[${i + 1}/${runs.length}] ${run.name}\n`);
    try {
      await complete(run);
    } catch (error) {
      if (error instanceof Interrupted) throw error;
      process.stderr.write(`${run.name}: ${(error as Error).message}\n`);
      failed.push(run);
    }
  }
  return failed;
}

/** Of these weights: those of a run that goes on are measured elsewhere. */
const evaluationFolder = ({ folder, config }: SweepRun): string => join(folder, `evaluation-${config.steps}`);

/** Steps that a run has behind it. Throws where its folder holds another run. */
function stepsTaken({ folder, config, name }: SweepRun): number {
  const path = checkpointPath(folder);
  if (!existsSync(path)) return 0;
  const { step, config: known } = loadCheckpoint(path);
  const own = runConfig(known, path);
  const differs = differingKey(own, config);
  if (differs)
    throw new Error(
      `${folder} holds a run with ${differs} ${JSON.stringify(own[differs])}, ${name} has ${JSON.stringify(config[differs])}. Choose other --runs, or remove that folder.`,
    );
  if (step > config.steps)
    throw new Error(`${folder} has taken ${step} steps already, expected ${config.steps}. Ask for as many.`);
  return step;
}

function trainArgs({ source, config, folder }: SweepRun, data: string): string[] {
  const started = existsSync(checkpointPath(folder));
  const how = started ? ["--resume"] : ["--config", source, "--seed", String(config.seed)];
  return [config.data, "--data", data, "--out", folder, "--steps", String(config.steps), ...how];
}

/** Runs one of the project's commands; what it says goes to standard error. */
function runCommand(script: "train" | "evaluate", args: string[], signal: AbortSignal): Promise<void> {
  const path = join(__dirname, "..", `${script}.ts`);
  const child = spawn(process.execPath, ["--import", "tsx", path, ...args], { stdio: ["ignore", 2, 2] });
  const pass = () => child.kill(signal.reason as NodeJS.Signals); // a terminal gives it to both, a scheduler to one
  signal.addEventListener("abort", pass, { once: true });
  return new Promise((resolve, reject) =>
    child.on("close", (code) => {
      signal.removeEventListener("abort", pass);
      if (signal.aborted) reject(new Interrupted(script));
      else if (code !== 0) reject(new Error(`${script} ended with code ${code}; its reason stands above.`));
      else resolve();
    }),
  );
}

/** What one run came to. */
export interface SweepRow {
  name: string;
  config: RunConfig;
  /** Time in training; NaN where the run's folder has no times. */
  hours: number;
  evaluation: Evaluation;
}

/** What a sweep has so far. */
export interface Sweep {
  rows: SweepRow[];
  /** Runs that were not evaluated as asked for: they diverged, wait, or their folders hold another evaluation. */
  missing: SweepRun[];
}

/**
 * The rows of the runs that were evaluated, but for those that have just failed: a report of theirs is of something
 * else. Throws where there is none, and on one that cannot be compared with the first.
 */
export function collectSweep(runs: readonly SweepRun[], failed: readonly SweepRun[] = []): Sweep {
  const missing = runs.filter((run) => failed.includes(run) || !existsSync(reportPath(run)));
  if (failed.length === runs.length)
    throw new Error("none of the runs could be trained and evaluated; the reasons stand above.");
  if (missing.length === runs.length)
    throw new Error(
      `${reportPath(runs[0])} is not there, nor another: no run was evaluated after so many steps. Leave --collect out, or run the jobs.`,
    );
  return { rows: comparable(runs.filter((run) => !missing.includes(run)).map(rowOf)), missing };
}

/** The rows, if they can be compared. Throws on one of another net, schedule or budget than the first, or evaluated in another way. */
export function comparable(rows: SweepRow[]): SweepRow[] {
  checkAlike(rows);
  for (const row of rows) {
    const [own, first] = [wayOf(row), wayOf(rows[0])];
    if (own !== first)
      throw new Error(
        `${row.name} was evaluated as ${own}, ${rows[0].name} as ${first}, expected the same. Evaluate one of them again.`,
      );
  }
  return rows;
}

function wayOf({ evaluation: { samples, sampler, seed, rows, bits, step } }: SweepRow): string {
  const { images, parts, draws, clip } = bits;
  return [
    `n = ${samples.n}, ${samples.extractor}, ${samples.reference}, k = ${samples.precisionRecall.samples.k}`,
    `${sampler}, seed ${seed}`,
    `${images} images, ${rows} at once, of ${parts.length} parts and ${draws} draws, x̂0 ${clip ? "clipped" : "as it is"}`,
    `${step} steps`,
  ].join("; ");
}

const reportPath = (run: SweepRun): string => join(evaluationFolder(run), "report.json");

function rowOf(run: SweepRun): SweepRow {
  const path = reportPath(run);
  const known = runConfig(JSON.parse(readFileSync(configPath(run.folder), "utf8")), configPath(run.folder));
  const differs = differingKey(known, run.config);
  if (differs)
    throw new Error(
      `${run.folder} was trained with ${differs} ${JSON.stringify(known[differs])}, ${run.source} has ${JSON.stringify(run.config[differs])}. Give the configuration that it was begun with.`,
    );
  const evaluation = JSON.parse(readFileSync(path, "utf8")) as Evaluation;
  if (evaluation.step !== run.config.steps)
    throw new Error(
      `${path} is of ${evaluation.step} steps, expected ${run.config.steps}. Remove its folder, and evaluate the run when it is done.`,
    );
  if (!evaluation.bits?.perImage)
    throw new Error(`${path} does not say the bound image by image. Evaluate the run again.`);
  const seconds = readMetrics(run.folder).reduce((sum, metric) => sum + metric.seconds, 0);
  return { name: run.name, config: run.config, hours: seconds > 0 ? seconds / 3600 : Number.NaN, evaluation };
}
