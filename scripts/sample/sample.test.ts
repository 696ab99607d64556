import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { inflateSync } from "node:zlib";
import { createNet } from "../../lib/nets";
import { encodeApng, encodePng } from "../../lib/notebook/render/png.cjs";
import { rng, tf } from "../../lib/tensor";
import { assertAllClose } from "../../lib/testing";
import { type ArrayEntry, DEFAULT_RUN, modelOf, type RunConfig, type TrainedModel } from "../../lib/training";
import { drawInterpolation, drawSamples, drawWalk, type Sheet, sideBySide } from "./draw";
import { guidanceOf, parseRequest, planOf, type Request } from "./request";

const folder = mkdtempSync(join(tmpdir(), "lower-bound-sample-"));
after(() => rmSync(folder, { recursive: true }));

const net = { kind: "unet", channels: 4, multipliers: [1], blocks: 1, attention: [], patch: 4 } as const;

/** A model whose weights are noise, so that what it draws depends on all that goes in. */
function modelWith(classes: number): TrainedModel {
  const config: RunConfig = { ...DEFAULT_RUN, numSteps: 40, net: { ...net, classes } };
  const { variables, dispose } = createNet(config.net, 1);
  const tensors: Record<string, ArrayEntry> = {};
  for (const [i, [name, { shape }]] of Object.entries(variables).entries()) {
    const values = tf.tidy(() => rng(9, i).normal(shape).mul(0.1).dataSync());
    tensors[`ema/${name}`] = { shape, data: Float32Array.from(values) };
  }
  dispose();
  return modelOf({ step: 1, config, tensors }, "test");
}

const [told, untold] = [modelWith(3), modelWith(0)];
const asked = (...args: string[]): Request => {
  const count = args.includes("--between") ? [] : ["--count", "4"];
  const request = parseRequest(["--checkpoint", "test", ...count, "--steps", "6", ...args]);
  assert.ok(request !== "help");
  return request;
};
const quiet = () => {};
const rowsOf = ({ shape, data }: Sheet) => {
  const size = data.length / shape[0];
  return Array.from({ length: shape[0] }, (_, i) => [...data.subarray(i * size, (i + 1) * size)]);
};

test("samples follow from seed, class, guidance and sampler", async () => {
  const draw = async (...args: string[]) => rowsOf(await drawSamples(told, asked(...args), quiet));
  const plain = await draw();
  assert.equal(plain.length, 4);
  assert.equal(plain[0].length, 32 * 32 * 3);
  assert.ok(plain.flat().every((value) => value >= -1.001 && value <= 1.001));
  assert.deepEqual(await draw(), plain);
  assertAllClose((await draw("--class", "0,1,2,0")).flat(), plain.flat(), { abs: 1e-5 });
  const ways = [
    ["--seed", "1"],
    ["--class", "2"],
    ["--class", "none"],
    ["--guidance", "3"],
    ["--sampler", "ancestral"],
    ["--sampler", "ancestral", "--variance", "betaTilde"],
    ["--eta", "0.5"],
  ];
  const seen = [plain];
  for (const way of ways) {
    const other = await draw(...way);
    for (const before of seen) assert.notDeepEqual(other, before, way.join(" "));
    seen.push(other);
  }
  assertAllClose((await draw("--guidance", "0")).flat(), (await draw("--class", "none")).flat(), {
    abs: 1e-5,
  });
});

test("many samples are drawn in batches: the first is as if it were alone, classes go on from one to the next", async () => {
  const draw = async (...args: string[]) =>
    rowsOf(await drawSamples(told, asked("--steps", "2", ...args), quiet));
  const [many, first] = [await draw("--count", "102"), await draw("--count", "100")];
  assert.equal(many.length, 102);
  assertAllClose(many.slice(0, 100).flat(), first.flat(), { abs: 1e-5 });
  assert.notDeepEqual(many[100], many[0]);
  const classOnes = await draw("--count", "102", "--class", "1"); // image 100 is of class 100 mod 3
  assertAllClose(many[100], classOnes[100], { abs: 1e-5 });
  assert.ok(many[101].some((value, i) => Math.abs(value - classOnes[101][i]) > 1e-3));
});

test("samples of classes in turn stand in a column for each, unless told otherwise; of one class in the squarest grid", async () => {
  const columnsOf = async (model: TrainedModel, ...args: string[]) =>
    (await drawSamples(model, asked("--steps", "1", ...args), quiet)).columns;
  assert.equal(await columnsOf(told), 3);
  assert.equal(await columnsOf(told, "--class", "2,0,2,1"), 4);
  assert.equal(await columnsOf(told, "--columns", "5"), 5);
  assert.equal(await columnsOf(told, "--class", "1"), undefined);
  assert.equal(await columnsOf(told, "--class", "none"), undefined);
  assert.equal(await columnsOf(untold), undefined);
});

test("a walk ends in the samples of the same seed, begins in their noise, and fills a row each", async () => {
  const samples = rowsOf(await drawSamples(told, asked(), quiet));
  const [xt, x0] = [
    await drawWalk(told, asked("--show", "xt"), 4, quiet),
    await drawWalk(told, asked("--show", "x0"), 4, quiet),
  ];
  assert.equal(xt.length, 4); // the start, two between, the end
  for (const moments of [2, 3, 5])
    assert.equal((await drawWalk(told, asked("--show", "xt"), moments, quiet)).length, moments);
  for (const walk of [xt, x0]) assertAllClose(rowsOf(walk[3]).flat(), samples.flat(), { abs: 1e-5 });
  const noise = rng(0).normal([4, 32, 32, 3]).dataSync();
  assertAllClose(xt[0].data, noise, { rel: 1e-6 });
  assert.ok(x0[0].data.every((value) => Math.abs(value) <= 1)); // x̂_0, clipped, already at t = T
  const sheet = sideBySide(xt);
  assert.deepEqual([sheet.shape[0], sheet.columns], [16, 4]);
  assert.deepEqual(rowsOf(sheet)[4 + 2], rowsOf(xt[2])[1]); // row 1, moment 2
});

// Test images of CIFAR-10's format, each of one grey.
const RECORD = 3073;
for (const name of ["data_batch_1.bin", "test_batch.bin"])
  writeFileSync(
    join(folder, name),
    Uint8Array.from({ length: 4 * RECORD }, (_, i) => (i % RECORD === 0 ? 1 : 60 * Math.floor(i / RECORD))),
  );

test("an interpolation stands between the two images that were named, and keeps them at small t", async () => {
  const between = ["--show", "interpolation", "--data", folder, "--between", "3,0"];
  const options = [...between, "--columns", "3", "--steps", "1"];
  const { shape, data, columns } = await drawInterpolation(untold, asked(...options, "--t", "1"), quiet);
  assert.deepEqual([shape, columns], [[5, 32, 32, 3], 5]);
  const [first, start, middle, end, last] = rowsOf({ shape, data });
  assert.ok(first.every((value) => Math.abs(value - ((2 * 180) / 255 - 1)) < 1e-6));
  assert.ok(last.every((value) => Math.abs(value + 1) < 1e-6));
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [a, b, c] = [start, middle, end].map(mean);
  assert.ok(a > b && b > c, `${a}, ${b}, ${c}`); // one noising step leaves the images what they are
  const far = await drawInterpolation(untold, asked(...options, "--t", "30"), quiet);
  assert.notDeepEqual(rowsOf(far)[1], start);
  const own = await drawInterpolation(
    untold,
    asked("--show", "interpolation", "--columns", "2", "--count", "1"),
    quiet,
  );
  assert.deepEqual(own.shape, [4, 32, 32, 3]);
});

test("mistakes get one line", async () => {
  const cases: [() => unknown, RegExp][] = [
    [() => parseRequest([]), /^--checkpoint is missing, expected a file/],
    [() => asked("--show", "all"), /^--show is "all", expected one of samples, xt, x0, interpolation/],
    [() => asked("--animate"), /^--animate shows a walk, but --show is "samples"/],
    [() => asked("--t", "5"), /^--t has no meaning for --show samples/],
    [() => asked("--columns", "0"), /^--columns is "0", expected a whole number from 1 to 1000/],
    [
      () => asked("--show", "xt", "--columns", "1"),
      /^--columns is "1", expected a whole number from 2 to 1000/,
    ],
    [() => asked("--show", "xt", "--animate", "--columns", "8"), /^--columns has no meaning for --animate/],
    [
      () => asked("--show", "interpolation", "--between", "0,1", "--count", "2"),
      /^--count has no meaning beside --between/,
    ],
    [() => guidanceOf(asked("--class", "none", "--guidance", "2"), 3, 4), /^--guidance is towards classes/],
    [() => guidanceOf(asked("--show", "interpolation", "--guidance", "2"), 3, 4), /^--guidance is towards/],
    [() => asked("--seed", "-1"), /^--seed is "-1", expected a whole number from 0/],
    [() => planFor("--steps", "41"), /^--steps is "41", expected a whole number from 1 to 40/],
    [() => planFor("--variance", "beta"), /^--variance has no meaning for --sampler ddim/],
    [() => planFor("--sampler", "ancestral", "--eta", "1"), /^--eta has no meaning for --sampler ancestral/],
    [() => planFor("--eta", "2"), /eta is 2, expected a number from 0 to 1/],
    [() => guidanceOf(asked("--class", "3"), 3, 4), /^--class has 3, expected numbers from 0 to 2, or none/],
    [() => guidanceOf(asked("--guidance", "2"), 0, 4), /^--guidance needs a model that was told classes/],
  ];
  function planFor(...args: string[]) {
    return planOf(asked(...args).options, untold.config, untold.model.schedule);
  }
  for (const [use, says] of cases) assert.throws(use, (error: Error) => says.test(error.message));
  const interpolation = (...args: string[]) =>
    drawInterpolation(untold, asked("--show", "interpolation", ...args), quiet);
  await assert.rejects(
    interpolation("--between", "1,2"),
    /--between names test images, but --data is missing/,
  );
  await assert.rejects(
    interpolation("--between", "1", "--data", folder),
    /--between has 1 places, expected two/,
  );
  await assert.rejects(
    interpolation("--between", "1,9", "--data", folder),
    /index 9, expected whole numbers from 0 to 3/,
  );
});

/** The chunks of a PNG, with the data's start. */
function chunksOf(bytes: Buffer): { type: string; data: Buffer }[] {
  const chunks = [];
  for (let at = 8; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at);
    chunks.push({
      type: bytes.toString("latin1", at + 4, at + 8),
      data: bytes.subarray(at + 8, at + 8 + length),
    });
    at += 12 + length;
  }
  return chunks;
}

test("an animated PNG is its first picture with the others after it, in sequence", () => {
  const pictures = [0, 100, 200].map((value) => new Uint8Array(2 * 3 * 4).fill(value));
  const frames = pictures.map((rgba, i) => ({ rgba, ms: i === 2 ? 2000 : 80 }));
  const chunks = chunksOf(encodeApng(2, 3, frames));
  assert.deepEqual(
    chunks.map(({ type }) => type),
    ["IHDR", "acTL", "fcTL", "IDAT", "fcTL", "fdAT", "fcTL", "fdAT", "IEND"],
  );
  assert.deepEqual([chunks[1].data.readUInt32BE(0), chunks[1].data.readUInt32BE(4)], [3, 0]);
  const numbered = chunks.filter(({ type }) => type === "fcTL" || type === "fdAT");
  assert.deepEqual(
    numbered.map(({ data }) => data.readUInt32BE(0)),
    [0, 1, 2, 3, 4],
  );
  const controls = chunks.filter(({ type }) => type === "fcTL").map(({ data }) => data);
  for (const data of controls) {
    assert.equal(data.length, 26);
    assert.deepEqual(
      [4, 8, 12, 16].map((at) => data.readUInt32BE(at)),
      [2, 3, 0, 0],
    );
  }
  assert.deepEqual(
    controls.map((data) => data.readUInt16BE(20) / data.readUInt16BE(22)),
    [0.08, 0.08, 2],
  );
  const alone = (i: number) => inflateSync(chunksOf(encodePng(2, 3, pictures[i]))[1].data);
  assert.deepEqual(inflateSync(chunks[3].data), alone(0));
  assert.deepEqual(inflateSync(chunks[7].data.subarray(4)), alone(2));
  assert.throws(() => encodeApng(2, 3, []), /encodeApng: got no frames/);
  assert.throws(() => encodeApng(2, 2, frames), /encodeApng: got 24 bytes, expected 2×2×4/);
});
