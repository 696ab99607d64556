/** @file Images as coarser images with more channels, and back. */
import { tf } from "../tensor";

/** Blocks of `size`² pixels as channels: [B, H, W, C] → [B, H/size, W/size, size²·C]. The caller disposes. */
export function spaceToDepth(x: tf.Tensor, size: number): tf.Tensor {
  const [batch, height, width, channels] = x.shape;
  const [rows, columns] = [height / size, width / size];
  return tf.tidy(() =>
    tf
      .reshape(x, [batch, rows, size, columns, size, channels])
      .transpose([0, 1, 3, 2, 4, 5])
      .reshape([batch, rows, columns, size * size * channels]),
  );
}

/** The inverse of `spaceToDepth`: [B, H, W, size²·C] → [B, H·size, W·size, C]. The caller disposes. */
export function depthToSpace(x: tf.Tensor, size: number): tf.Tensor {
  const [batch, rows, columns, depth] = x.shape;
  const channels = depth / size ** 2;
  return tf.tidy(() =>
    tf
      .reshape(x, [batch, rows, columns, size, size, channels])
      .transpose([0, 1, 3, 2, 4, 5])
      .reshape([batch, rows * size, columns * size, channels]),
  );
}
