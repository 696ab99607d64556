/** @file What doctor says of a project in which nothing is right, and in which one thing is not. */
import assert from "node:assert/strict";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { describeFindings, examine } from "./checks.mjs";
import { writeJson } from "./stamp.mjs";
import { fakePath, makeProject, withEnvironment } from "./testing";

const PARTS = [
  "Node",
  "Node packages",
  "Python",
  "Virtual environment",
  "JupyterLab",
  "Kernel",
  "Engine",
  "GPU",
  "Plot renderer",
  "Browser",
];

test("in an empty project every part has its line, its state and its remedy", async () => {
  const at = makeProject();
  writeJson(join(at.project, "package-lock.json"), { packages: { "node_modules/a": { version: "1.0.0" } } });
  const findings = await withEnvironment({ PATH: fakePath({}), CHROME_PATH: "/no/such", CI: "true" }, () =>
    examine(at),
  );
  assert.deepEqual(
    findings.map(({ part }) => part),
    PARTS,
  );
  const wrong = findings.filter(({ ok, needed }) => needed && !ok).map(({ part }) => part);
  assert.deepEqual(
    wrong,
    PARTS.filter((part) => !["Node", "GPU", "Browser"].includes(part)),
  );
  const lines = describeFindings(findings).split("\n");
  assert.equal(lines.length, PARTS.length);
  assert.match(lines[2], /^Python +WRONG +no Python answers.*To repair: install Python 3\.10 or newer/);
  assert.match(
    lines[9],
    /^Browser +note +CHROME_PATH is "\/no\/such".*To repair: sudo apt-get install -y chromium/,
  );
});

test("a virtual environment whose Python is gone is told apart from a missing one", async () => {
  const at = makeProject();
  const look = async () => (await examine(at)).find(({ part }) => part === "Virtual environment");
  assert.match((await look())?.text ?? "", /there is no \.venv/);
  mkdirSync(join(at.venv, "bin"), { recursive: true });
  writeFileSync(at.python, "#!/no/such/python\n", { mode: 0o755 });
  assert.match((await look())?.text ?? "", /does not run/);
  writeFileSync(at.python, "#!/bin/sh\necho Python 3.12.1\n", { mode: 0o755 });
  assert.match((await look())?.text ?? "", /packages are not those that are locked/);
});

test("an engine that could not be made is shown with its reason and remedy", async () => {
  const at = makeProject();
  const failures = [{ engine: "cpu", reason: "no C++ compiler found", remedy: "install g++" }];
  writeJson(join(at.engine, "engine.json"), { hash: "", gpu: false, engine: "js", failures });
  mkdirSync(at.modules, { recursive: true });
  writeJson(join(at.modules, ".package-lock.json"), { packages: {} });
  writeJson(join(at.project, "package-lock.json"), { packages: {} });
  const engine = (await examine(at)).find(({ part }) => part === "Engine");
  assert.equal(engine?.ok, false);
  assert.match(engine?.text ?? "", /does not start.*the cpu engine: no C\+\+ compiler found/);
  assert.equal(engine?.remedy, "install g++");
});

test("where no CUDA answers, the GPU's line says what WebGPU has found, or why it has found nothing", async () => {
  const at = makeProject();
  mkdirSync(at.modules, { recursive: true });
  symlinkSync(resolve(__dirname, "../../node_modules/tsx"), join(at.modules, "tsx"));
  for (const file of [join(at.modules, ".package-lock.json"), join(at.project, "package-lock.json")])
    writeJson(file, { packages: {} });
  mkdirSync(join(at.project, "lib", "tensor"), { recursive: true });
  const look = async (whenAskedForWebGpu: string) => {
    const code = `if (process.env.LOWER_BOUND_ENGINE === "webgpu") ${whenAskedForWebGpu};
      else exports.engine = { name: "cpu", description: "the processor" };`;
    writeFileSync(join(at.project, "lib", "tensor", "engine.js"), code);
    const findings = await withEnvironment({ PATH: fakePath({}) }, () => examine(at));
    const { ok, needed, text } = findings.find(({ part }) => part === "GPU")!;
    assert.deepEqual([ok, needed], [true, false]);
    return text;
  };
  assert.equal(
    await look('exports.engine = { name: "webgpu", description: "WebGPU on a Test" }'),
    "no NVIDIA GPU answers; WebGPU on a Test (--engine webgpu)",
  );
  assert.equal(
    await look('throw new Error("No engine could start (webgpu: Dawn finds no GPU). Run: npm run doctor")'),
    "no NVIDIA GPU answers; WebGPU: Dawn finds no GPU; not needed",
  );
});
