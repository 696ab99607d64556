/**
 * @file Where bound and W2 are both known in closed form: Gaussian data, and a score that is the true one times 1 + δ plus
 * a bias e(t). The generated law stays Gaussian, so two ordinary differential equations give it.
 */

import { type BoundFunctions, type WassersteinBound, wassersteinBoundOfFunctions } from "./bound";
import type { Sde } from "./sde";

/** Data N(m u, s² I) in D dimensions, u a unit vector, and the score (1 + δ)·true + e(t) u. */
export interface GaussianCase {
  sde: Sde;
  /** D; default 1. */
  dims?: number;
  /** m, the data's mean along u. */
  mean: number;
  /** s. */
  std: number;
  /** δ, a relative error of the score; default 0. */
  scale?: number;
  /** e(t), an error of the score along u; default 0. */
  bias?: (t: number) => number;
  /** q_T = N(mean·u, variance·I) that generation starts from; default N(0, I). */
  start?: { mean: number; variance: number };
  /** Steps of the grid in time, finer towards 0 where std is small; default 2000. */
  steps?: number;
}

/** The generated law, its distance from the data, and the bound on it. */
export interface GaussianOutcome {
  /** Mean along u and variance of q_0. */
  mean: number;
  variance: number;
  /** W2(p_0, q_0), not squared. */
  w2: number;
  /** What the bound was made of: tables on the grid in time, exact. */
  tables: Record<"times" | "g2" | "driftLipschitz" | "scoreLipschitz" | "scoreError", Float64Array> & {
    priorW2: number;
  };
  bound: WassersteinBound;
}

/**
 * Integrates dM/dt = −aM − g²s̄ and dS/dt = −2aS + 2g²(1+δ)S/v − g² from T to 0 (Runge and Kutta's fourth order), with
 * s̄ = −(1+δ)(M − signal·m)/v + e and v = signal²s² + noise2, and sets the bound beside W2² = (M_0−m)² + D(√S_0−s)².
 * Here L_s = −(1+δ)/v and b = δ²D/v + e², exactly. Throws unless std and the start's variance are positive and the rest
 * are numbers, and where the steps are too long for equations so stiff.
 */
export function gaussianDynamics(given: GaussianCase): GaussianOutcome {
  const { sde, dims = 1, mean, std, scale = 0, bias = () => 0, steps = 2000 } = given;
  const start = given.start ?? { mean: 0, variance: 1 };
  if (!(std > 0)) throw new Error(`gaussianDynamics: std is ${std}, expected a standard deviation above 0.`);
  for (const [name, value] of Object.entries({ mean, "start.mean": start.mean }))
    if (!Number.isFinite(value))
      throw new Error(`gaussianDynamics: ${name} is ${value}, expected a finite number.`);
  if (!(Number.isInteger(dims) && dims >= 1))
    throw new Error(`gaussianDynamics: dims is ${dims}, expected a whole number of at least 1.`);
  if (!(Number.isInteger(steps) && steps >= 1))
    throw new Error(`gaussianDynamics: steps is ${steps}, expected a whole number of at least 1.`);
  if (!(start.variance > 0))
    throw new Error(`gaussianDynamics: start.variance is ${start.variance}, expected more than 0.`);
  const variance = (t: number) => sde.signal(t) ** 2 * std ** 2 + sde.noise2(t);
  const velocity = (t: number, [M, S]: Pair): Pair => {
    const [a, g2, gain] = [sde.driftRate(t), sde.g2(t), (1 + scale) / variance(t)];
    const score = -gain * (M - sde.signal(t) * mean) + bias(t);
    return [-a * M - g2 * score, -2 * a * S + 2 * g2 * gain * S - g2];
  };
  const times = gridOf(sde, std ** 2, steps);
  const distance = (m1: number, v1: number, m2: number, v2: number) =>
    Math.sqrt((m1 - m2) ** 2 + dims * (Math.sqrt(v1) - Math.sqrt(v2)) ** 2);
  const parts: BoundFunctions = {
    g2: (t) => sde.g2(t),
    driftLipschitz: (t) => sde.driftRate(t),
    scoreLipschitz: (t) => -(1 + scale) / variance(t),
    scoreError: (t) => (scale ** 2 * dims) / variance(t) + bias(t) ** 2,
  };
  const priorW2 = distance(start.mean, start.variance, sde.signal(sde.T) * mean, variance(sde.T));
  const bound = wassersteinBoundOfFunctions(parts, times, priorW2);
  const [M, S] = integrateDown(velocity, [start.mean, start.variance], times);
  if (!(Number.isFinite(M) && S > 0 && S < Number.POSITIVE_INFINITY))
    throw new Error(
      `gaussianDynamics: ${steps} steps led to mean ${M} and variance ${S}, which no law has: they are too long for std ${std} and scale ${scale}. Use more steps.`,
    );
  return {
    mean: M,
    variance: S,
    w2: distance(M, S, mean, std ** 2),
    tables: {
      times,
      g2: times.map(parts.g2),
      driftLipschitz: times.map(parts.driftLipschitz),
      scoreLipschitz: times.map(parts.scoreLipschitz),
      scoreError: times.map(parts.scoreError),
      priorW2,
    },
    bound,
  };
}

type Pair = [number, number];

/**
 * 0…T in `steps` steps that grow like 1 + t·v′(0)/v(0), as v does at first, so that 1/v is resolved where the data's
 * variance v(0) is small; equal steps where v does not grow at 0.
 */
function gridOf({ T, g2, driftRate }: Sde, dataVariance: number, steps: number): Float64Array {
  const slope = g2(0) - 2 * driftRate(0) * dataVariance; // dv/dt = −2av + g²
  const growth = Math.max((T * slope) / dataVariance, 1e-12); // equal steps to rounding
  const place = (i: number) => Math.expm1((Math.log1p(growth) * i) / steps) / growth;
  return Float64Array.from({ length: steps + 1 }, (_, i) => (i === steps ? T : T * place(i)));
}

/** Runge and Kutta's method of fourth order from the last of these times to the first. */
function integrateDown(velocity: (t: number, state: Pair) => Pair, from: Pair, times: Float64Array): Pair {
  const moved = ([x, y]: Pair, [u, v]: Pair, by: number): Pair => [x + by * u, y + by * v];
  let state = from;
  for (let i = times.length - 1; i > 0; i--) {
    const [t, h] = [times[i], times[i - 1] - times[i]];
    const k1 = velocity(t, state);
    const k2 = velocity(t + h / 2, moved(state, k1, h / 2));
    const k3 = velocity(t + h / 2, moved(state, k2, h / 2));
    const k4 = velocity(t + h, moved(state, k3, h));
    const mean = (j: 0 | 1) => (k1[j] + 2 * k2[j] + 2 * k3[j] + k4[j]) / 6;
    state = moved(state, [mean(0), mean(1)], h);
  }
  return state;
}
