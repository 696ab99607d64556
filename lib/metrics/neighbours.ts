/**
 * @file Nearest neighbours, and from them precision and recall of samples (Kynkäänniemi et al. 2019): the share of samples
 * within the real images' manifold, and of real images within the samples'. Distances are Euclidean.
 */
import { checkRows, eachDistanceBlock, type Rows, squaredDistance } from "./rows";

/** The nearest rows of each query, nearest first. */
export interface Neighbours {
  readonly k: number;
  /** Places among the references, row-major [queries, k]. */
  readonly places: Int32Array;
  readonly distances: Float64Array;
}

/**
 * The `k` nearest of `references` to each of `queries`; with `sameSet`, a row is not its own neighbour. Throws where there
 * are fewer than k of them, and where the dimensions differ.
 */
export async function nearest(
  queries: Rows,
  references: Rows,
  { k = 1, sameSet = false }: { k?: number; sameSet?: boolean } = {},
): Promise<Neighbours> {
  checkRows("nearest", queries, references);
  const most = references.count - Number(sameSet);
  if (!(Number.isInteger(k) && k >= 1 && k <= most))
    throw new Error(`nearest: k is ${k}, expected a whole number from 1 to the ${most} other rows.`);
  const places = new Int32Array(queries.count * k).fill(-1);
  const squares = new Float64Array(queries.count * k).fill(Number.POSITIVE_INFINITY);
  await eachDistanceBlock(queries, references, ({ row, column, height, width, values }) => {
    for (let i = 0; i < height; i++) {
      const at = (row + i) * k;
      for (let j = 0; j < width; j++) {
        const square = values[i * width + j];
        if (square >= squares[at + k - 1] || (sameSet && row + i === column + j)) continue;
        insert(places, squares, at, k, column + j, square);
      }
    }
  });
  return { k, places, distances: exactly(queries, references, places, k) };
}

/** Puts a neighbour in its place among the k kept from `at` on, the farthest of which goes. */
function insert(
  places: Int32Array,
  squares: Float64Array,
  at: number,
  k: number,
  place: number,
  square: number,
): void {
  let to = at + k - 1;
  for (; to > at && squares[to - 1] > square; to--) {
    squares[to] = squares[to - 1];
    places[to] = places[to - 1];
  }
  squares[to] = square;
  places[to] = place;
}

/** The distances of the places found, in float64; sorts each query's places by them. */
function exactly(queries: Rows, references: Rows, places: Int32Array, k: number): Float64Array {
  const distances = new Float64Array(places.length);
  for (let i = 0; i < queries.count; i++) {
    const found = Array.from(places.subarray(i * k, (i + 1) * k), (place) => ({
      place,
      distance: Math.sqrt(squaredDistance(queries, i, references, place)),
    })).sort((a, b) => a.distance - b.distance || a.place - b.place);
    found.forEach(({ place, distance }, j) => {
      places[i * k + j] = place;
      distances[i * k + j] = distance;
    });
  }
  return distances;
}

export interface PrecisionRecall {
  precision: number;
  recall: number;
  k: number;
}

/** Precision and recall with balls that reach to each row's `k`-th neighbour in its own set (Kynkäänniemi et al. 2019, eq. 1 and 2). Throws as `nearest`. */
export async function precisionRecall(real: Rows, samples: Rows, k = 3): Promise<PrecisionRecall> {
  const precision = await shareWithin(samples, real, k);
  const recall = await shareWithin(real, samples, k);
  return { precision, recall, k };
}

/** The share of `rows` that lie in a ball of `manifold`. */
async function shareWithin(rows: Rows, manifold: Rows, k: number): Promise<number> {
  const { distances } = await nearest(manifold, manifold, { k, sameSet: true });
  const radii = Float64Array.from({ length: manifold.count }, (_, i) => distances[i * k + k - 1] ** 2);
  const within = new Uint8Array(rows.count);
  await eachDistanceBlock(rows, manifold, ({ row, column, height, width, values }) => {
    for (let i = 0; i < height; i++)
      for (let j = 0; j < width && !within[row + i]; j++)
        if (values[i * width + j] <= radii[column + j]) within[row + i] = 1;
  });
  return within.reduce((sum, value) => sum + value, 0) / rows.count;
}
