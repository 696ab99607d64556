import assert from "node:assert/strict";
import { test } from "node:test";
import { compile, tf } from ".";
import { addon } from "./native";
import { opTimes, profile } from "./profile";

/** A protobuf field of bytes, shorter than 128. */
const bytes = (field: number, ...content: (number | number[])[]): number[] => {
  const flat = content.flat();
  return [(field << 3) | 2, flat.length, ...flat];
};
const number = (field: number, value: number): number[] =>
  value < 128 ? [field << 3, value] : [field << 3, (value & 127) | 128, value >> 7];

test("op times are summed from a profile's planes, lines and events", () => {
  const name = (id: number, text: string) =>
    bytes(4, number(1, id), bytes(2, number(1, id), bytes(2, [...Buffer.from(text)])));
  const event = (id: number, picoseconds: number) =>
    bytes(4, number(1, id), number(2, 5), number(3, picoseconds));
  const plane = [
    ...bytes(2, [...Buffer.from("/host:CPU")]),
    ...bytes(3, event(1, 1000), event(2, 300)),
    ...bytes(3, event(1, 2000), event(3, 999)),
    ...name(1, "MatMul_7:MatMul"),
    ...name(2, "step/Adam:ResourceApplyAdam"),
    ...name(3, "a line about something else"),
  ];
  const times = opTimes(
    Uint8Array.from([(1 << 3) | 2, (plane.length & 127) | 128, plane.length >> 7, ...plane]),
  );
  assert.deepEqual(times, [
    { op: "MatMul", ms: 3000 / 1e9, count: 2 },
    { op: "ResourceApplyAdam", ms: 300 / 1e9, count: 1 },
  ]);
});

const has = addon && "startProfile" in addon;
test("a compiled function's ops appear in its profile", {
  skip: has ? false : "built without the profiler",
}, () => {
  const product = compile((x: tf.Tensor2D) => tf.matMul(x, x).exp(), { sequential: false });
  const x = tf.ones([64, 64]) as tf.Tensor2D;
  product(x).dataSync();
  const times = profile(() => product(x).dataSync());
  assert.ok(
    times.some(({ op, ms }) => /MatMul/.test(op) && ms > 0),
    JSON.stringify(times),
  );
});
