import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type ImageSet, imageBatches, toPixels } from "../data";
import { createNet } from "../nets";
import { classifier, classifierParameterCount } from "../nets/classifier";
import { tf } from "../tensor";
import { assertAllClose, assertClose, assertNoLeak, numbersFrom } from "../testing";
import { copyMoved, labelledBatches } from "./augment";
import { checkpointOf, resume, saveCheckpoint } from "./checkpoint";
import {
  accuracy,
  CLASSIFIER_RUNS,
  type ClassifierConfig,
  classifierConfig,
  classifierTrainer,
  loadClassifier,
  saveClassifier,
} from "./classifier";

const folder = mkdtempSync(join(tmpdir(), "lower-bound-classifier-"));
after(() => rmSync(folder, { recursive: true }));

/** Images of noise whose class is the colour that is brighter. */
function colours(count: number, seed: number): ImageSet {
  const draw = numbersFrom(seed);
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 3);
  const images = Uint8Array.from({ length: count * 192 }, (_, i) => {
    const brighter = i % 3 === labels[Math.floor(i / 192)] ? 60 : 0;
    return Math.floor(brighter + 180 * draw());
  });
  return { images, labels, shape: [count, 8, 8, 3], classNames: ["red", "green", "blue"] };
}

const config: ClassifierConfig = {
  data: "cifar10",
  net: { imageSize: 8, imageChannels: 3, filters: 6, widths: [8, 12], numClasses: 3 },
  ...{ batchSize: 16, epochs: 4, learningRate: 0.01, weightDecay: 0.01, warmupSteps: 4 },
  ...{ labelSmoothing: 0.1, shift: 1, mirror: true, seed: 3 },
};

const newRun = (data: ImageSet) => {
  const net = classifier(config.net, config.seed);
  return { net, training: classifierTrainer({ ...config, net, data }) };
};

test("moved images: down and right, edges mirrored, left and right exchanged", () => {
  const image = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9);
  const moved = (down: number, right: number, mirrored = false) => {
    const into = new Uint8Array(9);
    copyMoved(into, image, [3, 3, 1], { down, right, mirrored });
    return [...into];
  };
  assert.deepEqual(moved(0, 0), [...image]);
  assert.deepEqual(moved(1, 0), [4, 5, 6, 1, 2, 3, 4, 5, 6]);
  assert.deepEqual(moved(0, -1), [2, 3, 2, 5, 6, 5, 8, 9, 8]);
  assert.deepEqual(moved(0, 0, true), [3, 2, 1, 6, 5, 4, 9, 8, 7]);
});

test("batches: each image once an epoch, mirrored in every second one or never, the same for the same seed", () => {
  const count = 12;
  const images = Uint8Array.from({ length: 3 * count }, (_, i) => i); // one row of three pixels
  const labels = Uint8Array.from({ length: count }, (_, i) => i);
  const set: ImageSet = { images, labels, shape: [count, 1, 3, 1], classNames: [] };
  const make = (mirror?: boolean) => labelledBatches(set, { batchSize: 4, shift: 0, mirror, seed: 5 });
  const batches = make();
  assert.equal(batches.stepsPerEpoch, 3);
  const epoch = (number: number, from = batches) =>
    [0, 1, 2].flatMap((i) => {
      const batch = from.at(3 * number + i);
      const pixels = toPixels(batch.images);
      return [...batch.labels.dataSync()].map((label, at) => ({ label, first: pixels[3 * at] }));
    });
  const epochs = [epoch(0), epoch(1), epoch(2)];
  for (const shown of epochs)
    assert.deepEqual(
      shown.map(({ label }) => label).sort((a, b) => a - b),
      [...labels],
    );
  assert.notDeepEqual(epochs[0], epochs[2]);
  const mirrored = epochs.map(
    (shown) => new Map(shown.map(({ label, first }) => [label, first !== 3 * label])),
  );
  for (const label of labels) {
    assert.notEqual(mirrored[0].get(label), mirrored[1].get(label));
    assert.equal(mirrored[0].get(label), mirrored[2].get(label));
  }
  for (const number of [0, 1])
    for (const { label, first } of epoch(number, make(false))) assert.equal(first, 3 * label);
  assert.deepEqual([...make().at(7).labels.dataSync()], [...batches.at(7).labels.dataSync()]);
  assert.throws(
    () => labelledBatches(set, { batchSize: 13, shift: 0, seed: 5 }),
    /batchSize is 13, expected a whole number from 1 to the 12 images/,
  );
});

test("the first layer's filters whiten: on the images' squares their answers have unit second moments", () => {
  const data = colours(1000, 1);
  const { net, training } = newRun(data);
  const answers = tf.tidy(() => {
    const x = imageBatches(data).at([...Array(1000).keys()]);
    const y = tf.conv2d(x, net.variables["stem.kernel"] as tf.Tensor4D, 3, "valid").reshape([-1, 6]); // the same squares
    return tf.matMul(y, y, true).div(y.shape[0]).dataSync();
  });
  answers.forEach((moment, i) => {
    assertClose(moment, i % 7 === 0 ? 1 : 0, { abs: 0.05, what: `moment ${i}` });
  });
  training.dispose();
  net.dispose();
});

test("it learns, goes on from a checkpoint bit for bit, and is read back from half precision as accurate as it says", async () => {
  const [data, unseen] = [colours(96, 1), colours(300, 2)];
  const whole = newRun(data);
  const before = await accuracy(whole.net, unseen);
  for (let i = 0; i < 10; i++) await whole.training.step();
  const path = join(folder, "run.safetensors");
  const middle = checkpointOf(whole.training, config);
  const rest: number[] = [];
  while (whole.training.done < whole.training.steps) rest.push(await whole.training.step());
  const again = newRun(data);
  resume(again.training, middle);
  const repeated: number[] = [];
  while (again.training.done < again.training.steps) repeated.push(await again.training.step());
  assert.deepEqual(repeated, rest);
  assert.equal(rest.length, 14);
  const right = await accuracy(again.net, unseen, 70);
  assert.ok(before < 0.7 && right > 0.97, `accuracy ${before}, after training ${right}`);

  const stored = await saveClassifier(path, again.net, { config, step: 24, test: unseen });
  const { net, record } = loadClassifier(path);
  assert.equal(record.testAccuracy, stored);
  assert.equal(record.testImages, 300);
  assert.equal(await accuracy(net, unseen), stored);
  const images = imageBatches(unseen).at([0, 1]);
  assertAllClose(net.features(images).dataSync(), again.net.features(images).dataSync(), { rel: 1e-6 });
  assert.deepEqual(net.features(images).shape, [2, 12]);
  assertNoLeak(() => net.features(images));
  for (const run of [whole, again]) run.training.dispose();
  for (const each of [whole.net, again.net, net]) each.dispose();
});

test("an image's features are its own: no other image of the batch changes them", () => {
  const net = classifier(config.net, 1);
  const batches = imageBatches(colours(3, 4));
  const together = net
    .features(batches.at([0, 1, 2]))
    .dataSync()
    .slice(12, 24);
  assertAllClose(together, net.features(batches.at([1])).dataSync(), { rel: 1e-5, abs: 1e-6 });
  net.dispose();
});

test("each set has a run whose net takes its images; digits are not mirrored; what older files leave out is filled in", () => {
  for (const [data, shape] of [
    ["cifar10", [32, 32, 3]],
    ["mnist", [28, 28, 1]],
  ] as const) {
    const run = CLASSIFIER_RUNS[data];
    assert.deepEqual([run.data, run.mirror], [data, data === "cifar10"]);
    const net = classifier(run.net);
    const features = net.features(tf.zeros([2, ...shape]));
    assert.deepEqual(features.shape, [2, run.net.widths?.at(-1)]);
    features.dispose();
    net.dispose();
  }
  const { data: _, mirror: __, ...older } = config;
  assert.deepEqual(classifierConfig(older, "older"), config);
});

test("sizes that do not fit and files of something else are refused", () => {
  assert.throws(
    () => classifier({ widths: [8, 8, 8], imageSize: 12 }),
    /imageSize is 12, expected a multiple of 8 for 3 stages/,
  );
  assert.throws(() => classifier({ filters: 49 }), /filters is 49, expected at most 48/);
  assert.throws(() => classifier({ widths: [8, 0] }), /widths\[1\] is 0, expected a positive integer/);
  assert.equal(classifierParameterCount(), 675_946);
  const net = classifier(config.net);
  assert.throws(
    () => net.features(tf.zeros([2, 32, 32, 3])),
    /images have shape \[2,32,32,3\], expected \[B, 8, 8, 3\]/,
  );
  net.dispose();
  const path = join(folder, "other.safetensors");
  const diffusion = createNet({ kind: "mlp", hidden: 4 });
  saveCheckpoint(path, { step: 1, config: { net: { kind: "mlp" } }, tensors: {} });
  assert.throws(
    () => loadClassifier(path),
    /other\.safetensors is not of a classifier\. Give one that npm run classifier wrote/,
  );
  saveCheckpoint(path, { step: 1, config: { ...config, testAccuracy: 1 }, tensors: {} });
  assert.throws(() => loadClassifier(path), /checkpoint of another net/);
  writeFileSync(path, "x");
  assert.throws(() => loadClassifier(path), /does not begin as a safetensors file does/);
  diffusion.dispose();
});
