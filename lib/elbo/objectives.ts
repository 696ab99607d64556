/**
 * @file From the bound to a loss one can train on, one step of the derivation at a time. Each function returns one value
 * per example [B], in nats and summed over dimensions unless its name says otherwise, and can be differentiated.
 *
 * J(θ) = Σ_{t=1}^T E_q ln p_θ(x_{t−1} | x_t) is the bound without the terms that know no θ. (0) `objectiveJ` is that sum;
 * (1) `randomStepObjective` T times a uniform t's term; (2) `twoSampleObjective` draws x_{t−1} and x_t; (3)
 * `oneSampleObjective` integrates x_{t−1} out: the same mean, less variance; (4) (5) `lossIn` drops what knows no θ and
 * says it in the coordinates of the mean, x_0, ε or v. `weightedLoss` and `simpleLoss` are what one trains with.
 */
import {
  convert,
  dimsOf,
  type Model,
  type NormalSource,
  type Parameterization,
  pMeanVariance,
  posteriorTables,
  qSample,
  qStep,
  type Schedule,
  sigma2,
  sumDims,
  target,
} from "../diffusion";
import { tableOver } from "../diffusion/schedule";
import { atStep, checkSameShape, checkT, mix } from "../diffusion/tables";
import { tf } from "../tensor";
import { gaussianLogDensity } from "./gaussian";
import { type UniformSource, uniformSteps } from "./steps";
import { squaredResidualTerm } from "./terms";
import { vlbWeights } from "./weights";

/** ln p_θ(x_{t−1} | x_t) of given samples: xPrev, xt [B, …], t int32 [B] of 1…T → [B]. The caller disposes. */
export function logReverse(model: Model, xPrev: tf.Tensor, xt: tf.Tensor, t: tf.Tensor1D): tf.Tensor1D {
  checkT("logReverse", t, xt, "xt");
  checkSameShape("logReverse", xPrev, "xPrev", xt, "xt");
  return tf.tidy(() => {
    const { mean, variance } = pMeanVariance(model, xt, t);
    return gaussianLogDensity(xPrev, mean, variance);
  });
}

/**
 * (0) J as its sum over t = 1…T, one draw of (x_{t−1}, x_t) for each: x0 [B, …] → [B]. The network runs T times, and a
 * gradient keeps all T runs in memory: for T of tens.
 */
export function objectiveJ(model: Model, x0: tf.Tensor, rng: NormalSource): tf.Tensor1D {
  const T = model.schedule.numSteps;
  return tf.tidy(() => {
    let sum: tf.Tensor = tf.zeros([x0.shape[0]]);
    for (let step = 1; step <= T; step++) {
      const t = tf.fill([x0.shape[0]], step, "int32") as tf.Tensor1D;
      sum = sum.add(twoSampleObjective(model, x0, t, rng.normal(x0.shape), rng.normal(x0.shape)).div(T));
    }
    return sum as tf.Tensor1D;
  });
}

/** (1) J = T·E_t[…]: T times the term of a uniform t per example, t and the samples drawn from `rng` → [B]. */
export function randomStepObjective(
  model: Model,
  x0: tf.Tensor,
  rng: NormalSource & UniformSource,
): tf.Tensor1D {
  const draw = uniformSteps(model.schedule.numSteps);
  return tf.tidy(() => {
    const { t } = draw(x0.shape[0], rng);
    return twoSampleObjective(model, x0, t, rng.normal(x0.shape), rng.normal(x0.shape));
  });
}

/**
 * (2) T·ln p_θ(x_{t−1} | x_t) with x_{t−1} ~ q(x_{t−1} | x_0) from `epsPrev` and x_t ~ q(x_t | x_{t−1}) from `z`:
 * unbiased for J when t is uniform. x0, epsPrev, z [B, …], t int32 [B] → [B].
 */
export function twoSampleObjective(
  model: Model,
  x0: tf.Tensor,
  t: tf.Tensor1D,
  epsPrev: tf.Tensor,
  z: tf.Tensor,
): tf.Tensor1D {
  const { schedule } = model;
  return tf.tidy(() => {
    const before = t.sub(tf.scalar(1, "int32")) as tf.Tensor1D;
    const xPrev = qSample(schedule, x0, before, epsPrev); // at t = 1 the tables' entry 0 gives x_0 itself
    const xt = qStep(schedule, xPrev, t, z);
    return logReverse(model, xPrev, xt, t).mul(schedule.numSteps);
  });
}

/**
 * (3) T·E_{q(x_{t−1} | x_t, x_0)} ln p_θ(x_{t−1} | x_t) at x_t = `qSample(x0, t, eps)`, in cross-entropy form
 * −(‖μ̃−μ_θ‖² + Dβ̃_t)/(2σ_t²) − D/2·ln(2πσ_t²), finite at t = 1 where the KL is not. Unbiased for J with uniform t, and
 * by Rao and Blackwell never of more variance than (2). x0, eps [B, …], t int32 [B] → [B].
 */
export function oneSampleObjective(model: Model, x0: tf.Tensor, t: tf.Tensor1D, eps: tf.Tensor): tf.Tensor1D {
  const { schedule, variance } = model;
  return tf.tidy(() => {
    const { betaTilde } = posteriorTables(schedule);
    const noise = sigma2(schedule, variance);
    const constant = tableOver(schedule.numSteps, 0, (step) => {
      return 0.5 * dimsOf(x0) * (betaTilde[step] / noise[step] + Math.log(2 * Math.PI * noise[step]));
    });
    const crossEntropy = squaredResidualTerm(model, x0, t, eps).add(atStep(constant, t, 1));
    return crossEntropy.mul(-schedule.numSteps) as tf.Tensor1D;
  });
}

/** Σ_{t=2}^T ½ ln(2πe β̃_t), per dimension: the bound is L_T − J − D times this (the entropies of the posteriors). */
export function posteriorEntropies(schedule: Schedule): number {
  const { betaTilde } = posteriorTables(schedule);
  let sum = 0;
  for (let t = 2; t <= schedule.numSteps; t++) sum += 0.5 * Math.log(2 * Math.PI * Math.E * betaTilde[t]);
  return sum;
}

/**
 * (4) (5) w_t ‖target − prediction‖² in the coordinates `kind`, with the bound's exact weight there: one number for the
 * same x_t, whatever the coordinates and whatever the network itself predicts. Equal to `squaredResidualTerm`.
 */
export function lossIn(
  kind: Parameterization,
  model: Model,
  x0: tf.Tensor,
  t: tf.Tensor1D,
  eps: tf.Tensor,
): tf.Tensor1D {
  return weighted(kind, model, x0, t, eps, vlbWeights(model.schedule, kind, model.variance));
}

/** weight(t)·‖target − prediction‖² in the network's own coordinates, the weights a table over t (see `lossWeights`) → [B]. */
export function weightedLoss(
  model: Model,
  x0: tf.Tensor,
  t: tf.Tensor1D,
  eps: tf.Tensor,
  weights: Float64Array,
): tf.Tensor1D {
  if (weights.length !== model.schedule.numSteps + 1)
    throw new Error(
      `weightedLoss: weights has length ${weights.length}, expected ${model.schedule.numSteps + 1} (entry 0 a dummy). Use lossWeights(schedule, …).`,
    );
  return weighted(model.parameterization, model, x0, t, eps, weights);
}

/** ‖ε − ε̂‖² whatever the network predicts; its mean over uniform t, x_0 and ε is L_simple (Ho et al. 2020, eq. 14) → [B]. */
export function simpleLoss(model: Model, x0: tf.Tensor, t: tf.Tensor1D, eps: tf.Tensor): tf.Tensor1D {
  return weighted(
    "eps",
    model,
    x0,
    t,
    eps,
    tableOver(model.schedule.numSteps, 0, () => 1),
  );
}

function weighted(
  kind: Parameterization,
  model: Model,
  x0: tf.Tensor,
  t: tf.Tensor1D,
  eps: tf.Tensor,
  weights: Float64Array,
): tf.Tensor1D {
  const { schedule, parameterization, predict } = model;
  return tf.tidy(() => {
    const xt = qSample(schedule, x0, t, eps);
    const prediction = convert(schedule, predict(xt, t), parameterization, kind, xt, t);
    const squares = sumDims(target(schedule, kind, x0, eps, t).sub(prediction).square());
    return mix(t, [weights, squares]) as tf.Tensor1D;
  });
}
