/** @file What `npm run evaluate` was asked for: its arguments, checked. */
import { resolve } from "node:path";
import { VARIANCES } from "../../lib/diffusion";
import { type Options, readOptions } from "../options";

const VALUES = [
  ...(["checkpoint", "data", "out", "n", "seed", "sampler", "steps", "eta", "variance", "guidance"] as const),
  ...([
    "trained-steps",
    "bits-images",
    "parts",
    "draws",
    "reference",
    "classifier",
    "features",
    "k",
    "neighbours",
    "rows",
    "report",
  ] as const),
] as const;
const FLAGS = ["unclipped", "json", "help"] as const;
export type Given = Options<(typeof VALUES)[number], (typeof FLAGS)[number]>;

export const USAGE = `npm run evaluate -- --checkpoint FILE [options]

  --checkpoint FILE   what npm run train or npm run export wrote
  --data DIR          the folder of the data set; without it the set is downloaded once
  --out DIR           what is known so far; the same command goes on from there (runs/evaluation)
  --trained-steps N   refuses a checkpoint of other than N steps of training, as of a run that is not through
  --report FILE       gets what was found, as JSON, such as assets/cifar10/evaluation.json
  --json              one JSON object in place of the table
  --seed N            of all draws (0)
  --engine NAME       what computes: cuda, webgpu, cpu or js (the first that is there)

Bits per dimension, on the first test images:
  --bits-images N     so many of them (256)
  --parts N           a random t in each of so many parts of 2…T; T - 1 is every t (50)
  --draws N           of the noise, for each image (1)
  --unclipped         of the net as it is; without it, x̂0 is clipped to [-1, 1], as it is in sampling
  --rows N            images given to the net at once (128)

Samples, against the training set:
  --n N               samples (1000)
  --sampler S         ddim, ancestral (ddim)
  --steps N           steps of the sampler, 1…T (50)
  --eta E             noise of DDIM (0)
  --guidance S        towards all classes in turn, of a model that was told them (1)
  --variance V        of the ancestral sampler: ${VARIANCES.join(", ")} (the run's)
  --reference N       the first N training images in place of all
  --classifier FILE   the extractor of features (the one that comes with the project for the data set): what
                      npm run classifier exported, or the weights of Inception-v3 (scripts/evaluate/README.md)
  --features DIR      keeps the features of real images for evaluations of other models (.cache/features)
  --k N               neighbour that a ball of the manifold reaches to, for precision and recall (3)
  --neighbours N      samples whose nearest training images are told (8)`;

/** How a report's sampler says that samples are of all classes in turn, and how far they are pushed towards them. */
export const inTurn = (guidance: number): string => `its classes in turn, guidance ${guidance}`;

const FEATURES = resolve(__dirname, "../../.cache/features");

/** An evaluation as it was asked for. */
export interface Request {
  options: Given;
  checkpoint: string;
  data: string | undefined;
  out: string;
  /** Training steps that the checkpoint must have behind it; undefined for any. */
  trainedSteps: number | undefined;
  /** Another place for the report. */
  report: string | undefined;
  /** Undefined for the one that comes with the project. */
  classifier: string | undefined;
  /** Where features of real images are kept for other evaluations. */
  features: string;
  /** Whether the bound is that of the model with x̂0 clipped to the pixels' range. */
  clip: boolean;
  json: boolean;
  seed: number;
  bitsImages: number;
  draws: number;
  rows: number;
  n: number;
  /** Training images to compare with; undefined for all. */
  reference: number | undefined;
  k: number;
  neighbours: number;
}

/** What was asked for, as far as it can be checked without the checkpoint; "help" where that was. Throws one line on the first mistake. */
export function parseRequest(args: readonly string[]): Request | "help" {
  const options = readOptions(args, { values: VALUES, flags: FLAGS });
  if (options.flag("help")) return "help";
  const checkpoint = options.text("checkpoint");
  if (!checkpoint) throw new Error("--checkpoint is missing, expected a file that npm run train wrote.");
  const n = options.wholeNumber("n", 1000, 1e6, 8);
  return {
    options,
    checkpoint,
    data: options.text("data"),
    out: options.text("out") ?? "runs/evaluation",
    trainedSteps: options.wholeNumber("trained-steps", undefined),
    report: options.text("report"),
    classifier: options.text("classifier"),
    features: options.text("features") ?? FEATURES,
    clip: !options.flag("unclipped"),
    json: options.flag("json"),
    seed: options.wholeNumber("seed", 0, Number.MAX_SAFE_INTEGER, 0),
    bitsImages: options.wholeNumber("bits-images", 256),
    draws: options.wholeNumber("draws", 1),
    rows: options.wholeNumber("rows", 128),
    n,
    reference: options.wholeNumber("reference", undefined, 1e9, 8),
    k: options.wholeNumber("k", 3, n - 1),
    neighbours: options.wholeNumber("neighbours", 8),
  };
}
