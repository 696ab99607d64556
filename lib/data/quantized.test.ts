import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { rng, tf } from "../tensor";
import { assertAllClose, assertNoLeak } from "../testing";
import { quantize, quantizedToy } from "./quantized";
import { TOYS, toy } from "./toys";

const LEVELS = 256;

describe("quantized toys", () => {
  for (const name of TOYS)
    test(`${name}: every coordinate is a level, the nearest to the toy's over the scale`, () => {
      const { sample, levels, scale } = quantizedToy(name);
      const [got, exact] = [sample(rng(4), 5000), toy(name).sample(rng(4), 5000)];
      assert.deepEqual(got.shape, [5000, 2]);
      const points = got.dataSync();
      exact.dataSync().forEach((x, i) => {
        const k = ((points[i] + 1) * (levels - 1)) / 2;
        assert.ok(Math.abs(k - Math.round(k)) < 1e-4, `${points[i]} is no level`);
        assert.ok(Math.abs(points[i] - x / scale) < 1 / (levels - 1) + 1e-6, `${x} became ${points[i]}`);
      });
    });

  for (const name of TOYS)
    test(`${name}: next to nothing lies beyond the default scale`, () => {
      const { scale } = quantizedToy(name);
      const beyond = toy(name).sample(rng(9), 100_000).abs().greater(scale).sum().dataSync()[0];
      assert.ok(beyond <= 2, `${beyond} of 200000 coordinates`);
    });

  test("8 Gaussians: the mixture, in these coordinates, has the moments of the points, within 4 standard errors", () => {
    const { sample, mixture, scale } = quantizedToy("8gaussians", { scale: 2 });
    assert.equal(scale, 2);
    const { weights, means, stds } = mixture!;
    const second = means.reduce((sum, [x], k) => sum + weights[k] * (x * x + stds[k] ** 2), 0);
    const count = 100_000;
    const squares = sample(rng(2), count).slice([0, 0], [count, 1]).square();
    const { mean, variance } = tf.moments(squares);
    const standardError = Math.sqrt(variance.dataSync()[0] / count);
    // rounding adds (bin width)²/12
    const want = second + (2 / (LEVELS - 1)) ** 2 / 12;
    const got = mean.dataSync()[0];
    assert.ok(Math.abs(got - want) < 4 * standardError, `${got} ± ${standardError}, expected ${want}`);
  });

  test("no tensor is left behind", () => {
    const moons = quantizedToy("moons", { levels: 16 });
    assertNoLeak(() => moons.sample(rng(1), 10));
    const x = tf.ones([2, 3]);
    assertNoLeak(() => quantize(x, 4));
    const before = tf.memory().numTensors;
    quantizedToy("8gaussians");
    assert.equal(tf.memory().numTensors, before);
  });
});

test("quantize rounds to the nearest level, and clips", () => {
  const x = tf.tensor1d([-2, -1, -0.51, -0.49, 0.1, 0.49, 0.51, 1, 3]);
  assertAllClose(quantize(x, 3).dataSync(), [-1, -1, -1, 0, 0, 0, 1, 1, 1]);
  assertAllClose(quantize(x, 2).dataSync(), [-1, -1, -1, -1, 1, 1, 1, 1, 1]);
});

test("levels and scales that make no sense are named", () => {
  assert.throws(() => quantize(tf.scalar(1), 1), /levels is 1, expected a whole number from 2 on/);
  assert.throws(() => quantizedToy("moons", { levels: 2.5 }), /levels is 2.5/);
  assert.throws(() => quantizedToy("moons", { scale: 0 }), /scale is 0, expected a number above 0/);
});
