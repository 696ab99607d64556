/** @file A child's output in its log, and where no log can be written. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { run } from "./process.mjs";
import { makeFolder } from "./testing";

const say = (word: string, log: string) => run(process.execPath, ["-e", `console.log("${word}")`], { log });

test("a log begins afresh in each process, and then grows", async () => {
  const log = join(makeFolder(), "logs", "a.log");
  await say("first", log);
  await say("second", log);
  assert.match(readFileSync(log, "utf8"), /^\n\$ .*\nfirst\n\n\$ .*\nsecond\n$/);
  const again = join(makeFolder(), "b.log");
  writeFileSync(again, "of an earlier process\n");
  await say("third", again);
  assert.doesNotMatch(readFileSync(again, "utf8"), /earlier/);
});

test("a log that cannot be written does not end the work", async () => {
  const file = join(makeFolder(), "file");
  writeFileSync(file, "");
  const logs = [join(file, "a.log"), ...(process.platform === "linux" ? ["/dev/full"] : [])];
  for (const log of logs) {
    const { ok, output } = await say("done", log);
    assert.deepEqual([ok, output], [true, "done\n"], log);
  }
});
