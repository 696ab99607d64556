/**
 * @file The whole set-up from a clean clone, in a folder whose name has a space and letters beyond ASCII.
 *
 * It takes a minute or two, and the network where npm's and pip's own caches do not hold the packages. Without
 * a network it is skipped, but not under CI.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { PROJECT } from "./layout.mjs";
import { makeFolder } from "./testing";

/** A child's environment without what this run's own npm and kernel put there. */
const environment = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !/^(npm_(?!config)|INIT_CWD|NODE_|LOWER_BOUND_|TF_)/.test(name),
  ),
);

function run(folder: string, program: string, args: string[]) {
  const { status, stdout, stderr } = spawnSync(program, args, {
    cwd: folder,
    env: environment,
    encoding: "utf8",
  });
  return { status, output: `${stdout}${stderr}` };
}

const CODE = `
const { tf, engine } = require("./lib");
console.log(engine.name, tf.matMul([[1, 2]], [[3], [4]]).dataSync()[0]);`;

const skip = existsSync(join(PROJECT, ".git")) ? false : "this folder is no git checkout to clone";

test("a clean clone sets itself up, and computes with the native engine", { skip }, (t) => {
  const folder = join(makeFolder(), "a clone, größer");
  assert.equal(run(PROJECT, "git", ["clone", "--quiet", PROJECT, folder]).status, 0);
  const began = performance.now();
  const first = run(folder, process.execPath, ["scripts/setup.mjs"]);
  if (!process.env.CI && /could not download/.test(first.output)) return t.skip("needs the network");
  assert.equal(first.status, 0, first.output);
  t.diagnostic(`set-up took ${((performance.now() - began) / 1000).toFixed(0)} s`);

  const doctor = run(folder, process.execPath, ["scripts/doctor.mjs"]);
  assert.equal(doctor.status, 0, `${first.output}\n${doctor.output}`);
  assert.doesNotMatch(doctor.output, /WRONG/);
  const computed = run(folder, process.execPath, ["--import", "tsx", "-e", CODE]);
  assert.match(computed.output, /^(cpu|cuda) 11$/m, `${first.output}\n${computed.output}`);
  assert.doesNotMatch(computed.output, /oneDNN|absl/, "TensorFlow is quiet when it loads");

  const again = run(folder, process.execPath, ["scripts/setup.mjs"]);
  assert.deepEqual(again, { status: 0, output: "Set-up is complete.\n" });
});
