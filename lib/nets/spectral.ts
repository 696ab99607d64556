/**
 * @file Spectral normalization (Miyato et al. 2018): a weight matrix divided by its largest singular value.
 *
 * Other than there, the power iteration begins anew at each call and keeps no vector between training steps, so the norm
 * is a function of the weights alone: there is nothing to save, and averaged weights are normalized as well as trained ones.
 */
import { tf } from "../tensor";

/** The Gram matrix is squared so often: 2⁶ = 64 steps of power iteration in six products of small matrices. */
const SQUARINGS = 6;

/** Where the iteration begins: cos i², [size, 1], which has a part along any direction that a layer is likely to prefer. */
const start = (size: number): tf.Tensor2D =>
  tf.tensor2d(
    Float32Array.from({ length: size }, (_, i) => Math.cos(i ** 2)),
    [size, 1],
  );

const unit = (x: tf.Tensor): tf.Tensor2D => x.div(x.norm().add(1e-12));

/** The left and the right singular vector, [I, 1] and [O, 1], of about the largest singular value of W [I, O]. */
function topVectors(weight: tf.Tensor2D): [u: tf.Tensor2D, v: tf.Tensor2D] {
  const [rows, columns] = weight.shape;
  const isWide = rows <= columns;
  let power = unit(weight.matMul(weight, !isWide, isWide)); // the smaller of W Wᵀ and Wᵀ W
  for (let i = 0; i < SQUARINGS; i++) power = unit(power.matMul(power));
  const top = unit(power.matMul(start(Math.min(rows, columns))));
  const left = isWide ? top : unit(weight.matMul(top));
  const v = unit(weight.matMul(left, true));
  return [unit(weight.matMul(v)), v];
}

/**
 * σ(W) = uᵀWv, the largest singular value of a matrix by power iteration: a scalar, from below, with the gradient uvᵀ
 * (Miyato et al. 2018, eq. 10). The caller disposes it.
 */
export const spectralNorm = tf.customGrad((...inputs) => {
  const [weight, save] = inputs as [tf.Tensor2D, (vectors: tf.Tensor[]) => void];
  const [u, v] = topVectors(weight);
  save([u, v]);
  const along = (norm: tf.Tensor, [u, v]: tf.Tensor[]) => u.matMul(v, false, true).mul(norm);
  return { value: u.mul(weight.matMul(v)).sum(), gradFunc: along };
}) as (weight: tf.Tensor2D) => tf.Scalar;

/** W/σ(W), of norm 1 (a zero matrix stays one). The caller disposes it. */
export const spectrallyNormalized = (weight: tf.Tensor2D): tf.Tensor2D =>
  tf.tidy(() => weight.div(spectralNorm(weight).add(1e-12)));
