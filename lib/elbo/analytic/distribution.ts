/**
 * @file The testing ground: data distributions whose every noised marginal is known. A Gaussian is a mixture of one, a
 * finite data set a mixture of points, so one set of formulas serves all three. Float64, points as plain arrays.
 */
import type { NormalSource, Schedule } from "../../diffusion";
import { tf } from "../../tensor";
import { type Matrix, symmetricEigen } from "../linalg";
import { logSumExp } from "../special";
import type { UniformSource } from "../steps";

/** One Gaussian of a mixture, in its own axes. */
export interface Component {
  readonly weight: number;
  readonly mean: readonly number[];
  /** Variances along the axes. */
  readonly variances: readonly number[];
  /** Orthonormal axes as rows; left out where they are the coordinate axes. */
  readonly axes?: Matrix;
}

/** A mixture of Gaussians over R^dims. */
export interface Distribution {
  readonly kind: "gaussian" | "mixture" | "dataSet";
  readonly dims: number;
  readonly components: readonly Component[];
}

/** A number for one dimension, or one per dimension. */
export type NumberOrVector = number | readonly number[];

/** N(mean, std²) in one dimension or more, or N(mean, covariance). Throws unless std > 0 or the covariance is positive definite. */
export function gaussian(
  options: { mean: NumberOrVector; std: NumberOrVector } | { mean: NumberOrVector; covariance: Matrix },
): Distribution {
  const mean = vector(options.mean);
  if (mean.length === 0)
    throw new Error("gaussian: the mean is empty, expected a number for each dimension.");
  const component =
    "covariance" in options
      ? withCovariance("gaussian", 1, mean, options.covariance)
      : withStd("gaussian", 1, mean, options.std);
  return { kind: "gaussian", dims: mean.length, components: [component] };
}

/**
 * Σ weights_k N(means_k, stds_k²), or with full `covariances`. Throws unless the weights are positive and sum to 1 and
 * the lists are of one length.
 */
export function mixture(options: {
  weights: readonly number[];
  means: readonly NumberOrVector[];
  stds?: readonly NumberOrVector[];
  covariances?: readonly Matrix[];
}): Distribution {
  const { weights, stds, covariances } = options;
  const means = options.means.map(vector);
  if (stds && covariances)
    throw new Error("mixture: got stds and covariances, expected one of them, an entry per component.");
  const spreads = stds ?? covariances;
  if (!spreads) throw new Error("mixture: stds are missing. Pass stds or covariances, one per component.");
  if (weights.length === 0 || means.length !== weights.length || spreads.length !== weights.length)
    throw new Error(
      `mixture: got ${weights.length} weights, ${means.length} means and ${spreads.length} spreads, expected as many of each, at least one.`,
    );
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (!(weights.every((weight) => weight > 0) && Math.abs(total - 1) <= 1e-9))
    throw new Error(
      `mixture: weights [${weights.join(", ")}] sum to ${total}, expected positive weights that sum to 1.`,
    );
  const dims = means[0].length;
  if (dims === 0) throw new Error("mixture: the means are empty, expected a number for each dimension.");
  if (means.some((mean) => mean.length !== dims))
    throw new Error(
      `mixture: means have ${means.map((m) => m.length).join(", ")} dimensions, expected equal ones.`,
    );
  const components = means.map((mean, k) =>
    stds
      ? withStd("mixture", weights[k], mean, stds[k])
      : withCovariance("mixture", weights[k], mean, (covariances as readonly Matrix[])[k]),
  );
  return { kind: "mixture", dims, components };
}

/**
 * The uniform distribution over these points: what a network that memorises its training data learns. Throws on none, on
 * unequal numbers of dimensions and on entries that are not finite.
 */
export function dataSet(points: readonly NumberOrVector[]): Distribution {
  if (points.length === 0) throw new Error("dataSet: no points, expected at least one.");
  const means = points.map(vector);
  const dims = means[0].length;
  means.forEach((point, i) => {
    if (point.length !== dims)
      throw new Error(
        `dataSet: point ${i} has ${point.length} dimensions, expected ${dims} as point 0 has. Pass points of one length.`,
      );
    checkFinite("dataSet", `point ${i}`, point);
  });
  const components = means.map((mean) => ({ weight: 1 / means.length, mean, variances: mean.map(() => 0) }));
  return { kind: "dataSet", dims, components };
}

/** q(x_t) for this data (Ho et al. 2020, eq. 4). t = 0 gives the data itself; throws unless t is a whole number of 0…T. */
export function noised(distribution: Distribution, schedule: Schedule, t: number): Distribution {
  if (!(Number.isInteger(t) && t >= 0 && t <= schedule.numSteps))
    throw new Error(`noised: t is ${t}, expected a whole number from 0 to ${schedule.numSteps}.`);
  return diffused(distribution, { signal: schedule.sqrtAlphaBar[t], noise2: schedule.oneMinusAlphaBar[t] });
}

/** The law of signal·x + N(0, noise2 I): each component N(signal·m, signal²λ + noise2) along its own axes. With noise, points are a mixture. Throws on a negative noise2. */
export function diffused(
  { kind, dims, components }: Distribution,
  { signal, noise2 }: { signal: number; noise2: number },
): Distribution {
  if (!(noise2 >= 0 && Number.isFinite(signal)))
    throw new Error(
      `diffused: signal is ${signal} and noise2 ${noise2}, expected a finite number and a variance of at least 0.`,
    );
  return {
    kind: kind === "dataSet" && noise2 > 0 ? "mixture" : kind,
    dims,
    components: components.map((component) => ({
      ...component,
      mean: component.mean.map((m) => signal * m),
      variances: component.variances.map((variance) => signal ** 2 * variance + noise2),
    })),
  };
}

/** ln of the density at a point, in nats. Throws on data points without noise, which have none, and on an x of another length than `dims`. */
export function logDensityOf(distribution: Distribution, x: NumberOrVector): number {
  return logSumExp(logJoint("logDensityOf", distribution, vector(x)));
}

/** ∇ ln density at a point: Σ_k r_k · (score of component k), r_k the responsibilities. Throws as `logDensityOf`. */
export function scoreOf(distribution: Distribution, x: NumberOrVector): number[] {
  const point = vector(x);
  const r = shares(logJoint("scoreOf", distribution, point));
  const score = new Array<number>(distribution.dims).fill(0);
  distribution.components.forEach((component, k) => {
    const along = inAxes(component, point).map((u, i) => (-r[k] * u) / component.variances[i]);
    fromAxes(component, along).forEach((value, i) => {
      score[i] += value;
    });
  });
  return score;
}

/** P(component k | x) for each k. Throws as `logDensityOf`. */
export function responsibilities(distribution: Distribution, x: readonly number[]): number[] {
  return shares(logJoint("responsibilities", distribution, x));
}

function shares(logs: readonly number[]): number[] {
  const total = logSumExp(logs);
  return logs.map((value) => Math.exp(value - total));
}

/** E‖x‖². */
export function secondMoment({ components }: Distribution): number {
  return components.reduce((sum, { weight, mean, variances }) => {
    const squares = mean.reduce((total, m, i) => total + m * m + variances[i], 0);
    return sum + weight * squares;
  }, 0);
}

/** `count` draws as a tensor [count, dims]. The caller disposes. */
export function drawFrom(
  distribution: Distribution,
  count: number,
  rng: NormalSource & UniformSource,
): tf.Tensor2D {
  const { dims, components } = distribution;
  const [choices, normals] = tf.tidy(() => [
    rng.uniform([count]).dataSync(),
    rng.normal([count, dims]).dataSync(),
  ]);
  const values = new Float32Array(count * dims);
  for (let i = 0; i < count; i++) {
    const component = components[choose(components, choices[i])];
    const along = component.variances.map((variance, axis) => Math.sqrt(variance) * normals[i * dims + axis]);
    fromAxes(component, along).forEach((value, axis) => {
      values[i * dims + axis] = component.mean[axis] + value;
    });
  }
  return tf.tensor2d(values, [count, dims]);
}

/** Coordinates of x − mean along a component's axes. */
export function inAxes({ mean, axes }: Component, x: readonly number[]): number[] {
  const shift = x.map((value, i) => value - mean[i]);
  return axes ? axes.map((axis) => axis.reduce((sum, a, i) => sum + a * shift[i], 0)) : shift;
}

/** The vector with these coordinates along a component's axes. */
export function fromAxes({ axes }: Component, along: readonly number[]): readonly number[] {
  return axes ? along.map((_, i) => along.reduce((sum, u, k) => sum + u * axes[k][i], 0)) : along;
}

/** ln(weight · density at the component's mean). */
export function logPeak({ weight, variances }: Component): number {
  return variances.reduce((log, variance) => log - 0.5 * Math.log(2 * Math.PI * variance), Math.log(weight));
}

/** A point given as a number or an array, as an array. */
export function vector(x: NumberOrVector): readonly number[] {
  return typeof x === "number" ? [x] : x;
}

function logJoint(caller: string, { kind, dims, components }: Distribution, x: readonly number[]): number[] {
  if (x.length !== dims)
    throw new Error(
      `${caller}: x has ${x.length} entries, expected ${dims} as the ${kind} has. Pass an array of ${dims}.`,
    );
  return components.map((component, k) => {
    const along = inAxes(component, x);
    let log = logPeak(component);
    if (log === Number.POSITIVE_INFINITY)
      throw new Error(
        `${caller}: component ${k} of the ${kind} has variances [${component.variances.join(", ")}], expected all above 0, for it to have a density. Add noise with noised(…) at t ≥ 1.`,
      );
    for (let i = 0; i < along.length; i++) log -= (0.5 * along[i] ** 2) / component.variances[i];
    return log;
  });
}

function choose(components: readonly Component[], u: number): number {
  let rest = u;
  const k = components.findIndex(({ weight }) => {
    rest -= weight;
    return rest < 0;
  });
  return k < 0 ? components.length - 1 : k;
}

function withStd(caller: string, weight: number, mean: readonly number[], std: NumberOrVector): Component {
  const stds = typeof std === "number" ? mean.map(() => std) : std;
  if (stds.length !== mean.length)
    throw new Error(
      `${caller}: std has ${stds.length} entries, expected ${mean.length} to match the mean, or one number.`,
    );
  checkFinite(caller, "mean", mean);
  if (!stds.every((value) => value > 0 && Number.isFinite(value)))
    throw new Error(`${caller}: std is ${stds.join(", ")}, expected a standard deviation above 0.`);
  return { weight, mean, variances: stds.map((value) => value * value) };
}

function withCovariance(
  caller: string,
  weight: number,
  mean: readonly number[],
  covariance: Matrix,
): Component {
  if (covariance.length !== mean.length)
    throw new Error(
      `${caller}: covariance has ${covariance.length} rows, expected ${mean.length} to match the mean.`,
    );
  checkFinite(caller, "mean", mean);
  const { values, vectors } = symmetricEigen(covariance, caller, "covariance");
  if (!values.every((value) => value > 0))
    throw new Error(`${caller}: covariance has eigenvalues ${values.join(", ")}, expected all above 0.`);
  return { weight, mean, variances: values, axes: vectors };
}

function checkFinite(caller: string, name: string, x: readonly number[]): void {
  if (!x.every(Number.isFinite))
    throw new Error(`${caller}: ${name} is [${x.join(", ")}], expected finite numbers.`);
}
