/**
 * @file Sets of rows too many for a table of all their distances: features or pixels, read part by part, and the products
 * and distances between two of them block by block. What is kept at once is a block.
 */
import { tf } from "../tensor";
import { type Moments, mergeMoments, momentsOf, spreadOf } from "./moments";

/** Rows of `dims` numbers. */
export interface Rows {
  readonly count: number;
  readonly dims: number;
  /** Rows from…to−1, row-major. */
  slice(from: number, to: number): Float32Array;
}

/** Rows in one array, of bytes such as pixels or of float32 such as features. Throws on a part of a row. */
export function rowsOf(values: Float32Array | Uint8Array, dims: number): Rows {
  const count = values.length / dims;
  if (!Number.isInteger(count))
    throw new Error(`rowsOf: got ${values.length} numbers, expected a multiple of the ${dims} dimensions.`);
  return { count, dims, slice: (from, to) => Float32Array.from(values.subarray(from * dims, to * dims)) };
}

/** Rows read at once for their moments. */
const MOMENT_ROWS = 1000;

/** The moments of all rows, some of them in memory at a time. Throws on no rows, and as `momentsOf`. */
export const momentsOfRows = (rows: Rows): Promise<Moments> => mergedOf(rows, momentsOf);

/** As `momentsOfRows`, with variances in place of the covariance. */
export const spreadOfRows = (rows: Rows): Promise<Moments> => mergedOf(rows, spreadOf);

async function mergedOf({ count, dims, slice }: Rows, of: typeof momentsOf): Promise<Moments> {
  let moments: Moments | null = null;
  for (let from = 0; from < count; from += MOMENT_ROWS) {
    moments = mergeMoments(moments, of(slice(from, Math.min(count, from + MOMENT_ROWS)), dims));
    await tf.nextFrame();
  }
  if (moments) return moments;
  throw new Error("momentsOfRows: got no rows, expected at least one.");
}

/** Both sets, whose numbers are checked as they are read. Throws unless both have rows, of one dimension. */
export function checkedRows(caller: string, a: Rows, b: Rows): [Rows, Rows] {
  if (a.dims !== b.dims)
    throw new Error(`${caller}: got rows of ${a.dims} and of ${b.dims} dimensions, expected the same.`);
  if (a.count === 0 || b.count === 0)
    throw new Error(`${caller}: got ${a.count} and ${b.count} rows, expected at least one of each.`);
  return [finite(caller, a), finite(caller, b)];
}

/** These rows; throws where one that is read has a number that is none. */
function finite(caller: string, rows: Rows): Rows {
  return {
    ...rows,
    slice(from, to) {
      const values = rows.slice(from, to);
      const bad = values.findIndex((value) => !Number.isFinite(value));
      if (bad >= 0)
        throw new Error(
          `${caller}: row ${from + Math.floor(bad / rows.dims)} has ${values[bad]}, expected numbers. Look at what it was computed from.`,
        );
      return values;
    },
  };
}

/** What pairs of rows come to: rows of `a` from `row`, of `b` from `column`; values row-major [height, width]. */
export interface Block {
  row: number;
  column: number;
  height: number;
  width: number;
  values: Float32Array;
}

/** A number for each pair of a row of x [height, D] and a row of y [width, D]. */
type OfPairs = (x: tf.Tensor2D, y: tf.Tensor2D) => tf.Tensor;

const BLOCK = { height: 1024, width: 4096 };

/** All pairs block by block, row of blocks after row of blocks, giving way to the event loop after each. */
export async function eachBlock(a: Rows, b: Rows, of: OfPairs, visit: (block: Block) => void): Promise<void> {
  const tensor = (rows: Float32Array) => tf.tensor2d(rows, [rows.length / a.dims, a.dims]);
  for (let row = 0; row < a.count; row += BLOCK.height) {
    const height = Math.min(BLOCK.height, a.count - row);
    const x = a.slice(row, row + height);
    for (let column = 0; column < b.count; column += BLOCK.width) {
      const width = Math.min(BLOCK.width, b.count - column);
      const y = b.slice(column, column + width);
      visit({ row, column, height, width, values: numbersOf(() => of(tensor(x), tensor(y))) });
      await tf.nextFrame();
    }
  }
}

/** Squared distances in float32, and how far from the true ones the block's may be at most. */
export interface DistanceBlock extends Block {
  slack: number;
}

/** What float32 may take from ‖x‖² + ‖y‖² − 2⟨x, y⟩, in units of ‖x‖² + ‖y‖²: some hundred roundings. */
const SLACK = 1e-5;

/** Squared distances block by block. */
export function eachDistanceBlock(a: Rows, b: Rows, visit: (block: DistanceBlock) => void): Promise<void> {
  const centre = middle(b);
  const largest = { a: 0, b: 0 }; // squares of the rows that were read last: those of the block
  const moved = (rows: Rows, which: "a" | "b"): Rows => ({
    ...rows,
    slice(from, to) {
      const values = centred(rows.slice(from, to), centre);
      largest[which] = largestSquare(values, rows.dims);
      return values;
    },
  });
  return eachBlock(moved(a, "a"), moved(b, "b"), squaredDistances, (block) =>
    visit({ ...block, slack: SLACK * (largest.a + largest.b) }),
  );
}

/** The largest ‖x‖² of these rows. */
function largestSquare(values: Float32Array, dims: number): number {
  let largest = 0;
  for (let from = 0; from < values.length; from += dims) {
    let square = 0;
    for (let i = from; i < from + dims; i++) square += values[i] ** 2;
    largest = Math.max(largest, square);
  }
  return largest;
}

/** A point amid the rows: distances taken from there lose less to float32. */
function middle(rows: Rows): Float64Array {
  const count = Math.min(rows.count, 1000);
  const values = rows.slice(0, count);
  const centre = new Float64Array(rows.dims);
  values.forEach((value, i) => {
    centre[i % rows.dims] += value / count;
  });
  return centre;
}

const centred = (values: Float32Array, centre: Float64Array): Float32Array =>
  values.map((value, i) => value - centre[i % centre.length]);

/** The numbers of a tensor, whatever else is made on the way disposed. (`tf.tidy` would look for tensors among millions of numbers.) */
export function numbersOf(make: () => tf.Tensor): Float32Array {
  const tensor = tf.tidy(make);
  const values = tensor.dataSync() as Float32Array;
  tensor.dispose();
  return values;
}

/** ‖x‖² + ‖y‖² − 2⟨x, y⟩, at least 0. */
const squaredDistances: OfPairs = (x, y) => {
  const products = tf.matMul(x, y, false, true).mul(-2);
  const squares = products.add(x.square().sum(1, true)).add(y.square().sum(1));
  return squares.maximum(0);
};

/** ‖x − y‖² of one row each, in float64. */
export function squaredDistance(a: Rows, i: number, b: Rows, j: number): number {
  const [x, y] = [a.slice(i, i + 1), b.slice(j, j + 1)];
  return x.reduce((sum, value, d) => sum + (value - y[d]) ** 2, 0);
}
