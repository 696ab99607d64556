/** @file The parts of an evaluation that take long: each batch goes into the store, and what is there is not done again. */
import { type ImageSet, imageBatches, toPixels } from "../../lib/data";
import { type Model, type Plan, sample } from "../../lib/diffusion";
import { imageBits, type Moments, mergeMoments } from "../../lib/metrics";
import type { Classifier } from "../../lib/nets";
import { compile, rng, tf } from "../../lib/tensor";
import type { Store } from "./store";

/** How a stage tells where it is, and learns that it is to stop. */
export interface Watch {
  signal: AbortSignal;
  show(stage: string, done: number, total: number): void;
}

/** Thrown after the batch in hand where the stage was told to stop. */
export class Stopped extends Error {}

/** Numbers from..to−1. */
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** Calls `batch` until it says that all is done, each time noting how long it took. */
async function inBatches(
  stage: string,
  total: number,
  store: Store,
  watch: Watch,
  done: () => number,
  batch: (from: number) => Promise<void>,
): Promise<void> {
  watch.show(stage, Math.min(done(), total), total);
  while (done() < total) {
    const start = performance.now();
    await batch(done());
    store.addSeconds(stage, (performance.now() - start) / 1000);
    watch.show(stage, Math.min(done(), total), total);
    if (watch.signal.aborted && done() < total) throw new Stopped(stage);
    await tf.nextFrame();
  }
}

export interface BitsOptions {
  images: number;
  parts: number;
  draws: number;
  rows: number;
  seed: number;
  /** Whether x̂0 is clipped to the pixels' range. */
  clip: boolean;
}

const BITS_BATCH = 16;

/** The bound's statistics on the set's first images. */
export async function measureBits(
  store: Store,
  model: Model,
  set: ImageSet,
  options: BitsOptions,
  watch: Watch,
): Promise<Moments> {
  const { images, clip, ...others } = options;
  const bits = imageBits(model, { ...others, clip: clip ? [-1, 1] : false });
  const batches = imageBatches(set);
  const known = () => store.sums("bits");
  const done = () => known().batches * BITS_BATCH;
  await inBatches("bits", images, store, watch, done, async (from) => {
    const { batches: number, moments } = known();
    const x0 = batches.at(range(from, Math.min(images, from + BITS_BATCH)));
    try {
      store.setSums("bits", number + 1, mergeMoments(moments, await bits.batch(x0, number)));
    } finally {
      x0.dispose();
    }
  });
  return known().moments as Moments;
}

const FEATURE_BATCH = 250;

/** The features of a set's first `count` images, row-major. */
export async function measureFeatures(
  store: Store,
  stage: string,
  net: Classifier,
  set: Pick<ImageSet, "images" | "shape">,
  count: number,
  watch: Watch,
): Promise<Float32Array> {
  const features = compile((images: tf.Tensor) => net.features(images));
  const batches = imageBatches({ ...set, labels: new Uint8Array(0), classNames: [] });
  const stored = store.array(stage, "float32", net.options.widths.at(-1) as number);
  await inBatches(
    stage,
    count,
    store,
    watch,
    () => stored.rows,
    async (from) => {
      const found = tf.tidy(() => features(batches.at(range(from, Math.min(count, from + FEATURE_BATCH)))));
      stored.append((await found.data()) as Float32Array);
      found.dispose();
    },
  );
  return stored.read();
}

export interface SamplingOptions {
  count: number;
  plan: Plan;
  seed: number;
  shape: readonly [height: number, width: number, channels: number];
}

const SAMPLE_BATCH = 64;

/** Samples as pixels 0…255, [count, H, W, C]. Throws where the model's are not finite. */
export async function measureSamples(
  store: Store,
  model: Model,
  { count, plan, seed, shape }: SamplingOptions,
  watch: Watch,
): Promise<Uint8Array> {
  const stored = store.array("samples", "uint8", shape[0] * shape[1] * shape[2]);
  await inBatches(
    "samples",
    count,
    store,
    watch,
    () => stored.rows,
    async (from) => {
      const rows = Math.min(SAMPLE_BATCH, count - from);
      const source = rng(seed, from / SAMPLE_BATCH);
      const images = await sample(model, [rows, ...shape], { rng: source, plan, clip: [-1, 1] });
      const values = await images.data();
      images.dispose();
      const bad = values.findIndex((value) => !Number.isFinite(value));
      if (bad >= 0)
        throw new Error(
          `sample ${from + Math.floor(bad / (values.length / rows))} has ${values[bad]}. The model diverges: try more --steps, or another checkpoint.`,
        );
      stored.append(toPixels(values as Float32Array));
    },
  );
  return stored.read();
}
