/**
 * @file Sets of images as bytes, and batches of them as tensors.
 *
 * The whole set stays a `Uint8Array`, a byte per value, since tfjs has no such tensor and an int32 one would be four
 * times as large. A batch is gathered in JavaScript, outside a compiled step, and handed to it.
 */
import { type Rng, tf } from "../tensor";

/** Images of one size, channels last. */
export interface ImageSet {
  /** Pixels 0…255, [count, height, width, channels]. */
  readonly images: Uint8Array;
  readonly shape: readonly [count: number, height: number, width: number, channels: number];
  /** The class of each image. */
  readonly labels: Uint8Array;
  readonly classNames: readonly string[];
}

export interface BatchOptions {
  /** Whether each image is mirrored left to right with probability ½. Default false. */
  flip?: boolean;
}

/** Images float32 [B, H, W, C] in [−1, 1] and the class of each, int32 [B]. */
export interface LabelledImages {
  images: tf.Tensor4D;
  labels: tf.Tensor1D;
}

/** What draws batches from a set. */
export interface ImageBatches {
  /**
   * `batchSize` images drawn with replacement, float32 [B, H, W, C] in [−1, 1]. The same `rng` gives the same batch.
   * Not inside a compiled function: pass the batch to it. The caller disposes.
   */
  sample(rng: Rng, batchSize: number, options?: BatchOptions): tf.Tensor4D;
  /** The same draws as `sample`, with their classes. The caller disposes both. */
  sampleLabelled(rng: Rng, batchSize: number, options?: BatchOptions): LabelledImages;
  /** The images at these places, in this order, float32 [B, H, W, C] in [−1, 1]. The caller disposes. */
  at(indices: ArrayLike<number>): tf.Tensor4D;
}

/** x = 2k/255 − 1 for each pixel value k. */
const SCALED = Float32Array.from({ length: 256 }, (_, k) => (2 * k) / 255 - 1);

/** Pixels k = 0…255 as 2k/255 − 1 in [−1, 1], float32 (Ho et al. 2020, section 3.3). */
export function fromPixels(pixels: ArrayLike<number>): Float32Array {
  return Float32Array.from(pixels, (k) => SCALED[k]);
}

/** Values of [−1, 1] as pixels, the nearest k of 2k/255 − 1; values beyond become 0 or 255. The inverse of `fromPixels`. */
export function toPixels(values: tf.Tensor | ArrayLike<number>): Uint8Array {
  const plain = values instanceof tf.Tensor ? values.dataSync() : values;
  return Uint8Array.from(plain, (x) => Math.min(255, Math.max(0, Math.round((x + 1) * 127.5))));
}

/** Batches of this set. Throws on an empty set. */
export function imageBatches({ images, labels, shape }: ImageSet): ImageBatches {
  const [count, height, width, channels] = shape;
  if (count === 0) throw new Error("imageBatches: the set has no images, expected at least one.");
  const size = height * width * channels;

  const batch = (indices: ArrayLike<number>, flips?: ArrayLike<number>): tf.Tensor4D => {
    const values = new Float32Array(indices.length * size); // not reused: the tensor reads it when first needed
    for (let i = 0; i < indices.length; i++) {
      const from = indices[i] * size;
      if (flips?.[i]) copyMirrored(values, i * size, images, from, [height, width, channels]);
      else for (let j = 0; j < size; j++) values[i * size + j] = SCALED[images[from + j]];
    }
    return tf.tensor4d(values, [indices.length, height, width, channels]);
  };

  const draw = (rng: Rng, batchSize: number, { flip = false }: BatchOptions = {}) => {
    if (!(Number.isInteger(batchSize) && batchSize > 0))
      throw new Error(`imageBatches.sample: batchSize is ${batchSize}, expected a positive integer.`);
    return tf.tidy(() => ({
      indices: rng.integers([batchSize], 0, count).dataSync(),
      flips: flip ? rng.integers([batchSize], 0, 2).dataSync() : undefined,
    }));
  };

  return {
    sample(rng, batchSize, options) {
      const { indices, flips } = draw(rng, batchSize, options);
      return batch(indices, flips);
    },
    sampleLabelled(rng, batchSize, options) {
      const { indices, flips } = draw(rng, batchSize, options);
      const classes = Int32Array.from(indices, (index) => labels[index]);
      return { images: batch(indices, flips), labels: tf.tensor1d(classes, "int32") };
    },
    at(indices) {
      const wrong = Array.from(indices).find((i) => !(Number.isInteger(i) && i >= 0 && i < count));
      if (wrong !== undefined)
        throw new Error(`imageBatches.at: index ${wrong}, expected whole numbers from 0 to ${count - 1}.`);
      return batch(indices);
    },
  };
}

function copyMirrored(
  into: Float32Array,
  at: number,
  images: Uint8Array,
  from: number,
  [height, width, channels]: readonly [number, number, number],
): void {
  for (let row = 0; row < height; row++)
    for (let column = 0; column < width; column++)
      for (let c = 0; c < channels; c++)
        into[at + (row * width + column) * channels + c] =
          SCALED[images[from + (row * width + width - 1 - column) * channels + c]];
}
