/** @file Small images, models and classifiers in the files that the real ones come in, for tests of what reads them. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { ImageSet } from "../data";
import { classifier } from "../nets";
import { tf } from "../tensor";
import {
  buildRun,
  type Checkpoint,
  CLASSIFIER_RUN,
  checkpointOf,
  type RunConfig,
  runConfig,
  saveAverages,
  saveClassifier,
  trainer,
} from "../training";
import { fileMark } from "../training/mark";
import { numbersFrom } from ".";

/** Random pixels as the first training file and the test file of CIFAR-10's binary version. */
export function writeCifar10(folder: string, { train, test }: { train: number; test: number }): void {
  mkdirSync(folder, { recursive: true });
  const write = (name: string, count: number, seed: number) => {
    const draw = numbersFrom(seed);
    const bytes = { length: count * 3073 };
    writeFileSync(
      join(folder, name),
      Uint8Array.from(bytes, (_, i) => Math.floor((i % 3073 === 0 ? 10 : 256) * draw())),
    );
  };
  write("data_batch_1.bin", train, 1);
  write("test_batch.bin", test, 2);
}

/** A run of a net of a thousand weights on images of 32 × 32 × 3, told so many classes. */
export const smallRun = (changes: Partial<RunConfig> = {}, classes = 0): RunConfig =>
  runConfig(
    {
      net: { kind: "unet", channels: 4, multipliers: [1], blocks: 1, attention: [], patch: 8, classes },
      ...changes,
    },
    "smallRun",
  );

/** The checkpoint of a run before its first step. */
export function untrainedCheckpoint(config: RunConfig): Checkpoint {
  const { net, schedule } = buildRun(config);
  const images = () => tf.zeros([1, 32, 32, 3]);
  const data = {
    sample: images,
    sampleLabelled: () => ({ images: images(), labels: tf.tensor1d([0], "int32") }),
  };
  const training = trainer({ ...config, decaySteps: undefined, net, schedule, data });
  try {
    return checkpointOf(training, config);
  } finally {
    training.dispose();
    net.dispose();
  }
}

/** The folder of a shipped model that was not trained. */
export function writeShipped(folder: string, config: RunConfig): void {
  mkdirSync(folder, { recursive: true });
  saveAverages(join(folder, "model.safetensors"), untrainedCheckpoint(config));
  const starts = [{ step: 0, date: "2020-01-01T00:00:00.000Z", engine: "cpu", machine: "a test" }];
  const about = {
    command: "none",
    steps: 1,
    hours: 0.1,
    images: 64,
    weights: 1000,
    bytes: 4000,
    mark: fileMark(join(folder, "model.safetensors")),
    loss: 1,
    starts,
  };
  const files = { config, about, curve: { step: [1, 2], loss: [1, 1], hours: [0.1, 0.2] } };
  for (const [name, value] of Object.entries(files))
    writeFileSync(join(folder, `${name}.json`), JSON.stringify(value));
}

/** An exported classifier that was not trained. */
export async function writeClassifier(path: string, imageSize = 32): Promise<void> {
  mkdirSync(dirname(path), { recursive: true });
  const options = { imageSize, imageChannels: 3, filters: 4, widths: [4, 8], numClasses: 10 };
  const test: ImageSet = {
    ...{ images: new Uint8Array(imageSize ** 2 * 3), labels: Uint8Array.of(1) },
    ...{ shape: [1, imageSize, imageSize, 3] as const, classNames: [] },
  };
  const made = classifier(options, 1);
  await saveClassifier(path, made, { config: { ...CLASSIFIER_RUN, net: options }, step: 0, test });
  made.dispose();
}
