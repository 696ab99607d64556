import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { locked, takeLock, withFolder } from "./lock.cjs";

const all = mkdtempSync(join(tmpdir(), "lower-bound-lock-"));
after(() => rmSync(all, { recursive: true }));
const makeFolder = () => mkdtempSync(join(all, "one-"));

test("the second of two waits for the first", async () => {
  const lock = join(makeFolder(), "cache", "setup.lock");
  const release = await takeLock(lock);
  const order: string[] = [];
  const second = takeLock(lock, { onWait: () => order.push("waits") }).then((free) => {
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
  const held = takeLock(lock, {
    onWait(pid) {
      throw new Error(`held by ${pid}`);
    },
  });
  await assert.rejects(
    held,
    new RegExp(`held by ${process.ppid}$`),
    "of one that runs here, in a long computation",
  );
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

test("what one process does alone another may not do beside it, and may after it", async () => {
  const lock = join(makeFolder(), "images.lock");
  const busy = locked(lock, () =>
    assert.rejects(
      locked(lock, async () => assert.fail("both at work")),
      new RegExp(`^Error: process ${process.pid} is at work on the same files\\. Wait for it`),
    ),
  );
  await busy;
  assert.equal(await locked(lock, async () => "done"), "done");
});

test("a process whose folder was taken over while it was stopped ends, and leaves the other's lock", () => {
  const folder = join(makeFolder(), "run");
  const work = `
    const { writeFileSync } = require("node:fs");
    const { withFolder } = require(${JSON.stringify(join(__dirname, "lock.cjs"))});
    withFolder(${JSON.stringify(folder)}, async () => {
      writeFileSync(${JSON.stringify(join(folder, "lock"))}, "elsewhere 7 1");
      await new Promise((done) => setTimeout(done, 60_000));
      console.log("went on");
    });`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ["-e", work], { encoding: "utf8" });
  assert.deepEqual([status, stdout], [1, ""]);
  assert.match(stderr, /run was taken over by another process while this one was stopped; this one ends\.$/m);
  assert.equal(readFileSync(join(folder, "lock"), "utf8"), "elsewhere 7 1");
});
