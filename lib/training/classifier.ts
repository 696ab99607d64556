/**
 * @file Training the classifier whose features the metrics use, how good it is, and its shipped weights.
 *
 * As `trainer.ts` for diffusion models: resumable, the same numbers for the same seed. The learning rate rises, then falls
 * along half a cosine to 0 at the last step.
 */
import { fromPixels, type ImageSet, imageBatches } from "../data";
import { symmetricEigen } from "../elbo";
import { type Classifier, type ClassifierOptions, classifier, FILTER_SIZE } from "../nets";
import { adam, compile, tf } from "../tensor";
import { labelledBatches } from "./augment";
import { loadCheckpoint, loadWeights, saveHalf } from "./checkpoint";
import type { ImageData } from "./config";
import { fromHalf, toHalf } from "./safetensors";
import { assignAll, cosineRate, prefixed, type Resumable, type Stepping } from "./trainer";

/** How a classifier is trained, and what net it is; plain data. */
export interface ClassifierConfig {
  /** The set of images that it tells apart. */
  data: ImageData;
  net: ClassifierOptions;
  batchSize: number;
  epochs: number;
  /** The highest. */
  learningRate: number;
  /** As AdamW has it. */
  weightDecay: number;
  warmupSteps: number;
  /** What is taken from the true class and shared by all (Szegedy et al. 2016). */
  labelSmoothing: number;
  /** See `AugmentOptions`. */
  shift: number;
  /** Whether images are mirrored; digits must not be. */
  mirror: boolean;
  seed: number;
}

/** The run that `npm run classifier` makes unless told otherwise. */
export const CLASSIFIER_RUN: ClassifierConfig = {
  data: "cifar10",
  net: { imageSize: 32, imageChannels: 3, filters: 32, widths: [48, 96, 192], numClasses: 10 },
  batchSize: 64,
  epochs: 8,
  learningRate: 3e-3,
  weightDecay: 0.05,
  warmupSteps: 200,
  labelSmoothing: 0.1,
  shift: 2,
  mirror: true,
  seed: 0,
};

/** The runs that `npm run classifier` makes, by set. */
export const CLASSIFIER_RUNS: Record<ImageData, ClassifierConfig> = {
  cifar10: CLASSIFIER_RUN,
  mnist: {
    ...CLASSIFIER_RUN,
    data: "mnist",
    net: { imageSize: 28, imageChannels: 1, filters: 12, widths: [32, 64], numClasses: 10 },
    epochs: 2,
    mirror: false,
  },
};

/** What checkpoints did not say before there was a choice. */
const OLDER = { data: "cifar10", mirror: true } as const;

/** The configuration that a checkpoint holds, one of an older release completed. Throws where it is not of a classifier. */
export function classifierConfig(value: unknown, path: string): ClassifierConfig {
  const config = value as ClassifierConfig | undefined;
  if (config && Array.isArray(config.net?.widths)) return { ...OLDER, ...config };
  throw new Error(
    `classifierConfig: ${path} is not of a classifier. Give one that npm run classifier wrote.`,
  );
}

export interface ClassifierTrainerOptions extends Omit<ClassifierConfig, "net" | "data"> {
  net: Classifier;
  data: ImageSet;
}

/** A run of the classifier's training; `step` resolves to the batch's smoothed cross-entropy in nats. */
export type ClassifierTrainer = Stepping & Resumable & { readonly steps: number; dispose(): void };

/** A classifier's training at step 0. Throws on sizes that do not fit the data. The caller disposes it, and the net. */
export function classifierTrainer(options: ClassifierTrainerOptions): ClassifierTrainer {
  const { net, data, batchSize, epochs, learningRate, weightDecay, warmupSteps, labelSmoothing } = options;
  const { numClasses } = net.options;
  const batches = labelledBatches(data, options);
  const steps = epochs * batches.stepsPerEpoch;
  const { [FILTERS]: filters, ...learned } = net.variables;
  filters.assign(tf.tidy(() => whiteningFilters(data, net.options.filters)));
  const optimizer = adam(learned, { learningRate, weightDecay, warmupSteps, clipNorm: 1 });

  const update = compile((images: tf.Tensor4D, labels: tf.Tensor1D, number: tf.Scalar) => {
    optimizer.state.learningRate.assign(cosineRate(learningRate, number, steps));
    const share = labelSmoothing / numClasses;
    const truth = tf.oneHot(labels, numClasses, 1 - labelSmoothing + share, share, "float32");
    return optimizer.minimize(
      () => tf.logSoftmax(net.logits(images)).mul(truth).sum(1).mean().neg() as tf.Scalar,
    );
  });

  let done = 0;
  const tensors = () => ({
    ...prefixed("net/", net.variables),
    ...prefixed("optimizer/", optimizer.state),
  });
  return {
    batchSize,
    steps,
    get done() {
      return done;
    },
    async step() {
      const loss = tf.tidy(() => {
        const { images, labels } = batches.at(done);
        return update(images, labels, tf.scalar(done, "int32"));
      });
      const [value] = await loss.data();
      loss.dispose();
      done++;
      return value;
    },
    tensors,
    restore(at, values) {
      assignAll(tensors(), values);
      done = at;
    },
    dispose: optimizer.dispose,
  };
}

const FILTERS = "stem.kernel";

/**
 * The strongest principal components of squares of pixels, scaled to unit variance, [4, 4, C, count]: a first layer that
 * is not trained, after which training is about twice as fast (Page 2019; Jordan 2024, section 3.3).
 */
function whiteningFilters(data: ImageSet, count: number): tf.Tensor {
  const { values, vectors } = symmetricEigen(patchMoments(data));
  const strongest = values.map((_, i) => i).sort((a, b) => values[b] - values[a]);
  const filters = strongest
    .slice(0, count)
    .map((i) => vectors[i].map((x) => x / Math.sqrt(values[i] + 5e-4)));
  const channels = data.shape[3];
  return tf.tensor(filters).transpose().reshape([FILTER_SIZE, FILTER_SIZE, channels, count]);
}

/** Mean products of the values of [4, 4, C] squares, over squares of the first thousand images. */
function patchMoments({ images, shape }: ImageSet): number[][] {
  const [count, height, width, channels] = shape;
  const used = Math.min(count, 1000);
  const values = fromPixels(images.subarray(0, used * height * width * channels));
  const row = FILTER_SIZE * channels;
  const size = FILTER_SIZE * row;
  const sums = Array.from({ length: size }, () => new Array<number>(size).fill(0));
  const patch = new Float64Array(size);
  let seen = 0;
  for (let image = 0; image < used; image++)
    for (let y = 0; y + FILTER_SIZE <= height; y += FILTER_SIZE - 1)
      for (let x = 0; x + FILTER_SIZE <= width; x += FILTER_SIZE - 1) {
        for (let dy = 0; dy < FILTER_SIZE; dy++) {
          const from = ((image * height + y + dy) * width + x) * channels;
          patch.set(values.subarray(from, from + row), dy * row);
        }
        for (let i = 0; i < size; i++) for (let j = 0; j <= i; j++) sums[i][j] += patch[i] * patch[j];
        seen++;
      }
  return sums.map((line, i) => line.map((_, j) => sums[Math.max(i, j)][Math.min(i, j)] / seen));
}

/** The share of a set's images whose class has the largest logit. */
export async function accuracy(net: Classifier, set: ImageSet, rows = 500): Promise<number> {
  const batches = imageBatches(set);
  const [count] = set.shape;
  const choose = compile((images: tf.Tensor) => net.logits(images).argMax(1));
  let right = 0;
  for (let from = 0; from < count; from += rows) {
    const places = Array.from({ length: Math.min(rows, count - from) }, (_, i) => from + i);
    const chosen = tf.tidy(() => choose(batches.at(places)));
    const classes = await chosen.data();
    chosen.dispose();
    for (let i = 0; i < classes.length; i++) if (classes[i] === set.labels[from + i]) right++;
    await tf.nextFrame();
  }
  return right / count;
}

/** What a file of a trained classifier says of it. */
export interface ClassifierRecord extends ClassifierConfig {
  /** The share of the test images that these weights, as they are stored, tell right. */
  testAccuracy: number;
  testImages: number;
}

/**
 * Writes a trained classifier in half precision with the accuracy of what was written, which it resolves to. The net
 * holds the rounded weights after it.
 */
export async function saveClassifier(
  path: string,
  net: Classifier,
  { config, step, test }: { config: ClassifierConfig; step: number; test: ImageSet },
): Promise<number> {
  const tensors = Object.fromEntries(
    Object.entries(net.variables).map(([name, variable]) => {
      const data = fromHalf(toHalf(new Float32Array(variable.dataSync())));
      tf.tidy(() => variable.assign(tf.tensor(data, variable.shape)));
      return [`net/${name}`, { shape: [...variable.shape], data }];
    }),
  );
  const testAccuracy = await accuracy(net, test);
  const record: ClassifierRecord = { ...config, testAccuracy, testImages: test.shape[0] };
  saveHalf(path, { step, config: record, tensors });
  return testAccuracy;
}

/** A trained classifier of a file, with what it says of it. Throws one line on a file of something else. The caller disposes the net. */
export function loadClassifier(path: string): { net: Classifier; record: ClassifierRecord } {
  const checkpoint = loadCheckpoint(path);
  const record = classifierConfig(checkpoint.config, path) as ClassifierRecord;
  if (typeof record.testAccuracy !== "number")
    throw new Error(
      `loadClassifier: ${path} does not say how accurate it is. Give one that npm run classifier exported.`,
    );
  const net = classifier(record.net);
  try {
    loadWeights(net.variables, checkpoint);
    return { net, record };
  } catch (error) {
    net.dispose();
    throw new Error(`loadClassifier: ${path}: ${(error as Error).message}`, { cause: error });
  }
}
