/**
 * @file The terms of the bound for one batch: L_T, L_{t−1}, L_0 in nats, summed over dimensions, one value per example.
 *
 * −ln p_θ(x_0) ≤ L_T + Σ_{t=2}^T L_{t−1} + L_0 (Ho et al. 2020, eq. 5). All terms that know the network come from one
 * quantity, μ̃_t − μ_θ, formed in the network's own coordinates, where it does not cancel in float32. Each term has a
 * plain Monte Carlo twin that uses nothing but samples and log-densities.
 */
import {
  type Clip,
  conversion,
  dimsOf,
  type Model,
  pMeanVariance,
  posteriorTables,
  predictX0,
  qMeanVariance,
  qPosterior,
  qSample,
  type Schedule,
  sigma2,
  sumDims,
  target,
  type Variance,
} from "../diffusion";
import { atStep, checkSameShape, checkT, mix } from "../diffusion/tables";
import { tf } from "../tensor";
import { type BinOptions, discretizedLogLikelihood } from "./discretized";
import { excessKl, gaussianLogDensity, varianceKl } from "./gaussian";

/** How the model's x̂_0 is used; clipping makes another p_θ (see `pMeanVariance`). */
export interface TermOptions {
  clip?: Clip;
}

/** p_θ(x_0 | x_1): the Gaussian's density, or the probability of quantized data in [−1, 1]. */
export type Decoder = { kind: "continuous" } | ({ kind: "discretized" } & BinOptions);

/** μ̃_t(x_t, x_0) − μ_θ(x_t, t) [B, …] at x_t = `qSample(x0, t, eps)`; at t = 1, x_0 − μ_θ(x_1, 1). The caller disposes. */
export function meanResidual(
  model: Model,
  x0: tf.Tensor,
  t: tf.Tensor1D,
  eps: tf.Tensor,
  { clip = false }: TermOptions = {},
): tf.Tensor {
  const { schedule, parameterization, predict } = model;
  return tf.tidy(() => {
    const xt = qSample(schedule, x0, t, eps);
    if (clip) return mix(t, [posteriorTables(schedule).c0, x0.sub(predictX0(model, xt, t, { clip }))]);
    const { scale } = conversion(schedule, parameterization, "mean");
    const prediction = predict(xt, t);
    checkSameShape("meanResidual", prediction, `the ${parameterization} prediction`, xt, "xt");
    return mix(t, [scale, target(schedule, parameterization, x0, eps, t).sub(prediction)]);
  });
}

/** L_T = KL(q(x_T | x_0) ‖ N(0, I)) of each example: x0 [B, …] → [B], in nats (no parameters). The caller disposes. */
export function priorTerm(schedule: Schedule, x0: tf.Tensor): tf.Tensor1D {
  const T = schedule.numSteps;
  return tf.tidy(() => {
    const squares = sumDims(x0.square()).mul(schedule.alphaBar[T] / 2);
    return squares.add(dimsOf(x0) * priorVarianceKl(schedule));
  });
}

/** The part of L_T per dimension that is due to the variance: KL of N(0, 1−ᾱ_T) from N(0, 1). */
export const priorVarianceKl = ({ numSteps: T, alphaBar, oneMinusAlphaBar }: Schedule): number =>
  excessKl(-alphaBar[T], oneMinusAlphaBar[T]);

/** C_t = KL of N(0, β̃_t) from N(0, σ_t²), the part of L_{t−1} per dimension that no network can reduce; infinite at t = 1. */
export function varianceCost(schedule: Schedule, variance: Variance): Float64Array {
  const { betaTilde } = posteriorTables(schedule);
  const { betaVar, alphaBar, oneMinusAlphaBar: noise } = schedule;
  return sigma2(schedule, variance).map((sigma2t, t) => {
    if (t === 0) return 0;
    if (variance !== "beta") return varianceKl(betaTilde[t], sigma2t);
    return excessKl((-betaVar[t] * alphaBar[t - 1]) / noise[t], noise[t - 1] / noise[t]); // β̃/β = (1−ᾱ_{t−1})/(1−ᾱ_t), less 1
  });
}

/**
 * L_{t−1} = KL(q(x_{t−1} | x_t, x_0) ‖ p_θ(x_{t−1} | x_t)) at x_t = `qSample(x0, t, eps)`: one draw of x_t, the rest in
 * closed form. x0, eps [B, …], t int32 [B] of 2…T (at t = 1 it is infinite: use `decoderTerm`) → [B], in nats.
 */
export function posteriorTerm(
  model: Model,
  x0: tf.Tensor,
  t: tf.Tensor1D,
  eps: tf.Tensor,
  options: TermOptions = {},
): tf.Tensor1D {
  checkT("posteriorTerm", t, x0);
  return tf.tidy(() => posteriorTermFrom(model, meanResidual(model, x0, t, eps, options), t));
}

/** `posteriorTerm` from a `meanResidual` [B, …] already at hand → [B]. */
export function posteriorTermFrom(model: Model, residual: tf.Tensor, t: tf.Tensor1D): tf.Tensor1D {
  return tf.tidy(() => {
    const constant = varianceCost(model.schedule, model.variance).map((cost) => dimsOf(residual) * cost);
    return scaledSquares(model, residual, t).add(atStep(constant, t, 1)) as tf.Tensor1D;
  });
}

/** ‖μ̃_t − μ_θ‖² / (2σ_t²) of each example [B], the part of each term that the network is trained on. */
export function squaredResidualTerm(
  model: Model,
  x0: tf.Tensor,
  t: tf.Tensor1D,
  eps: tf.Tensor,
  options: TermOptions = {},
): tf.Tensor1D {
  return tf.tidy(() => scaledSquares(model, meanResidual(model, x0, t, eps, options), t));
}

function scaledSquares({ schedule, variance }: Model, residual: tf.Tensor, t: tf.Tensor1D): tf.Tensor1D {
  const precision = sigma2(schedule, variance).map((value, step) => (step === 0 ? 0 : 0.5 / value));
  return mix(t, [precision, sumDims(residual.square())]) as tf.Tensor1D;
}

/** L_0 = −ln p_θ(x_0 | x_1) at x_1 = `qSample(x0, 1, eps)`: x0, eps [B, …] → [B], in nats. The caller disposes. */
export function decoderTerm(
  model: Model,
  x0: tf.Tensor,
  eps: tf.Tensor,
  { decoder = { kind: "continuous" }, ...options }: TermOptions & { decoder?: Decoder } = {},
): tf.Tensor1D {
  return tf.tidy(() => {
    const t = tf.fill([x0.shape[0]], 1, "int32") as tf.Tensor1D;
    return decoderTermFrom(model, x0, meanResidual(model, x0, t, eps, options), decoder);
  });
}

/** `decoderTerm` from the `meanResidual` [B, …] at t = 1 already at hand → [B]. */
export function decoderTermFrom(
  model: Model,
  x0: tf.Tensor,
  residual: tf.Tensor,
  decoder: Decoder = { kind: "continuous" },
): tf.Tensor1D {
  if (decoder.kind !== "continuous" && decoder.kind !== "discretized")
    throw new Error(
      `decoderTerm: the decoder's kind is "${(decoder as Decoder).kind}", expected "continuous" or "discretized".`,
    );
  return tf.tidy(() => {
    const variance = tf.scalar(sigma2(model.schedule, model.variance)[1]);
    if (decoder.kind === "continuous") return gaussianLogDensity(residual, tf.scalar(0), variance).neg();
    return discretizedLogLikelihood(x0, x0.sub(residual), variance, decoder).neg();
  });
}

/** One plain Monte Carlo draw of L_T: ln q(x_T | x_0) − ln p(x_T) at x_T = `qSample(x0, T, eps)` → [B]. */
export function priorTermDraw(schedule: Schedule, x0: tf.Tensor, eps: tf.Tensor): tf.Tensor1D {
  return tf.tidy(() => {
    const t = tf.fill([x0.shape[0]], schedule.numSteps, "int32") as tf.Tensor1D;
    const xT = qSample(schedule, x0, t, eps);
    const q = qMeanVariance(schedule, x0, t);
    const logPrior = gaussianLogDensity(xT, tf.scalar(0), tf.scalar(1));
    return gaussianLogDensity(xT, q.mean, q.variance).sub(logPrior);
  });
}

/**
 * One plain Monte Carlo draw of L_{t−1}: ln q(x_{t−1} | x_t, x_0) − ln p_θ(x_{t−1} | x_t) with x_t from `eps` and x_{t−1}
 * from the posterior by `z`; x0, eps, z [B, …], t int32 [B] of 2…T → [B]. The mean of many is `posteriorTerm`'s.
 */
export function posteriorTermDraw(
  model: Model,
  x0: tf.Tensor,
  t: tf.Tensor1D,
  eps: tf.Tensor,
  z: tf.Tensor,
  options: TermOptions = {},
): tf.Tensor1D {
  return tf.tidy(() => {
    const xt = qSample(model.schedule, x0, t, eps);
    const q = qPosterior(model.schedule, x0, xt, t);
    const p = pMeanVariance(model, xt, t, options);
    const xPrev = q.mean.add(z.mul(q.variance.sqrt()));
    return gaussianLogDensity(xPrev, q.mean, q.variance).sub(gaussianLogDensity(xPrev, p.mean, p.variance));
  });
}
