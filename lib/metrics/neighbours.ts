/**
 * @file Nearest neighbours, and from them precision and recall of samples (Kynkäänniemi et al. 2019): the share of samples
 * within the real images' manifold, and of real images within the samples'. Distances are Euclidean.
 */
import { checkedRows, eachDistanceBlock, type Rows, squaredDistance } from "./rows";

/** The nearest rows of each query, nearest first. */
export interface Neighbours {
  readonly k: number;
  /** Places among the references, row-major [queries, k]. */
  readonly places: Int32Array;
  readonly distances: Float64Array;
}

/**
 * The `k` nearest of `among` to each row `asked`; with `sameSet`, a row is not its own neighbour. Of equally near ones
 * the first. Throws where there are fewer than k of them, where the dimensions differ, and on a number that is not finite.
 */
export async function nearest(
  asked: Rows,
  among: Rows,
  { k = 1, sameSet = false }: { k?: number; sameSet?: boolean } = {},
): Promise<Neighbours> {
  const [queries, references] = checkedRows("nearest", asked, among);
  const most = references.count - Number(sameSet);
  if (!(Number.isInteger(k) && k >= 1 && k <= most))
    throw new Error(`nearest: k is ${k}, expected a whole number from 1 to the ${most} other rows.`);
  const kept = Math.min(k + SPARE, most);
  const places = new Int32Array(queries.count * kept).fill(-1);
  const squares = new Float64Array(queries.count * kept).fill(Number.POSITIVE_INFINITY);
  const slacks = new Float64Array(queries.count);
  await eachDistanceBlock(queries, references, ({ row, column, height, width, values, slack }) => {
    for (let i = 0; i < height; i++) {
      const at = (row + i) * kept;
      slacks[row + i] = Math.max(slacks[row + i], slack);
      for (let j = 0; j < width; j++) {
        const square = values[i * width + j];
        if (square >= squares[at + kept - 1] || (sameSet && row + i === column + j)) continue;
        insert(places, squares, at, kept, column + j, square);
      }
    }
  });
  const found: Neighbours = {
    k,
    places: new Int32Array(queries.count * k),
    distances: new Float64Array(queries.count * k),
  };
  for (let i = 0; i < queries.count; i++) {
    const exact = (of: Iterable<number>) => exactly(queries, i, references, of);
    let best = exact(places.subarray(i * kept, (i + 1) * kept));
    // Others are no nearer than the last one kept, but for rounding; where that leaves room for one, all are looked at.
    if (kept < most && squares[(i + 1) * kept - 1] - slacks[i] <= best[k - 1].square)
      best = exact(others(references.count, sameSet ? i : -1));
    for (let j = 0; j < k; j++) {
      found.places[i * k + j] = best[j].place;
      found.distances[i * k + j] = Math.sqrt(best[j].square);
    }
  }
  return found;
}

/** Neighbours by float32 that are kept beyond the k asked for: their order may be another in float64. */
const SPARE = 8;

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

/** These references with their squared distances from a query in float64, the nearest first. */
function exactly(queries: Rows, i: number, references: Rows, places: Iterable<number>) {
  return Array.from(places, (place) => ({
    place,
    square: squaredDistance(queries, i, references, place),
  })).sort((a, b) => a.square - b.square || a.place - b.place);
}

/** 0…count−1 without one of them. */
const others = (count: number, without: number): number[] =>
  Array.from({ length: count }, (_, place) => place).filter((place) => place !== without);

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

/** The share of `rows` that lie in a ball of `manifold`, its boundary included; what float32 leaves open is decided in float64. */
async function shareWithin(rows: Rows, manifold: Rows, k: number): Promise<number> {
  const { places } = await nearest(manifold, manifold, { k, sameSet: true });
  const radii = Float64Array.from({ length: manifold.count }, (_, i) =>
    squaredDistance(manifold, i, manifold, places[i * k + k - 1]),
  );
  const within = new Uint8Array(rows.count);
  await eachDistanceBlock(rows, manifold, ({ row, column, height, width, values, slack }) => {
    const isWithin = (i: number, j: number): boolean => {
      const [square, radius] = [values[i * width + j], radii[column + j]];
      if (Math.abs(square - radius) > slack) return square < radius;
      return squaredDistance(rows, row + i, manifold, column + j) <= radius;
    };
    for (let i = 0; i < height; i++)
      for (let j = 0; j < width && !within[row + i]; j++) if (isWithin(i, j)) within[row + i] = 1;
  });
  return within.reduce((sum, value) => sum + value, 0) / rows.count;
}
