/**
 * @file `npm run -s elbo -- --data gaussian --mean 0.5 --std 0.5 --variance beta [--json]`: the exact bound of the
 * optimal network on data whose answer is known.
 *
 * The numbers are those of `exactBound` (`lib/elbo/analytic`), closed form or quadrature in float64: no tensor is made.
 */
import type { Schedule, Variance } from "../lib/diffusion";
import type { Distribution, ExactBound } from "../lib/elbo/analytic";
import { type Options, readOptions } from "./options";

const USAGE = `Usage: npm run -s elbo -- [options]

The evidence lower bound of the optimal network, term by term, in nats per dimension.

  --data gaussian|mixture      the data; default gaussian
      --mean M --std S         of the Gaussian; default 0 and 1
      --weights W,W,…          of the mixture's components; they sum to 1
      --means M,M,…  --stds S,S,…
  --schedule linear|cosine     default linear
      --beta-start B --beta-end B   variances of the linear schedule; default 1e-4 and 0.02
  --steps T                    default 1000
  --variance beta|betaTilde    the fixed variance of p(x_{t-1} | x_t); default beta
  --allow-prior-mismatch       no warning where x_T is far from N(0, 1)
  --json                       one JSON object and nothing else on standard output`;

const DATA = ["gaussian", "mixture"] as const;
const SCHEDULES = ["linear", "cosine"] as const;
const VARIANCES = ["beta", "betaTilde"] as const;
const MOST_STEPS = 100_000;

const GAUSSIAN = ["mean", "std"] as const;
const MIXTURE = ["weights", "means", "stds"] as const;
const BETAS = ["beta-start", "beta-end"] as const;
const VALUES = [...(["data", "schedule", "steps", "variance"] as const), ...GAUSSIAN, ...MIXTURE, ...BETAS];
const FLAGS = ["allow-prior-mismatch", "json", "help"] as const;

type Value = (typeof VALUES)[number];
type Given = Options<Value, (typeof FLAGS)[number]>;

/** What was asked for, checked: names are known, numbers are numbers in range. */
interface Request {
  data: { kind: "gaussian"; mean: number; std: number } | ({ kind: "mixture" } & MixtureRequest);
  schedule: { kind: "linear"; betaStart: number; betaEnd: number } | { kind: "cosine" };
  numSteps: number;
  variance: Variance;
  allowPriorMismatch: boolean;
  json: boolean;
}

interface MixtureRequest {
  weights: number[];
  means: number[];
  stds: number[];
}

/** The request that these arguments make, or "help". Throws with one line on the first that is wrong. */
function parseRequest(args: readonly string[]): Request | "help" {
  const options = readOptions(args, { values: VALUES, flags: FLAGS });
  if (options.flag("help")) return "help";
  const numSteps = options.wholeNumber("steps", 1000, MOST_STEPS);
  const variance = options.oneOf("variance", VARIANCES, "beta");
  if (variance === "betaTilde" && numSteps === 1)
    throw new Error(
      "--variance betaTilde takes its first variance from t = 2, but --steps is 1. Use --variance beta.",
    );
  return {
    data: parseData(options),
    schedule: parseSchedule(options),
    numSteps,
    variance,
    allowPriorMismatch: options.flag("allow-prior-mismatch"),
    json: options.flag("json"),
  };
}

function parseData(options: Given): Request["data"] {
  const kind = options.oneOf("data", DATA, "gaussian");
  const [own, other] = kind === "gaussian" ? [GAUSSIAN, MIXTURE] : [MIXTURE, GAUSSIAN];
  refuse(options, other, `--data ${kind}`, own);
  if (kind === "gaussian")
    return { kind, mean: options.number("mean", 0), std: positive("std", options.number("std", 1)) };
  const [weights, means, stds] = MIXTURE.map((name) => listOf(options, name));
  if (means.length !== weights.length || stds.length !== weights.length)
    throw new Error(
      `--weights, --means and --stds have ${weights.length}, ${means.length} and ${stds.length} numbers, expected as many of each.`,
    );
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (!weights.every((weight) => weight > 0) || Math.abs(total - 1) > 1e-9)
    throw new Error(
      `--weights ${weights.join(",")} sum to ${Number(total.toPrecision(10))}, expected numbers above 0 that sum to 1, such as 0.3,0.7.`,
    );
  for (const std of stds) positive("stds", std);
  return { kind, weights, means, stds };
}

function parseSchedule(options: Given): Request["schedule"] {
  const kind = options.oneOf("schedule", SCHEDULES, "linear");
  if (kind === "cosine") {
    refuse(options, BETAS, "--schedule cosine", ["steps"]);
    return { kind };
  }
  const [betaStart, betaEnd] = BETAS.map((name, i) => {
    const beta = options.number(name, [1e-4, 0.02][i]);
    if (beta > 0 && beta < 1) return beta;
    throw new Error(`--${name} is ${beta}, expected a variance between 0 and 1, both excluded.`);
  });
  return { kind, betaStart, betaEnd };
}

/** Throws where an option was given that has no meaning here. */
function refuse(options: Given, names: readonly Value[], where: string, own: readonly Value[]) {
  const given = names.find((name) => options.text(name) !== undefined);
  if (given)
    throw new Error(
      `--${given} has no meaning for ${where}, which takes ${own.map((name) => `--${name}`).join(", ")}.`,
    );
}

function listOf(options: Given, name: Value): number[] {
  const numbers = options.numbers(name);
  if (numbers) return numbers;
  throw new Error(
    `--${name} is missing, expected with --data mixture one number per component: --weights 0.5,0.5 --means -1,1 --stds 0.3,0.3.`,
  );
}

function positive(name: string, value: number): number {
  if (value > 0) return value;
  throw new Error(`--${name} has ${value}, expected a standard deviation above 0.`);
}

/** What the library makes of a request. */
interface Answer {
  bound: ExactBound;
  /** L_T in bits/dim for data of variance 1, where it is too large to be meant; else undefined. */
  priorMismatch?: number;
}

/**
 * Loaded on demand, so that --help and mistakes cost nothing, with the engine that starts fastest, since no tensor is
 * made: the command also runs where none is set up.
 */
async function answer(request: Request): Promise<Answer> {
  process.env.LOWER_BOUND_ENGINE = "js";
  const { exactBound, gaussian, mixture } = await import("../lib/elbo/analytic");
  const { MAX_PRIOR_MISMATCH, cosineSchedule, linearSchedule, priorMismatch } = await import(
    "../lib/diffusion"
  );
  const { data, numSteps, variance } = request;
  const distribution: Distribution = data.kind === "gaussian" ? gaussian(data) : mixture(data);
  const common = { numSteps, allowPriorMismatch: true };
  const schedule: Schedule =
    request.schedule.kind === "cosine"
      ? cosineSchedule(common)
      : linearSchedule({ ...request.schedule, ...common });
  const bound = exactBound(distribution, schedule, variance);
  if (!Number.isFinite(bound.total) || !Number.isFinite(bound.entropy))
    throw new Error("the bound is not finite in double precision. Use data of a scale nearer to 1.");
  const mismatch = priorMismatch(schedule);
  return mismatch > MAX_PRIOR_MISMATCH ? { bound, priorMismatch: mismatch } : { bound };
}

/** One line for a schedule that leaves signal in x_T, with its remedy. */
function warning(mismatch: number, numSteps: number): string {
  const [betaStart, betaEnd] = [0.1 / numSteps, 20 / numSteps].map((beta) => Number(beta.toPrecision(3)));
  const remedy = betaEnd < 1 ? `--beta-start ${betaStart} --beta-end ${betaEnd}` : "--schedule cosine";
  return (
    `elbo: warning: x_T is far from N(0, 1): L_T is ${mismatch.toPrecision(3)} bits/dim for data of variance 1. ` +
    `Use ${remedy}, or say --allow-prior-mismatch.`
  );
}

const describeData = (data: Request["data"]): string =>
  data.kind === "gaussian"
    ? `N(${data.mean}, ${data.std}²)`
    : data.weights.map((weight, k) => `${weight}·N(${data.means[k]}, ${data.stds[k]}²)`).join(" + ");

const describeSchedule = ({ schedule, numSteps }: Request): string =>
  schedule.kind === "cosine"
    ? `cosine, T = ${numSteps}`
    : `linear, T = ${numSteps}, β from ${schedule.betaStart} to ${schedule.betaEnd}`;

const describeGap = (gap: number): string =>
  gap < 1e-12 ? "equal to the entropy" : `${gap.toPrecision(3)} above the entropy`;

/** The answer for people. */
function report(request: Request, bound: ExactBound): string {
  const { L_T, L_t, L_0, total, nll, entropy, bitsPerDim, steps, alphaBarT } = bound;
  const middle = L_t.reduce((sum, term) => sum + term, 0);
  const row = (name: string, value: number, note = "") =>
    `  ${name.padEnd(16)}${value.toFixed(9).padStart(15)}   ${note}`.trimEnd();
  const somewhere = [2, 3, 10, 30, 100, 300, 1000].filter((t) => t <= steps);
  return [
    "The exact bound of the optimal network, in nats per dimension",
    "",
    `  data            ${describeData(request.data)}`,
    `  schedule        ${describeSchedule(request)}; ᾱ_T = ${alphaBarT.toExponential(3)}`,
    `  variance        σ_t² = ${request.variance === "beta" ? "β_t" : "β̃_t (β̃_2 at t = 1)"}`,
    "",
    row("L_T", L_T, "starting from N(0, 1) instead of q(x_T)"),
    row("Σ L_(t-1)", middle, `over t = 2…${steps}`),
    ...somewhere.map((t) => row(`  L_${t - 1}`, L_t[t - 2], `the step from t = ${t}`)),
    row("L_0", L_0, "the decoder's density; may be negative"),
    row("total", total, `the bound: ${describeGap(total - entropy)}`),
    ...(nll === undefined ? [] : [row("nll", nll, "−E ln p(x_0), the model's own")]),
    row("entropy", entropy, "of the data: no model is below"),
    "",
    row("bits/dim", bitsPerDim, "total / ln 2, for this continuous density (no bins)"),
  ].join("\n");
}

async function main(): Promise<void> {
  const request = parseRequest(process.argv.slice(2));
  if (request === "help") {
    console.log(USAGE);
    return;
  }
  const { bound, priorMismatch } = await answer(request);
  if (priorMismatch && !request.allowPriorMismatch) console.error(warning(priorMismatch, request.numSteps));
  console.log(request.json ? JSON.stringify(bound) : report(request, bound));
}

main().catch((error: Error) => {
  console.error(`elbo: ${error.message}`);
  process.exitCode = 1;
});
