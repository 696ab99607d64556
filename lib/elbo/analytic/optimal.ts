/**
 * @file The optimal network for known data: E[target | x_t], as numbers and as a `Predict` on tensors; what is left of
 * each loss when the network is optimal. The score gives all of it, through the conversions that networks use.
 */
import { conversion, convert, type Parameterization, type Predict, type Schedule } from "../../diffusion";
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
  scoreOf,
  vector,
} from "./distribution";
import { expectation } from "./quadrature";

/** E[target | x_t] of a network of this kind at one point, float64: x has `dims` entries, t = 1…T. */
export function optimal(
  distribution: Distribution,
  schedule: Schedule,
  kind: Parameterization,
): (x: NumberOrVector, t: number) => number[] {
  const { scale, shift } = conversion(schedule, "score", kind);
  return (x, t) => {
    const point = vector(x);
    return scoreOf(noised(distribution, schedule, t), point).map(
      (s, i) => scale[t] * s + shift[t] * point[i],
    );
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
  const { components, dims } = distribution;
  const K = components.length;
  const rotated = components.some(({ axes }) => axes);
  return (xt, t) =>
    tf.tidy(() => {
      const B = xt.shape[0];
      if (xt.size !== B * dims)
        throw new Error(`optimalPredict: xt has shape [${xt.shape}], expected ${dims} numbers per example.`);
      const constant = (rows: readonly (readonly number[])[]) => tf.tensor3d(rows.flat(), [K, 1, dims]);
      const [signal, signal2, noise2] = [
        schedule.sqrtAlphaBar,
        schedule.alphaBar,
        schedule.oneMinusAlphaBar,
      ].map(
        (table) => atStep(table, t, 2).expandDims(0), // (1, B, 1)
      );
      const axes = rotated ? tf.tensor3d(components.flatMap(axesOf).flat(), [K, dims, dims]) : undefined;
      const shift = xt.reshape([1, B, dims]).sub(signal.mul(constant(components.map(({ mean }) => mean)))); // (K, B, D)
      const along = axes ? tf.matMul(shift, axes, false, true) : shift;
      const variances = signal2.mul(constant(components.map((c) => c.variances))).add(noise2); // (K, B, D)
      const logWeights = tf.tensor2d(
        components.map(({ weight }) => Math.log(weight)),
        [K, 1],
      );
      const exponents = along.square().div(variances).add(variances.log()).sum(2).mul(-0.5).add(logWeights); // (K, B)
      const r = tf.exp(exponents.sub(tf.logSumExp(exponents, 0, true))).expandDims(2); // (K, B, 1)
      const scores = along.div(variances).neg();
      const score = r.mul(axes ? tf.matMul(scores, axes) : scores).sum(0); // (B, D)
      return convert(schedule, score.reshape(xt.shape), "score", kind, xt, t);
    });
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
  const pulls = components.map((component, k) => pull(component, marginal.components[k], schedule, t));
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

/** Writes E[x_0 | x_t = x, component] = m + √ᾱ λ/v (x − √ᾱ m) into `mean`, and returns (x − √ᾱ m)ᵀ V⁻¹ (x − √ᾱ m). */
function pull(data: Component, marginal: Component, schedule: Schedule, t: number) {
  const axes = axesOf(data);
  const gains = data.variances.map(
    (variance, i) => (schedule.sqrtAlphaBar[t] * variance) / marginal.variances[i],
  );
  const dims = axes.length;
  return (x: readonly number[], mean: Float64Array): number => {
    let distance = 0;
    for (let i = 0; i < dims; i++) mean[i] = data.mean[i];
    for (let i = 0; i < dims; i++) {
      const axis = axes[i];
      let along = 0;
      for (let j = 0; j < dims; j++) along += axis[j] * (x[j] - marginal.mean[j]);
      distance += (along * along) / marginal.variances[i];
      for (let j = 0; j < dims; j++) mean[j] += axis[j] * gains[i] * along;
    }
    return distance;
  };
}

function axesOf({ axes, mean }: Component): number[][] {
  return axes ? axes.map((row) => [...row]) : mean.map((_, i) => mean.map((_, j) => (i === j ? 1 : 0)));
}
