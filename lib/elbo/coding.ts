/** @file Progressive coding: what a bound's terms mean as bits received, and how good x̂_0 is by then (Ho et al. 2020, section 4.3). */
import { natsToBits } from "./units";

/** Rate and distortion once x_t is known, t = 0…T. */
export interface RateDistortion {
  /** Bits per dimension received: (L_T + Σ_{s>t} L_{s−1}) / ln 2; entry 0 is the total rate, L_0 not included. */
  rate: Float64Array;
  /** Mean squared error of x̂_0(x_t) per dimension; entry 0 is 0. */
  distortionPerDim: Float64Array;
}

/** Rates from a bound's terms (Ho et al. 2020, section 4.3): entry t is what a receiver of x_t has been sent, in bits per dimension. */
export function rates({ L_T, L_t }: { L_T: number; L_t: readonly number[] }): Float64Array {
  const T = L_t.length + 1;
  const rate = new Float64Array(T + 1);
  rate[T] = natsToBits(L_T);
  for (let t = T - 1; t >= 1; t--) rate[t] = rate[t + 1] + natsToBits(L_t[t - 1]);
  rate[0] = rate[1];
  return rate;
}
