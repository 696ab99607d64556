/** @file What the tests share: tolerances as the oracle states them, leak checks, finite differences. Not for lessons. */
import assert from "node:assert/strict";
import { tf } from "../tensor";
import oracleFile from "./oracle.json";

export interface OracleRecord {
  id: string;
  // biome-ignore lint/suspicious/noExplicitAny: each record has a shape of its own
  inputs: any;
  // biome-ignore lint/suspicious/noExplicitAny: each record has a shape of its own
  expected: any;
  tol_rel: number;
  tol_abs: number;
}

/** The record with this id from `oracle.json`; throws on an unknown id. */
export function oracle(id: string): OracleRecord {
  const record = oracleFile.oracles.find((candidate) => candidate.id === id);
  if (!record) throw new Error(`oracle: no record "${id}"`);
  return record as OracleRecord;
}

/** Asserts |got − want| ≤ max(abs, rel·|want|), the oracle's rule, naming `what` on failure. */
export function assertClose(
  got: number,
  want: number,
  { rel = 1e-9, abs = 1e-12, what = "value" } = {},
): void {
  const allowed = Math.max(abs, rel * Math.abs(want));
  assert.ok(
    Math.abs(got - want) <= allowed,
    `${what}: got ${got}, expected ${want} within ${allowed} (off by ${Math.abs(got - want)})`,
  );
}

/** `assertClose` for each entry; lengths must agree. */
export function assertAllClose(
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  { rel = 1e-9, abs = 1e-12, what = "values" } = {},
): void {
  assert.equal(got.length, want.length, `${what}: got ${got.length} values, expected ${want.length}`);
  for (let i = 0; i < want.length; i++) assertClose(got[i], want[i], { rel, abs, what: `${what}[${i}]` });
}

/** Asserts that `fn`, after one call of burn-in, leaves the number of tensors as it was once its result is disposed. */
export function assertNoLeak(fn: () => tf.TensorContainer): void {
  tf.dispose(fn());
  const before = tf.memory().numTensors;
  tf.dispose(fn());
  assert.equal(tf.memory().numTensors, before, "tensors leaked");
}

/** Numbers of (0, 1) that a test can repeat, for its inputs: float64, no tensors (Park and Miller's generator). */
export function numbersFrom(seed: number): () => number {
  let state = 1 + (seed % 2147483646);
  const next = () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
  for (let i = 0; i < 3; i++) next(); // small seeds start with small numbers
  return next;
}
