import assert from "node:assert/strict";
import { readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { loadWithCodeCache } from "./code-cache";
import { makeFolder } from "./testing/kernel";

const SOURCE = `const own = require("./part.json"); exports.answer = () => own.six * 7; exports.file = __filename;`;

function moduleIn(folder: string): string {
  writeFileSync(join(folder, "part.json"), `{ "six": 6 }`);
  const file = join(folder, "big.js");
  writeFileSync(file, SOURCE);
  return file;
}

test("the module is what require finds, with its own require; its code is kept once and then used", () => {
  const [file, cache] = [moduleIn(makeFolder()), makeFolder()];
  const save = loadWithCodeCache(file, cache);
  assert.equal(require(file).answer(), 42);
  assert.equal(require(file).file, file);
  assert.deepEqual(readdirSync(cache), []);
  save();
  const [kept, ...more] = readdirSync(cache).map((name) => join(cache, name));
  assert.deepEqual(more, []);
  utimesSync(kept, 1, 1);
  const saveAgain = loadWithCodeCache(file, cache);
  assert.equal(require(file).answer(), 42);
  saveAgain();
  assert.equal(statSync(kept).mtimeMs, 1000, "accepted code is not written again");
});

test("code of another source of the same length is not used, and a broken file does no harm", () => {
  const [file, cache] = [moduleIn(makeFolder()), makeFolder()];
  loadWithCodeCache(file, cache)();
  writeFileSync(file, SOURCE.replace("* 7", "* 8"));
  utimesSync(file, 1, 1);
  loadWithCodeCache(file, cache)();
  assert.equal(require(file).answer(), 48);
  for (const name of readdirSync(cache)) writeFileSync(join(cache, name), "broken");
  loadWithCodeCache(file, cache);
  assert.equal(require(file).answer(), 48);
});

test("where it cannot be kept, the module is there all the same", () => {
  const [file, cache] = [moduleIn(makeFolder()), makeFolder()];
  rmSync(cache, { recursive: true });
  loadWithCodeCache(file, cache)();
  assert.equal(require(file).answer(), 42);
});
