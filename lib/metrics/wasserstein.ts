/**
 * @file The 2-Wasserstein distance W2: exact between point sets, in one dimension, sliced, and between Gaussians.
 *
 * `w2…` is the distance, in the data's own unit; `w2Squared…` its square. Point sets have equal weights and as
 * many points on both sides. What the distance between two finite samples of one and the same law comes to is in
 * `floor.ts`, and belongs beside every W2 of samples.
 */
import { type Eigen, type Matrix, symmetricEigen, symmetrized } from "../elbo/linalg";
import { rng } from "../tensor";
import { assignment } from "./assignment";
import { type PointSet, type Points, toPair } from "./points";

/** Exact W2 between two sets of n points in D dimensions, by the cheapest pairing: O(n³), a second for n = 1000. Throws on empty or unequal sets and on values that are not finite. */
export function w2(a: PointSet, b: PointSet): number {
  return Math.sqrt(w2SquaredOf(...toPair("w2", a, b)));
}

/** The square of `w2`: the mean over pairs of ‖x − y‖², minimized over pairings. */
export function w2Squared(a: PointSet, b: PointSet): number {
  return w2SquaredOf(...toPair("w2Squared", a, b));
}

function w2SquaredOf(a: Points, b: Points): number {
  const columnOf = assignment(matchingCosts(a, b), a.n);
  let sum = 0;
  for (let i = 0; i < a.n; i++)
    for (let d = 0; d < a.dims; d++)
      sum += (a.values[i * a.dims + d] - b.values[columnOf[i] * a.dims + d]) ** 2;
  return sum / a.n;
}

/**
 * Costs with the same cheapest pairing as ‖xᵢ − yⱼ‖², row-major `[n, n]`, on which the search is several times faster.
 *
 * Only −2⟨x, y⟩ depends on who is paired with whom: the rest may be chosen. With each coordinate standardized to
 * x̃ and ỹ, the costs Σ_d σx σy (x̃ − ỹ)² differ from the squared distances by a part of x and a part of y alone.
 */
function matchingCosts(a: Points, b: Points): Float64Array {
  const { n, dims } = a;
  const [first, second] = [standardized(a), standardized(b)];
  const cost = new Float64Array(n * n);
  for (let d = 0; d < dims; d++) {
    const [xs, ys] = [first[d].values, second[d].values];
    const weight = first[d].std * second[d].std;
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) cost[i * n + j] += weight * (xs[i] - ys[j]) ** 2;
  }
  return cost;
}

/** Each coordinate over all points, with mean 0 and standard deviation 1 (0 where it does not vary). */
function standardized({ values, n, dims }: Points): { values: Float64Array; std: number }[] {
  return Array.from({ length: dims }, (_, d) => {
    const own = Float64Array.from({ length: n }, (_, i) => values[i * dims + d]);
    const mean = own.reduce((sum, x) => sum + x, 0) / n;
    const std = Math.sqrt(own.reduce((sum, x) => sum + (x - mean) ** 2, 0) / n);
    return { values: own.map((x) => (std > 0 ? (x - mean) / std : 0)), std };
  });
}

/** Exact W2 between two lists of as many numbers: sorted, the k-th goes to the k-th. */
export function w2OneDimensional(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const [first, second] = toPair("w2OneDimensional", { data: a, dims: 1 }, { data: b, dims: 1 });
  return Math.sqrt(sortedMeanSquare(first.values, second.values));
}

/** Sorts both in place. */
function sortedMeanSquare(a: Float64Array, b: Float64Array): number {
  a.sort();
  b.sort();
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return sum / a.length;
}

/**
 * Sliced W2 (Bonneel et al. 2015): the root of the mean, over random directions θ of the unit sphere, of the
 * squared 1-D W2 between ⟨θ, x⟩ and ⟨θ, y⟩. O(n log n) per direction; at most W2, its square on average over seeds at
 * most W2²/D. The same seed gives the same directions. Throws as `w2`.
 */
export function slicedW2(a: PointSet, b: PointSet, { directions = 128, seed = 0 } = {}): number {
  const [first, second] = toPair("slicedW2", a, b);
  if (!(Number.isInteger(directions) && directions >= 1))
    throw new Error(`slicedW2: got ${directions} directions, expected a whole number of at least 1.`);
  const units = unitVectors(directions, first.dims, seed);
  const sum = units.reduce(
    (total, unit) => total + sortedMeanSquare(along(first, unit), along(second, unit)),
    0,
  );
  return Math.sqrt(sum / directions);
}

function unitVectors(count: number, dims: number, seed: number): Float64Array[] {
  const drawn = rng(seed).normal([count, dims]);
  const values = drawn.dataSync();
  drawn.dispose();
  return Array.from({ length: count }, (_, k) => {
    const direction = Float64Array.from(values.subarray(k * dims, (k + 1) * dims));
    const length = Math.hypot(...direction);
    return direction.map((x) => x / length);
  });
}

function along({ values, n, dims }: Points, unit: Float64Array): Float64Array {
  const projected = new Float64Array(n);
  for (let i = 0; i < n; i++) for (let d = 0; d < dims; d++) projected[i] += values[i * dims + d] * unit[d];
  return projected;
}

/** A Gaussian by its mean `[D]` and covariance `[D, D]`. */
export interface GaussianMoments {
  mean: ArrayLike<number>;
  covariance: Matrix;
}

/** The square of `w2Gaussians`. */
export function w2SquaredGaussians(a: GaussianMoments, b: GaussianMoments): number {
  const dims = a.mean.length;
  for (const { mean, covariance } of [a, b])
    if (mean.length !== dims || covariance.length !== dims)
      throw new Error(
        `w2Gaussians: got means of ${a.mean.length} and ${b.mean.length} and covariances of ${a.covariance.length} and ${b.covariance.length} dimensions, expected the same.`,
      );
  const meanSquare = Array.from(a.mean, (x, d) => (x - b.mean[d]) ** 2).reduce((sum, x) => sum + x, 0);
  return meanSquare + buresSquared(a.covariance, b.covariance);
}

/** C's least share of its largest eigenvalue down to which its inverse root is worth more than the traces. */
const REGULAR = 1e-13;

/**
 * tr A + tr B − 2 tr C^½ with R = A^½ and C = R B R. Unless C is next to singular it is taken as ‖R − C^{−½} R B‖², the
 * same as a sum of squares, since C^{−½} R B^½ is orthogonal: the traces cancel to 1e-16 tr A, whose root is 1e-8.
 */
function buresSquared(a: Matrix, b: Matrix): number {
  const root = squareRoot(a);
  covarianceEigen(b); // b's own are not needed, its checks are
  const product = multiply(root, b);
  const cross = symmetricEigen(symmetrized(multiply(product, root)));
  if (Math.min(...cross.values) > REGULAR * Math.max(...cross.values)) {
    const moved = multiply(
      spectral(cross, (value) => 1 / Math.sqrt(value)),
      product,
    );
    return root
      .flat()
      .reduce((sum, x, i) => sum + (x - moved[Math.floor(i / a.length)][i % a.length]) ** 2, 0);
  }
  const crossTrace = cross.values.reduce((sum, value) => sum + Math.sqrt(Math.max(0, value)), 0);
  return Math.max(0, trace(a) + trace(b) - 2 * crossTrace);
}

/**
 * W2 between two Gaussians of any dimension: W2² = ‖m_a − m_b‖² + tr A + tr B − 2 tr (A^½ B A^½)^½
 * (Olkin and Pukelsheim 1982; the Bures metric). Covariances are symmetric and positive semidefinite; throws otherwise. Of
 * singular ones a small distance is known to about 1e-8 of their size only.
 */
export function w2Gaussians(a: GaussianMoments, b: GaussianMoments): number {
  return Math.sqrt(w2SquaredGaussians(a, b));
}

function trace(matrix: Matrix): number {
  return matrix.reduce((sum, row, i) => sum + row[i], 0);
}

function multiply(a: Matrix, b: Matrix): number[][] {
  return a.map((row) => b[0].map((_, j) => row.reduce((sum, x, k) => sum + x * b[k][j], 0)));
}

/** The positive semidefinite root of a covariance. Throws as `covarianceEigen`. */
const squareRoot = (covariance: Matrix): number[][] =>
  spectral(covarianceEigen(covariance), (value) => Math.sqrt(Math.max(0, value)));

/** The eigenproblem of a covariance. Throws unless it is symmetric, and on a negative eigenvalue beyond rounding. */
function covarianceEigen(covariance: Matrix): Eigen {
  const eigen = symmetricEigen(covariance, "w2Gaussians", "a covariance");
  const largest = Math.max(...eigen.values.map(Math.abs));
  const lowest = Math.min(...eigen.values);
  if (lowest < -1e-10 * largest)
    throw new Error(`w2Gaussians: a covariance has the eigenvalue ${lowest}, expected none below 0.`);
  return eigen;
}

/** The symmetric matrix of these eigenvectors with f of their eigenvalues. */
function spectral({ values, vectors }: Eigen, f: (value: number) => number): number[][] {
  const images = values.map(f);
  return images.map((_, i) =>
    images.map((_, j) => images.reduce((sum, image, k) => sum + image * vectors[k][i] * vectors[k][j], 0)),
  );
}
