/**
 * @file Loss weights over t. Every loss here is weight(t)·‖target − prediction‖², summed over dimensions, in the
 * network's own coordinates; a weighting is a float64 table of such weights, entry 0 a dummy.
 */
import {
  checkParameterization,
  conversion,
  type Parameterization,
  type Schedule,
  sigma2,
  type Variance,
} from "../diffusion";

/**
 * The weightings by name. "vlb": the bound's own. "simple": 1 in the network's coordinates (for ε, DDPM's L_simple).
 * The others are stated for ‖x_0 − x̂_0‖² and carried over to the network's coordinates: "snr" SNR_t (L_simple for
 * every kind of network), "truncated-snr" max(SNR_t, 1), "snr+1" SNR_t + 1 (Salimans & Ho 2022, section 4),
 * "min-snr" min(SNR_t, 5) (Hang et al. 2023).
 */
export const WEIGHTINGS = ["vlb", "simple", "snr", "truncated-snr", "snr+1", "min-snr"] as const;
export type WeightingName = (typeof WEIGHTINGS)[number];

/** A name, or the weight of ‖target − prediction‖² in the network's own coordinates as a function of t = 1…T. */
export type Weighting = WeightingName | ((t: number) => number);

export interface WeightOptions {
  /** What the network predicts. */
  parameterization: Parameterization;
  /** Default "simple". */
  weighting?: Weighting;
  /** σ_t² of the bound, which "vlb" needs; default "beta". */
  variance?: Variance;
}

const MIN_SNR_GAMMA = 5;

/** Weights of ‖x_0 − x̂_0‖² by name. */
const ON_X0: Record<string, (snr: number) => number> = {
  snr: (snr) => snr,
  "truncated-snr": (snr) => Math.max(snr, 1),
  "snr+1": (snr) => snr + 1,
  "min-snr": (snr) => Math.min(snr, MIN_SNR_GAMMA),
};

/** The table of weights over t = 1…T. Throws, listing the choices, on an unknown name and on a weight that is not ≥ 0. */
export function lossWeights(schedule: Schedule, options: WeightOptions): Float64Array {
  const { parameterization, weighting = "simple", variance = "beta" } = options;
  checkParameterization("lossWeights", parameterization);
  if (typeof weighting === "function") return tabulate(schedule, weighting);
  if (weighting === "vlb") return vlbWeights(schedule, parameterization, variance);
  if (weighting === "simple") return tabulate(schedule, () => 1);
  const onX0 = ON_X0[weighting];
  if (!Object.hasOwn(ON_X0, weighting))
    throw new Error(
      `lossWeights: unknown weighting "${weighting}", expected one of ${WEIGHTINGS.join(", ")}.`,
    );
  const { scale } = conversion(schedule, parameterization, "x0");
  return tabulate(schedule, (t) => onX0(schedule.snr[t]) * scale[t] ** 2);
}

/**
 * The bound's own weights: L_{t−1} = Σ w_t ‖target − prediction‖² + constant, with w_t = (∂μ/∂prediction)² / (2σ_t²)
 * (Ho et al. 2020, eq. 8 and 12). At t = 1 the weight of the continuous decoder term L_0.
 */
export function vlbWeights(
  schedule: Schedule,
  parameterization: Parameterization,
  variance: Variance,
): Float64Array {
  const { scale } = conversion(schedule, parameterization, "mean");
  const noise = sigma2(schedule, variance);
  return tabulate(schedule, (t) => scale[t] ** 2 / (2 * noise[t]));
}

function tabulate(schedule: Schedule, weight: (t: number) => number): Float64Array {
  return Float64Array.from({ length: schedule.numSteps + 1 }, (_, t) => {
    const value = t === 0 ? 0 : weight(t);
    if (!(value >= 0 && Number.isFinite(value)))
      throw new Error(
        `lossWeights: the weight at t = ${t} is ${value}, expected a finite number of 0 or more.`,
      );
    return value;
  });
}
