/** @file What `npm run sample` was asked for: its arguments, checked against the model of the checkpoint. */
import { ancestralPlan, ddimPlan, evenSteps, type Plan, type Schedule, VARIANCES } from "../../lib/diffusion";
import type { RunConfig } from "../../lib/training";
import { type Options, readOptions } from "../options";

export const SHOWN = ["samples", "xt", "x0", "interpolation"] as const;
const SAMPLERS = ["ddim", "ancestral"] as const;
const VALUES = [
  ...(["checkpoint", "show", "count", "out", "sampler", "steps", "eta", "variance", "seed"] as const),
  ...(["class", "guidance", "t", "data", "between", "columns"] as const),
] as const;

export const USAGE = `npm run sample -- --checkpoint FILE [options]

  --checkpoint FILE   what npm run train or npm run export wrote
  --show WHAT         samples; xt or x0, the walk towards each sample, x_t or what it suggests x_0 to be, a row each;
                      interpolation, between two images in noise (samples)
  --animate           with xt or x0: the walk as an animated PNG instead
  --count N           images, or rows (64; 8 rows; 16 animated)
  --columns N         samples in a row (one for each class that is asked for; of one or none the squarest grid), moments
                      of a walk, or mixtures between two images (11)
  --out FILE          the PNG (samples.png)
  --sampler S         ${SAMPLERS.join(", ")} (ddim)
  --steps N           steps of the sampler, 1…T (50)
  --eta E             noise of DDIM, from 0 (none) to 1 (ancestral with betaTilde) (0)
  --variance V        of the ancestral sampler: ${VARIANCES.join(", ")} (the run's)
  --seed N            of the noise (0)
  --engine NAME       what computes: cuda, webgpu, cpu or js (the first that is there)

For a model that was told classes:
  --class LIST        numbers from 0, which the images take in turn, or none (all; for an interpolation none)
  --guidance S        0 no class, 1 the class as learned, beyond: more of it (1)

For an interpolation (Ho et al. 2020, section 4.4):
  --t N               how far both images are noised, 1…T (T/2)
  --data DIR          the folder of the data set; without it between samples of the model
  --between A,B,…     test images by their places, two to a row (0,1,2,3,…)`;

export type Given = Options<(typeof VALUES)[number], "animate" | "help">;

/** A drawing as it was asked for, before the checkpoint is known. */
export interface Request {
  options: Given;
  checkpoint: string;
  out: string;
  show: (typeof SHOWN)[number];
  animate: boolean;
  count: number;
  /** Undefined where it was not asked for. */
  columns: number | undefined;
  seed: number;
}

/** What was asked for, as far as it can be checked without the checkpoint; "help" where that was. */
export function parseRequest(args: readonly string[]): Request | "help" {
  const options = readOptions(args, { values: VALUES, flags: ["animate", "help"] as const });
  if (options.flag("help")) return "help";
  const checkpoint = options.text("checkpoint");
  if (!checkpoint) throw new Error("--checkpoint is missing, expected a file that npm run train wrote.");
  const show = options.oneOf("show", SHOWN, "samples");
  const animate = options.flag("animate");
  if (animate && show !== "xt" && show !== "x0")
    throw new Error(`--animate shows a walk, but --show is "${show}". Use --show xt or --show x0.`);
  for (const name of ["t", "data", "between"] as const)
    if (options.text(name) !== undefined && show !== "interpolation")
      throw new Error(`--${name} has no meaning for --show ${show}. Use --show interpolation.`);
  if (options.text("columns") !== undefined && animate)
    throw new Error("--columns has no meaning for --animate, whose pictures make a grid. Leave it out.");
  if (options.text("count") !== undefined && options.text("between") !== undefined)
    throw new Error("--count has no meaning beside --between, whose places make the rows. Leave it out.");
  return {
    options,
    checkpoint,
    out: options.text("out") ?? "samples.png",
    show,
    animate,
    count: options.wholeNumber("count", show === "samples" ? 64 : animate ? 16 : 8, 10_000),
    columns: options.wholeNumber("columns", undefined, 1000, show === "samples" ? 1 : 2),
    seed: options.wholeNumber("seed", 0, Number.MAX_SAFE_INTEGER, 0),
  };
}

/** Moments of a walk, and mixtures of an interpolation, unless told otherwise. */
export const COLUMNS = 11;

/** The options of a walk, whichever command takes them. */
type WalkOptions = Options<"steps" | "sampler" | "eta" | "variance", never>;

/** The walk from step `from`, default T, that the options name. */
export function planOf(
  options: WalkOptions,
  config: RunConfig,
  schedule: Schedule,
  from = schedule.numSteps,
): Plan {
  const steps = evenSteps(from, options.wholeNumber("steps", Math.min(50, from), from));
  const refuse = (name: "eta" | "variance", sampler: string): void => {
    if (options.text(name) !== undefined)
      throw new Error(`--${name} has no meaning for --sampler ${sampler}. Leave it out.`);
  };
  if (options.oneOf("sampler", SAMPLERS, "ddim") === "ddim") {
    refuse("variance", "ddim");
    return ddimPlan(schedule, { steps, eta: options.number("eta", 0) });
  }
  refuse("eta", "ancestral");
  return ancestralPlan(schedule, { steps, variance: options.oneOf("variance", VARIANCES, config.variance) });
}

/** Throws where an option that asks for classes was given; call for a model that was told none. */
export function refuseClasses<Name extends string>(
  options: Pick<Options<Name, never>, "text">,
  names: readonly Name[],
): void {
  for (const name of names)
    if (options.text(name) !== undefined)
      throw new Error(`--${name} needs a model that was told classes, this one was not. Leave it out.`);
}

/**
 * The class of each of `count` images and the guidance towards it, unless told otherwise all classes in turn, or none for
 * an interpolation; null for no class. Throws where the model knows none.
 */
export function guidanceOf(
  { options, show }: Pick<Request, "options" | "show">,
  classes: number,
  count: number,
): { labels: number[]; scale: number } | null {
  const list = options.text("class");
  if (classes === 0) {
    refuseClasses(options, ["class", "guidance"]);
    return null;
  }
  if (list === "none" || (list === undefined && show === "interpolation")) {
    if (options.text("guidance") !== undefined)
      throw new Error(
        "--guidance is towards classes, and none is asked for. Leave it out, or name a --class.",
      );
    return null;
  }
  const chosen = options.numbers("class") ?? Array.from({ length: classes }, (_, label) => label);
  const wrong = chosen.find((label) => !(Number.isInteger(label) && label >= 0 && label < classes));
  if (wrong !== undefined)
    throw new Error(`--class has ${wrong}, expected numbers from 0 to ${classes - 1}, or none.`);
  const labels = Array.from({ length: count }, (_, i) => chosen[i % chosen.length]);
  return { labels, scale: options.number("guidance", 1) };
}
