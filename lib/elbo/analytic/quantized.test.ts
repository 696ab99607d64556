import assert from "node:assert/strict";
import { test } from "node:test";
import { quantizedToy } from "../../data";
import { rng } from "../../tensor";
import { assertAllClose, assertClose } from "../../testing";
import { logBinProbability } from "../discretized";
import { binOffsetBits, natsToBits } from "../units";
import { dataSet, gaussian, mixture } from "./distribution";
import { entropyOf } from "./exact";
import { cellProbabilities, discreteEntropy, quantizedBitsPerDim } from "./quantized";

const sum = (values: Float64Array) => values.reduce((total, value) => total + value, 0);

for (const name of ["8gaussians", "25gaussians"] as const) {
  const toy = quantizedToy(name);
  const data = mixture(toy.mixture!);

  test(`${name}: the cells' probabilities sum to 1, and the draws have their entropy within 4 standard errors`, () => {
    const cells = cellProbabilities(data);
    assert.equal(cells.length, 65_536);
    assertClose(sum(cells), 1, { rel: 1e-12 });
    const count = 50_000;
    const points = toy.sample(rng(6), count).dataSync();
    const k = (x: number) => Math.round(((x + 1) * 255) / 2);
    const surprise = Float64Array.from({ length: count }, (_, i) => {
      const p = cells[k(points[2 * i]) * 256 + k(points[2 * i + 1])];
      return -Math.log(p) / Math.LN2 / 2;
    });
    const mean = sum(surprise) / count;
    const variance = sum(surprise.map((bits) => (bits - mean) ** 2)) / (count - 1);
    const bits = quantizedBitsPerDim(data);
    assertClose(mean, bits, { abs: 4 * Math.sqrt(variance / count), what: "bits/dim" });
    assert.ok(bits > 0 && bits < 8);
  });

  test(`${name}: quadrants of the plane, by Monte Carlo within 4 standard errors`, () => {
    const cells = cellProbabilities(data, { levels: 4 });
    const count = 100_000;
    const counts = new Float64Array(16);
    const points = quantizedToy(name, { levels: 4 }).sample(rng(8), count).dataSync();
    const k = (x: number) => Math.round(((x + 1) * 3) / 2);
    for (let i = 0; i < count; i++) counts[k(points[2 * i]) * 4 + k(points[2 * i + 1])]++;
    cells.forEach((p, at) => {
      const standardError = Math.sqrt((p * (1 - p)) / count);
      assertClose(counts[at] / count, p, { abs: 4 * standardError + 1e-9, what: `cell ${at}` });
    });
  });
}

test("in one dimension it is the decoder's probability of each value, ends open", () => {
  const [mean, std] = [0.7, 0.4];
  const cells = cellProbabilities(gaussian({ mean, std }));
  const want = Array.from({ length: 256 }, (_, k) =>
    Math.exp(logBinProbability((2 * k) / 255 - 1, mean, std)),
  );
  assertAllClose(cells, want, { rel: 1e-10, abs: 1e-300 });
  assertClose(sum(cells), 1, { rel: 1e-12 });
});

test("with wide data and fine cells it is the density's entropy and the bins' width; the last coordinate runs fastest", () => {
  const data = gaussian({ mean: [0.1, -0.1], std: [0.1, 0.15] });
  const density = natsToBits(entropyOf(data)) / 2;
  // Rounding adds width²/12 to a variance, so width²/(24 σ²) nats to a Gaussian's entropy, to second order.
  const added = (std: number) => natsToBits((2 / 255) ** 2 / (24 * std ** 2));
  const want = density + binOffsetBits(256) + (added(0.1) + added(0.15)) / 2;
  assertClose(quantizedBitsPerDim(data), want, { abs: 1e-6 });
  const cells = cellProbabilities(data, { levels: 8 });
  const first = Float64Array.from({ length: 8 }, (_, i) => sum(cells.slice(8 * i, 8 * i + 8)));
  assertAllClose(first, cellProbabilities(gaussian({ mean: 0.1, std: 0.1 }), { levels: 8 }), { rel: 1e-10 });
});

test("points: the entropy of the cells that they fall into", () => {
  const points = dataSet([
    [0, 0],
    [0.0001, 0.0001],
    [5, -5],
    [-1, 1],
  ]);
  const cells = cellProbabilities(points);
  assert.deepEqual(
    Array.from(cells)
      .filter((p) => p > 0)
      .sort(),
    [0.25, 0.25, 0.5],
  );
  assert.equal(cells[255 * 256], 0.25);
  assertClose(quantizedBitsPerDim(points), 0.75);
});

test("what has no exact answer here is refused", () => {
  const tilted = gaussian({
    mean: [0, 0],
    covariance: [
      [1, 0.5],
      [0.5, 1],
    ],
  });
  assert.throws(() => cellProbabilities(tilted), /tilted axes, expected stds along the coordinates/);
  assert.throws(
    () => cellProbabilities(gaussian({ mean: [0, 0, 0], std: 1 })),
    /3 dimensions, expected 1 or 2: 256\^3 cells/,
  );
  assert.throws(() => cellProbabilities(gaussian({ mean: 0, std: 1 }), { levels: 1 }), /levels is 1/);
  assert.throws(() => discreteEntropy([1.5, -0.5]), /probabilities\[1\] is -0\.5, expected a number of at/);
  assert.throws(() => discreteEntropy([0.5, 0.4]), /probabilities sum to 0.9, expected 1/);
});
