/**
 * @file The one-sided Lipschitz constant L_s(t) of a score: the least L with (s(x) − s(y))·(x − y) ≤ L‖x − y‖², which is
 * the supremum over x of the largest eigenvalue of the Jacobian's symmetric part. It may be negative.
 *
 * Exact for Gaussians and for clusters on the corners of a square. For a network the exact value is NP-hard to find
 * (Virmaux and Scaman 2018): points on a grid give a lower estimate, spectral norms a certified and loose upper bound
 * (`certified.ts`).
 */
import type { Schedule } from "../../diffusion";
import { type Distribution, symmetricEigen } from "../../elbo";
import { compile, tf } from "../../tensor";

/** L_s(t) = −1/max_i v_i(t) of Gaussian data's true score over t = 1…T (entry 0 a dummy). Throws for other data. */
export function gaussianScoreLipschitz(data: Distribution, schedule: Schedule): Float64Array {
  if (data.components.length !== 1)
    throw new Error(
      `gaussianScoreLipschitz: the data is a ${data.kind}, expected a Gaussian. Use clusterScoreLipschitz or largestSlope.`,
    );
  const widest = Math.max(...data.components[0].variances);
  return schedule.alphaBar.map((signal2, t) =>
    t === 0 ? 0 : -1 / (signal2 * widest + schedule.oneMinusAlphaBar[t]),
  );
}

/** Clusters N(±halfDistance, std²) in each coordinate independently: two in one dimension, four in the plane. */
export interface Clusters {
  /** a: the distance of a centre from 0 in each coordinate. */
  halfDistance: number;
  /** s: a cluster's standard deviation. */
  std: number;
}

/** L_s of the noised clusters' true score where signal² = ᾱ and the noise has variance 1 − ᾱ: a²ᾱ/v² − 1/v, attained midway. */
export function clusterLipschitzAt(
  { halfDistance: a, std }: Clusters,
  signal2: number,
  noise2: number,
): number {
  const v = signal2 * std ** 2 + noise2;
  return (a ** 2 * signal2) / v ** 2 - 1 / v;
}

/** `clusterLipschitzAt` over a schedule's t = 1…T (entry 0 a dummy). */
export function clusterScoreLipschitz(clusters: Clusters, schedule: Schedule): Float64Array {
  checkClusters("clusterScoreLipschitz", clusters);
  const { alphaBar, oneMinusAlphaBar } = schedule;
  return alphaBar.map((signal2, t) =>
    t === 0 ? 0 : clusterLipschitzAt(clusters, signal2, oneMinusAlphaBar[t]),
  );
}

/**
 * ∫_0^U L_s du for the clusters under a VP process, u = ∫β: (a²/κ)(1/s² − 1/v_U) + ln s² − U − ln v_U with κ = 1 − s².
 * Corollary 2 of Kwon et al. 2022 bounds the offset by e to this, times W2(p_0, N(0, I)). It ends as a constant minus U.
 */
export function clusterOffsetExponent(clusters: Clusters, U: number): number {
  checkClusters("clusterOffsetExponent", clusters);
  if (!(U >= 0)) throw new Error(`clusterOffsetExponent: U is ${U}, expected an integral of at least 0.`);
  const { halfDistance: a, std } = clusters;
  const s2 = std ** 2;
  const v = s2 * Math.exp(-U) - Math.expm1(-U);
  // (1/s² − 1/v)/κ with v − s² = κ(1 − e^{−U}): κ cancels, so s = 1 needs no case of its own.
  const spread = -Math.expm1(-U) / (s2 * v);
  // ln s² − U − ln v = −ln(1 + (e^U − 1)/s²), the difference for U so large that e^U would not fit.
  const fall = U < 1 ? -Math.log1p(Math.expm1(U) / s2) : Math.log(s2) - U - Math.log(v);
  return a ** 2 * spread + fall;
}

/** The largest eigenvalue of the symmetric part of a field's Jacobian at each of these points [N, D] → N numbers. */
export function largestSlopes(field: (x: tf.Tensor2D) => tf.Tensor, points: tf.Tensor2D): Float64Array {
  const [count, dims] = points.shape;
  // One backward pass per output: row d of every point's Jacobian, the points being independent of one another.
  const rows = compile((x: tf.Tensor) =>
    Array.from({ length: dims }, (_, d) =>
      tf.grad((inner: tf.Tensor) =>
        field(inner as tf.Tensor2D)
          .slice([0, d], [count, 1])
          .sum(),
      )(x),
    ),
  );
  const jacobians = tf.tidy(() => rows(points).map((row) => row.dataSync()));
  return Float64Array.from({ length: count }, (_, i) => {
    const entry = (d: number, e: number) => (jacobians[d][i * dims + e] + jacobians[e][i * dims + d]) / 2;
    return largestEigenvalue(
      Array.from({ length: dims }, (_, d) => Array.from({ length: dims }, (_, e) => entry(d, e))),
    );
  });
}

function largestEigenvalue(a: number[][]): number {
  if (a.length === 2) return (a[0][0] + a[1][1] + Math.hypot(a[0][0] - a[1][1], 2 * a[0][1])) / 2;
  return Math.max(...symmetricEigen(a).values);
}

/**
 * A lower estimate of L_s(t) over t = 1…T (entry 0 a dummy): the largest slope of a score network at these points
 * [N, D]. No finite set of points gives an upper bound, so a "bound" made with it is an estimate and certifies nothing.
 */
export function estimateScoreLipschitz(
  score: (xt: tf.Tensor, t: tf.Tensor1D) => tf.Tensor,
  numSteps: number,
  points: tf.Tensor2D,
): Float64Array {
  const count = points.shape[0];
  const [everywhere, steps] = tf.tidy(() => [
    points.tile([numSteps, 1]) as tf.Tensor2D,
    tf.tensor1d(
      Int32Array.from({ length: numSteps * count }, (_, i) => 1 + Math.floor(i / count)),
      "int32",
    ),
  ]);
  const slopes = largestSlopes((x) => score(x, steps), everywhere);
  tf.dispose([everywhere, steps]);
  const table = new Float64Array(numSteps + 1).fill(Number.NEGATIVE_INFINITY);
  slopes.forEach((slope, i) => {
    const t = 1 + Math.floor(i / count);
    table[t] = Math.max(table[t], slope);
  });
  table[0] = 0;
  return table;
}

/** `count`² points of a square grid over [low, high]², as [count², 2]. The caller disposes. Throws unless count ≥ 2. */
export function squareGrid(low: number, high: number, count: number): tf.Tensor2D {
  if (!(Number.isInteger(count) && count >= 2))
    throw new Error(`squareGrid: count is ${count}, expected a whole number of at least 2.`);
  const at = (i: number) => low + ((high - low) * i) / (count - 1);
  return tf.tensor2d(
    Float32Array.from({ length: 2 * count * count }, (_, k) => {
      const i = k >> 1;
      return at(k % 2 === 0 ? Math.floor(i / count) : i % count);
    }),
    [count * count, 2],
  );
}

function checkClusters(caller: string, { halfDistance, std }: Clusters): void {
  if (!(halfDistance >= 0 && std > 0))
    throw new Error(
      `${caller}: got halfDistance ${halfDistance} and std ${std}, expected a distance of at least 0 and a std above 0.`,
    );
}
