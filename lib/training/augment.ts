/**
 * @file Batches for telling classes apart: every image once an epoch in random order, moved by a few pixels and mirrored,
 * with its label. A batch is a pure function of the set, the seed and the step.
 */
import { fromPixels, type ImageSet } from "../data";
import { rng, tf } from "../tensor";

export interface LabelledBatch {
  /** [B, H, W, C] in [−1, 1]. */
  images: tf.Tensor4D;
  /** int32 [B]. */
  labels: tf.Tensor1D;
}

export interface LabelledBatches {
  /** What is left of an epoch that does not divide is not used. */
  readonly stepsPerEpoch: number;
  /** The batch of step 0, 1, …; the caller disposes. */
  at(step: number): LabelledBatch;
}

export interface AugmentOptions {
  batchSize: number;
  /** Images are moved by up to so many pixels each way, their edges mirrored. */
  shift: number;
  /** Whether each image is mirrored in every second epoch; default true. */
  mirror?: boolean;
  seed: number;
}

/** How one epoch shows each image: its place in the order, and its shift by down and right. */
interface Epoch {
  order: Uint32Array;
  down: Int32Array;
  right: Int32Array;
}

/**
 * Batches of a set, each image once an epoch, mirrored in every second one unless told otherwise (Jordan 2024, section 3.6). Throws on an empty
 * batch and on a set of fewer images.
 */
export function labelledBatches(
  set: ImageSet,
  { batchSize, shift, mirror = true, seed }: AugmentOptions,
): LabelledBatches {
  const [count, height, width, channels] = set.shape;
  if (!(Number.isInteger(batchSize) && batchSize > 0 && batchSize <= count))
    throw new Error(
      `labelledBatches: batchSize is ${batchSize}, expected a whole number from 1 to the ${count} images.`,
    );
  const stepsPerEpoch = Math.floor(count / batchSize);
  const mirroredFirst = integers(rng(2 * seed + 1), count, 0, 2);
  const size = height * width * channels;
  let current = -1;
  let epoch: Epoch;
  return {
    stepsPerEpoch,
    at(step) {
      const number = Math.floor(step / stepsPerEpoch);
      if (number !== current) epoch = drawEpoch(count, shift, seed, number);
      current = number;
      const from = (step % stepsPerEpoch) * batchSize;
      const chosen = epoch.order.subarray(from, from + batchSize);
      const pixels = new Uint8Array(batchSize * size);
      chosen.forEach((image, i) => {
        const mirrored = mirror && (mirroredFirst[image] + number) % 2 === 1;
        const source = set.images.subarray(image * size, (image + 1) * size);
        const move = { down: epoch.down[image], right: epoch.right[image], mirrored };
        copyMoved(pixels.subarray(i * size, (i + 1) * size), source, [height, width, channels], move);
      });
      return {
        images: tf.tensor4d(fromPixels(pixels), [batchSize, height, width, channels]),
        labels: tf.tensor1d(
          Array.from(chosen, (image) => set.labels[image]),
          "int32",
        ),
      };
    },
  };
}

function integers(source: ReturnType<typeof rng>, count: number, low: number, high: number): Int32Array {
  return tf.tidy(() => source.integers([count], low, high).dataSync() as Int32Array);
}

function drawEpoch(count: number, shift: number, seed: number, number: number): Epoch {
  const source = rng(2 * seed, number);
  const keys = tf.tidy(() => source.uniform([count]).dataSync());
  const order = Uint32Array.from({ length: count }, (_, i) => i).sort((a, b) => keys[a] - keys[b] || a - b);
  const draw = () => integers(source, count, -shift, shift + 1);
  return { order, down: draw(), right: draw() };
}

/** An image moved, what comes in at the edges mirrored from inside; [H, W, C] both. */
export function copyMoved(
  into: Uint8Array,
  from: Uint8Array,
  [height, width, channels]: readonly [number, number, number],
  { down, right, mirrored }: { down: number; right: number; mirrored: boolean },
): void {
  for (let row = 0; row < height; row++) {
    const sourceRow = within(row - down, height) * width;
    for (let column = 0; column < width; column++) {
      const seen = within(column - right, width);
      const at = (sourceRow + (mirrored ? width - 1 - seen : seen)) * channels;
      for (let c = 0; c < channels; c++) into[(row * width + column) * channels + c] = from[at + c];
    }
  }
}

/** A place up to one size outside 0…size−1, mirrored inside. */
const within = (place: number, size: number): number =>
  place < 0 ? -place : place >= size ? 2 * (size - 1) - place : place;
