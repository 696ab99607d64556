/**
 * @file The score difference between two sets of samples, each blurred by noise: Δ_σ(y) = (D_P(y) − D_Q(y))/σ² with
 * D(y) = Σ softmax_i(−‖y − x_i‖²/(2σ²)) x_i.
 *
 * The softmax is taken over blocks of targets, with a running maximum, sum and mean (Milakov and Gimelshein 2018), so no
 * matrix of all pairs is ever in memory, and far points give no 0/0. float32: distances come from differences of points
 * around a common centre, exact to about 1e-6·r²/σ² in the logarithm for points within r of it.
 */
import { compile, tf } from "../../tensor";
import { checkSigma } from "./densities";

export interface BlockOptions {
  /** Pairs in memory at once, at most about this; default 2²². */
  pairs?: number;
}

/** Running sums of a softmax for each y: the largest logarithm, Σ e^{log − largest}, and Σ e^{log − largest} x. */
type Running = [largest: tf.Tensor2D, total: tf.Tensor2D, mean: tf.Tensor2D];

const absorb = compile(
  (
    y: tf.Tensor2D,
    points: tf.Tensor2D,
    precision: tf.Scalar,
    largest: tf.Tensor2D,
    total: tf.Tensor2D,
    mean: tf.Tensor2D,
  ) => {
    // −‖y − x‖²/(2σ²) without ‖y‖², which is the same for all x and cancels in the softmax
    const pull = y.matMul<tf.Tensor2D>(points, false, true).sub(points.square().sum(1).div(2));
    const logs = pull.mul<tf.Tensor2D>(precision); // (block of y, block of points)
    const top = tf.maximum(largest, logs.max(1, true));
    const weights = tf.exp(logs.sub(top)) as tf.Tensor2D;
    const kept = tf.exp(largest.sub(top));
    return [
      top,
      total.mul(kept).add(weights.sum(1, true)),
      mean.mul(kept).add(weights.matMul(points)),
    ] as Running;
  },
  { name: "kernelMeanBlock" },
);

/**
 * D(y) [N, D] for y [N, D] and samples [M, D]: what the mean of the samples is, seen from y through noise of `sigma`. It
 * lies in their convex hull. Costs N·M·D in blocks. Throws on a sigma that is not positive, on empty sets, on dimensions
 * that differ and on points that are not finite. The caller disposes it.
 */
export function kernelMean(
  y: tf.Tensor2D,
  samples: tf.Tensor2D,
  sigma: number,
  { pairs = 2 ** 22 }: BlockOptions = {},
): tf.Tensor2D {
  checkSigma("kernelMean", sigma);
  checkSets("kernelMean", { y, samples });
  checkFinite("kernelMean", { y, samples });
  const [N, M] = [y.shape[0], samples.shape[0]];
  const columns = Math.min(M, 2048);
  const rows = Math.min(N, Math.max(1, Math.floor(pairs / columns)));
  return tf.tidy(() => {
    const centre = samples.mean(0);
    const [from, to] = [y.sub<tf.Tensor2D>(centre), samples.sub<tf.Tensor2D>(centre)];
    const means = blocks(N, rows).map(([start, size]) =>
      tf.tidy(() => meanFrom(from.slice(start, size), to, sigma, columns)),
    );
    return tf.concat2d(means, 0).add(centre);
  });
}

function meanFrom(y: tf.Tensor2D, points: tf.Tensor2D, sigma: number, columns: number): tf.Tensor2D {
  const [N, D] = y.shape;
  const precision = tf.scalar(1 / sigma ** 2);
  let running: Running = [tf.fill([N, 1], -1e30), tf.zeros([N, 1]), tf.zeros([N, D])];
  for (const [start, size] of blocks(points.shape[0], columns)) {
    const before = running;
    running = tf.tidy(() => absorb(y, points.slice(start, size), precision, ...before));
    tf.dispose(before);
  }
  return running[2].div(running[1]);
}

/** Starts and sizes of blocks of `size` that make up `count`. */
function blocks(count: number, size: number): [number, number][] {
  return Array.from({ length: Math.ceil(count / size) }, (_, i) => [
    i * size,
    Math.min(size, count - i * size),
  ]);
}

/**
 * σ²Δ_σ(y) = D_P(y) − D_Q(y) for samples P of the target and Q of the source: a step in the unit of the points, safe to
 * take whole. Divide by σ² for the score difference. Throws as `kernelMean`. The caller disposes it.
 */
export function scoreDifferenceStep(
  y: tf.Tensor2D,
  { target, source, sigma }: { target: tf.Tensor2D; source: tf.Tensor2D; sigma: number },
  options: BlockOptions = {},
): tf.Tensor2D {
  checkSets("scoreDifferenceStep", { y, target, source });
  return tf.tidy(() => kernelMean(y, target, sigma, options).sub(kernelMean(y, source, sigma, options)));
}

/** Throws where a set holds a number that is not finite. */
function checkFinite(caller: string, sets: Record<string, tf.Tensor2D>): void {
  for (const [name, set] of Object.entries(sets))
    if (!tf.tidy(() => set.isFinite().all().dataSync()[0]))
      throw new Error(
        `${caller}: ${name} holds a number that is not finite, expected points. Look for NaN where they come from.`,
      );
}

/** Throws unless all are non-empty [n, D] with one D. */
export function checkSets(caller: string, sets: Record<string, tf.Tensor2D>): void {
  const [[firstName, first]] = Object.entries(sets);
  for (const [name, set] of Object.entries(sets)) {
    if (set.rank !== 2 || set.shape[0] === 0)
      throw new Error(
        `${caller}: ${name} has shape [${set.shape}], expected [n, D] with at least one point.`,
      );
    if (set.shape[1] !== first.shape[1])
      throw new Error(
        `${caller}: ${name} has ${set.shape[1]} dimensions and ${firstName} ${first.shape[1]}, expected the same.`,
      );
  }
}
