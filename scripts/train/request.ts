/** @file What `npm run train` was asked for: its arguments, checked, and the checkpoint that it goes on from. */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { PARAMETERIZATIONS } from "../../lib/diffusion";
import { WEIGHTINGS } from "../../lib/elbo";
import {
  type Checkpoint,
  IMAGE_DATA,
  type ImageData,
  loadCheckpoint,
  type RunConfig,
  runConfig,
} from "../../lib/training";
import { type Options, readOptions } from "../options";
import { differingKey, experiments, readConfig, withSteps } from "./configurations";
import { checkpointPath } from "./folder";

/** Options that take the place of a value of the configuration, and that value's key. */
const OVERRIDES = {
  parameterization: "parameterization",
  weighting: "weighting",
  batch: "batchSize",
  "learning-rate": "learningRate",
  seed: "seed",
} as const;
const VALUES = [
  "data",
  "config",
  "steps",
  "out",
  "checkpoint-every",
  "parameterization",
  "weighting",
] as const;
const NUMBERS = ["batch", "learning-rate", "seed"] as const;
const ALL = [...VALUES, ...NUMBERS] as const;
type Given = Options<(typeof ALL)[number], "resume" | "help">;

export const USAGE = `npm run train -- ${IMAGE_DATA.join("|")} [options]

  --data DIR            the folder with the set's files; without it the set is downloaded once
  --config FILE         the run's configuration, a JSON file or one of ${experiments().join(", ")}
                        (the data set's own)
  --steps N             steps to have taken in the end, also for a run that goes on
  --out DIR             the run's folder (runs/ and the configuration's name)
  --checkpoint-every N  seconds between checkpoints (300)
  --resume              go on from the folder's last checkpoint, with its configuration
  --engine NAME         what computes: cuda, webgpu, cpu or js (the first that is there)

In place of the configuration's value, for a new run:
  --parameterization P  ${PARAMETERIZATIONS.join(", ")}
  --weighting W         ${WEIGHTINGS.join(", ")}
  --batch N             images in a step
  --learning-rate R     of Adam
  --seed N              of the first weights and of all draws`;

/** A run as it was asked for. */
export interface Request {
  dir: string | undefined;
  out: string;
  checkpointSeconds: number;
  /** The checkpoint to go on from. */
  from: Checkpoint | null;
  config: RunConfig;
}

/** What was asked for, before the run's folder is looked into. */
interface Arguments {
  data: ImageData;
  options: Given;
  /** Of the configuration. */
  name: string;
  out: string;
}

/** The arguments, their names checked; "help" where that was asked for. Throws one line on the first mistake. */
export function parseArguments(args: readonly string[]): Arguments | "help" {
  const [data, ...rest] = args;
  if (!data || ["help", "--help", "-h"].includes(data)) return "help";
  if (!IMAGE_DATA.includes(data as ImageData))
    throw new Error(`unknown data set "${data}", expected ${IMAGE_DATA.join(" or ")}.`);
  const options = readOptions(rest, { values: ALL, flags: ["resume", "help"] as const });
  if (options.flag("help")) return "help";
  const name = options.text("config") ?? data;
  const out = options.text("out") ?? join("runs", basename(name, ".json"));
  return { data: data as ImageData, options, name, out };
}

/** The request that the arguments make of the run's folder as it is now. Throws one line on the first mistake. */
export function requestOf({ data, options, name, out }: Arguments): Request {
  const begun = existsSync(checkpointPath(out));
  if (options.flag("resume") && !begun)
    throw new Error(
      `${out} holds no checkpoint to go on from. Leave --resume out, or name the run's folder with --out.`,
    );
  const from = options.flag("resume") ? loadCheckpoint(checkpointPath(out)) : null;
  if (!from && begun)
    throw new Error(`${out} holds a run already. Go on with --resume, or choose another --out.`);
  const config = from ? resumedConfig(options, from, name, out) : newConfig(options, name);
  if (config.data !== data)
    throw new Error(
      `${from ? out : name} is a run on ${config.data}. Write: npm run train -- ${config.data} …`,
    );
  const checkpointSeconds = options.wholeNumber("checkpoint-every", 300);
  return { dir: options.text("data"), out, checkpointSeconds, from, config };
}

/** The value of an option as it goes into the configuration, which checks it. */
const overrideOf = (options: Given, name: keyof typeof OVERRIDES): unknown =>
  (NUMBERS as readonly string[]).includes(name) ? options.number(name, 0) : options.text(name);

function newConfig(options: Given, name: string): RunConfig {
  const config = readConfig(name);
  const given = (Object.keys(OVERRIDES) as (keyof typeof OVERRIDES)[])
    .filter((option) => options.text(option) !== undefined)
    .map((option) => [OVERRIDES[option], overrideOf(options, option)]);
  const changed = runConfig({ ...config, ...Object.fromEntries(given) }, `train ${name}`);
  return withSteps(changed, options.wholeNumber("steps", config.steps), name);
}

function resumedConfig(options: Given, from: Checkpoint, name: string, out: string): RunConfig {
  for (const option of Object.keys(OVERRIDES) as (keyof typeof OVERRIDES)[])
    if (options.text(option) !== undefined)
      throw new Error(`--${option} is part of the run that --resume goes on with. Leave it out.`);
  const config = runConfig(from.config, out);
  const differs = options.text("config") === undefined ? undefined : differingKey(config, readConfig(name));
  if (differs)
    throw new Error(
      `${out} was begun with another ${differs} than ${name} has. Leave --config out, and name the folder with --out.`,
    );
  return withSteps(config, options.wholeNumber("steps", config.steps), out);
}
