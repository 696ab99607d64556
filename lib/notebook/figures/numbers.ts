/**
 * @file What a figure accepts as numbers, and the plain, short numbers that it puts into JSON.
 *
 * The library's tensors are taken by their shape and `dataSync`, without knowing TensorFlow.js.
 */

/** A tensor, as far as a figure cares. */
export interface TensorLike {
  readonly shape: readonly number[];
  dataSync(): ArrayLike<number>;
}

/** A list of numbers. */
export type Numbers = ArrayLike<number> | TensorLike;

/** 2-D points: rows of two, a row-major flat array `[n, 2]`, or a tensor `[n, 2]`. */
export type Points = readonly (readonly number[])[] | ArrayLike<number> | TensorLike;

const SIGNIFICANT_DIGITS = 6; // far below a pixel, and a third of the digits of a double

/** Whether `value` has a tensor's shape and data. */
export function isTensorLike(value: unknown): value is TensorLike {
  return typeof (value as TensorLike | null)?.dataSync === "function";
}

/** A number as JSON keeps it, to some significant digits; what is not finite becomes a gap (`null`). */
export function shortNumber(value: number, digits = SIGNIFICANT_DIGITS): number | null {
  if (!Number.isFinite(value)) return null;
  return Number.isInteger(value) ? value + 0 : Number(value.toPrecision(digits)); // -0 + 0 is 0, as JSON has it
}

/** The numbers themselves, in full precision. */
export function toNumbers(values: Numbers, what: string): number[] {
  const list = isTensorLike(values) ? values.dataSync() : values;
  if (typeof list !== "object" || list === null || typeof list.length !== "number")
    throw new Error(`${what}: got ${typeof values}, expected an array of numbers or a tensor.`);
  return Array.from(list);
}

/** The numbers, shortened, as Plotly takes them. */
export function column(values: ArrayLike<number>, digits = SIGNIFICANT_DIGITS): number[] {
  return Array.from(values, (value) => shortNumber(value, digits)) as number[]; // Plotly's types know no gaps; Plotly does
}

/** The two coordinates of each point, in full precision; throws on anything but `[n, 2]`. */
export function toCoordinates(points: Points, what: string): { x: number[]; y: number[] } {
  const flat = flatPairs(points, what);
  const x = new Array<number>(flat.length / 2);
  const y = new Array<number>(flat.length / 2);
  for (let i = 0; i < x.length; i++) {
    x[i] = flat[2 * i];
    y[i] = flat[2 * i + 1];
  }
  return { x, y };
}

function flatPairs(points: Points, what: string): ArrayLike<number> {
  if (isTensorLike(points)) {
    if (points.shape.length !== 2 || points.shape[1] !== 2)
      throw new Error(`${what}: got a tensor of shape [${points.shape}], expected [n, 2].`);
    return points.dataSync();
  }
  if (points.length > 0 && typeof points[0] !== "number") return flatRows(points as number[][], what);
  if (points.length % 2 !== 0)
    throw new Error(`${what}: got ${points.length} numbers, expected pairs: a row-major array of [n, 2].`);
  return points as ArrayLike<number>;
}

function flatRows(rows: readonly (readonly number[])[], what: string): number[] {
  const wrong = rows.findIndex((row) => row.length !== 2);
  if (wrong >= 0)
    throw new Error(`${what}: point ${wrong} has ${rows[wrong].length} coordinates, expected 2.`);
  return rows.flat();
}

/** Smallest and largest of the finite values, or [0, 1] where there is none. */
export function extent(values: Iterable<number>): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [0, 1];
}

/** `count` numbers from `low` to `high`, both included. */
export function linspace(low: number, high: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => low + ((high - low) * i) / Math.max(1, count - 1));
}
