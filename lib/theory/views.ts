/**
 * @file One model seen three ways. With b_t = E‖∇ln q(x_t) − s_θ(x_t, t)‖², the error of its score:
 *
 * - the bound: L − H(x_0) is what the optimal network leaves, plus Σ w_t b_t;
 * - the Wasserstein distance: W2 ≤ Σ β_t I_t √b_t + offset (`wasserstein-bound`);
 * - the score difference between what it draws and the data, which, added up over noise levels, is KL(data ‖ model).
 *
 * For data whose law is known (a mixture in one or two dimensions), so that the true score and the entropy are exact.
 */
import { type Model, type Schedule, sample, type Variance } from "../diffusion";
import {
  type Distribution,
  drawFrom,
  entropyOf,
  exactBound,
  logDensityOf,
  secondMoment,
  vlbWeights,
} from "../elbo";
import { expectation, narrowestStd } from "../elbo/analytic";
import { w2WithFloor } from "../metrics";
import { rng, tf } from "../tensor";
import { denoiser, kernelMean, scoreDifference } from "./score-difference";
import { checkDims } from "./score-difference/densities";
import {
  estimateScoreLipschitz,
  scoreErrors,
  scoreOfModel,
  squareGrid,
  type WassersteinBound,
  wassersteinBoundOfSteps,
} from "./wasserstein-bound";

/** KL(p‖q) in nats between known laws, by quadrature in one or two dimensions; q must not vanish where p is. Throws on points without noise and unless p and q share their dimension. */
export function klDivergence(p: Distribution, q: Distribution): number {
  checkDims("klDivergence", p, q);
  const scale = narrowestStd(q);
  return expectation(p, (x) => logDensityOf(p, x) - logDensityOf(q, x), { scale });
}

/** The Fisher divergence E_p‖∇ln p − ∇ln q‖² between known laws, by quadrature in one or two dimensions. Throws as `klDivergence`. */
export function fisherDivergence(p: Distribution, q: Distribution): number {
  checkDims("fisherDivergence", p, q);
  const difference = scoreDifference(p, q);
  const scale = narrowestStd(q);
  return expectation(p, (x) => difference(x).reduce((sum, value) => sum + value ** 2, 0), { scale });
}

/**
 * KL(p_σ‖q_σ) at the first of these noise levels, nats, from E_p‖σΔ_σ‖² at each: ∫ E‖σΔ_σ‖² d ln σ from there on
 * (de Bruijn's identity, d KL/d(σ²) = −½ E‖Δ_σ‖²). Trapezoids in ln σ; beyond the last level the integrand falls as
 * 1/σ², so that level should be well above both laws' widths. Throws on levels that do not increase or lists that differ.
 */
export function klFromDifferences(sigmas: ArrayLike<number>, squares: ArrayLike<number>): number {
  checkLevels("klFromDifferences", sigmas);
  if (squares.length !== sigmas.length)
    throw new Error(
      `klFromDifferences: got ${squares.length} squares for ${sigmas.length} noise levels, expected as many.`,
    );
  const bad = Array.from(squares).findIndex((square) => !(square >= 0));
  if (bad >= 0)
    throw new Error(
      `klFromDifferences: squares[${bad}] is ${squares[bad]}, expected a mean square of at least 0.`,
    );
  const last = sigmas.length - 1;
  let sum = squares[last] / 2; // ∫ (σ_K/σ)² d ln σ from σ_K on is ½
  for (let k = 1; k <= last; k++)
    sum += 0.5 * Math.log(sigmas[k] / sigmas[k - 1]) * (squares[k - 1] + squares[k]);
  return sum;
}

export interface DifferenceOptions {
  /** Noise levels, increasing. */
  sigmas: ArrayLike<number>;
  /** Points of the data, with noise of each level, at which the difference is taken; default 1000. */
  draws?: number;
  /** Default 0. */
  seed?: number;
}

/**
 * E‖σΔ_σ(y)‖² = E‖D_p(y) − D_Q(y)‖²/σ² at each noise level, y from p_σ: the data's denoiser exactly, that of `samples`
 * [N, D] by its softmax. Finitely many samples leave a floor even when they are data. Throws on levels ≤ 0.
 */
export function differencesFromSamples(
  data: Distribution,
  samples: tf.Tensor2D,
  { sigmas, draws = 1000, seed = 0 }: DifferenceOptions,
): Float64Array {
  checkLevels("differencesFromSamples", sigmas);
  return Float64Array.from(sigmas, (sigma, k) => {
    const [y, fromSamples] = tf.tidy(() => {
      const random = rng(seed, k);
      const at = drawFrom(data, draws, random).add<tf.Tensor2D>(random.normal([draws, data.dims]).mul(sigma));
      return [at.arraySync(), kernelMean(at, samples, sigma).arraySync()];
    });
    const exact = denoiser(data, sigma);
    const squares = y.map((point, i) =>
      exact(point).reduce((sum, value, d) => sum + (value - fromSamples[i][d]) ** 2, 0),
    );
    return squares.reduce((sum, value) => sum + value, 0) / (draws * sigma ** 2);
  });
}

/** Σ_t w_t b_t in nats, summed over dimensions: how far the bound is above the optimal network's (Ho et al. 2020, eq. 8, for the score). */
export function boundExcess(schedule: Schedule, variance: Variance, scoreError: ArrayLike<number>): number {
  const weights = vlbWeights(schedule, "score", variance);
  if (scoreError.length !== weights.length)
    throw new Error(`boundExcess: scoreError has ${scoreError.length} entries, expected ${weights.length}.`);
  const bad = Array.from(scoreError).findIndex((error, t) => t > 0 && !(error >= 0));
  if (bad > 0)
    throw new Error(
      `boundExcess: scoreError is ${scoreError[bad]} at t = ${bad}, expected a mean square of at least 0.`,
    );
  return weights.reduce((sum, weight, t) => sum + (t === 0 ? 0 : weight * scoreError[t]), 0);
}

export interface ViewsOptions {
  /** The law of the data, in the plane. */
  data: Distribution;
  /** Draws at each t for b_t; default 500. */
  draws?: number;
  /** Points in each set of the exact W2; default 500. */
  n?: number;
  /** Samples of the model whose score is compared with the data's; default 5000. */
  cloud?: number;
  /** Noise levels at which it is compared, increasing; default 24 from 0.2 to 200. */
  sigmas?: ArrayLike<number>;
  /** L_s is looked for on 21 × 21 points of [−reach, reach]²; default 2.5. */
  reach?: number;
  /** Default 0. */
  seed?: number;
}

/** One model, seen three ways; everything in nats is summed over dimensions. */
export interface ThreeViews {
  /** b_t over t = 1…T (entry 0 a dummy). */
  scoreError: Float64Array;
  /** L − H(x_0): at least KL(data‖model). */
  boundGap: number;
  /** L − H(x_0) of the optimal network. */
  boundGapFloor: number;
  /** The right-hand side of Theorem 1, with an L_s from below: an estimate. */
  wasserstein: WassersteinBound;
  /** L_s over t = 1…T (entry 0 a dummy), the largest slope on a grid. */
  scoreLipschitz: Float64Array;
  /** Exact W2 between samples and data, and between data and data. */
  w2: number;
  w2Floor: number;
  /** E‖σΔ_σ‖² at each noise level, between samples and data. */
  differences: Float64Array;
  /** KL(data‖samples) at the first noise level, nats: those differences added up; and the same for as many data. */
  kl: number;
  klFloor: number;
  /** The samples [n, 2] that W2 was taken of, flat. */
  samples: Float32Array;
}

/** 24 noise levels from 0.2 to 200, equally far apart in ln σ. */
const LEVELS = Float64Array.from({ length: 24 }, (_, k) => 0.2 * 1000 ** (k / 23));

/**
 * Looks at models of one data set: `look(model)` gives the three views and their floors. What does not depend on the model
 * is computed once. All checkpoints are seen by the same draws. Throws unless the data are points of the plane.
 */
export function threeViews(options: ViewsOptions): (model: Model) => Promise<ThreeViews> {
  const { data, draws = 500, n = 500, cloud = 5000, sigmas = LEVELS, reach = 2.5, seed = 0 } = options;
  if (data.dims !== 2)
    throw new Error(`threeViews: the data has ${data.dims} dimensions, expected points of the plane, 2.`);
  if (!(cloud >= n)) throw new Error(`threeViews: cloud is ${cloud}, expected at least n = ${n} samples.`);
  const entropy = entropyOf(data);
  const levels = { sigmas, draws: 2 * draws, seed: seed + 3 };
  const klTo = (samples: tf.Tensor2D) => {
    const differences = differencesFromSamples(data, samples, levels);
    return { differences, kl: klFromDifferences(sigmas, differences) };
  };
  const fresh = drawFrom(data, cloud, rng(seed + 1));
  const { kl: klFloor } = klTo(fresh);
  fresh.dispose();
  const leastTotals = new Map<string, number>();
  const leastGap = ({ schedule, variance }: Model) => {
    const key = `${schedule.numSteps} ${schedule.betaVar.join()} ${variance}`;
    const known = leastTotals.get(key) ?? 2 * exactBound(data, schedule, variance).total - entropy;
    leastTotals.set(key, known);
    return known;
  };
  return async (model) => {
    const { schedule, variance } = model;
    const { marginal: scoreError } = scoreErrors(model, data, { draws, seed });
    const grid = squareGrid(-reach, reach, 21);
    const scoreLipschitz = estimateScoreLipschitz(scoreOfModel(model), schedule.numSteps, grid);
    grid.dispose();
    const boundGapFloor = leastGap(model);
    const drawn = (await sample(model, [cloud, 2], { rng: rng(seed + 2) })) as tf.Tensor2D;
    const samples = tf.tidy(() => drawn.slice(0, n).dataSync()) as Float32Array;
    const drawData = (count: number, draw: number) => drawFrom(data, count, rng(seed + 4, draw));
    const { w2, floor } = w2WithFloor({ data: samples, dims: 2 }, drawData, { repeats: 2 });
    const { differences, kl } = klTo(drawn);
    drawn.dispose();
    return {
      scoreError,
      boundGap: boundGapFloor + boundExcess(schedule, variance, scoreError),
      boundGapFloor,
      wasserstein: wassersteinBoundOfSteps({
        schedule,
        scoreLipschitz,
        scoreError,
        priorW2: priorDistance(data, schedule),
      }),
      scoreLipschitz,
      w2,
      w2Floor: floor,
      differences,
      kl,
      klFloor,
      samples,
    };
  };
}

/** An upper bound of W2(q(x_T), N(0, I)): x_T and √ᾱ_T ε' + √(1−ᾱ_T) ε with the same ε are √(ᾱ_T (E‖x_0‖² + D)) apart. */
export function priorDistance(data: Distribution, schedule: Schedule): number {
  return schedule.sqrtAlphaBar[schedule.numSteps] * Math.sqrt(secondMoment(data) + data.dims);
}

function checkLevels(caller: string, sigmas: ArrayLike<number>): void {
  if (sigmas.length === 0) throw new Error(`${caller}: no noise levels, expected at least one.`);
  for (let k = 0; k < sigmas.length; k++)
    if (!(sigmas[k] > (k === 0 ? 0 : sigmas[k - 1]) && Number.isFinite(sigmas[k])))
      throw new Error(`${caller}: sigmas[${k}] is ${sigmas[k]}, expected levels above 0 that increase.`);
}
