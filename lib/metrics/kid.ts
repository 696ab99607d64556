/**
 * @file The kernel distance of features (Bińkowski et al. 2018): the unbiased estimate of the squared maximum mean
 * discrepancy with the kernel (⟨x, y⟩/D + 1)³. Unlike a Fréchet distance it does not depend on the number of images.
 */
import { type Estimate, estimate } from "../elbo/statistics";
import { rng, tf } from "../tensor";
import { checkRows, numbersOf, type Rows } from "./rows";

export interface KidOptions {
  /** Rows of each set in one subset, at most; default a tenth of them, at most 1000: fewer subsets tell no spread. */
  subsetSize?: number;
  /** Of the order in which rows fall into subsets; default 0. */
  seed?: number;
}

/** A kernel distance; may be below 0. */
export interface Kid extends Estimate {
  subsetSize: number;
}

/**
 * The mean of MMD² over disjoint subsets of both sets, in random order, and its standard error over them: at least two
 * subsets. Throws on fewer than four rows of either, and where the dimensions differ.
 */
export async function kid(a: Rows, b: Rows, { subsetSize, seed = 0 }: KidOptions = {}): Promise<Kid> {
  checkRows("kid", a, b);
  const rows = Math.min(a.count, b.count);
  if (rows < 4) throw new Error(`kid: got ${a.count} and ${b.count} rows, expected at least four of each.`);
  const most = subsetSize ?? Math.min(1000, Math.max(2, Math.floor(rows / 10)));
  const subsets = Math.max(2, Math.ceil(rows / most));
  const size = Math.floor(rows / subsets);
  const [orderA, orderB] = [shuffled(a.count, seed, 0), shuffled(b.count, seed, 1)];
  const values: number[] = [];
  for (let i = 0; i < subsets; i++) {
    const part = (order: Uint32Array) => order.subarray(i * size, (i + 1) * size);
    values.push(squaredMmd(gathered(a, part(orderA)), gathered(b, part(orderB)), a.dims));
    await tf.nextFrame();
  }
  return { ...estimate(values), subsetSize: size };
}

function shuffled(count: number, seed: number, stream: number): Uint32Array {
  const keys = numbersOf(() => rng(seed, stream).uniform([count]));
  return Uint32Array.from({ length: count }, (_, i) => i).sort((x, y) => keys[x] - keys[y] || x - y);
}

function gathered(rows: Rows, places: Uint32Array): Float32Array {
  const values = new Float32Array(places.length * rows.dims);
  places.forEach((place, i) => {
    values.set(rows.slice(place, place + 1), i * rows.dims);
  });
  return values;
}

/** The unbiased estimate of MMD² (Gretton et al. 2012, eq. 3): pairs of a row with itself are left out. */
function squaredMmd(a: Float32Array, b: Float32Array, dims: number): number {
  const [m, n] = [a.length / dims, b.length / dims];
  const own = (x: Float32Array, count: number) => kernelSum(x, x, dims, count + 1) / (count * (count - 1));
  return own(a, m) + own(b, n) - (2 * kernelSum(a, b, dims)) / (m * n);
}

/** Σ (⟨x, y⟩/dims + 1)³ over all pairs, or all but every `leftOut`-th, in float64 from float32 products. */
function kernelSum(a: Float32Array, b: Float32Array, dims: number, leftOut?: number): number {
  const products = numbersOf(() => {
    const [x, y] = [a, b].map((values) => tf.tensor2d(values, [values.length / dims, dims]));
    return tf.matMul(x, y, false, true);
  });
  let sum = 0;
  for (let i = 0; i < products.length; i++) {
    if (leftOut !== undefined && i % leftOut === 0) continue;
    const base = products[i] / dims + 1;
    sum += base * base * base;
  }
  return sum;
}
