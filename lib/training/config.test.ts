import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { createNet, type NetConfig, parameterCount } from "../nets";
import { rng, tf } from "../tensor";
import { assertAllClose } from "../testing";
import { type Checkpoint, saveAverages, saveCheckpoint } from "./checkpoint";
import { DEFAULT_RUN, openModel, runConfig } from "./config";
import { type ArrayEntry, decodeSafetensors } from "./safetensors";

const folder = mkdtempSync(join(tmpdir(), "lower-bound-config-"));
after(() => rmSync(folder, { recursive: true }));

test("what a configuration leaves out is filled in", () => {
  assert.deepEqual(runConfig({}, "here"), DEFAULT_RUN);
  assert.deepEqual(runConfig({ data: "mnist", seed: 7 }, "here"), {
    ...DEFAULT_RUN,
    data: "mnist",
    flip: false, // a mirrored digit is none
    seed: 7,
  });
  assert.equal(runConfig({ data: "mnist", flip: true }, "here").flip, true);
});

const net = DEFAULT_RUN.net;
const mistakes: [value: unknown, says: RegExp][] = [
  [[], /^here: it is \[\], expected an object/],
  [
    { learningrate: 1 },
    /^here: unknown key "learningrate", expected some of data, net, schedule, .*learningRate/,
  ],
  [{ net: { ...net, widht: 3 } }, /^here: "net": .*unknown key "widht", expected some of kind, imageSize/],
  [{ net: { kind: "resnet" } }, /^here: "net": .*unknown kind of net "resnet"/],
  [{ net: { ...net, imageSize: 30 } }, /^here: "net": unet: imageSize is 30, expected a multiple of 4/],
  [{ net: null }, /^here: "net": .*the net is null, expected an object with "kind"/],
  [{ net: { kind: "mlp" } }, /^here: the net is of points \("mlp"\), expected "unet"/],
  [{ data: "imagenet" }, /^here: "data" is "imagenet", expected one of cifar10, mnist/],
  [{ schedule: "quadratic" }, /"schedule" is "quadratic", expected one of linear, cosine/],
  [{ parameterization: "noise" }, /"parameterization" is "noise", expected one of mean, x0, eps, v/],
  [{ weighting: 1 }, /"weighting" is 1, expected one of vlb, simple/],
  [{ variance: "learned" }, /"variance" is "learned", expected one of beta, betaTilde/],
  [{ steps: 0 }, /"steps" is 0, expected a whole number of 1 or more/],
  [{ batchSize: "64" }, /"batchSize" is "64", expected a whole number/],
  [{ learningRate: 0 }, /"learningRate" is 0, expected a number above 0/],
  [{ decaySteps: 0.5 }, /"decaySteps" is 0\.5, expected null or a whole number/],
  [{ emaDecay: 1 }, /"emaDecay" is 1, expected a number between 0 and 1/],
  [{ flip: 1 }, /"flip" is 1, expected true or false/],
  [{ labelDropout: 2 }, /"labelDropout" is 2, expected a share from 0 to 1/],
  [{ seed: -1 }, /"seed" is -1, expected a whole number of 0 or more/],
];
for (const [value, says] of mistakes)
  test(`a mistake gets one line: ${JSON.stringify(value).slice(0, 60)}`, () => {
    assert.throws(
      () => runConfig(value, "here"),
      (error: Error) => says.test(error.message) && !error.message.includes("\n"),
    );
  });

const tiny: NetConfig = {
  kind: "unet",
  imageSize: 8,
  channels: 4,
  multipliers: [1],
  blocks: 1,
  attention: [],
  classes: 2,
};
const config = { ...DEFAULT_RUN, net: tiny };

/** A checkpoint whose averages are random, and its net's own weights others. */
function checkpoint(): Checkpoint {
  const made = createNet(tiny, 1);
  const source = rng(5);
  const tensors: Record<string, ArrayEntry> = {};
  for (const [name, { shape }] of Object.entries(made.variables))
    for (const kind of ["net", "ema"]) {
      const values = source.normal(shape).mul(0.1);
      tensors[`${kind}/${name}`] = { shape, data: Float32Array.from(values.dataSync()) };
      values.dispose();
    }
  made.dispose();
  return { step: 12, config, tensors };
}

test("what is shipped has the averages alone, in half precision, and opens as the model that was trained", () => {
  const [whole, shipped] = [join(folder, "whole.safetensors"), join(folder, "shipped.safetensors")];
  const original = checkpoint();
  saveCheckpoint(whole, original);
  saveAverages(shipped, original);
  const { tensors, metadata } = decodeSafetensors(readFileSync(shipped));
  assert.ok(Object.keys(tensors).every((name) => name.startsWith("ema/")));
  assert.deepEqual(JSON.parse(metadata.config), config);
  const size = readFileSync(shipped).length;
  assert.ok(size < 2 * parameterCount(tiny) + 8000, `${size} bytes`);
  const [a, b] = [openModel(whole), openModel(shipped)];
  assert.deepEqual([a.step, b.step, b.config], [12, 12, runConfig(config, "here")]);
  const [x, t] = [rng(6).normal([2, 8, 8, 3]), tf.tensor1d([5, 800], "int32")];
  const want = a.model.predict(x, t).dataSync();
  assertAllClose(b.model.predict(x, t).dataSync(), want, { rel: 0.05, abs: 0.02 });
  assert.ok(
    want.some((value) => Math.abs(value) > 0.1),
    "a net of zeros would pass",
  );
  const guided = b
    .guidedModel({ labels: [0, 1], scale: 3 })
    .predict(x, t)
    .dataSync();
  assert.notDeepEqual(guided, b.model.predict(x, t).dataSync());
  assert.deepEqual(b.forSamples(2, 3).predict(x, t).dataSync(), guided, "all classes in turn");
  for (const one of [a, b]) one.dispose();
});

test("a checkpoint of another net, one without averages, and a weight beyond half precision are refused", () => {
  const path = join(folder, "other.safetensors");
  const { tensors, step } = checkpoint();
  const before = tf.memory().numTensors;
  const refused = (of: Partial<Checkpoint>, says: RegExp) => {
    saveCheckpoint(path, { step, config, tensors, ...of });
    assert.throws(() => openModel(path), says);
  };
  refused(
    { config: { ...config, net: { ...tiny, channels: 8 } } },
    /other\.safetensors: loadWeights: .* another net/,
  );
  refused(
    { config: { ...config, net: { ...tiny, classes: 0 } } },
    /the net has no "ema\/time\.class\.table".* another net/,
  );
  refused({ config: 0 }, /other\.safetensors: it is 0, expected an object/);
  refused({ config: { ...config, colour: 1 } }, /other\.safetensors: unknown key "colour"/);
  writeFileSync(path, readFileSync(path).subarray(0, 3000));
  assert.throws(() => openModel(path), /other\.safetensors: .*truncated/);
  assert.equal(tf.memory().numTensors, before, "a refused net was not disposed");
  const bare = join(folder, "bare.safetensors");
  assert.throws(() => saveAverages(bare, { step, config, tensors: {} }), /no averaged weights/);
  const huge = { "ema/a": { shape: [1], data: Float32Array.of(1e6) } };
  assert.throws(
    () => saveAverages(bare, { step, config, tensors: huge }),
    /in half precision: "ema\/a" has Infinity/,
  );
});
