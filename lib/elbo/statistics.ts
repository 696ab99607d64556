/** @file Means with their standard errors, which every Monte Carlo number here carries. */

/** A Monte Carlo mean. */
export interface Estimate {
  mean: number;
  /** Standard error of the mean; NaN for one draw. */
  standardError: number;
  count: number;
}

/** Mean of independent draws and its standard error, sample std / √n. Throws on no draws. */
export function estimate(draws: ArrayLike<number>): Estimate {
  const count = draws.length;
  if (count === 0) throw new Error("estimate: no draws, expected at least one.");
  let mean = 0;
  for (let i = 0; i < count; i++) mean += draws[i] / count;
  let squares = 0;
  for (let i = 0; i < count; i++) squares += (draws[i] - mean) ** 2;
  return { mean, standardError: Math.sqrt(squares / (count - 1) / count), count };
}
