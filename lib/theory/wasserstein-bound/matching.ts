/**
 * @file Score matching: how far a model's score is from the true one (J_SM) and from the conditional one (J_DSM), and the
 * floor between the two, which is a mutual information and which no training removes.
 *
 * J = ½ Σ_t λ_t E‖· − s_θ(x_t, t)‖², one term per step, ‖·‖² summed over dimensions. With λ_t = β_t that is ½ ∫ g²(·) dt
 * with one node per step.
 */
import { convert, type Model, qSample, type Schedule, sumDims } from "../../diffusion";
import { type Distribution, diffused, drawFrom, entropyOf, minimumLoss, optimalPredict } from "../../elbo";
import { compile, type Rng, rng, tf } from "../../tensor";

/** A model's score as a network: x_t [B, …], t int32 [B] → [B, …], from whatever it predicts. The caller disposes. */
export function scoreOfModel(
  model: Pick<Model, "schedule" | "predict" | "parameterization">,
): (xt: tf.Tensor, t: tf.Tensor1D) => tf.Tensor {
  const { schedule, predict, parameterization } = model;
  return (xt, t) => tf.tidy(() => convert(schedule, predict(xt, t), parameterization, "score", xt, t));
}

/** Squared errors of a score over t = 1…T (dummy entry 0), summed over dimensions, with their standard errors. */
export interface ScoreErrors {
  /** E‖∇ln q(x_t | x_0) − s_θ‖²: what J_DSM weighs. */
  conditional: Float64Array;
  conditionalStandardError: Float64Array;
  /** b_t = E‖∇ln q(x_t) − s_θ‖²: what J_SM and the bound weigh. */
  marginal: Float64Array;
  marginalStandardError: Float64Array;
}

export interface ScoreErrorOptions {
  /** Draws of (x_0, ε) at each t; default 1000. */
  draws?: number;
  /** Default 0. */
  seed?: number;
}

/** Both errors of a model's score by Monte Carlo, on data whose every marginal is known. Throws on a bad number of draws. */
export function scoreErrors(
  model: Model,
  data: Distribution,
  { draws = 1000, seed = 0 }: ScoreErrorOptions = {},
): ScoreErrors {
  checkDraws("scoreErrors", draws, 2);
  const { schedule } = model;
  const score = scoreOfModel(model);
  const truth = optimalPredict(data, schedule, "score");
  const errors = compile((x0: tf.Tensor, eps: tf.Tensor, t: tf.Tensor1D) => {
    const xt = qSample(schedule, x0, t, eps);
    const own = score(xt, t);
    const conditional = convert(schedule, eps, "eps", "score", xt, t);
    const squares = [conditional, truth(xt, t)].map((other) => sumDims(other.sub(own).square()));
    const moments = squares.map((s) => [
      s.mean(),
      s
        .sub(s.mean())
        .square()
        .mean()
        .div(draws - 1)
        .sqrt(),
    ]);
    return tf.stack(moments.flat());
  });
  const tables = Array.from({ length: 4 }, () => new Float64Array(schedule.numSteps + 1));
  for (let t = 1; t <= schedule.numSteps; t++) {
    const values = tf.tidy(() => {
      const random = rng(seed, t);
      const x0 = drawFrom(data, draws, random);
      return errors(x0, random.normal(x0.shape), tf.fill([draws], t, "int32") as tf.Tensor1D).dataSync();
    });
    tables.forEach((table, k) => {
      table[t] = values[k];
    });
  }
  const [conditional, conditionalStandardError, marginal, marginalStandardError] = tables;
  return { conditional, conditionalStandardError, marginal, marginalStandardError };
}

/** E‖ε − ε_θ‖²/(1−ᾱ_t), which is E‖∇ln q(x_t|x_0) − s_θ‖², for data that can only be drawn from; over t = 1…T. */
export function conditionalErrors(
  model: Model,
  draw: (rng: Rng, count: number) => tf.Tensor,
  { draws = 1000, seed = 0 }: ScoreErrorOptions = {},
): Float64Array {
  checkDraws("conditionalErrors", draws, 1);
  const { schedule } = model;
  const score = scoreOfModel(model);
  const error = compile((x0: tf.Tensor, eps: tf.Tensor, t: tf.Tensor1D) => {
    const xt = qSample(schedule, x0, t, eps);
    return sumDims(convert(schedule, eps, "eps", "score", xt, t).sub(score(xt, t)).square()).mean();
  });
  const table = new Float64Array(schedule.numSteps + 1);
  for (let t = 1; t <= schedule.numSteps; t++)
    table[t] = tf.tidy(() => {
      const random = rng(seed, t);
      const x0 = draw(random, draws);
      return error(x0, random.normal(x0.shape), tf.fill([draws], t, "int32") as tf.Tensor1D).dataSync()[0];
    });
  return table;
}

function checkDraws(caller: string, draws: number, least: number): void {
  if (!(Number.isInteger(draws) && draws >= least))
    throw new Error(`${caller}: draws is ${draws}, expected a whole number of at least ${least}.`);
}

/** The least conditional error, E tr Var(∇ln q(x_t|x_0) | x_t), over t = 1…T: what is left of J_DSM when J_SM is 0. */
export function conditionalErrorFloor(data: Distribution, schedule: Schedule): Float64Array {
  return minimumLoss(data, schedule, "score");
}

/** J = ½ Σ_t λ_t error_t; λ_t = β_t unless given. Throws on tables of another length than the schedule's. */
export function matchingLoss(
  schedule: Schedule,
  errors: ArrayLike<number>,
  weights: ArrayLike<number> = schedule.betaVar,
): number {
  for (const [name, { length }] of Object.entries({ errors, weights }))
    if (length !== schedule.numSteps + 1)
      throw new Error(`matchingLoss: ${name} has ${length} entries, expected ${schedule.numSteps + 1}.`);
  let sum = 0;
  for (let t = 1; t <= schedule.numSteps; t++) sum += (weights[t] * errors[t]) / 2;
  return sum;
}

/**
 * I(x_0; x_t) in nats for x_t = signal·x_0 + N(0, noise2): h(x_t) − (D/2) ln(2πe·noise2). It grows like (D/2) ln(1/noise2)
 * for data with a density; for a finite set it tends to the entropy of its points. With λ = g², J_DSM − J_SM over [τ, T]
 * is I(x_0; x_τ) − I(x_0; x_T). Closed form for a Gaussian, else quadrature.
 * Throws unless noise2 is above 0 and the signal finite.
 */
export function mutualInformation(data: Distribution, channel: { signal: number; noise2: number }): number {
  const { signal, noise2 } = channel;
  if (!(noise2 > 0)) throw new Error(`mutualInformation: noise2 is ${noise2}, expected a variance above 0.`);
  if (!Number.isFinite(signal))
    throw new Error(`mutualInformation: signal is ${signal}, expected a finite factor.`);
  if (data.components.length === 1) return gaussianInformation(data.components[0].variances, channel);
  return entropyOf(diffused(data, channel)) - (data.dims / 2) * Math.log(2 * Math.PI * Math.E * noise2);
}

/** ½ Σ ln(1 + signal² λ/noise2) over the variances λ, precise however little of the signal is left. */
function gaussianInformation(
  variances: readonly number[],
  { signal, noise2 }: { signal: number; noise2: number },
): number {
  return variances.reduce((sum, variance) => sum + 0.5 * Math.log1p((signal ** 2 * variance) / noise2), 0);
}
