/**
 * @file Walks from x_T to x_0 as data: for each transition t → s its coefficients
 * x_s = x0Coef·x̂_0 + xtCoef·x_t + sigmaStd·z. DDPM and DDIM differ in nothing else.
 */
import { posteriorTables } from "./forward";
import { sigma2, type Variance } from "./reverse";
import { respace, type Schedule } from "./schedule";

/** One transition of a walk. */
export interface Transition {
  /** Where it starts, 1…T. */
  readonly t: number;
  /** Where it ends, 0…t−1. */
  readonly s: number;
  readonly x0Coef: number;
  readonly xtCoef: number;
  /** Standard deviation of the noise added; 0 for a deterministic transition. */
  readonly sigmaStd: number;
}

/** A walk: transitions, each starting where the one before ends, the last at 0. */
export type Plan = readonly Transition[];

export interface AncestralOptions {
  /** Default "beta". */
  variance?: Variance;
  /** The increasing steps to visit; default all of 1…T. The walk starts at the last. */
  steps?: readonly number[];
  /** Whether the transition to x_0 adds noise of σ_1, as p_θ(x_0 | x_1) does; default false, as DDPM's Algorithm 2. */
  lastStepNoise?: boolean;
}

/**
 * Sampling from p_θ step by step (Ho et al. 2020, Algorithm 2): mean μ̃(x_t, x̂_0), noise of one of the fixed variances.
 * On fewer steps, each takes the posterior of its longer stride. Throws on bad steps or an unknown variance.
 */
export function ancestralPlan(schedule: Schedule, options: AncestralOptions = {}): Plan {
  const { variance = "beta", steps = allSteps(schedule), lastStepNoise = false } = options;
  const strided = respace(schedule, steps);
  const { c0, ct } = posteriorTables(strided);
  // A single stride has no second step to take β̃_2 from; without noise in the last step it needs none.
  const needless = steps.length === 1 && !lastStepNoise && variance === "betaTilde";
  const noise = sigma2(strided, needless ? "beta" : variance);
  return walk(steps, (i) => ({
    x0Coef: c0[i],
    xtCoef: ct[i],
    sigmaStd: i === 1 && !lastStepNoise ? 0 : Math.sqrt(noise[i]),
  }));
}

export interface DdimOptions {
  /** 0 (default) is deterministic; 1 has the posterior's own variance β̃ and is ancestral sampling with it. */
  eta?: number;
  /** The increasing steps to visit; default all of 1…T. */
  steps?: readonly number[];
}

/** DDIM (Song et al. 2021, eq. 12 and 16): noise of variance η²β̃, the rest of 1−ᾱ_s kept from ε̂. Throws unless 0 ≤ η ≤ 1. */
export function ddimPlan(
  schedule: Schedule,
  { eta = 0, steps = allSteps(schedule) }: DdimOptions = {},
): Plan {
  if (!(eta >= 0 && eta <= 1)) throw new Error(`ddimPlan: eta is ${eta}, expected a number from 0 to 1.`);
  const strided = respace(schedule, steps);
  const { betaTilde } = posteriorTables(strided);
  const { alpha, betaVar, oneMinusAlphaBar: noise, sqrtAlphaBar: signal } = strided;
  return walk(steps, (i) => {
    // 1−ᾱ_s − η²β̃ of 1−ᾱ_t, by 1−ᾱ_t = β + α(1−ᾱ_s) without a difference that would cancel.
    const kept = ((1 - eta ** 2) * betaVar[i] + alpha[i] * noise[i - 1]) / noise[i];
    const xtCoef = Math.sqrt((noise[i - 1] / noise[i]) * kept);
    const sigmaStd = eta * Math.sqrt(betaTilde[i]);
    return { x0Coef: signal[i - 1] - xtCoef * signal[i], xtCoef, sigmaStd };
  });
}

/** The transitions down from the last of `steps`; `coefficients` takes an index into the respaced tables, 1…S. */
function walk(
  steps: readonly number[],
  coefficients: (i: number) => Omit<Transition, "t" | "s">,
): Transition[] {
  const up = steps.map((t, i) => ({ t, s: i === 0 ? 0 : steps[i - 1], ...coefficients(i + 1) }));
  return up.reverse();
}

function allSteps({ numSteps }: Schedule): number[] {
  return Array.from({ length: numSteps }, (_, i) => i + 1);
}
