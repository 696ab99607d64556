/**
 * @file Which t to train or evaluate at. Each scheme draws t with known probabilities, and `correction` = 1/(T·p_t) makes
 * the mean of correction·value(t) an unbiased estimate of the uniform mean over t, whatever the scheme.
 */
import { type Rng, tf } from "../tensor";

/** Where uniform numbers come from. */
export type UniformSource = Pick<Rng, "uniform" | "integers">;

/** A batch of steps: both [count]; the caller disposes (`tf.dispose(drawn)`). */
export interface DrawnSteps extends tf.TensorContainerObject {
  /** int32, 1…T. */
  t: tf.Tensor1D;
  /** 1/(T·p_t). */
  correction: tf.Tensor1D;
}

/** Draws `count` steps, with tensor ops alone, so also inside a compiled function. */
export type StepSampler = (count: number, rng: UniformSource) => DrawnSteps;

/** Independent uniform t of 1…T. Throws on a bad T. */
export function uniformSteps(numSteps: number): StepSampler {
  checkNumSteps("uniformSteps", numSteps);
  return (count, rng) => equallyLikely(() => rng.integers([count], 1, numSteps + 1));
}

/** Low-variance t: one uniform number, then even strides of 1/count (Kingma et al. 2021, appendix I). Each t is uniform. */
export function stratifiedSteps(numSteps: number): StepSampler {
  checkNumSteps("stratifiedSteps", numSteps);
  return (count, rng) =>
    equallyLikely(() => {
      const strides = tf.tensor1d(Float32Array.from({ length: count }, (_, i) => i / count));
      const u = rng.uniform([1]).add(strides).mod(1);
      const floor = u.mul(numSteps).floor();
      return floor.minimum(numSteps - 1).add(1); // float32 may round the product up to T
    });
}

/** Antithetic t: the second half of the batch is T + 1 − t of the first. Each t is uniform; an odd `count` leaves one single. */
export function antitheticSteps(numSteps: number): StepSampler {
  checkNumSteps("antitheticSteps", numSteps);
  return (count, rng) =>
    equallyLikely(() => {
      const first = rng.integers([Math.ceil(count / 2)], 1, numSteps + 1);
      return tf.concat([first, tf.scalar(numSteps + 1, "int32").sub(first)]).slice(0, count);
    });
}

/** Probabilities are rounded to multiples of this, float32's uniform numbers are too: so the corrections are exact. */
const GRID = 2 ** 23;

/** Independent t with these probabilities (entry 0 a dummy; they need not sum to 1). Throws unless all are finite and > 0. */
export function importanceSteps(probabilities: Float64Array): StepSampler {
  const numSteps = probabilities.length - 1;
  const p = onGrid("importanceSteps", probabilities);
  const cumulative = new Float32Array(numSteps);
  for (let t = 1; t <= numSteps; t++) cumulative[t - 1] = (cumulative[t - 2] ?? 0) + p[t];
  const corrections = Float32Array.from(p, (value, t) => (t === 0 ? 0 : 1 / (numSteps * value)));
  return (count, rng) =>
    tf.tidy(() => {
      const u = rng.uniform([count]).expandDims(1);
      const passed = u.greaterEqual(tf.tensor2d(cumulative, [1, numSteps])); // (count, T)
      const t = passed.toInt().sum(1).add(tf.scalar(1, "int32")).toInt() as tf.Tensor1D;
      return { t, correction: tf.gather(tf.tensor1d(corrections), t) };
    });
}

/**
 * Probabilities ∝ √E[L_t²] (Nichol & Dhariwal 2021, section 3.3): the least variance for the sum of L_t. `floor` is the
 * share given to the uniform distribution, 0…1, so that no t is forgotten. `rms` over t = 1…T, entry 0 a dummy. Throws on
 * entries that are negative or not finite, on none above 0, and on another `floor`.
 */
export function importanceProbabilities(rms: Float64Array, floor = 0.001): Float64Array {
  const numSteps = rms.length - 1;
  const bad = rms.findIndex((value, t) => t > 0 && !(value >= 0 && Number.isFinite(value)));
  if (bad > 0)
    throw new Error(
      `importanceProbabilities: rms is ${rms[bad]} at t = ${bad}, expected a finite number of at least 0. Use uniformSteps(${numSteps}) where losses are not finite.`,
    );
  if (!(floor >= 0 && floor <= 1))
    throw new Error(
      `importanceProbabilities: floor is ${floor}, expected a share from 0 to 1, such as 0.001.`,
    );
  const sum = sumOverSteps(rms);
  if (!(sum > 0 && Number.isFinite(sum)))
    throw new Error(
      `importanceProbabilities: rms sums to ${sum} over t = 1…${numSteps}, expected a finite number above 0. Use uniformSteps(${numSteps}) until losses are known.`,
    );
  return rms.map((value, t) => (t === 0 ? 0 : ((1 - floor) * value) / sum + floor / numSteps));
}

/** Running estimates of √E[L_t²] from the last `size` values seen at each t, for importance sampling while training. */
export interface LossHistory {
  record(t: ArrayLike<number>, values: ArrayLike<number>): void;
  /** Whether every t has been seen `size` times; until then sample uniformly. */
  ready(): boolean;
  /** √mean of squares per t, entry 0 a dummy; a t not yet seen counts as 0. */
  rms(): Float64Array;
}

/** An empty `LossHistory` for t = 1…numSteps (Nichol & Dhariwal 2021 keep 10 values). Throws unless both are whole numbers of at least 1; `record` on a t that is none of them. */
export function lossHistory(numSteps: number, size = 10): LossHistory {
  checkNumSteps("lossHistory", numSteps);
  if (!(Number.isInteger(size) && size >= 1))
    throw new Error(`lossHistory: size is ${size}, expected a whole number of at least 1.`);
  const seen = new Int32Array(numSteps + 1);
  const squares = Array.from({ length: numSteps + 1 }, () => new Float64Array(size));
  return {
    record(t, values) {
      const strange = Array.from(t).find(
        (step) => !(Number.isInteger(step) && step >= 1 && step <= numSteps),
      );
      if (strange !== undefined)
        throw new Error(`lossHistory: t is ${strange}, expected a step from 1 to ${numSteps}.`);
      for (let i = 0; i < t.length; i++) squares[t[i]][seen[t[i]]++ % size] = values[i] ** 2;
    },
    ready: () => seen.every((count, t) => t === 0 || count >= size),
    rms: () =>
      Float64Array.from(squares, (row, t) => {
        const count = Math.min(seen[t], size);
        return count === 0 ? 0 : Math.sqrt(row.reduce((sum, value) => sum + value, 0) / count);
      }),
  };
}

/**
 * Standard deviation of the one-draw estimator value(t)/p_t of Σ_t value(t): √(Σ value²/p − (Σ value)²). `values` and
 * `probabilities` run over the same steps, without a dummy entry, and need not sum to 1; uniform if none are given. Throws
 * on lists of unequal length, on what is no probability, and on 0 for a value that is not 0: no estimate of it is unbiased.
 */
export function singleDrawStd(values: ArrayLike<number>, probabilities?: ArrayLike<number>): number {
  const all = Array.from(values);
  const p = sharesOver(all, probabilities ? Array.from(probabilities) : all.map(() => 1));
  const sum = all.reduce((total, value) => total + value, 0);
  // Σ p (value/p − sum)², a sum of squares: the textbook difference would cancel where the std is small.
  return Math.sqrt(
    all.reduce((total, value, i) => (p[i] > 0 ? total + p[i] * (value / p[i] - sum) ** 2 : total), 0),
  );
}

/** `weights` as probabilities that sum to 1, each above 0 where its value is not 0. */
function sharesOver(values: readonly number[], weights: readonly number[]): number[] {
  if (weights.length !== values.length)
    throw new Error(
      `singleDrawStd: got ${weights.length} probabilities for ${values.length} values, expected as many. Leave out the dummy entry 0 of both.`,
    );
  weights.forEach((weight, i) => {
    if (!(weight >= 0 && Number.isFinite(weight)))
      throw new Error(
        `singleDrawStd: probabilities[${i}] is ${weight}, expected a finite number of at least 0.`,
      );
    if (weight === 0 && values[i] !== 0)
      throw new Error(
        `singleDrawStd: probabilities[${i}] is 0 where the value is ${values[i]}, expected more than 0: what is never drawn is missing from the mean. Use importanceProbabilities with a floor.`,
      );
  });
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

function equallyLikely(draw: () => tf.Tensor): DrawnSteps {
  return tf.tidy(() => {
    const t = draw().toInt() as tf.Tensor1D;
    return { t, correction: tf.onesLike(t).toFloat() };
  });
}

/** The probabilities as multiples of 1/GRID that sum to 1, none of them 0; the largest takes what rounding leaves. */
function onGrid(caller: string, probabilities: Float64Array): Float64Array {
  probabilities.forEach((value, t) => {
    if (t > 0 && !(value > 0 && Number.isFinite(value)))
      throw new Error(
        `${caller}: the probability of t = ${t} is ${value}, expected a finite number above 0.`,
      );
  });
  const sum = sumOverSteps(probabilities);
  const counts = probabilities.map((value, t) =>
    t === 0 ? 0 : Math.max(1, Math.round((value / sum) * GRID)),
  );
  const largest = counts.indexOf(Math.max(...counts));
  counts[largest] += GRID - counts.reduce((total, count) => total + count, 0);
  return counts.map((count) => count / GRID);
}

/** Σ over t = 1…T of a table with a dummy entry 0. */
function sumOverSteps(table: Float64Array): number {
  return table.reduce((total, value, t) => (t === 0 ? 0 : total + value), 0);
}

function checkNumSteps(caller: string, numSteps: number): void {
  if (!(Number.isInteger(numSteps) && numSteps >= 1))
    throw new Error(`${caller}: numSteps is ${numSteps}, expected an integer of 1 or more.`);
}
