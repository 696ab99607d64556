/**
 * @file Means and covariances of a stream of rows, in float64: each part by two passes over it, parts merged by Chan,
 * Golub and LeVeque's formula (1979), which does not cancel as sums of squares do. State is plain arrays.
 */

/** What is known of the rows seen so far. */
export interface Moments {
  readonly count: number;
  readonly mean: Float64Array;
  /** Σ (x − mean)(x − mean)ᵀ row-major [D, D], or for `spreadOf` its diagonal [D] alone. */
  readonly scatter: Float64Array;
}

/** The moments of these rows [n, dims], row-major. Throws on a part of a row and on what is not finite. */
export const momentsOf = (rows: ArrayLike<number>, dims: number): Moments => twoPass(rows, dims, true);

/** As `momentsOf`, with variances in place of the covariance. */
export const spreadOf = (rows: ArrayLike<number>, dims: number): Moments => twoPass(rows, dims, false);

function twoPass(rows: ArrayLike<number>, dims: number, full: boolean): Moments {
  const count = rows.length / dims;
  if (!Number.isInteger(count))
    throw new Error(`momentsOf: got ${rows.length} numbers, expected a multiple of the ${dims} dimensions.`);
  const mean = new Float64Array(dims);
  for (let i = 0; i < rows.length; i++) mean[i % dims] += rows[i] / count;
  const bad = mean.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw new Error(`momentsOf: dimension ${bad} has a value that is not finite.`);
  const scatter = new Float64Array(full ? dims * dims : dims);
  const centred = new Float64Array(dims);
  for (let from = 0; from < rows.length; from += dims) {
    for (let i = 0; i < dims; i++) centred[i] = rows[from + i] - mean[i];
    addOuter(scatter, centred, 1);
  }
  return { count, mean, scatter };
}

/** scatter += weight · x xᵀ, or its diagonal where that is all there is. */
function addOuter(scatter: Float64Array, x: Float64Array, weight: number): void {
  const dims = x.length;
  if (scatter.length === dims) for (let i = 0; i < dims; i++) scatter[i] += weight * x[i] * x[i];
  else
    for (let i = 0; i < dims; i++) {
      const scaled = weight * x[i];
      for (let j = 0, at = i * dims; j < dims; j++, at++) scatter[at] += scaled * x[j];
    }
}

/** The moments of both parts together; either may be null, for none. Throws where the dimensions differ. */
export function mergeMoments(a: Moments | null, b: Moments): Moments {
  if (!a || a.count === 0) return b;
  if (a.mean.length !== b.mean.length || a.scatter.length !== b.scatter.length)
    throw new Error(`mergeMoments: got ${a.mean.length} and ${b.mean.length} dimensions, expected the same.`);
  const count = a.count + b.count;
  const apart = b.mean.map((value, i) => value - a.mean[i]);
  const scatter = a.scatter.map((value, i) => value + b.scatter[i]);
  addOuter(scatter, apart, (a.count * b.count) / count);
  return { count, mean: a.mean.map((value, i) => value + (apart[i] * b.count) / count), scatter };
}

/** The covariance with n − 1 in its denominator, row-major [D, D], or the variances [D]. Throws on fewer than two rows. */
export function covariance({ count, scatter }: Moments): Float64Array {
  if (count < 2) throw new Error(`covariance: got ${count} rows, expected at least two.`);
  return scatter.map((value) => value / (count - 1));
}

/** The standard error of each mean, √(variance / n), from a `spreadOf`. NaN for one row. */
export const standardErrors = ({ count, scatter }: Moments): Float64Array =>
  scatter.map((value) => Math.sqrt(value / (count - 1) / count));
