import assert from "node:assert/strict";
import { mkdirSync, readdirSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { markUsed, prune } from "./prune";
import { makeFolder } from "./testing/kernel";

const DAY_S = 86_400;

/** A folder with an entry of 1000 bytes for each of these ages in days; the last is a folder itself. */
function cacheOf(ages: number[]): string {
  const folder = makeFolder();
  ages.forEach((days, i) => {
    const path = join(folder, String(days));
    const isFolder = i === ages.length - 1;
    if (isFolder) mkdirSync(path);
    writeFileSync(isFolder ? join(path, "inner") : path, "x".repeat(1000));
    utimesSync(path, Date.now() / 1000 - days * DAY_S, Date.now() / 1000 - days * DAY_S);
  });
  return folder;
}

const left = (folder: string) => readdirSync(folder).sort((a, b) => Number(a) - Number(b));

test("what was not used for long goes, folders too, but for what is to be kept", () => {
  const folder = cacheOf([1, 29, 31, 40, 50]);
  prune(folder, { maxAgeMs: 30 * DAY_S * 1000, maxBytes: 1e6 }, ["40"]);
  assert.deepEqual(left(folder), ["1", "29", "40"]);
});

test("beyond the size, what was used longest ago goes", () => {
  const folder = cacheOf([1, 2, 3, 4]);
  prune(folder, { maxAgeMs: 30 * DAY_S * 1000, maxBytes: 2500 });
  assert.deepEqual(left(folder), ["1", "2"]);
});

test("use makes an entry young again", () => {
  const folder = cacheOf([31, 32]);
  markUsed(join(folder, "31"));
  assert.ok(Date.now() - statSync(join(folder, "31")).mtimeMs < 1000 * DAY_S); // in ms
  prune(folder, { maxAgeMs: 30 * DAY_S * 1000, maxBytes: 1e6 });
  assert.deepEqual(left(folder), ["31"]);
});
