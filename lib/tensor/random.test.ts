import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { assertClose, assertNoLeak } from "../testing";
import { compile, engine, type Rng, rng, tf } from ".";

const COUNT = 100_000;
const values = (x: tf.Tensor): number[] => tf.tidy(() => Array.from(x.dataSync()));
const mean = (x: number[], f: (value: number, i: number) => number = (value) => value) =>
  x.reduce((sum, value, i) => sum + f(value, i), 0) / x.length;

/** Correlation of two lists, a standard normal over √n where they are independent. */
function correlation(x: number[], y: number[]): number {
  const [mx, my] = [mean(x), mean(y)];
  const cov = mean(x, (value, i) => (value - mx) * (y[i] - my));
  return cov / Math.sqrt(mean(x, (value) => (value - mx) ** 2) * mean(y, (value) => (value - my) ** 2));
}

const draws: Record<string, (source: Rng) => tf.Tensor> = {
  normal: (source) => source.normal([COUNT]),
  uniform: (source) => source.uniform([COUNT]),
  integers: (source) => source.integers([COUNT], -3, 1000),
};

for (const [name, draw] of Object.entries(draws)) {
  test(`${name}: a pure function of seed, step and order of calls`, () => {
    const first = values(draw(rng(7, 3)));
    assert.deepEqual(values(draw(rng(7, 3))), first);
    const source = rng(7, 3);
    assert.deepEqual(values(draw(source)), first);
    const others = [
      values(draw(source)),
      values(draw(rng(7, 4))),
      values(draw(rng(8, 3))),
      values(draw(rng(3, 7))),
      values(draw(rng(7 + 2 ** 32, 3))),
      values(draw(rng(-7, 3))),
    ];
    for (const other of others)
      assertClose(correlation(first, other), 0, { abs: 5 / Math.sqrt(COUNT), what: "correlation" });
    assertClose(correlation(first.slice(1), first.slice(0, -1)), 0, { abs: 5 / Math.sqrt(COUNT) });
    assertNoLeak(() => draw(rng(1, 2)));
  });
}

test("no two steps of 20,000 draw the same", {
  skip: engine.name === "js" ? false : "Philox takes the whole step for half of its key",
}, () => {
  const drawn = Array.from({ length: 20_000 }, (_, step) => String(values(rng(7, step).normal([3]))));
  assert.equal(new Set(drawn).size, drawn.length);
});

test("normal: the first four moments of N(0, 1) within 5 standard errors", () => {
  const x = values(rng(1).normal([COUNT]));
  for (const [power, moment, variance] of [
    [1, 0, 1],
    [2, 1, 2],
    [3, 0, 15],
    [4, 3, 96],
  ])
    assertClose(
      mean(x, (value) => value ** power),
      moment,
      { abs: 5 * Math.sqrt(variance / COUNT), what: `moment ${power}` },
    );
});

test("uniform: within [0, 1), with its mean and variance", () => {
  const x = values(rng(2, 9).uniform([COUNT]));
  assert.ok(x.every((value) => value >= 0 && value < 1));
  assertClose(mean(x), 1 / 2, { abs: 5 * Math.sqrt(1 / 12 / COUNT) });
  assertClose(
    mean(x, (value) => (value - 0.5) ** 2),
    1 / 12,
    { abs: 5 * Math.sqrt(1 / 180 / COUNT) },
  );
});

test("integers: each of [low, high) equally often, none outside, int32", () => {
  const drawn = rng(5).integers([10, COUNT / 10], 1, 11);
  assert.equal(drawn.dtype, "int32");
  assert.deepEqual(drawn.shape, [10, COUNT / 10]);
  const counts = new Map<number, number>();
  for (const value of values(drawn)) counts.set(value, (counts.get(value) ?? 0) + 1);
  assert.deepEqual(
    [...counts.keys()].sort((a, b) => a - b),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
  );
  for (const count of counts.values()) assertClose(count, COUNT / 10, { abs: 5 * Math.sqrt(COUNT * 0.09) });
});

test("integers of all of int32: within the limits, and their halves equally often", () => {
  for (const [low, high] of [
    [-(2 ** 31), 2 ** 31 - 1],
    [2 ** 31 - 11, 2 ** 31 - 1],
    [-(2 ** 31), 0],
  ]) {
    const x = values(rng(6).integers([COUNT], low, high));
    assert.ok(x.every((value) => value >= low && value < high));
    const share = mean(x, (value) => Number(value < (low + high) / 2));
    assertClose(share, 1 / 2, { abs: 5 * Math.sqrt(1 / 4 / COUNT), what: `below the middle from ${low}` });
  }
});

test("a compiled function draws what the eager one draws, anew at each step", () => {
  const draw = (step: tf.Scalar) => {
    const source = rng(11, step);
    return [source.normal([4, 5]), source.uniform([3]), source.integers([6], 0, 100)];
  };
  const compiled = compile(draw);
  for (const step of [0, 1, 2, 1]) {
    const eager = draw(tf.scalar(step, "int32")).map(values);
    assert.deepEqual(compiled(tf.scalar(step, "int32")).map(values), eager);
    assert.deepEqual(eager[0], values(rng(11, step).normal([4, 5])));
  }
});

test("bad seeds, steps and ranges are refused by name", () => {
  assert.throws(() => rng(0.5), /rng: seed is 0.5, expected a whole number/);
  assert.throws(() => rng(1, -1), /rng: step is -1, expected a whole number from 0/);
  assert.throws(() => rng(1, tf.scalar(1)), /rng: step is a float32 of shape \[\], expected an int32 scalar/);
  assert.throws(() => rng(1).integers([2], 3, 3), /the range is \[3, 3\), expected integers with low < high/);
  for (const [low, high] of [
    [0, 2 ** 31],
    [-(2 ** 31) - 1, 5],
    [2 ** 32, 2 ** 32 + 5],
  ])
    assert.throws(() => rng(1).integers([2], low, high), /expected limits from -2\^31 to 2\^31 - 1/);
});

test("the pure JavaScript engine keeps the same contract", {
  skip: engine.native ? false : "it is this one",
}, () => {
  const env = { ...process.env, LOWER_BOUND_ENGINE: "js" };
  const output = execFileSync(
    process.execPath,
    ["--import", "tsx", "--test", "--test-reporter=tap", __filename],
    {
      env: { ...env, NODE_TEST_CONTEXT: undefined },
      encoding: "utf8",
    },
  );
  assert.match(output, /# pass 1\d\n/);
  assert.match(output, /# fail 0\n/);
});
