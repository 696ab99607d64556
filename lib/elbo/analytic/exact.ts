/** @file The exact bound of the optimal network for known data, beside the data's entropy and, for Gaussians, the model's own NLL. */
import { posteriorTables, type Schedule, sigma2, type Variance } from "../../diffusion";
import { type RateDistortion, rates } from "../coding";
import { varianceKl } from "../gaussian";
import { varianceCost } from "../terms";
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
 * about 1e-12 for mixtures in one or two. The decoder is the continuous one.
 */
export function exactBound(distribution: Distribution, schedule: Schedule, variance: Variance): ExactBound {
  const { numSteps: T, alphaBar, oneMinusAlphaBar } = schedule;
  const { dims } = distribution;
  const weights = vlbWeights(schedule, "x0", variance);
  const costs = varianceCost(schedule, variance);
  const residuals = posteriorVariances(distribution, schedule).map((value, t) => (weights[t] * value) / dims);
  const L_T = (alphaBar[T] * secondMoment(distribution)) / dims / 2 + varianceKl(oneMinusAlphaBar[T], 1);
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
  const { component, means, variances } = throughModel(distribution, schedule, variance);
  const origin = inAxes(
    component,
    component.mean.map(() => 0),
  ); // minus the data's mean, along the axes
  const shift = fromAxes(
    component,
    means.map((m, i) => m + origin[i]),
  );
  const last = sigma2(schedule, variance)[1];
  return {
    mean: component.mean.map((m, i) => m + shift[i]),
    variances,
    variancesNoiseless: variances.map((value) => value - last),
  };
}

/** −E ln p_θ(x_0) of the optimal network on Gaussian data, nats per dimension. */
function modelNll(distribution: Distribution, schedule: Schedule, variance: Variance): number {
  const { component, centres, means, variances } = throughModel(distribution, schedule, variance);
  const perAxis = variances.map((V, i) => {
    return (
      0.5 * Math.log(2 * Math.PI * V) + ((centres[i] - means[i]) ** 2 + component.variances[i]) / (2 * V)
    );
  });
  return perAxis.reduce((sum, value) => sum + value, 0) / perAxis.length;
}

/** p_θ(x_0)'s means and variances along the data's axes, with the data's own centres there. */
function throughModel(distribution: Distribution, schedule: Schedule, variance: Variance) {
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
    throughAxis(centres[i], s2, schedule, sigma2(schedule, variance)),
  );
  return { component, centres, means: walks.map(({ M }) => M), variances: walks.map(({ V }) => V) };
}

/** (M, V) ← (A_t M + B_t, A_t² V + σ_t²) from (0, 1), with x*_0 = m + k_t (x_t − √ᾱ_t m). */
function throughAxis(
  m: number,
  s2: number,
  schedule: Schedule,
  noise: Float64Array,
): { M: number; V: number } {
  const { c0, ct } = posteriorTables(schedule);
  let [M, V] = [0, 1];
  for (let t = schedule.numSteps; t >= 1; t--) {
    const signal = schedule.sqrtAlphaBar[t];
    const k = (signal * s2) / (schedule.alphaBar[t] * s2 + schedule.oneMinusAlphaBar[t]);
    const A = ct[t] + c0[t] * k;
    M = A * M + c0[t] * m * (1 - k * signal);
    V = A * A * V + noise[t];
  }
  return { M, V };
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
