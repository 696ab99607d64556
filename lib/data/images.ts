/**
 * @file Sets of images as bytes, and batches of them as tensors.
 *
 * On the native engine the whole set is copied once into TensorFlow's memory, a byte a value, and a batch is gathered
 * and mirrored by tensor operations, inside the training step too. Elsewhere a batch is gathered in JavaScript, from the
 * same draws and with the same values.
 */
import { type ByteRows, byteRows, hasByteRows, type Rng, tf } from "../tensor";

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
export type LabelledImages = {
  images: tf.Tensor4D;
  labels: tf.Tensor1D;
};

/** What draws batches from a set. */
export interface ImageBatches {
  /**
   * `batchSize` images drawn with replacement, float32 [B, H, W, C] in [−1, 1]. The same `rng` gives the same batch.
   * The caller disposes.
   */
  sample(rng: Rng, batchSize: number, options?: BatchOptions): tf.Tensor4D;
  /** The same draws as `sample`, with their classes. The caller disposes both. */
  sampleLabelled(rng: Rng, batchSize: number, options?: BatchOptions): LabelledImages;
  /** The images at these places, in this order, float32 [B, H, W, C] in [−1, 1]. The caller disposes. */
  at(indices: ArrayLike<number>): tf.Tensor4D;
  /** Whether `sample` and `sampleLabelled` may stand inside a compiled function; where not, pass the batch to it. */
  readonly recordable: boolean;
  /** Frees what TensorFlow holds; the next batch copies it again. */
  dispose(): void;
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

/** Batches of this set. Throws on an empty set. The caller disposes. */
export function imageBatches(set: ImageSet): ImageBatches {
  const [count] = set.shape;
  if (count === 0) throw new Error("imageBatches: the set has no images, expected at least one.");
  const source = hasByteRows ? insideTensorFlow(set) : inJavaScript(set);

  const draw = (rng: Rng, batchSize: number, { flip = false }: BatchOptions = {}): Drawn => {
    if (!(Number.isInteger(batchSize) && batchSize > 0))
      throw new Error(`imageBatches.sample: batchSize is ${batchSize}, expected a positive integer.`);
    const indices = rng.integers([batchSize], 0, count) as tf.Tensor1D;
    return { indices, flips: flip ? (rng.integers([batchSize], 0, 2) as tf.Tensor1D) : undefined };
  };

  return {
    recordable: hasByteRows,
    sample: (rng, batchSize, options) => tf.tidy(() => source.images(draw(rng, batchSize, options))),
    sampleLabelled: (rng, batchSize, options) =>
      tf.tidy(() => {
        const drawn = draw(rng, batchSize, options);
        return { images: source.images(drawn), labels: source.labels(drawn) };
      }),
    at(indices) {
      const wrong = Array.from(indices).find((i) => !(Number.isInteger(i) && i >= 0 && i < count));
      if (wrong !== undefined)
        throw new Error(`imageBatches.at: index ${wrong}, expected whole numbers from 0 to ${count - 1}.`);
      return gathered(set, indices);
    },
    dispose: () => source.dispose(),
  };
}

/** Which images make a batch, and which of them are mirrored; int32 [B]. */
interface Drawn {
  indices: tf.Tensor1D;
  flips?: tf.Tensor1D;
}

/** The images and classes of a draw. */
interface Gathering {
  images(drawn: Drawn): tf.Tensor4D;
  labels(drawn: Drawn): tf.Tensor1D;
  dispose(): void;
}

function insideTensorFlow({ images, labels, shape }: ImageSet): Gathering {
  let held: { pixels: ByteRows; classes: ByteRows } | undefined;
  const tables = () => {
    held ??= { pixels: byteRows(images, shape), classes: byteRows(labels, [labels.length]) };
    return held;
  };
  return {
    images({ indices, flips }) {
      const batch = tf.gather<tf.Tensor>(tf.tensor1d(SCALED), tables().pixels.gather(indices)) as tf.Tensor4D;
      if (!flips) return batch;
      return tf.where(flips.cast("bool").reshape([-1, 1, 1, 1]), tf.reverse(batch, 2), batch);
    },
    labels: ({ indices }) => tables().classes.gather(indices) as tf.Tensor1D,
    dispose() {
      for (const table of Object.values(held ?? {})) table.dispose();
      held = undefined;
    },
  };
}

function inJavaScript(set: ImageSet): Gathering {
  return {
    images: ({ indices, flips }) => gathered(set, indices.dataSync(), flips?.dataSync()),
    labels: ({ indices }) =>
      tf.tensor1d(
        Int32Array.from(indices.dataSync(), (i) => set.labels[i]),
        "int32",
      ),
    dispose() {},
  };
}

/** The images at these places, some of them mirrored. */
function gathered(
  { images, shape: [, height, width, channels] }: ImageSet,
  places: ArrayLike<number>,
  mirrored?: ArrayLike<number>,
): tf.Tensor4D {
  const size = height * width * channels;
  const values = new Float32Array(places.length * size); // not reused: the tensor reads it when first needed
  for (let i = 0; i < places.length; i++) {
    const from = places[i] * size;
    if (mirrored?.[i]) copyMirrored(values, i * size, images, from, [height, width, channels]);
    else for (let j = 0; j < size; j++) values[i * size + j] = SCALED[images[from + j]];
  }
  return tf.tensor4d(values, [places.length, height, width, channels]);
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
