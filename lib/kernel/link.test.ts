/** @file Calls between threads: what cannot be sent back is an error, and nobody waits for ever. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MessageChannel } from "node:worker_threads";
import { connect, serve } from "./link";

test("an answer that cannot be cloned is the call's error", async (t) => {
  const { port1, port2 } = new MessageChannel();
  t.after(() => port1.close());
  const methods = { good: () => 1, bad: () => () => 1 };
  serve(port1, methods);
  const remote = connect<typeof methods>(port2);
  assert.equal(await remote.good(), 1);
  await assert.rejects(remote.bad(), { name: "DataCloneError", message: /could not be cloned/ });
});
