/** @file The forward process q: noising x_0 in one jump or one step at a time, and its posterior. Ho et al. 2020, section 2. */
import type { tf } from "../tensor";
import { oncePerSchedule, type Schedule, tableOver } from "./schedule";
import { atStep, checkSameShape, checkT, mix } from "./tables";

/** Mean [B, …] and variance [B, 1, …] of a Gaussian that is isotropic for each example. */
export interface MeanVariance {
  mean: tf.Tensor;
  variance: tf.Tensor;
}

/** x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε, a draw of q(x_t | x_0) (Ho et al. 2020, eq. 4). x0, eps [B, …]; t int32 [B]. */
export function qSample(schedule: Schedule, x0: tf.Tensor, t: tf.Tensor1D, eps: tf.Tensor): tf.Tensor {
  checkT("qSample", t, x0);
  checkSameShape("qSample", eps, "eps", x0, "x0");
  return mix(t, [schedule.sqrtAlphaBar, x0], [schedule.sqrtOneMinusAlphaBar, eps]);
}

/** x_t = √α_t x_{t−1} + √β_t z, a draw of one step q(x_t | x_{t−1}) (Ho et al. 2020, eq. 2). All [B, …]; t int32 [B]. */
export function qStep(schedule: Schedule, xPrev: tf.Tensor, t: tf.Tensor1D, z: tf.Tensor): tf.Tensor {
  checkT("qStep", t, xPrev, "xPrev");
  checkSameShape("qStep", z, "z", xPrev, "xPrev");
  return mix(t, [schedule.alpha.map(Math.sqrt), xPrev], [schedule.betaVar.map(Math.sqrt), z]);
}

/** Mean √ᾱ_t x_0 [B, …] and variance 1 − ᾱ_t [B, 1, …] of q(x_t | x_0) (Ho et al. 2020, eq. 4). The caller disposes both. */
export function qMeanVariance(schedule: Schedule, x0: tf.Tensor, t: tf.Tensor1D): MeanVariance {
  checkT("qMeanVariance", t, x0);
  return {
    mean: mix(t, [schedule.sqrtAlphaBar, x0]),
    variance: atStep(schedule.oneMinusAlphaBar, t, x0.rank),
  };
}

/** q(x_{t−1} | x_t, x_0) = N(c0_t x_0 + ct_t x_t, β̃_t I) as float64 tables. */
export interface PosteriorTables {
  readonly c0: Float64Array;
  readonly ct: Float64Array;
  /** The variance β̃_t; 0 at t = 1, where the posterior is x_0 itself. */
  readonly betaTilde: Float64Array;
}

/** The posterior's coefficients and variance (Ho et al. 2020, eq. 7). At t = 1: c0 = 1, ct = 0, β̃ = 0. */
export const posteriorTables: (schedule: Schedule) => PosteriorTables = oncePerSchedule((schedule) => {
  const { numSteps, alpha, betaVar, sqrtAlphaBar, oneMinusAlphaBar: noise } = schedule;
  const table = (entry: (t: number) => number) => tableOver(numSteps, 0, entry);
  return {
    c0: table((t) => (sqrtAlphaBar[t - 1] * betaVar[t]) / noise[t]),
    ct: table((t) => (Math.sqrt(alpha[t]) * noise[t - 1]) / noise[t]),
    betaTilde: table((t) => (betaVar[t] * noise[t - 1]) / noise[t]),
  };
});

/** Mean [B, …] and variance [B, 1, …] of q(x_{t−1} | x_t, x_0) (Ho et al. 2020, eq. 6). The caller disposes both. */
export function qPosterior(schedule: Schedule, x0: tf.Tensor, xt: tf.Tensor, t: tf.Tensor1D): MeanVariance {
  checkT("qPosterior", t, x0);
  checkSameShape("qPosterior", xt, "xt", x0, "x0");
  const { c0, ct, betaTilde } = posteriorTables(schedule);
  return { mean: mix(t, [c0, x0], [ct, xt]), variance: atStep(betaTilde, t, x0.rank) };
}
