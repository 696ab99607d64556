/** @file The parts of an evaluation that take long: each batch goes into the store, and what is there is not done again. */
import { fromPixels, type ImageSet, imageBatches, toPixels } from "../../lib/data";
import { type Model, type Plan, sample } from "../../lib/diffusion";
import { imageBits, type Rows } from "../../lib/metrics";
import { rng, tf } from "../../lib/tensor";
import type { TrainedModel } from "../../lib/training";
import type { Extractor } from "./extractor";
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

/** Has `total` values found one by one, each kept and its time noted; `key` is what all are of. */
export function findOneByOne(store: Store, key: string, total: number, watch: Watch) {
  const stage = "measures";
  let done = 0;
  return async <Value>(name: string, find: () => Promise<Value>): Promise<Value> => {
    watch.show(stage, done, total);
    const start = performance.now();
    const value = await store.once(`${key}: ${name}`, find);
    store.addSeconds(stage, (performance.now() - start) / 1000);
    watch.show(stage, ++done, total);
    if (watch.signal.aborted && done < total) throw new Stopped(stage);
    return value;
  };
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

/** The bound's numbers for the set's first images, a row each. */
export async function measureBits(
  store: Store,
  model: Model,
  set: ImageSet,
  options: BitsOptions,
  watch: Watch,
): Promise<Rows> {
  const { images, clip, ...others } = options;
  const bits = imageBits(model, { ...others, clip: clip ? [-1, 1] : false });
  const batches = imageBatches(set);
  const stored = store.array("bits", "float32", bits.dims);
  const done = () => stored.rows;
  await inBatches("bits", images, store, watch, done, async (from) => {
    const x0 = batches.at(range(from, Math.min(images, from + BITS_BATCH)));
    try {
      stored.append(await bits.batch(x0, from / BITS_BATCH));
    } finally {
      x0.dispose();
    }
  });
  return stored.asRows();
}

export interface FeatureOptions {
  /** Images. */
  count: number;
  shape: SamplingOptions["shape"];
  /** A file in which evaluations of other models leave the same features, and find them: taken where those of the first batch agree. */
  shared?: string;
}

/** The features of the first `count` images, given as rows of pixels 0…255; both sets stay on the disk. */
export async function measureFeatures(
  store: Store,
  stage: string,
  { features, rows, dims }: Extractor,
  pixels: Rows,
  { count, shape, shared }: FeatureOptions,
  watch: Watch,
): Promise<Rows> {
  const stored = store.array(stage, "float32", dims);
  const done = () => stored.rows;
  const measure = async (from: number) => {
    const to = Math.min(count, from + rows);
    const found = tf.tidy(() =>
      features(tf.tensor4d(fromPixels(pixels.slice(from, to)), [to - from, ...shape])),
    );
    const values = (await found.data()) as Float32Array;
    found.dispose();
    return values;
  };
  const known = shared && done() === 0 ? stored.shared(shared, count) : undefined;
  if (shared && known && agree(known.slice(0, Math.min(count, rows)), await measure(0))) {
    stored.takeShared(shared, count);
    return stored.asRows();
  }
  await inBatches(stage, count, store, watch, done, async (from) => stored.append(await measure(from)));
  if (shared) stored.share(shared);
  return stored.asRows();
}

/** Whether features are the same but for rounding, which differs between engines; those of other code or weights are not. */
function agree(a: Float32Array, b: Float32Array): boolean {
  let [apart, size] = [0, 0];
  a.forEach((value, i) => {
    apart += (value - b[i]) ** 2;
    size += value ** 2 + b[i] ** 2;
  });
  return apart <= 1e-8 * size;
}

export interface SamplingOptions {
  count: number;
  plan: Plan;
  seed: number;
  shape: readonly [height: number, width: number, channels: number];
  /** Towards the classes, where the model knows them. */
  guidance?: number;
}

const SAMPLE_BATCH = 64;

/** Samples at once: as many of each class. */
const batchFor = (classes: number): number =>
  classes === 0 ? SAMPLE_BATCH : Math.max(classes, SAMPLE_BATCH - (SAMPLE_BATCH % classes));

/** Samples as rows of pixels 0…255, on the disk; of as many of each class. Throws where the model's are not finite. */
export async function measureSamples(
  store: Store,
  trained: TrainedModel,
  { count, plan, seed, shape, guidance }: SamplingOptions,
  watch: Watch,
): Promise<Rows> {
  const batch = batchFor(trained.net.classes ?? 0);
  const model = trained.forSamples(batch, guidance);
  const stored = store.array("samples", "uint8", shape[0] * shape[1] * shape[2]);
  await inBatches(
    "samples",
    count,
    store,
    watch,
    () => stored.rows,
    async (from) => {
      const rows = Math.min(batch, count - from);
      const source = rng(seed, from / batch);
      const whole = rows === batch ? model : trained.forSamples(rows, guidance);
      const images = await sample(whole, [rows, ...shape], { rng: source, plan, clip: [-1, 1] });
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
  return stored.asRows();
}
