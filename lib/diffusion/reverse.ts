/** @file The reverse process p_θ(x_{t−1} | x_t) = N(μ_θ(x_t, t), σ_t² I): its two fixed variances and its mean from any network. */
import { tf } from "../tensor";
import { type MeanVariance, posteriorTables } from "./forward";
import { convert, type Parameterization, type Predict } from "./parameterization";
import type { Schedule } from "./schedule";
import { atStep } from "./tables";

/** σ_t² = β_t, or σ_t² = β̃_t (Ho et al. 2020, section 3.2). */
export const VARIANCES = ["beta", "betaTilde"] as const;
export type Variance = (typeof VARIANCES)[number];

/** The range that predictions of x_0 are clipped to, or false for none. */
export type Clip = readonly [low: number, high: number] | false;

/** A network with all that makes it a p_θ. */
export interface Model {
  readonly schedule: Schedule;
  readonly predict: Predict;
  /** What `predict` returns. */
  readonly parameterization: Parameterization;
  readonly variance: Variance;
}

/** The fixed variances σ_t², float64 with a dummy entry 0; for "betaTilde" σ_1² is β̃_2, since β̃_1 = 0. Throws on an unknown name. */
export function sigma2(schedule: Schedule, variance: Variance): Float64Array {
  if (variance === "beta") return schedule.betaVar;
  if (variance !== "betaTilde")
    throw new Error(`sigma2: unknown variance "${variance}", expected one of ${VARIANCES.join(", ")}.`);
  if (schedule.numSteps < 2)
    throw new Error(`sigma2: "betaTilde" takes σ_1² from t = 2, but numSteps is 1. Use "beta".`);
  const { betaTilde } = posteriorTables(schedule);
  return betaTilde.map((value, t) => (t === 1 ? betaTilde[2] : value));
}

/**
 * Mean [B, …] and variance [B, 1, …] of p_θ(x_{t−1} | x_t), with the x̂_0 [B, …] behind it. With `clip`, x̂_0 is clipped
 * before the mean is formed, as DDPM's authors' code does (their Algorithm 2 does not): another p_θ, so leave it off
 * where a bound is to be exact. The caller disposes all three.
 */
export function pMeanVariance(
  model: Model,
  xt: tf.Tensor,
  t: tf.Tensor1D,
  { clip = false }: { clip?: Clip } = {},
): MeanVariance & { x0: tf.Tensor } {
  const { schedule, parameterization, predict, variance } = model;
  return tf.tidy(() => {
    const output = predict(xt, t);
    const x0 = clipped(convert(schedule, output, parameterization, "x0", xt, t), clip);
    const mean = clip
      ? convert(schedule, x0, "x0", "mean", xt, t)
      : convert(schedule, output, parameterization, "mean", xt, t);
    return { mean, variance: atStep(sigma2(schedule, variance), t, xt.rank), x0 };
  });
}

/** x̂_0(x_t) [B, …], clipped to a range if asked. The caller disposes. */
export function predictX0(
  model: Model,
  xt: tf.Tensor,
  t: tf.Tensor1D,
  { clip = false }: { clip?: Clip } = {},
) {
  return tf.tidy(() =>
    clipped(convert(model.schedule, model.predict(xt, t), model.parameterization, "x0", xt, t), clip),
  );
}

function clipped(x0: tf.Tensor, clip: Clip): tf.Tensor {
  return clip ? x0.clipByValue(clip[0], clip[1]) : x0;
}
