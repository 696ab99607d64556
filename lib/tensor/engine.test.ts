import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";
import { makeFolder } from "../../scripts/setup/testing";
import { engine, tf } from ".";
import { addonPath } from "./engine";

const root = resolve(__dirname, "../..");

test("the engine computes", () => {
  assert.deepEqual([...tf.tensor1d([1, 2, 3]).square().dataSync()], [1, 4, 9]);
  assert.ok(engine.description.length > 0);
});

/** A project whose CUDA engine sees no GPU: the CPU's addon stands in for it. */
function projectWithoutGpu(): string {
  const project = makeFolder();
  const place = (path: string) => {
    mkdirSync(dirname(join(project, path)), { recursive: true });
    return join(project, path);
  };
  writeFileSync(place("package.json"), "{}");
  cpSync(join(__dirname, "engine.ts"), place("lib/tensor/engine.ts"));
  symlinkSync(join(root, "node_modules"), place("node_modules"));
  symlinkSync(dirname(addonPath("cpu")), place(".cache/engine/cuda"));
  return project;
}

test("the CUDA build without a GPU says that it is on the CPU, and is refused where CUDA alone was asked for", {
  skip: existsSync(addonPath("cpu")) ? false : "the cpu engine is not there",
}, () => {
  const project = projectWithoutGpu();
  const start = (names: string | undefined) => {
    const code = `const { engine } = require(${JSON.stringify(join(project, "lib/tensor/engine"))});
      console.log(engine.name, engine.native, engine.description);`;
    const env = { ...process.env, LOWER_BOUND_ENGINE: names, NODE_TEST_CONTEXT: undefined };
    const args = ["--import", "tsx", "-e", code];
    const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: root, env, encoding: "utf8" });
    return stdout + stderr;
  };
  for (const names of [undefined, "cuda,cpu"])
    assert.equal(start(names), "cpu true the CUDA build on the CPU: TensorFlow sees no GPU here\n");
  assert.match(start("cuda"), /No engine could start \(cuda: TensorFlow sees no GPU here\)/);
  assert.match(start("cuda,js"), /^js false pure JavaScript/);
});
