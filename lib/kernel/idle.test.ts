import assert from "node:assert/strict";
import { test } from "node:test";
import { createSpareTime, thenTouch } from "./idle";

test("tasks wait until nothing was asked for a second, and come one at a time", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const done: string[] = [];
  const spare = createSpareTime();
  const api = thenTouch({ ask: () => done.push("asked") }, spare.touch);
  spare.later(() => done.push("first"));
  spare.later(() => done.push("second"));
  t.mock.timers.tick(900);
  api.ask();
  t.mock.timers.tick(900);
  assert.deepEqual(done, ["asked"]);
  t.mock.timers.tick(100);
  assert.deepEqual(done, ["asked", "first"]);
  t.mock.timers.tick(1000);
  assert.deepEqual(done, ["asked", "first", "second"]);
  t.mock.timers.tick(10_000);
  assert.deepEqual(done, ["asked", "first", "second"]);
});
