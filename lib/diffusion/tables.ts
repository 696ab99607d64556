/** @file From float64 tables to tensors: the entry of each example's t, shaped to multiply a batch, and the checks at that boundary. */
import { tf } from "../tensor";

/** A table's entries at `t` [B] (int32, 1…T) as float32 [B, 1, …] of this rank. The caller disposes. */
export function atStep(table: Float64Array, t: tf.Tensor1D, rank: number): tf.Tensor {
  return tf.tidy(() => {
    const entries = tf.gather(tf.tensor1d(new Float32Array(table)), t);
    return entries.reshape([t.shape[0], ...new Array(rank - 1).fill(1)]);
  });
}

/** Σ table_i(t) · tensor_i over pairs (table, tensor [B, …]): the affine maps that all of the forward and reverse process are made of. */
export function mix(t: tf.Tensor1D, ...terms: [Float64Array, tf.Tensor][]): tf.Tensor {
  return tf.tidy(() =>
    terms.map(([table, x]) => atStep(table, t, x.rank).mul(x)).reduce((sum, term) => sum.add(term)),
  );
}

/** Sum over all axes but the first: [B, …] → [B]. */
export function sumDims(x: tf.Tensor): tf.Tensor1D {
  return tf.tidy(() => x.reshape([x.shape[0], -1]).sum<tf.Tensor1D>(1));
}

/** D, the number of dimensions of one example of a batch [B, …]. */
export function dimsOf(x: tf.Tensor): number {
  return x.size / x.shape[0];
}

/** Throws unless `t` is int32 [B] for the batch `x` [B, …]; its values (1…T) are not read, which would stall a GPU. */
export function checkT(caller: string, t: tf.Tensor1D, x: tf.Tensor, name = "x0"): void {
  const batch = x.shape[0];
  if (x.rank < 2)
    throw new Error(
      `${caller}: ${name} has shape [${x.shape}], expected [B, …] with at least 2 axes. Use ${name}.expandDims(1).`,
    );
  if (t.rank !== 1 || t.shape[0] !== batch)
    throw new Error(
      `${caller}: t has shape [${t.shape}], expected [${batch}] to match ${name}. Use tf.fill([${batch}], step, "int32").`,
    );
  if (t.dtype !== "int32")
    throw new Error(`${caller}: t has dtype ${t.dtype}, expected int32. Use t.toInt().`);
}

/** Throws unless both batches have the same shape. */
export function checkSameShape(
  caller: string,
  got: tf.Tensor,
  name: string,
  want: tf.Tensor,
  wantName: string,
): void {
  if (got.rank === want.rank && got.shape.every((size, axis) => size === want.shape[axis])) return;
  throw new Error(
    `${caller}: ${name} has shape [${got.shape}], expected [${want.shape}] to match ${wantName}. Reshape ${name}.`,
  );
}
