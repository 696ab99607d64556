/**
 * @file The kernel distance of features (Bińkowski et al. 2018): the unbiased estimate of the squared maximum mean
 * discrepancy with the kernel (⟨x, y⟩/D + 1)³. Unlike a Fréchet distance it does not depend on the number of images.
 */
import { type Estimate, estimate } from "../elbo/statistics";
import { rng, tf } from "../tensor";
import { checkedRows, eachBlock, numbersOf, type Rows, rowsOf } from "./rows";

export interface KidOptions {
  /** Rows of each set that are compared, at most, chosen at random; default 10,000. */
  rows?: number;
  /** Of the choice; default 0. */
  seed?: number;
}

/** A kernel distance; may be below 0. `count` rows were compared with `reference` others. */
export interface Kid extends Estimate {
  reference: number;
}

/**
 * MMD² of two sets (Gretton et al. 2012, eq. 3: pairs of a row with itself are left out), and its standard error by the
 * jackknife, rows of either set left out one by one: never too small in expectation (Efron & Stein 1981), and where the
 * laws are the same up to √2 too large. Throws on fewer than four rows of either, where the
 * dimensions differ, and on a number that is not finite.
 */
export const kid = (a: Rows, b: Rows, options?: KidOptions): Promise<Kid> => kidTo(b, options)(a);

/** The distances of several sets to one reference, whose own pairs are summed once. Throws as `kid`. */
export function kidTo(b: Rows, { rows = 10_000, seed = 0 }: KidOptions = {}): (a: Rows) => Promise<Kid> {
  let known: Promise<{ y: Rows; yy: KernelSums }> | undefined;
  const referenceSums = async (all: Rows) => {
    const y = chosen(all, rows, seed, 1);
    return { y, yy: await kernelSums(y) };
  };
  return async (a) => {
    const [own, reference] = checkedRows("kid", a, b);
    if (Math.min(a.count, b.count, rows) < 4)
      throw new Error(`kid: got ${a.count} and ${b.count} rows, expected at least four of each.`);
    known ??= referenceSums(reference);
    const x = chosen(own, rows, seed, 0);
    const { y, yy } = await known;
    return distanceFrom(await kernelSums(x), yy, await kernelSums(x, y));
  };
}

/** MMD² and its standard error from the sums over pairs within either set, and across. */
function distanceFrom(xx: KernelSums, yy: KernelSums, xy: KernelSums): Kid {
  const [n, m] = [xx.byRow.length, yy.byRow.length];
  const own = (total: number, count: number) => total / (count * (count - 1));
  const [ownX, ownY, across] = [own(xx.total, n), own(yy.total, m), xy.total / (n * m)];
  const withoutX = Array.from(
    xx.byRow,
    (sum, i) => own(xx.total - 2 * sum, n - 1) + ownY - (2 * (xy.total - xy.byRow[i])) / ((n - 1) * m),
  );
  const withoutY = Array.from(
    yy.byRow,
    (sum, j) => ownX + own(yy.total - 2 * sum, m - 1) - (2 * (xy.total - xy.byColumn[j])) / (n * (m - 1)),
  );
  const standardError = Math.sqrt(jackknifeVariance(withoutX) + jackknifeVariance(withoutY));
  return { mean: ownX + ownY - 2 * across, standardError, count: n, reference: m };
}

/** (n − 1)/n Σ (θ₍₋ᵢ₎ − their mean)², which is (n − 1)² times the squared standard error of so many draws. */
function jackknifeVariance(values: number[]): number {
  const { standardError, count } = estimate(values);
  return ((count - 1) * standardError) ** 2;
}

/** All rows, or as many of them, at random. */
function chosen(rows: Rows, most: number, seed: number, stream: number): Rows {
  if (rows.count <= most) return rows;
  const keys = numbersOf(() => rng(seed, stream).uniform([rows.count]));
  const places = Array.from(keys, (_, i) => i).sort((i, j) => keys[i] - keys[j] || i - j);
  const values = new Float32Array(most * rows.dims);
  places.slice(0, most).forEach((place, i) => {
    values.set(rows.slice(place, place + 1), i * rows.dims);
  });
  return rowsOf(values, rows.dims);
}

/** Sums of the kernel over pairs. */
interface KernelSums {
  total: number;
  byRow: Float64Array;
  byColumn: Float64Array;
}

/** Σ (⟨x, y⟩/D + 1)³ over all pairs, of one set alone over those of two rows; in float64 from float32 products. */
async function kernelSums(a: Rows, other?: Rows): Promise<KernelSums> {
  const b = other ?? a;
  const [byRow, byColumn] = [new Float64Array(a.count), new Float64Array(b.count)];
  const products = (x: tf.Tensor2D, y: tf.Tensor2D) => tf.matMul(x, y, false, true);
  await eachBlock(a, b, products, ({ row, column, height, width, values }) => {
    for (let i = 0; i < height; i++)
      for (let j = 0; j < width; j++) {
        if (!other && row + i === column + j) continue;
        const kernel = (values[i * width + j] / a.dims + 1) ** 3;
        byRow[row + i] += kernel;
        byColumn[column + j] += kernel;
      }
  });
  return { total: byRow.reduce((sum, value) => sum + value, 0), byRow, byColumn };
}
