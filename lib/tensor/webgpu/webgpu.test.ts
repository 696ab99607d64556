/** @file The engine on WebGPU beside the engine at hand, on this machine's GPU or a software one. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { assertAllClose } from "../../testing";
import { engine } from "..";
import { DRAWS, KERNELS, NORMAL, OPS, type Result, results, SMALL, TRAINING } from "./testing/cases";
import { findPlace, runThere } from "./testing/vulkan";

const place = findPlace();
const there = { skip: place.reason ?? false };
const sameDraws = { skip: place.reason ?? (engine.native ? false : "the js engine draws other numbers") };
const program = (name: string) => join(__dirname, "testing", `${name}.ts`);

type Results = Record<string, Result[] | string>;

/** Makes something when it is first wanted. */
function lazy<T>(make: () => T): () => T {
  const made: T[] = [];
  return () => {
    if (made.length === 0) made.push(make());
    return made[0];
  };
}
const computed = lazy((): { results: Results; changed: string[] } =>
  JSON.parse(runThere(place, program("cases"))),
);
const onGpu = (): Results => computed().results;
const here = lazy((): Results => results());

/** Largest difference of two tensors, in units of the largest value wanted. */
function distance(got: Result, want: Result): number {
  assert.deepEqual([got.dtype, got.shape], [want.dtype, want.shape]);
  const largest = want.values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-30);
  return want.values.reduce((most, value, i) => Math.max(most, Math.abs(got.values[i] - value)), 0) / largest;
}

/** Asserts that both engines agree on all of these cases, naming all on which they do not. */
function assertAgree(cases: object, tolerance: number): void {
  const off = Object.keys(cases).flatMap((name) => {
    const [got, want] = [onGpu()[name], here()[name]];
    if (typeof got === "string" || typeof want === "string") return `${name}: ${got} | ${want}`;
    return got.flatMap((one, i) => {
      const found = distance(one, want[i]);
      return found <= tolerance ? [] : `${name}[${i}]: off by ${found.toExponential(1)}`;
    });
  });
  assert.deepEqual(off, []);
}

test("kernels and their gradients agree on random inputs", there, () => assertAgree(KERNELS, 1e-5));

test("the library's ops and their gradients agree", there, () => assertAgree(OPS, 1e-5));

test("random numbers are TensorFlow's: the same words, and normal ones to rounding", sameDraws, () => {
  assertAgree(DRAWS, 0);
  assertAgree(NORMAL, 2e-6);
});

test("optimizer steps agree: losses, weights, averages", sameDraws, () => assertAgree(TRAINING, 1e-5));

test("small arguments keep their digits, and large angles theirs", there, () => {
  for (const [name, { of, at }] of Object.entries(SMALL)) {
    const [got] = onGpu()[name] as Result[];
    assertAllClose(got.values, Array.from(Float32Array.from(at), of), { rel: 5e-7, abs: 1e-7, what: name });
  }
});

test("the same inputs give the same bits again", there, () => assert.deepEqual(computed().changed, []));

test("the contract of random numbers holds", there, () => {
  const tests = join(__dirname, "..", "random.test.ts");
  const printed = runThere(place, "--test", "--test-reporter=tap", tests);
  assert.match(printed, /# pass [5-9]\n/);
  assert.match(printed, /# fail 0\n/);
});

test("steps leave memory as it was, reads at once and later mix, and the process ends cleanly", there, () => {
  const { engine, losses, before, after } = JSON.parse(runThere(place, program("steps"), "15"));
  assert.equal(engine, "webgpu");
  assert.ok(losses.at(-1) < losses[0] / 2, `losses ${losses}`);
  assert.deepEqual(after, before);
});

test("what the GPU refuses is an error of the next read, once", there, () => {
  const { atOnce, later, sum } = JSON.parse(runThere(place, program("refused")));
  assert.match(atOnce, /^webgpu: the GPU refused an op: Buffer size \(\d+\) exceeds the max buffer size/);
  assert.match(later, /^webgpu: the GPU refused an op: /);
  assert.equal(sum, 5);
});

test("a lost GPU is an error that says so, with the driver's words once they are known", there, () => {
  const { atOnce, later } = JSON.parse(runThere(place, program("lost")));
  assert.match(
    atOnce,
    /^webgpu: the GPU was lost .*Restart the kernel or the command; smaller batches help\./,
  );
  assert.match(later, /smaller batches help\. The driver says: device was destroyed$/i);
});

/** What a process prints that starts the engines of this name, in this environment. */
function start(name: string, env: NodeJS.ProcessEnv = process.env): string {
  const code = 'console.log(require("./lib/tensor").engine.description)';
  const { stdout, stderr } = spawnSync(process.execPath, ["--import", "tsx", "-e", code], {
    cwd: join(__dirname, "../../.."),
    env: { ...env, LOWER_BOUND_ENGINE: name, NODE_TEST_CONTEXT: undefined },
    encoding: "utf8",
  });
  return stdout + stderr;
}

test("the engine says on what it runs and what it lacks", there, () =>
  assert.match(start("webgpu", place.env), /^WebGPU on .+: compile runs its function op by op here/),
);

test("by itself it does not take a GPU that the processor imitates", there, () => {
  const code = `const { startWebGpu } = require("./lib/tensor/webgpu");
    try { console.log("on", startWebGpu({ allowSoftware: false }).name); } catch (error) { console.log(error.message); }`;
  const imitated = /imitates/.test(start("webgpu", place.env));
  assert.match(runThere(place, "-e", code), imitated ? /^the only GPU is imitated by the processor/ : /^on /);
});

test("without a GPU and its driver it says so, and the next engine that was named starts", () => {
  const nowhere = { ...process.env, VK_DRIVER_FILES: "/no/such", VK_ICD_FILENAMES: "/no/such" };
  if (process.platform === "linux")
    assert.match(start("webgpu", nowhere), /No engine could start \(webgpu: .+\)\. Run: npm run doctor/);
  if (process.platform === "linux") assert.match(start("webgpu,js", nowhere), /pure JavaScript/);
  assert.match(start("opencl"), /engine "opencl".*: expected one of cuda, webgpu, cpu/);
});
