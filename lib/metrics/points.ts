/** @file Sets of points as the metrics take them: a tensor, rows, or a row-major flat array with its dimension. */

/** A tensor, as far as a metric cares. */
export interface TensorLike {
  readonly shape: readonly number[];
  dataSync(): ArrayLike<number>;
}

/** n points of D coordinates: a tensor `[n, D]`, rows of D numbers, or `{ data, dims }` with row-major data. */
export type PointSet =
  | TensorLike
  | readonly ArrayLike<number>[]
  | { readonly data: ArrayLike<number>; readonly dims: number };

/** Points in float64, row-major `[n, dims]`. */
export interface Points {
  values: Float64Array;
  n: number;
  dims: number;
}

/** The points in float64. Throws on an empty set, rows of unequal length, and what is not finite. */
export function toPoints(caller: string, name: string, set: PointSet): Points {
  const { values, dims } = flattened(caller, name, set);
  const n = values.length / dims;
  if (!(dims >= 1) || !Number.isInteger(n))
    throw new Error(
      `${caller}: ${name} has ${values.length} numbers, expected a multiple of its ${dims} dimensions.`,
    );
  if (n === 0) throw new Error(`${caller}: ${name} is empty, expected at least one point.`);
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0)
    throw new Error(
      `${caller}: ${name} has ${values[bad]} at point ${Math.floor(bad / dims)}, expected finite numbers. Did the sampler diverge?`,
    );
  return { values, n, dims };
}

function flattened(caller: string, name: string, set: PointSet): { values: Float64Array; dims: number } {
  if ("dataSync" in set) {
    if (set.shape.length !== 2)
      throw new Error(`${caller}: ${name} has shape [${set.shape}], expected [n, D].`);
    return { values: Float64Array.from(set.dataSync()), dims: set.shape[1] };
  }
  if ("data" in set) return { values: Float64Array.from(set.data), dims: set.dims };
  const dims = set[0]?.length ?? 1;
  const ragged = set.findIndex((row) => row.length !== dims);
  if (ragged >= 0)
    throw new Error(
      `${caller}: point ${ragged} of ${name} has ${set[ragged].length} coordinates, expected ${dims}.`,
    );
  const values = new Float64Array(set.length * dims);
  for (let i = 0; i < set.length; i++) values.set(set[i], i * dims);
  return { values, dims };
}

/** Both sets, checked to have as many points of as many dimensions. */
export function toPair(caller: string, a: PointSet, b: PointSet): [Points, Points] {
  const [first, second] = [toPoints(caller, "the first set", a), toPoints(caller, "the second set", b)];
  if (first.dims !== second.dims)
    throw new Error(
      `${caller}: got points of ${first.dims} and of ${second.dims} dimensions, expected the same.`,
    );
  if (first.n !== second.n)
    throw new Error(
      `${caller}: got ${first.n} and ${second.n} points, expected as many in both. Draw or keep ${Math.min(first.n, second.n)} of each.`,
    );
  return [first, second];
}
