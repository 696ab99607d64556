/** @file What `npm run -s compare -- --configs LIST` was asked for: its arguments, and the runs that they name, checked. */
import { join } from "node:path";
import { DEFAULT_RUN, type RunConfig } from "../../lib/training";
import { SWEEP } from "../jobs";
import { type Options, readOptions } from "../options";
import { configSources, differingKey, folderNames, readConfig, withSteps } from "../train/configurations";

export const SWEEP_USAGE = `npm run -s compare -- --configs LIST --data DIR [options]

Trains and evaluates runs on images that differ in what the network predicts and how its loss is weighted, and puts them
into one table and one figure, with published figures beside.

  --configs LIST   configurations by name, files, or folders of such; alike but for parameterization, weighting
                   and learningRate (not every choice trains at the others'). The course's own are
                   ${SWEEP}
  --data DIR       the folder of the data set
  --runs DIR       a folder for each run, as npm run jobs has it (runs/sweep)
  --seeds N        of each: the configuration's own and the N−1 after it (1)
  --steps N        of each run, in place of what the configurations say
  --recipes        configurations may differ in anything but the data, and each takes the steps that it says: what a
                   table by FID then compares is recipes, such as those that take equally long
  --times X        with --recipes: X times the steps that the configurations say (1)
  --collect        puts together what is there, and neither trains nor evaluates
  --out DIR        table.md, figure.png, figure.json and rows.json (RUNS/comparison)
  --json           {"rows": […], "missing": […], "published": […]} and nothing else on standard output
  --sampler-steps N  of the sampler (50)
  --n, --bits-images, --parts, --draws, --reference, --classifier, --features, --k
                   as npm run evaluate takes them

Interrupted, the same command goes on where it was.`;

/** Options that go on to `npm run evaluate` as they are, and one that has another name there. */
const FOR_EVALUATE = [
  "n",
  "bits-images",
  "parts",
  "draws",
  "reference",
  "classifier",
  "features",
  "k",
  "sampler-steps",
] as const;
const NAME_THERE: Partial<Record<(typeof FOR_EVALUATE)[number], string>> = { "sampler-steps": "steps" };
const OPTIONS = {
  values: ["configs", "data", "runs", "seeds", "steps", "times", "out", ...FOR_EVALUATE],
  flags: ["recipes", "collect", "json", "help"],
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
  /** Whether the runs may differ in anything but the data. */
  recipes: boolean;
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
    recipes: options.flag("recipes"),
    data: data ?? "",
    out: options.text("out") ?? join(folder, "comparison"),
    collect,
    json: options.flag("json"),
    evaluateArgs: FOR_EVALUATE.flatMap((name) => {
      const value = options.text(name);
      return value === undefined ? [] : [`--${NAME_THERE[name] ?? name}`, value];
    }),
  };
}

/** The runs, seed by seed, so that an interrupted sweep is one of fewer seeds. */
function sweepRuns(options: Given, folder: string): SweepRun[] {
  const sources = configSources(options.text("configs") ?? SWEEP);
  const names = folderNames(sources);
  const seeds = options.wholeNumber("seeds", 1, 1000);
  const configs = sources.map((source) => {
    const config = readConfig(source);
    return { name: source, config: withSteps(config, stepsOf(options, config), source) };
  });
  if (options.flag("recipes")) checkAlike(configs, ALL_BUT_DATA);
  else checkCompared(configs);
  return Array.from({ length: seeds }, (_, further) =>
    configs.map(({ name: source, config }, i) => {
      const seed = config.seed + further;
      const name = `${names[i]}${further === 0 ? "" : `-seed${seed}`}`;
      return { name, source, config: { ...config, seed }, folder: join(folder, name) };
    }),
  ).flat();
}

/** The steps of a run. Throws on an option that belongs to the other kind of comparison. */
function stepsOf(options: Given, config: RunConfig): number {
  const recipes = options.flag("recipes");
  if (recipes && options.text("steps") !== undefined)
    throw new Error(
      "--steps gives all as many, and recipes of equal hours have each its own. Leave it out, or use --times.",
    );
  if (!recipes && options.text("times") !== undefined)
    throw new Error("--times is for --recipes, whose steps differ. Use --steps.");
  const times = options.number("times", 1);
  if (!(times > 0)) throw new Error(`--times is "${options.text("times")}", expected a number above 0.`);
  if (recipes) return Math.max(1, Math.round(times * config.steps));
  return options.wholeNumber("steps", config.steps);
}

/** What configurations of a sweep may differ in, and its runs, and recipes; not every choice trains at the others' rate. */
const CHOICES: readonly (keyof RunConfig)[] = ["parameterization", "weighting", "learningRate"];
export const COMPARED: readonly (keyof RunConfig)[] = [...CHOICES, "seed"];
const ALL_BUT_DATA = (Object.keys(DEFAULT_RUN) as (keyof RunConfig)[]).filter((key) => key !== "data");

/** Throws where two configurations differ in more than they may. */
export function checkAlike(
  configs: readonly { name: string; config: RunConfig }[],
  mayDiffer: readonly (keyof RunConfig)[],
): void {
  const [first, ...others] = configs;
  for (const { name, config } of others) {
    const differs = differingKey(first.config, config, mayDiffer);
    if (differs)
      throw new Error(
        `${name} has ${differs} ${JSON.stringify(config[differs])}, ${first.name} has ${JSON.stringify(first.config[differs])}, expected the same in all${mayDiffer !== ALL_BUT_DATA ? ": what differs besides parameterization, weighting and learningRate cannot be told apart from them (--recipes compares such runs as wholes)" : ""}.`,
      );
  }
}

/** Throws where two configurations are the same, or differ in more than what is compared. */
function checkCompared(configs: readonly { name: string; config: RunConfig }[]): void {
  checkAlike(configs, CHOICES);
  const keys = configs.map(({ config }) => `${config.parameterization}, ${config.weighting}`);
  const twice = keys.findIndex((key, i) => keys.indexOf(key) !== i);
  if (twice >= 0) throw new Error(`--configs has two that predict and weigh alike: ${keys[twice]}.`);
}
