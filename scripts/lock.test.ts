import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { takeLock, withFolder } from "./lock.mjs";
import { makeFolder } from "./setup/testing";

test("the second of two waits for the first", async () => {
  const lock = join(makeFolder(), "cache", "setup.lock");
  const release = await takeLock(lock);
  const order: string[] = [];
  const second = takeLock(lock, () => order.push("waits")).then((free) => {
    order.push("second");
    free();
  });
  await new Promise((done) => setTimeout(done, 500));
  order.push("first done");
  release();
  await second;
  assert.deepEqual(order, ["waits", "first done", "second"]);
  assert.equal(existsSync(lock), false);
});

test("the lock of a process that is gone, or silent on another machine, is taken over", async () => {
  const lock = join(makeFolder(), "setup.lock");
  const gone = spawnSync(process.execPath, ["-e", ""]).pid;
  writeFileSync(lock, `${hostname()} ${gone} 0`);
  (await takeLock(lock))();
  writeFileSync(lock, `${hostname()} ${process.pid} ${Math.floor(performance.timeOrigin) - 1}`);
  (await takeLock(lock))(); // of one that had our id before us
  const minutesAgo = new Date(Date.now() - 300_000);
  writeFileSync(lock, `${hostname()} ${process.ppid} 0`);
  utimesSync(lock, minutesAgo, minutesAgo);
  const held = takeLock(lock, () => {
    throw new Error("held");
  });
  await assert.rejects(held, /held/, "of one that runs here, in a long computation");
  writeFileSync(lock, "elsewhere 1 0");
  const longAgo = new Date(Date.now() - 3_600_000);
  utimesSync(lock, longAgo, longAgo);
  const release = await takeLock(lock);
  assert.match(readFileSync(lock, "utf8"), new RegExp(`^${hostname()} ${process.pid} `));
  release();
});

test("a folder in which another is at work is refused, and free again after it", async () => {
  const folder = join(makeFolder(), "runs", "new");
  const failing = withFolder(folder, async () => {
    const second = withFolder(folder, async () => assert.fail("both work in it"));
    await assert.rejects(second, /another process is at work in .*runs.new\. Wait/);
    throw new Error("its own");
  });
  await assert.rejects(failing, /its own/);
  assert.equal(existsSync(folder), false, "nothing was put into it");
  const put = async () => writeFileSync(join(folder, "config.json"), "{}");
  await withFolder(folder, put);
  assert.deepEqual(readdirSync(folder), ["config.json"]);
});
