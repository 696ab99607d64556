import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { linearSchedule } from "../diffusion";
import { createNet, type NetConfig } from "../nets";
import { type Rng, tf } from "../tensor";
import { assertAllClose } from "../testing";
import {
  type ArrayEntry,
  type Checkpoint,
  checkpointOf,
  decodeSafetensors,
  encodeSafetensors,
  loadCheckpoint,
  loadWeights,
  previousPath,
  resume,
  saveCheckpoint,
  writeWhole,
} from ".";
import { saveHalf } from "./checkpoint";
import { fromHalf, toHalf } from "./safetensors";
import { type Trainer, trainer } from "./trainer";

const folder = mkdtempSync(join(tmpdir(), "lower-bound-checkpoint-"));
after(() => rmSync(folder, { recursive: true }));

const entry = (shape: number[], ...data: number[]): ArrayEntry => ({ shape, data: Float32Array.from(data) });

// A file as the format's specification has it, written by hand.
function fileByHand(header: object, numbers: Uint8Array): Buffer {
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, numbers]);
}

test("safetensors: a file written by hand is read, float32 and float16", () => {
  const numbers = Buffer.from("0000803f000000c000380fbc", "hex"); // 1, -2; 0.5, -1.0146484375
  const header = {
    __metadata__: { by: "hand" },
    b: { dtype: "F16", shape: [2], data_offsets: [8, 12] },
    a: { dtype: "F32", shape: [1, 2], data_offsets: [0, 8] },
  };
  const { tensors, metadata } = decodeSafetensors(fileByHand(header, numbers));
  assert.deepEqual(metadata, { by: "hand" });
  assert.deepEqual(tensors.a, entry([1, 2], 1, -2));
  assert.deepEqual(tensors.b, entry([2], 0.5, -1.0146484375));
});

test("safetensors: what is written is read back, and lies aligned", () => {
  const tensors = { x: entry([2, 1], 1e-30, -3.5), "a/ä": entry([], 7), none: entry([0, 3]) };
  const bytes = encodeSafetensors({ tensors, metadata: { k: "v" } });
  assert.equal((8 + Number(bytes.readBigUInt64LE(0))) % 8, 0);
  assert.deepEqual(decodeSafetensors(bytes), { tensors, metadata: { k: "v" } });
  assert.throws(
    () => encodeSafetensors({ tensors: { x: entry([3], 1) }, metadata: {} }),
    /"x" has 1 numbers, expected shape \[3\]/,
  );
});

test("float16: every one of its numbers survives, others go to the nearest, ties to even", () => {
  const all = Uint16Array.from({ length: 0x10000 }, (_, i) => i).filter((bits) => (bits & 0x7c00) !== 0x7c00);
  assert.deepEqual(toHalf(fromHalf(all)), all);
  const values = [
    1 + 2 ** -11,
    1 + 3 * 2 ** -11,
    1 + 2 ** -11 + 2 ** -20,
    65519,
    65520,
    1e9,
    2 ** -25,
    3 * 2 ** -25,
  ];
  const want = [1, 1 + 2 ** -9, 1 + 2 ** -10, 65504, Infinity, Infinity, 0, 2 ** -23];
  assert.deepEqual([...fromHalf(toHalf(Float32Array.from(values)))], want);
  assert.ok(Number.isNaN(fromHalf(toHalf(Float32Array.from([Number.NaN])))[0]));
  const x = Float32Array.from({ length: 1000 }, (_, i) => Math.sin(i) * 2 ** ((i % 20) - 10));
  assertAllClose(fromHalf(toHalf(x)), x, { rel: 2 ** -11, abs: 2 ** -25 });
});

const mlpConfig: NetConfig = { kind: "mlp", hidden: 8, depth: 1 };
const unetConfig: NetConfig = {
  kind: "unet",
  imageSize: 4,
  channels: 4,
  multipliers: [1, 2],
  blocks: 1,
  attention: [2],
};

/** A run on random data of the net's own shape. */
function smallRun(config: NetConfig): Trainer {
  const shape = config.kind === "mlp" ? [2] : [4, 4, 3];
  const data = { sample: (source: Rng, count: number) => source.normal([count, ...shape]) };
  const options = { schedule: linearSchedule(), batchSize: 4, warmupSteps: 3, seed: 5 };
  return trainer({ ...options, net: createNet(config, 1), data });
}

async function losses(training: Trainer, count: number): Promise<number[]> {
  const all: number[] = [];
  for (let i = 0; i < count; i++) all.push(await training.step());
  return all;
}

const dispose = (training: Trainer) => {
  training.dispose();
  training.net.dispose();
};

for (const config of [mlpConfig, unetConfig])
  test(`${config.kind}: a run resumed from a file equals the uninterrupted one, bit for bit`, async () => {
    const path = join(folder, `${config.kind}.safetensors`);
    const whole = smallRun(config);
    const first = await losses(whole, 3);
    saveCheckpoint(path, checkpointOf(whole, config));
    const rest = await losses(whole, 4);
    const again = smallRun(config);
    const loaded = loadCheckpoint(path);
    assert.equal(loaded.step, 3);
    assert.deepEqual(loaded.config, config);
    resume(again, loaded);
    assert.equal(again.done, 3);
    assert.deepEqual(await losses(again, 4), rest);
    assert.deepEqual(checkpointOf(again, config), checkpointOf(whole, config));
    assert.notDeepEqual(rest, first);
    dispose(whole);
    dispose(again);
  });

async function written(path: string): Promise<Checkpoint> {
  const training = smallRun(mlpConfig);
  await losses(training, 2);
  const checkpoint = checkpointOf(training, mlpConfig);
  dispose(training);
  saveCheckpoint(path, checkpoint);
  return checkpoint;
}

test("averaged weights are loaded into a net, in half precision too", async () => {
  const path = join(folder, "weights.safetensors");
  const { tensors, step } = await written(path);
  const weights = Object.entries(tensors).filter(([name]) => name.startsWith("ema/"));
  saveHalf(path, { step, config: mlpConfig, tensors: Object.fromEntries(weights) });
  const net = createNet(mlpConfig, 9);
  loadWeights(net.variables, loadCheckpoint(path));
  for (const [name, variable] of Object.entries(net.variables))
    assertAllClose(variable.dataSync(), tensors[`ema/${name}`].data, { rel: 2 ** -11, abs: 2 ** -25 });
  net.dispose();
});

test("a damaged, foreign or future file is refused, and the one before it named", async () => {
  const path = join(folder, "bad.safetensors");
  const checkpoint = await written(path);
  saveCheckpoint(path, checkpoint);
  const good = readFileSync(path);
  const refused = (bytes: Uint8Array, message: RegExp) => {
    writeFileSync(path, bytes);
    assert.throws(() => loadCheckpoint(path), message);
    assert.throws(
      () => loadCheckpoint(path),
      /To go on from the one before it, copy .*bad\.previous\.safetensors over it/,
    );
  };
  refused(
    good.subarray(0, good.length - 1),
    /bad\.safetensors: the file has \d+ bytes, expected \d+.*truncated/,
  );
  refused(good.subarray(0, 100), /its header alone \d+: it is truncated/);
  refused(good.subarray(0, 3), /does not begin as a safetensors file does/);
  refused(Buffer.concat([good, good]), /expected \d+: it is damaged/);
  refused(encodeSafetensors({ tensors: {}, metadata: {} }), /not a checkpoint of this project/);
  const foreign = (metadata: Record<string, string>, tensors = checkpoint.tensors) =>
    encodeSafetensors({
      tensors,
      metadata: { format: "lower-bound-checkpoint", version: "1", step: "1", config: "0", ...metadata },
    });
  refused(foreign({ version: "2" }), /its version is 2, expected 1/);
  refused(foreign({ step: "x" }), /its step is x, expected a whole number/);
  refused(foreign({}, { "net/a": entry([2], 1, Number.NaN) }), /not finite: "net\/a" has NaN at 1/);
  assert.deepEqual(loadCheckpoint(previousPath(path)), checkpoint);
});

test("a file that cannot be written stays as it was, and nothing half made is left", () => {
  const path = join(folder, "text.json");
  writeWhole(path, "one");
  assert.throws(
    () => writeWhole(join(path, "inside"), "two"),
    /writeWhole: .*inside could not be written .*Make room/,
  );
  writeWhole(path, "three");
  assert.equal(readFileSync(path, "utf8"), "three");
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.includes("partial")),
    [],
  );
});

test("weights that are not finite are not written, and a failed write leaves the last checkpoint", async () => {
  const path = join(folder, "kept.safetensors");
  const checkpoint = await written(path);
  const broken = { ...checkpoint, tensors: { "net/a": entry([1], Number.POSITIVE_INFINITY) } };
  assert.throws(() => saveCheckpoint(path, broken), /is not written: at step 2: "net\/a" has Infinity at 0/);
  assert.deepEqual(loadCheckpoint(path), checkpoint);
  const inFile = join(path, "inside.safetensors"); // its folder is a file
  assert.throws(
    () => saveCheckpoint(inFile, checkpoint),
    /saveCheckpoint: .*inside\.safetensors could not be written/,
  );
  assert.equal(readdirSync(folder).filter((name) => name.endsWith(".partial")).length, 0);
});

test("the checkpoint of another net changes nothing", async () => {
  const path = join(folder, "other.safetensors");
  const checkpoint = await written(path);
  for (const other of [unetConfig, { ...mlpConfig, hidden: 9 }, { ...mlpConfig, depth: 2 }]) {
    const training = smallRun(other);
    const before = checkpointOf(training, null);
    assert.throws(() => resume(training, checkpoint), /checkpoint of another net/);
    assert.throws(() => loadWeights(training.net.variables, checkpoint), /checkpoint of another net/);
    assert.deepEqual(checkpointOf(training, null), before);
    dispose(training);
  }
  const deeper = smallRun({ ...mlpConfig, depth: 2 });
  const shallow = smallRun(mlpConfig);
  assert.throws(() => resume(shallow, checkpointOf(deeper, null)), /the net has no "net\/hidden\.1\.weight"/);
  dispose(deeper);
  dispose(shallow);
});

test("saving, loading and resuming leave no tensors behind", async () => {
  const training = smallRun(mlpConfig);
  await losses(training, 1);
  const path = join(folder, "leak.safetensors");
  const cycle = () => {
    saveCheckpoint(path, checkpointOf(training, null));
    resume(training, loadCheckpoint(path));
    loadWeights(training.net.variables, loadCheckpoint(path));
  };
  cycle();
  const before = tf.memory().numTensors;
  cycle();
  assert.equal(tf.memory().numTensors, before);
  dispose(training);
});
