/** @file Gaussians: log-density, entropy and KL divergence; plain numbers in float64, then batches of tensors. Nats throughout. */
import { sumDims } from "../diffusion";
import { tf } from "../tensor";
import { checkSymmetric, cholesky, forwardSolve, type Matrix, symmetricEigen, symmetrized } from "./linalg";

const LOG_2PI = Math.log(2 * Math.PI);

/** ln N(x; mean, variance) of one number. Throws unless the variance is above 0. */
export function logDensity1d(x: number, mean: number, variance: number): number {
  checkVariance("logDensity1d", variance);
  return -0.5 * (LOG_2PI + Math.log(variance) + (x - mean) ** 2 / variance);
}

/** Differential entropy ½ ln(2πe·variance) of N(·, variance). Throws unless the variance is above 0. */
export function entropy1d(variance: number): number {
  checkVariance("entropy1d", variance);
  return 0.5 * (LOG_2PI + 1 + Math.log(variance));
}

/** KL(N(mean1, variance1) ‖ N(mean2, variance2)) of two univariate Gaussians, infinite where the first is a point. Throws on other variances that are not above 0. */
export function kl1d(mean1: number, variance1: number, mean2: number, variance2: number): number {
  if (variance1 !== 0) checkVariance("kl1d", variance1);
  checkVariance("kl1d", variance2);
  return varianceKl(variance1, variance2) + (mean1 - mean2) ** 2 / (2 * variance2);
}

/** KL between Gaussians of equal mean, ½(r − 1 − ln r) with r = variance1/variance2; precise at any ratio, infinite at r = 0. */
export function varianceKl(variance1: number, variance2: number): number {
  return excessKl((variance1 - variance2) / variance2, variance1 / variance2);
}

/**
 * `varianceKl` at the ratio 1 + x, ½(x − ln(1 + x)), from x ≥ −1 itself: precise however small x is. Give the `ratio` too
 * where it may be tiny, since of 1 + x nothing is left then.
 */
export function excessKl(x: number, ratio = 1 + x): number {
  if (Math.abs(x) <= 0.03) return 0.5 * excessOverLog(x);
  if (ratio === Number.POSITIVE_INFINITY) return ratio;
  return 0.5 * (x - (x > -0.5 ? Math.log1p(x) : Math.log(ratio)));
}

/** x − ln(1 + x) ≥ 0 for small x, where the difference would cancel, by its series. */
function excessOverLog(x: number): number {
  let sum = 0;
  let power = -x;
  for (let n = 2; n <= 14; n++) {
    power *= -x;
    sum += power / n;
  }
  return sum;
}

function checkVariance(caller: string, variance: number): void {
  if (!(variance > 0)) throw new Error(`${caller}: a variance is ${variance}, expected one above 0.`);
}

/** KL between Gaussians with diagonal covariances, summed over dimensions. Throws on unequal lengths and as `kl1d`. */
export function klDiagonal(
  mean1: ArrayLike<number>,
  variance1: ArrayLike<number>,
  mean2: ArrayLike<number>,
  variance2: ArrayLike<number>,
): number {
  const dims = mean1.length;
  const lengths = [dims, variance1.length, mean2.length, variance2.length];
  if (lengths.some((length) => length !== dims))
    throw new Error(`klDiagonal: got lengths ${lengths.join(", ")}, expected four equal ones.`);
  let sum = 0;
  for (let i = 0; i < dims; i++) sum += kl1d(mean1[i], variance1[i], mean2[i], variance2[i]);
  return sum;
}

/**
 * KL between Gaussians with full covariances, ½[tr(B⁻¹A) + dᵀB⁻¹d − D + ln(det B/det A)], through Cholesky factors; precise
 * also where they are close. Throws unless both are symmetric, positive definite and of the means' one size.
 */
export function klFull(
  mean1: readonly number[],
  covariance1: Matrix,
  mean2: readonly number[],
  covariance2: Matrix,
): number {
  const dims = mean1.length;
  checkLength("klFull", mean2, "mean2", mean1, "mean1");
  checkSymmetric("klFull", "covariance1", covariance1, dims);
  checkSymmetric("klFull", "covariance2", covariance2, dims);
  const a = cholesky("klFull", "covariance1", covariance1);
  const b = cholesky("klFull", "covariance2", covariance2);
  const shift = forwardSolve(
    b,
    mean1.map((x, i) => x - mean2[i]),
  );
  const difference = covariance1.map((row, i) => row.map((value, j) => value - covariance2[i][j]));
  const excess = whitened(b, difference);
  const spread = sumOfSquares(excess.flat()) < CLOSE ? excessesKl(excess) : factorsKl(a, b);
  return 0.5 * sumOfSquares(shift) + spread;
}

/** Where ‖L⁻¹(A − B)L⁻ᵀ‖², B = LLᵀ, is below this the KL is taken from the eigenvalues; beyond, the factors lose nothing. */
const CLOSE = 0.25;

function sumOfSquares(values: readonly number[]): number {
  return values.reduce((sum, x) => sum + x * x, 0);
}

/** KL between Gaussians of equal mean, ½ Σ (x − ln(1 + x)) over the eigenvalues x of L⁻¹(A − B)L⁻ᵀ. */
function excessesKl(excess: Matrix): number {
  return symmetricEigen(excess).values.reduce((sum, x) => sum + excessKl(x), 0);
}

/** KL between Gaussians of equal mean from the Cholesky factors of their covariances. */
function factorsKl(a: Matrix, b: Matrix): number {
  let sum = -a.length;
  for (let j = 0; j < a.length; j++) {
    sum += 2 * Math.log(b[j][j] / a[j][j]);
    const column = a.map((row) => row[j]);
    sum += sumOfSquares(forwardSolve(b, column)); // columns of B^{-1/2} A^{1/2}
  }
  return 0.5 * sum;
}

/** L⁻¹ M L⁻ᵀ for a symmetric M. */
function whitened(lower: Matrix, symmetric: Matrix): number[][] {
  const half = symmetric.map((row) => forwardSolve(lower, row)); // M L⁻ᵀ
  const columns = half.map((_, j) =>
    forwardSolve(
      lower,
      half.map((row) => row[j]),
    ),
  );
  return symmetrized(columns);
}

/** ln N(x; mean, covariance) for a full covariance. Throws unless it is symmetric, positive definite and of the size of x and mean. */
export function logDensityFull(x: readonly number[], mean: readonly number[], covariance: Matrix): number {
  checkLength("logDensityFull", mean, "mean", x, "x");
  checkSymmetric("logDensityFull", "covariance", covariance, x.length);
  const lower = cholesky("logDensityFull", "covariance", covariance);
  const white = forwardSolve(
    lower,
    x.map((value, i) => value - mean[i]),
  );
  return white.reduce((sum, z, i) => sum - 0.5 * (LOG_2PI + z * z) - Math.log(lower[i][i]), 0);
}

function checkLength(
  caller: string,
  got: readonly number[],
  name: string,
  want: readonly number[],
  wantName: string,
): void {
  if (got.length !== want.length)
    throw new Error(
      `${caller}: ${name} has ${got.length} entries, expected ${want.length} to match ${wantName}.`,
    );
}

/** ln N(x; mean, variance) summed over dimensions: x, mean [B, …], variance broadcastable to them → [B]. The caller disposes. */
export function gaussianLogDensity(x: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor): tf.Tensor1D {
  return tf.tidy(() => {
    const squares = x.sub(mean).square().div(variance);
    return sumDims(squares.add(variance.log()).add(LOG_2PI).mul(-0.5));
  });
}

/**
 * KL of diagonal Gaussians summed over dimensions: means [B, …], variances broadcastable to them → [B], to 1e-5
 * relative where the variances are close, too. The caller disposes.
 */
export function gaussianKl(
  mean1: tf.Tensor,
  variance1: tf.Tensor,
  mean2: tf.Tensor,
  variance2: tf.Tensor,
): tf.Tensor1D {
  return tf.tidy(() => {
    const shift = mean1.sub(mean2).square().div(variance2);
    return sumDims(shift.add(varianceExcess(variance1, variance2)).mul(0.5));
  });
}

/** r = variance1/variance2 this close to 1 is left to the series of r − 1 − ln r. */
const NEAR = 0.2;
/** The series' last power: 0.2^12 is below float32's digits. */
const LAST_POWER = 13;

/** r − 1 − ln r: the series up to the edge of its range, and from there what the plain form adds, which within is exactly 0. */
function varianceExcess(variance1: tf.Tensor, variance2: tf.Tensor): tf.Tensor {
  const x = variance1.sub(variance2).div(variance2).clipByValue(-NEAR, NEAR);
  let series: tf.Tensor = tf.scalar(1 / LAST_POWER);
  for (let n = LAST_POWER - 1; n >= 2; n--)
    series = x
      .mul(series)
      .neg()
      .add(1 / n);
  const ratio = variance1.div(variance2);
  const inside = ratio.clipByValue(1 - NEAR, 1 + NEAR);
  return x
    .square()
    .mul(series)
    .add(ratio.sub(ratio.log()).sub(inside.sub(inside.log())));
}
