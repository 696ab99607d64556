/** @file What set-up says, and what it falls back to, when an engine cannot be made. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { findCompiler, getCompiler } from "./compiler.mjs";
import { hasEngine, installEngine, readEngineRecord } from "./engine.mjs";
import type { SetupError } from "./errors.mjs";
import type { Layout } from "./layout.mjs";
import { ask } from "./process.mjs";
import { writeJson } from "./stamp.mjs";
import { engineNotes } from "./steps.mjs";
import { fakePath, makeProject, withEnvironment } from "./testing";

/** A project whose virtual environment's Python is a shell script. */
function projectWithPython(body: string) {
  const at = makeProject();
  mkdirSync(join(at.venv, "bin"), { recursive: true });
  writeFileSync(at.python, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  mkdirSync(at.enginePackage, { recursive: true });
  return at;
}

const NO_NETWORK =
  'case "$*" in *"import pip"*) exit 0;; *) echo "NewConnectionError: Failed to establish"; exit 1;; esac';

test("$CXX goes first and may carry arguments; without it c++, g++, clang++ in turn", () => {
  const path = fakePath({ "g++": "echo g++ 12", ccache: "echo ccache" });
  assert.equal(findCompiler({ PATH: path })?.program, "g++");
  const own = findCompiler({ PATH: path, CXX: "ccache g++ -m64" });
  assert.deepEqual([own?.program, own?.args], ["ccache", ["g++", "-m64"]]);
  assert.equal(findCompiler({ PATH: fakePath({}) }), undefined);
});

test("no compiler and no zig: a missing compiler is told, not a failed download of TensorFlow", async () => {
  const at = projectWithPython(NO_NETWORK);
  const work = withEnvironment({ PATH: fakePath({}), CXX: undefined }, () => getCompiler(at));
  await assert.rejects(work, (error: SetupError) => {
    assert.match(error.message, /no C\+\+ compiler found, and zig could not be downloaded/);
    assert.match(error.remedy, /install -y g\+\+|xcode-select/);
    return true;
  });
});

test("a CXX that does not run is told, not passed over", async () => {
  const at = projectWithPython(NO_NETWORK);
  const work = withEnvironment({ PATH: fakePath({}), CXX: "nocompiler" }, () => getCompiler(at));
  await assert.rejects(work, /CXX is "nocompiler", which does not run/);
});

test("no network: the download is named, pure JavaScript remains, and it is not tried at every start", async () => {
  const at = projectWithPython(NO_NETWORK);
  const told: string[] = [];
  await withEnvironment({ PATH: fakePath({}) }, () => installEngine(at, {}, (text) => told.push(text)));
  const record = readEngineRecord(at);
  assert.equal(record?.engine, "js");
  assert.deepEqual(
    record?.failures.map(({ engine }) => engine),
    ["cpu", "package"],
  );
  assert.match(record?.failures[0].reason ?? "", /could not download TensorFlow's library/);
  assert.match(
    engineNotes(at).join("\n"),
    /pure JavaScript, some 100 times slower.*To repair: check the network/,
  );
  assert.equal(hasEngine(at, {}), true);
  assert.equal(hasEngine(at, { retry: true }), false);
  assert.match(told.join(), /downloading TensorFlow/);
});

test("after a file that was not the locked one nothing is downloaded that is not locked", async () => {
  const at = projectWithPython('case "$*" in *download*) echo "DO NOT MATCH THE HASHES"; exit 1;; esac');
  await withEnvironment({ PATH: fakePath({}) }, () => installEngine(at, {}, () => undefined));
  const record = readEngineRecord(at);
  assert.deepEqual(
    record?.failures.map(({ engine }) => engine),
    ["cpu"],
  );
  assert.match(record?.failures[0].reason ?? "", /is not the one that was locked/);
  assert.equal(record?.engine, "js");
});

test("a compiler that was not the locked one counts as well, and one for which there is no room is told", async () => {
  for (const [says, reason, altered] of [
    [
      "DO NOT MATCH THE HASHES",
      /a downloaded file of zig's C\+\+ compiler is not the one that was locked/,
      true,
    ],
    ["No space left on device", /the disk is full/, false],
  ] as const) {
    const at = projectWithPython(`case "$*" in *"import pip"*) exit 0;; *) echo "${says}"; exit 1;; esac`);
    const work = withEnvironment({ PATH: fakePath({}), CXX: undefined }, () => getCompiler(at));
    await assert.rejects(work, (error: SetupError) => {
      assert.match(error.message, reason);
      assert.equal(error.altered, altered);
      return true;
    });
  }
});

test("an addon of other sources is not left to be loaded where it cannot be made anew", async () => {
  const at = projectWithPython(NO_NETWORK);
  const stale = ["cpu", "cuda"].map((name) => join(at.engine, name, "tfjs_binding.node"));
  for (const addon of stale) {
    mkdirSync(dirname(addon), { recursive: true });
    writeFileSync(addon, "");
    writeJson(`${addon}.json`, { hash: "of other sources" });
  }
  await withEnvironment({ PATH: fakePath({}) }, () => installEngine(at, {}, () => undefined));
  assert.deepEqual(stale.filter(existsSync), []);
});

/** What set-up says in this project, in a process of its own: its Python fills an environment, and has no network. */
function setUpSays(at: Layout): string | undefined {
  const python = `case "$*" in *version_info*) echo 3.12.1;; esac`;
  const code = `import("${pathToFileURL(join(__dirname, "steps.mjs"))}").then(({ setUp }) => setUp({}, process.argv[1]))`;
  const env = { ...process.env, PATH: fakePath({ python3: python }), LOWER_BOUND_PYTHON: undefined };
  return ask(process.execPath, ["-e", code, at.project], { env });
}

test("without an engine of its own every start says so, and names the command that tries again", () => {
  const at = projectWithPython(`case "$*" in *download*) echo "NewConnectionError: no route"; exit 1;; esac`);
  writeJson(join(at.project, "assets", "kernelspec", "kernel.json"), {});
  const note =
    /the cpu engine could not be made:.*no route.*\n.*To repair: check the network.*, then npm run setup$/;
  assert.match(setUpSays(at) ?? "", note);
  const again = setUpSays(at) ?? "";
  assert.match(again, note);
  assert.doesNotMatch(again, /\[\d\/\d\]|run the command again/, "no step is made");
});

test("the npm package's engine is made again with node_modules, in which it lies", async () => {
  const at = projectWithPython(NO_NETWORK);
  await withEnvironment({ PATH: fakePath({}) }, () => installEngine(at, {}, () => undefined));
  writeJson(join(at.engine, "engine.json"), { ...readEngineRecord(at), engine: "package" });
  assert.equal(hasEngine(at, {}), false);
  const folder = join(at.enginePackage, "lib", "napi-v8");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "tfjs_binding.node"), "");
  assert.equal(hasEngine(at, {}), true);
});

test("a GPU asked for and not to be had leaves its reason and the other engines", async () => {
  const at = projectWithPython(NO_NETWORK);
  await withEnvironment({ PATH: fakePath({}) }, () => installEngine(at, { gpu: true }, () => undefined));
  const record = readEngineRecord(at);
  assert.equal(record?.failures[0].engine, "cuda");
  assert.equal(record?.engine, "js");
  assert.equal(hasEngine(at, { gpu: true }), true);
});
