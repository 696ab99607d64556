import assert from "node:assert/strict";
import { test } from "node:test";
import { engine, tf } from ".";

test("the engine computes", () => {
  assert.deepEqual([...tf.tensor1d([1, 2, 3]).square().dataSync()], [1, 4, 9]);
  assert.ok(engine.description.length > 0);
});
