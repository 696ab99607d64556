/** @file What `npm run train` was asked for: its arguments, checked, and the checkpoint that it goes on from. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { PARAMETERIZATIONS } from "../../lib/diffusion";
import { WEIGHTINGS } from "../../lib/elbo";
import { type Checkpoint, loadCheckpoint } from "../../lib/training";
import { type Options, readOptions } from "../options";
import { checkedConfig, DEFAULT_RUN, NET_CONFIGS, type NetName, type RunConfig, wholeFrom0 } from "./config";

const VALUES = [
  "data",
  "steps",
  "batch",
  "out",
  "seed",
  "net",
  "parameterization",
  "weighting",
  "checkpoint-every",
] as const;
const FLAGS = ["resume", "help"] as const;
type Given = Options<(typeof VALUES)[number], (typeof FLAGS)[number]>;

export const USAGE = `npm run train -- cifar10 [options]

  --data DIR            the folder of CIFAR-10's binary version; without it the set is downloaded once
  --steps N             steps to have taken in the end (2000)
  --batch N             images in a step (${DEFAULT_RUN.batchSize})
  --net NAME            ${Object.keys(NET_CONFIGS).join(", ")} (patches)
  --parameterization P  ${PARAMETERIZATIONS.join(", ")} (eps)
  --weighting W         ${WEIGHTINGS.join(", ")} (simple)
  --seed N              of the weights and of all draws (0)
  --out DIR             the run's folder (runs/cifar10)
  --checkpoint-every N  seconds between checkpoints (300)
  --resume              go on from the folder's last checkpoint, with its configuration`;

/** A run as it was asked for. */
export interface Request {
  dir: string | undefined;
  out: string;
  steps: number;
  checkpointSeconds: number;
  /** The checkpoint to go on from. */
  from: Checkpoint | null;
  config: RunConfig;
}

/** Where a run keeps its last checkpoint. */
export const checkpointPath = (out: string) => join(out, "checkpoint.safetensors");

/** What was asked for, checked; "help" where that was. Throws one line on the first mistake. */
export function parseRequest(args: readonly string[]): Request | "help" {
  const [data, ...rest] = args;
  if (!data || ["help", "--help", "-h"].includes(data)) return "help";
  if (data !== "cifar10") throw new Error(`unknown data set "${data}", expected cifar10.`);
  const options = readOptions(rest, { values: VALUES, flags: FLAGS });
  if (options.flag("help")) return "help";
  const out = options.text("out") ?? "runs/cifar10";
  const from = options.flag("resume") ? loadCheckpoint(checkpointPath(out)) : null;
  if (!from && existsSync(checkpointPath(out)))
    throw new Error(`${out} holds a run already. Go on with --resume, or choose another --out.`);
  const steps = options.wholeNumber("steps", 2000);
  if (from && from.step >= steps)
    throw new Error(`${out} has taken ${from.step} steps already. Ask for more with --steps.`);
  return {
    dir: options.text("data"),
    out,
    steps,
    checkpointSeconds: options.wholeNumber("checkpoint-every", 300),
    from,
    config: from ? resumedConfig(options, checkedConfig(from.config, out)) : newConfig(options),
  };
}

function newConfig(options: Given): RunConfig {
  const names = Object.keys(NET_CONFIGS) as NetName[];
  return {
    ...DEFAULT_RUN,
    net: NET_CONFIGS[options.oneOf("net", names, "patches")],
    parameterization: options.oneOf("parameterization", PARAMETERIZATIONS, "eps"),
    weighting: options.oneOf("weighting", WEIGHTINGS, "simple"),
    batchSize: options.wholeNumber("batch", DEFAULT_RUN.batchSize),
    seed: wholeFrom0("seed", options.text("seed")),
  };
}

function resumedConfig(options: Given, config: RunConfig): RunConfig {
  for (const name of ["net", "parameterization", "weighting", "batch", "seed"] as const)
    if (options.text(name) !== undefined)
      throw new Error(`--${name} is part of the run that --resume goes on with. Leave it out.`);
  return config;
}
