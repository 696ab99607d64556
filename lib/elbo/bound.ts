/**
 * @file A network's bound on a batch: every term over all t, in nats per dimension with standard errors, and what
 * progressive coding with it would cost. Runs in slices that give way to the event loop.
 */
import { type Clip, conversion, dimsOf, type Model, type NormalSource, sumDims } from "../diffusion";
import { mix } from "../diffusion/tables";
import { tf } from "../tensor";
import { type RateDistortion, rates } from "./coding";
import { estimate } from "./statistics";
import {
  type Decoder,
  decoderTermFrom,
  meanResidual,
  posteriorTermDraw,
  posteriorTermFrom,
  priorTerm,
  priorTermDraw,
} from "./terms";
import { natsToBits } from "./units";

export interface BoundOptions {
  /** Noise for x_t, and for x_{t−1} where the estimator draws it. */
  rng: NormalSource;
  /** Independent draws of the noise for each example and t; default 1. */
  draws?: number;
  /** "closedForm" (default) integrates x_{t−1} and x_T out; "monteCarlo" samples them: the same means, larger errors. */
  estimator?: "closedForm" | "monteCarlo";
  /** Default the Gaussian's density; for quantized data `{ kind: "discretized" }`. */
  decoder?: Decoder;
  /** Clip x̂_0, as DDPM's authors do: the bound of another model. Default none. */
  clip?: Clip;
  /** Rows given to the network at once, down to a multiple of B but never below B; default 4096, for images fewer. */
  rowsPerCall?: number;
  /** Called after each slice of steps. */
  onProgress?: (stepsDone: number, stepsTotal: number) => void;
}

/** A bound estimated on a batch, nats per dimension unless the name says otherwise. */
export interface BoundEstimate {
  /** T. */
  steps: number;
  L_T: number;
  /** L_1 … L_{T−1}: entry i is L_{i+1}, the KL at t = i + 2. */
  L_t: number[];
  /** Standard error of each L_t over examples, draws averaged. */
  L_tStandardError: number[];
  L_0: number;
  total: number;
  /** `total` in bits; of the quantized data itself for a discretized decoder. */
  bitsPerDim: number;
  /** Standard error of `total` as an estimate for the data's distribution: over examples. NaN for one example. */
  standardError: number;
  /** Standard error of `total` as an estimate for this very batch: over draws of the noise. NaN for one draw. */
  noiseStandardError: number;
  /** Mean squared error of x̂_0(x_t) per dimension over t = 1…T, entry 0 is 0. NaN where x_t has less signal than float32 holds. */
  distortionPerDim: Float64Array;
}

/**
 * The bound of a model on x0 [B, …] over all t (Ho et al. 2020, eq. 5). x0 is not disposed; nothing is left behind.
 * Throws on bad counts.
 */
export async function evaluateBound(
  model: Model,
  x0: tf.Tensor,
  options: BoundOptions,
): Promise<BoundEstimate> {
  const { draws = 1, estimator = "closedForm" } = options;
  const { rowsPerCall = Math.min(4096, Math.ceil(2 ** 18 / dimsOf(x0))) } = options;
  if (estimator !== "closedForm" && estimator !== "monteCarlo")
    throw new Error(`evaluateBound: estimator is "${estimator}", expected "closedForm" or "monteCarlo".`);
  checkCount("draws", draws);
  checkCount("rowsPerCall", rowsPerCall);
  const T = model.schedule.numSteps;
  const B = x0.shape[0];
  const stepsPerCall = Math.max(1, Math.floor(rowsPerCall / B));
  const totals = Array.from({ length: draws }, () => new Float64Array(B));
  const byStep = Array.from({ length: T + 1 }, () => new Float64Array(B)); // entry 1 holds L_0, entry t L_{t−1}
  const distortionPerDim = new Float64Array(T + 1);
  const L_T = new Float64Array(B);
  for (const [draw, total] of totals.entries()) {
    add([total, L_T], await priorValues(model, x0, options), 1 / draws);
    for (let first = 1; first <= T; first += stepsPerCall) {
      const steps = Array.from({ length: Math.min(stepsPerCall, T + 1 - first) }, (_, i) => first + i);
      const slice = await sliceValues(model, x0, steps, options);
      steps.forEach((t, i) => {
        add([total, byStep[t]], slice.terms.subarray(i * B, (i + 1) * B), 1 / draws);
        distortionPerDim[t] += mean(slice.squares.subarray(i * B, (i + 1) * B)) / draws;
      });
      await tf.nextFrame();
      options.onProgress?.(draw * T + first + steps.length - 1, draws * T);
    }
  }
  return summary(dimsOf(x0), L_T, byStep, totals, distortionPerDim);
}

/** Rate and distortion of progressive coding with a network, from its evaluated bound (Ho et al. 2020, section 4.3). */
export function rateDistortion({ L_T, L_t, distortionPerDim }: BoundEstimate): RateDistortion {
  return { rate: rates({ L_T, L_t }), distortionPerDim };
}

async function priorValues(model: Model, x0: tf.Tensor, { estimator, rng }: BoundOptions) {
  const values = tf.tidy(() =>
    estimator === "monteCarlo"
      ? priorTermDraw(model.schedule, x0, rng.normal(x0.shape))
      : priorTerm(model.schedule, x0),
  );
  return read(values);
}

/** All terms at `steps` at once: L_{t−1}, or L_0 at t = 1, and ‖x_0 − x̂_0‖² per dimension, step by step for each example. */
async function sliceValues(model: Model, x0: tf.Tensor, steps: readonly number[], options: BoundOptions) {
  const { rng, estimator, decoder, clip } = options;
  const B = x0.shape[0];
  const [terms, squares] = tf.tidy(() => {
    const many = x0.tile([steps.length, ...x0.shape.slice(1).map(() => 1)]);
    const t = tf.tensor1d(
      steps.flatMap((step) => new Array<number>(B).fill(step)),
      "int32",
    );
    const eps = rng.normal(many.shape);
    const residual = meanResidual(model, many, t, eps, { clip });
    const posterior =
      estimator === "monteCarlo"
        ? posteriorTermDraw(model, many, t, eps, rng.normal(many.shape), { clip })
        : posteriorTermFrom(model, residual, t);
    const head = steps[0] === 1 ? [decoderTermFrom(model, x0, residual.slice(0, B), decoder)] : [];
    const tail = posterior.slice(head.length * B);
    return [tf.concat([...head, tail]), squaredErrorPerDim(model, residual, t)];
  });
  return { terms: await read(terms), squares: await read(squares) };
}

/** ‖x_0 − x̂_0‖²/D of each example [B] from its `meanResidual`. The caller disposes. */
export function squaredErrorPerDim({ schedule }: Model, residual: tf.Tensor, t: tf.Tensor1D): tf.Tensor {
  const { scale } = conversion(schedule, "mean", "x0");
  // Scaled before squared: of next to no signal the residual's square is 0 in float32, and the scale's is infinite.
  return tf.tidy(() => sumDims(mix(t, [scale, residual]).square()).div(dimsOf(residual)));
}

function summary(
  dims: number,
  L_T: Float64Array,
  byStep: Float64Array[],
  totals: Float64Array[],
  distortionPerDim: Float64Array,
): BoundEstimate {
  const T = byStep.length - 1;
  const perStep = byStep.map((values) => estimate(values.map((value) => value / dims)));
  const draws = totals.length;
  const perExample = totals[0].map((_, i) => totals.reduce((sum, total) => sum + total[i], 0) / dims);
  const perDraw = totals.map((total) => (mean(total) * draws) / dims);
  const total = estimate(perExample);
  return {
    steps: T,
    L_T: mean(L_T) / dims,
    L_t: perStep.slice(2).map((step) => step.mean),
    L_tStandardError: perStep.slice(2).map((step) => step.standardError),
    L_0: perStep[1].mean,
    total: total.mean,
    bitsPerDim: natsToBits(total.mean),
    standardError: total.standardError,
    noiseStandardError: estimate(perDraw).standardError,
    distortionPerDim,
  };
}

async function read(tensor: tf.Tensor): Promise<Float32Array> {
  const values = (await tensor.data()) as Float32Array;
  tensor.dispose();
  return values;
}

/** Adds scale·values to each of the sums. */
function add(sums: Float64Array[], values: ArrayLike<number>, scale: number): void {
  for (const sum of sums) for (let i = 0; i < sum.length; i++) sum[i] += scale * values[i];
}

function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum / values.length;
}

function checkCount(name: string, count: number): void {
  if (!(Number.isInteger(count) && count >= 1))
    throw new Error(`evaluateBound: ${name} is ${count}, expected an integer of 1 or more.`);
}
