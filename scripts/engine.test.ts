/** @file `--engine` of the commands; and training, going on and sampling on WebGPU beside the engine at hand. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { inflateSync } from "node:zlib";
import { engine } from "../lib/tensor";
import { findPlace } from "../lib/tensor/webgpu/testing/vulkan";
import { writeCifar10 } from "../lib/testing/images";
import { loadCheckpoint } from "../lib/training";
import { takeEngine } from "./engine";

test("--engine is taken out of the arguments, wherever it stands", () => {
  for (const [given, left, name] of [
    [["train", "--engine", "webgpu", "--steps", "3"], ["train", "--steps", "3"], "webgpu"],
    [["train", "--steps", "3", "--engine=js"], ["train", "--steps", "3"], "js"],
    [["train", "--engines", "js"], ["train", "--engines", "js"], undefined],
  ] as const) {
    const args = [...given];
    assert.equal(takeEngine(args), name);
    assert.deepEqual(args, left);
  }
  for (const args of [["--engine"], ["--engine="], ["--engine", "--steps"]])
    assert.throws(() => takeEngine(args), /^Error: --engine has no value\.$/);
});

const folder = mkdtempSync(join(tmpdir(), "lower-bound-engine-"));
after(() => rmSync(folder, { recursive: true }));
writeCifar10(folder, { train: 6, test: 1 });
/** Attention, classes, dropout, warm-up, a falling rate, an average: all that a run can have, as small as it can be. */
const CONFIG = {
  data: "cifar10",
  net: {
    kind: "unet",
    channels: 8,
    multipliers: [1],
    blocks: 1,
    attention: [4],
    patch: 8,
    dropout: 0.1,
    classes: 10,
  },
  numSteps: 30,
  batchSize: 2,
  warmupSteps: 2,
  decaySteps: 1000,
};
writeFileSync(join(folder, "tiny.json"), JSON.stringify(CONFIG));

const place = findPlace();

/** Runs a command on an engine of this name; WebGPU where the tests have found it. */
function command(script: "train" | "sample", name: string, ...args: string[]) {
  const env = { ...(place.env ?? process.env), LOWER_BOUND_ENGINE: undefined, NODE_TEST_CONTEXT: undefined };
  const all = ["--import", "tsx", join(__dirname, `${script}.ts`), ...args, "--engine", name];
  return spawnSync(process.execPath, all, { env, encoding: "utf8" });
}

test("an engine that is not there, or that nobody knows, is one line", () => {
  const { status, stderr } = command("train", "opencl", "cifar10");
  assert.equal(status, 1);
  assert.equal(
    stderr,
    'train: engine "opencl" (--engine, LOWER_BOUND_ENGINE): expected one of cuda, webgpu, cpu, package, js.\n',
  );
});

const skip = place.reason ?? (engine.native ? false : "the js engine draws other numbers");

test("on WebGPU a run in two parts trains, and sampling draws, what the engine at hand does", {
  skip,
}, () => {
  const run = (name: string, steps: number, ...args: string[]): void => {
    const out = ["--data", folder, "--out", join(folder, name), "--steps", String(steps)];
    const { status, stdout, stderr } = command("train", name, "cifar10", ...out, ...args);
    assert.equal(status, 0, stderr + stdout);
    assert.match(stdout, name === "webgpu" ? /^WebGPU on /m : /^native TensorFlow/m);
  };
  const config = ["--config", join(folder, "tiny.json")];
  run(engine.name, 4, ...config);
  run("webgpu", 2, ...config);
  run("webgpu", 4, "--resume");
  const losses = (name: string): number[] =>
    readFileSync(join(folder, name, "metrics.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).loss);
  const [got, want] = [losses("webgpu"), losses(engine.name)];
  assert.equal(got.length, 4);
  for (const [i, loss] of want.entries()) assert.ok(Math.abs(got[i] / loss - 1) < 1e-5, `${got} ${want}`);
  for (const kind of ["net/", "ema/"] as const) {
    const off = distance("webgpu", engine.name, kind);
    assert.ok(off < 1e-4, `${kind}: off by ${off}`);
  }

  const draw = (name: string): Uint8Array => {
    const out = join(folder, `${name}.png`);
    const from = ["--checkpoint", join(folder, engine.name, "checkpoint.safetensors"), "--out", out];
    const { status, stderr } = command("sample", name, ...from, "--count", "2", "--steps", "3", "--eta", "1");
    assert.equal(status, 0, stderr);
    return pixelsOf(readFileSync(out));
  };
  const [drawn, wanted] = [draw("webgpu"), draw(engine.name)];
  assert.equal(drawn.length, wanted.length);
  assert.ok(new Set(wanted).size > 50, "a picture");
  const off = drawn.reduce((most, value, i) => Math.max(most, Math.abs(value - wanted[i])), 0);
  assert.ok(off <= 1, `off by ${off} of 255`);
});

/** Distance of two runs' weights, or of their averages, all taken as one vector, in units of its length. */
function distance(a: string, b: string, kind: "net/" | "ema/"): number {
  const [got, want] = [a, b].map((name) => loadCheckpoint(join(folder, name, "checkpoint.safetensors")));
  assert.deepEqual(Object.keys(got.tensors), Object.keys(want.tensors));
  let [off, length] = [0, 0];
  for (const [name, { data }] of Object.entries(want.tensors))
    if (name.startsWith(kind))
      for (const [i, value] of data.entries()) {
        off += (got.tensors[name].data[i] - value) ** 2;
        length += value ** 2;
      }
  return Math.sqrt(off / length);
}

/** The image data of a PNG. */
function pixelsOf(png: Buffer): Uint8Array {
  const parts: Buffer[] = [];
  for (let at = 8; at < png.length; at += 12 + png.readUInt32BE(at))
    if (png.toString("latin1", at + 4, at + 8) === "IDAT")
      parts.push(png.subarray(at + 8, at + 8 + png.readUInt32BE(at)));
  return inflateSync(Buffer.concat(parts));
}
