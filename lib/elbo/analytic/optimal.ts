/**
 * @file The optimal network for known data: E[target | x_t], as numbers and as a `Predict` on tensors; what is left of
 * each loss when the network is optimal. Every target is p·x_0 + q·ε, so E[x_0 | x_t] and E[ε | x_t] give all of it; the
 * former is formed directly, since x_0 by way of the score is a difference divided by √ᾱ.
 */
import {
  conversion,
  type Parameterization,
  type Predict,
  type Schedule,
  target,
  targetTables,
} from "../../diffusion";
import { tableOver } from "../../diffusion/schedule";
import { atStep } from "../../diffusion/tables";
import { tf } from "../../tensor";
import { logSumExp } from "../special";
import {
  type Component,
  type Distribution,
  logPeak,
  type NumberOrVector,
  noised,
  responsibilities,
  scoreOf,
  vector,
} from "./distribution";
import { expectation } from "./quadrature";

/** E[target | x_t] of a network of this kind at one point, float64: x has `dims` entries, t = 1…T. Work grows with components × dims, or dims² with axes. */
export function optimal(
  distribution: Distribution,
  schedule: Schedule,
  kind: Parameterization,
): (x: NumberOrVector, t: number) => number[] {
  const { p, q } = targetTables(schedule, kind);
  return (x, t) => {
    if (t === 0) throw new Error(`optimal: t is 0, expected a step from 1 to ${schedule.numSteps}.`);
    const point = vector(x);
    const marginal = noised(distribution, schedule, t);
    const signal = schedule.sqrtAlphaBar[t];
    const x0 = p[t] === 0 ? undefined : posteriorMean(distribution, marginal, signal)(point);
    const noise = schedule.sqrtOneMinusAlphaBar[t];
    return scoreOf(marginal, point).map((s, i) => (x0 ? p[t] * x0[i] : 0) - q[t] * noise * s);
  };
}

/**
 * E[x_0 | y] = Σ r_k E[x_0 | y, component k] of y = signal·x_0 + noise, whose law is `marginal` (`diffused`): no difference
 * of large numbers at any noise, as Tweedie's formula is.
 */
export function posteriorMean(
  data: Distribution,
  marginal: Distribution,
  signal: number,
): (y: readonly number[]) => number[] {
  const pulls = data.components.map((component, k) => pull(component, marginal.components[k], signal));
  const within = new Float64Array(data.dims);
  return (y) => {
    const mean = new Array<number>(data.dims).fill(0);
    responsibilities(marginal, y).forEach((r, k) => {
      pulls[k](y, within);
      for (let i = 0; i < mean.length; i++) mean[i] += r * within[i];
    });
    return mean;
  };
}

/**
 * The optimal network as a network: xt [B, …] with `dims` numbers per example, t int32 [B] → [B, …]. Work and memory
 * grow with components × B × dims. For a data set it is the memorising optimum.
 */
export function optimalPredict(
  distribution: Distribution,
  schedule: Schedule,
  kind: Parameterization,
): Predict {
  const { dims } = distribution;
  return (xt, t) =>
    tf.tidy(() => {
      const B = xt.shape[0];
      if (xt.size !== B * dims)
        throw new Error(`optimalPredict: xt has shape [${xt.shape}], expected ${dims} numbers per example.`);
      const means = conditionalMeans(distribution, schedule, xt.reshape([1, B, dims]), t);
      const [x0, eps] = means.map((mean) => mean.reshape(xt.shape));
      return target(schedule, kind, x0, eps, t);
    });
}

/** E[x_0 | x_t] and E[ε | x_t], each [B, D], at x_t [1, B, D]: Σ r_k (m_k + √ᾱ λ/v (x − √ᾱ m_k)) and Σ r_k √(1−ᾱ)/v (x − √ᾱ m_k). */
function conditionalMeans(
  { components, dims }: Distribution,
  { sqrtAlphaBar, alphaBar, sqrtOneMinusAlphaBar, oneMinusAlphaBar }: Schedule,
  x: tf.Tensor,
  t: tf.Tensor1D,
): tf.Tensor[] {
  const K = components.length;
  const constant = (rows: readonly (readonly number[])[]) => tf.tensor3d(rows.flat(), [K, 1, dims]);
  const tables = [sqrtAlphaBar, alphaBar, sqrtOneMinusAlphaBar, oneMinusAlphaBar];
  const [signal, signal2, noise, noise2] = tables.map((table) => atStep(table, t, 2).expandDims(0)); // (1, B, 1)
  const means = constant(components.map(({ mean }) => mean));
  const own = constant(components.map(({ variances }) => variances));
  const rotated = components.some(({ axes }) => axes);
  const axes = rotated ? tf.tensor3d(components.flatMap(axesOf).flat(), [K, dims, dims]) : undefined;
  const back = (along: tf.Tensor) => (axes ? tf.matMul(along, axes) : along);
  const shift = x.sub(signal.mul(means)); // (K, B, D)
  const along = axes ? tf.matMul(shift, axes, false, true) : shift;
  const variances = signal2.mul(own).add(noise2); // (K, B, D)
  const logWeights = tf.tensor2d(
    components.map(({ weight }) => Math.log(weight)),
    [K, 1],
  );
  const exponents = along.square().div(variances).add(variances.log()).sum(2).mul(-0.5).add(logWeights); // (K, B)
  const r = tf.exp(exponents.sub(tf.logSumExp(exponents, 0, true))).expandDims(2); // (K, B, 1)
  const scaled = along.div(variances);
  const each = [means.add(back(scaled.mul(own).mul(signal))), back(scaled.mul(noise))];
  return each.map((value) => r.mul(value).sum(0));
}

/** E tr Var(x_0 | x_t) over t = 1…T, summed over dimensions: what even the best x̂_0 leaves. Closed form for a Gaussian, else quadrature. */
export function posteriorVariances(distribution: Distribution, schedule: Schedule): Float64Array {
  const { components, dims } = distribution;
  return tableOver(schedule.numSteps, 0, (t) => {
    const marginal = noised(distribution, schedule, t);
    if (components.length === 1) return innerVariance(components[0], marginal.components[0], schedule, t);
    const most = (dims * schedule.oneMinusAlphaBar[t]) / schedule.alphaBar[t]; // what x_t/√ᾱ would leave
    return expectation(marginal, conditionalVariance(distribution, marginal, schedule, t), {
      negligible: 1e-13 * most,
    });
  });
}

/** The least possible E‖target − prediction‖² of a network of this kind over t = 1…T, summed over dimensions. */
export function minimumLoss(
  distribution: Distribution,
  schedule: Schedule,
  kind: Parameterization,
): Float64Array {
  const { scale } = conversion(schedule, "x0", kind);
  return posteriorVariances(distribution, schedule).map((variance, t) => scale[t] ** 2 * variance);
}

/** The least possible L_simple: the mean over t = 1…T of the least E‖ε − ε̂‖², summed over dimensions. */
export function minimumSimpleLoss(distribution: Distribution, schedule: Schedule): number {
  const losses = minimumLoss(distribution, schedule, "eps");
  return losses.reduce((sum, loss) => sum + loss, 0) / schedule.numSteps;
}

/** tr Var(x_0 | x_t, component): λ(1−ᾱ)/v along each axis. */
function innerVariance(data: Component, marginal: Component, schedule: Schedule, t: number): number {
  const noise2 = schedule.oneMinusAlphaBar[t];
  return data.variances.reduce((sum, variance, i) => sum + (variance * noise2) / marginal.variances[i], 0);
}

/**
 * tr Var(x_0 | x_t = x) = Σ r_k (Var within k + ‖E[x_0 | x, k] − E[x_0 | x]‖²): a sum of positive terms, as a function of x.
 * Quadrature calls it millions of times, so it works in arrays made once.
 */
function conditionalVariance(
  data: Distribution,
  marginal: Distribution,
  schedule: Schedule,
  t: number,
): (x: readonly number[]) => number {
  const { dims, components } = data;
  const within = components.map((component, k) =>
    innerVariance(component, marginal.components[k], schedule, t),
  );
  const peaks = marginal.components.map(logPeak);
  const signal = schedule.sqrtAlphaBar[t];
  const pulls = components.map((component, k) => pull(component, marginal.components[k], signal));
  const logs = new Float64Array(components.length);
  const means = components.map(() => new Float64Array(dims));
  const centre = new Float64Array(dims);
  return (x) => {
    for (let k = 0; k < logs.length; k++) logs[k] = peaks[k] - 0.5 * pulls[k](x, means[k]);
    const total = logSumExp(logs);
    centre.fill(0);
    for (let k = 0; k < logs.length; k++) {
      logs[k] = Math.exp(logs[k] - total); // now the responsibilities
      for (let i = 0; i < dims; i++) centre[i] += logs[k] * means[k][i];
    }
    let sum = 0;
    for (let k = 0; k < logs.length; k++) {
      let between = 0;
      for (let i = 0; i < dims; i++) between += (means[k][i] - centre[i]) ** 2;
      sum += logs[k] * (within[k] + between);
    }
    return sum;
  };
}

/** Writes E[x_0 | y = x, component] = m + a λ/v (x − a m), a the signal, into `mean`, and returns (x − a m)ᵀ V⁻¹ (x − a m). */
function pull(data: Component, marginal: Component, signal: number) {
  const { axes } = data;
  const gains = data.variances.map((variance, i) => (signal * variance) / marginal.variances[i]);
  const dims = gains.length;
  return (x: readonly number[], mean: Float64Array): number => {
    let distance = 0;
    for (let i = 0; i < dims; i++) mean[i] = data.mean[i];
    for (let i = 0; i < dims; i++) {
      let along = axes ? 0 : x[i] - marginal.mean[i];
      if (axes) for (let j = 0; j < dims; j++) along += axes[i][j] * (x[j] - marginal.mean[j]);
      distance += (along * along) / marginal.variances[i];
      if (axes) for (let j = 0; j < dims; j++) mean[j] += axes[i][j] * gains[i] * along;
      else mean[i] += gains[i] * along;
    }
    return distance;
  };
}

function axesOf({ axes, mean }: Component): number[][] {
  return axes ? axes.map((row) => [...row]) : mean.map((_, i) => mean.map((_, j) => (i === j ? 1 : 0)));
}
