/** @file The exact bound of the optimal network for known data, beside the data's entropy and, for Gaussians, the model's own NLL; the same for any affine network. */
import {
  conversion,
  type Parameterization,
  posteriorTables,
  type Schedule,
  sigma2,
  type Variance,
} from "../../diffusion";
import { tableOver } from "../../diffusion/schedule";
import { type RateDistortion, rates } from "../coding";
import { priorVarianceKl, varianceCost } from "../terms";
import { natsToBits } from "../units";
import { vlbWeights } from "../weights";
import { type Distribution, fromAxes, inAxes, logDensityOf, secondMoment } from "./distribution";
import { posteriorVariances } from "./optimal";
import { expectation } from "./quadrature";

/** All numbers in nats per dimension, but for `bitsPerDim`. */
export interface ExactBound {
  /** T. */
  steps: number;
  alphaBarT: number;
  L_T: number;
  /** L_1 … L_{T−1}: entry i is L_{i+1}, the KL at t = i + 2. */
  L_t: number[];
  L_0: number;
  /** L_T + Σ L_t + L_0 ≥ nll ≥ entropy. */
  total: number;
  /** The model's own −E ln p_θ(x_0); Gaussian data only. */
  nll?: number;
  /** Differential entropy of the data; −∞ for a finite data set. */
  entropy: number;
  /** `total` in bits. */
  bitsPerDim: number;
}

/**
 * The bound with the optimal network (Ho et al. 2020, eq. 5): closed form for a Gaussian of any dimension, quadrature to
 * about 1e-12 for mixtures in one, 1e-9 in two. The decoder is the continuous one.
 */
export function exactBound(distribution: Distribution, schedule: Schedule, variance: Variance): ExactBound {
  const { numSteps: T, alphaBar } = schedule;
  const { dims } = distribution;
  const weights = vlbWeights(schedule, "x0", variance);
  const costs = varianceCost(schedule, variance);
  const residuals = posteriorVariances(distribution, schedule).map((value, t) => (weights[t] * value) / dims);
  const L_T = (alphaBar[T] * secondMoment(distribution)) / dims / 2 + priorVarianceKl(schedule);
  const L_t = Array.from({ length: T - 1 }, (_, i) => costs[i + 2] + residuals[i + 2]);
  const L_0 = 0.5 * Math.log(2 * Math.PI * sigma2(schedule, variance)[1]) + residuals[1];
  const total = L_T + L_t.reduce((sum, term) => sum + term, 0) + L_0;
  const nll = distribution.kind === "gaussian" ? { nll: modelNll(distribution, schedule, variance) } : {};
  const entropy = entropyOf(distribution) / dims;
  return {
    steps: T,
    alphaBarT: alphaBar[T],
    L_T,
    L_t,
    L_0,
    total,
    ...nll,
    entropy,
    bitsPerDim: natsToBits(total),
  };
}

/** Differential entropy in nats, summed over dimensions: closed form for a Gaussian, −∞ for a data set, else quadrature. */
export function entropyOf(distribution: Distribution): number {
  const { kind, components } = distribution;
  if (kind === "dataSet") return Number.NEGATIVE_INFINITY;
  if (components.length > 1) return -expectation(distribution, (x) => logDensityOf(distribution, x));
  return components[0].variances.reduce(
    (sum, variance) => sum + 0.5 * Math.log(2 * Math.PI * Math.E * variance),
    0,
  );
}

/** What the optimal network generates for Gaussian data: a Gaussian on the data's axes. */
export interface ModelMoments {
  mean: readonly number[];
  /** Variances along the axes of the data's covariance, with p_θ(x_0 | x_1)'s own noise. */
  variances: number[];
  /** The same where the last step adds no noise. */
  variancesNoiseless: number[];
}

/**
 * Mean and variance of p_θ(x_0) for the optimal network on Gaussian data: each x_{t−1} = A_t x_t + B_t + σ_t z is linear,
 * so p_θ is Gaussian along each axis. Throws for other data.
 */
export function modelMoments(
  distribution: Distribution,
  schedule: Schedule,
  variance: Variance,
): ModelMoments {
  const noise = sigma2(schedule, variance);
  const { component, centres, means, variances } = throughModel(distribution, schedule, noise);
  const still = noise.map((value, t) => (t === 1 ? 0 : value)); // subtracted afterwards, σ₁² would take the digits along
  const shift = fromAxes(
    component,
    means.map((m, i) => m - centres[i]),
  );
  return {
    mean: component.mean.map((m, i) => m + shift[i]),
    variances,
    variancesNoiseless: throughModel(distribution, schedule, still).variances,
  };
}

/** −E ln p_θ(x_0) of the optimal network on Gaussian data, nats per dimension. */
function modelNll(distribution: Distribution, schedule: Schedule, variance: Variance): number {
  const { component, centres, means, variances } = throughModel(
    distribution,
    schedule,
    sigma2(schedule, variance),
  );
  const perAxis = variances.map((V, i) => crossEntropy(centres[i], component.variances[i], means[i], V));
  return perAxis.reduce((sum, value) => sum + value, 0) / perAxis.length;
}

/** −E ln N(x; M, V) for x of this mean and variance. */
function crossEntropy(mean: number, variance: number, M: number, V: number): number {
  return 0.5 * Math.log(2 * Math.PI * V) + ((mean - M) ** 2 + variance) / (2 * V);
}

/** p_θ(x_0)'s means and variances along the data's axes for these σ_t², with the data's own centres there. */
function throughModel(distribution: Distribution, schedule: Schedule, noise: Float64Array) {
  if (distribution.components.length !== 1)
    throw new Error(
      `modelMoments: the data is a ${distribution.kind}, expected a Gaussian, for which the model is one too.`,
    );
  const [component] = distribution.components;
  const centres = inAxes(
    component,
    component.mean.map(() => 0),
  ).map((u) => -u);
  const walks = component.variances.map((s2, i) =>
    throughChain(optimalMean(centres[i], s2, schedule), noise),
  );
  return { component, centres, means: walks.map(({ M }) => M), variances: walks.map(({ V }) => V) };
}

/** What an affine network returns at t = 1…T for one number: scale_t · x_t + shift_t. Float64 tables with a dummy entry 0. */
export interface AffinePrediction {
  readonly scale: Float64Array;
  readonly shift: Float64Array;
}

/** E[x_{t−1} | x_t] for N(m, s2) data: μ̃ at x*_0 = m + k_t (x_t − √ᾱ_t m). */
function optimalMean(m: number, s2: number, schedule: Schedule): AffinePrediction {
  const { numSteps, sqrtAlphaBar, alphaBar, oneMinusAlphaBar } = schedule;
  const { c0, ct } = posteriorTables(schedule);
  const k = (t: number) => (sqrtAlphaBar[t] * s2) / (alphaBar[t] * s2 + oneMinusAlphaBar[t]);
  return {
    scale: tableOver(numSteps, 0, (t) => ct[t] + c0[t] * k(t)),
    shift: tableOver(numSteps, 0, (t) => c0[t] * m * (1 - k(t) * sqrtAlphaBar[t])),
  };
}

/** p_θ(x_0)'s mean and variance where each μ_θ is affine: (M, V) ← (A_t M + B_t, A_t² V + σ_t²) from (0, 1). */
function throughChain({ scale, shift }: AffinePrediction, noise: Float64Array): { M: number; V: number } {
  let [M, V] = [0, 1];
  for (let t = scale.length - 1; t >= 1; t--) {
    M = scale[t] * M + shift[t];
    V = scale[t] ** 2 * V + noise[t];
  }
  return { M, V };
}

/**
 * The exact bound and NLL of a network that is affine in x_t, on one-dimensional Gaussian data: p_θ(x_0) is a Gaussian,
 * and each term exceeds the optimal network's by E(μ* − μ_θ)²/(2σ_t²). Throws for other data or tables of another length.
 */
export function affineBound(
  distribution: Distribution,
  schedule: Schedule,
  variance: Variance,
  prediction: AffinePrediction & { parameterization: Parameterization },
): ExactBound {
  const { m, s2 } = oneGaussian(distribution);
  const mean = affineMean(schedule, prediction);
  const noise = sigma2(schedule, variance);
  const best = exactBound(distribution, schedule, variance);
  const wanted = optimalMean(m, s2, schedule);
  const excess = tableOver(schedule.numSteps, 0, (t) => {
    const slope = mean.scale[t] - wanted.scale[t];
    const atCentre = slope * schedule.sqrtAlphaBar[t] * m + mean.shift[t] - wanted.shift[t];
    const spread = schedule.alphaBar[t] * s2 + schedule.oneMinusAlphaBar[t];
    return (slope ** 2 * spread + atCentre ** 2) / (2 * noise[t]);
  });
  const total = best.total + excess.reduce((sum, value) => sum + value, 0);
  const { M, V } = throughChain(mean, noise);
  return {
    ...best,
    L_t: best.L_t.map((term, i) => term + excess[i + 2]),
    L_0: best.L_0 + excess[1],
    total,
    nll: crossEntropy(m, s2, M, V),
    bitsPerDim: natsToBits(total),
  };
}

/** Mean and variance of one-dimensional Gaussian data. */
function oneGaussian({ kind, dims, components }: Distribution): { m: number; s2: number } {
  if (kind !== "gaussian" || dims !== 1)
    throw new Error(
      `affineBound: the data is a ${kind} in ${dims} dimensions, expected a Gaussian in one. Use evaluateBound.`,
    );
  const [{ mean, variances }] = components;
  return { m: mean[0], s2: variances[0] };
}

/** The affine prediction as one of the mean. */
function affineMean(
  schedule: Schedule,
  { parameterization, scale, shift }: AffinePrediction & { parameterization: Parameterization },
): AffinePrediction {
  const entries = schedule.numSteps + 1;
  if (scale.length !== entries || shift.length !== entries)
    throw new Error(
      `affineBound: scale and shift have lengths ${scale.length} and ${shift.length}, expected ${entries} (entry 0 a dummy).`,
    );
  const toMean = conversion(schedule, parameterization, "mean");
  return {
    scale: scale.map((value, t) => toMean.scale[t] * value + toMean.shift[t]),
    shift: shift.map((value, t) => toMean.scale[t] * value),
  };
}

/** The exact rate and distortion of progressive coding with the optimal network. */
export function exactRateDistortion(
  distribution: Distribution,
  schedule: Schedule,
  variance: Variance,
): RateDistortion {
  const distortionPerDim = posteriorVariances(distribution, schedule).map(
    (value) => value / distribution.dims,
  );
  return { rate: rates(exactBound(distribution, schedule, variance)), distortionPerDim };
}
