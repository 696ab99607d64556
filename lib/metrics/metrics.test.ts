import assert from "node:assert/strict";
import { test } from "node:test";
import { rng, tf } from "../tensor";
import { assertAllClose, assertClose, assertNoLeak, oracle } from "../testing";
import {
  assignment,
  slicedW2,
  w2,
  w2Gaussians,
  w2OneDimensional,
  w2Squared,
  w2SquaredGaussians,
  w2WithFloor,
} from ".";

const normal = (seed: number, shape: number[]): Float64Array => {
  const drawn = rng(seed).normal(shape);
  const values = Float64Array.from(drawn.dataSync());
  drawn.dispose();
  return values;
};

/** All orders of 0..n-1. */
function permutations(n: number): number[][] {
  if (n === 0) return [[]];
  return permutations(n - 1).flatMap((rest) =>
    Array.from({ length: n }, (_, at) => [...rest.slice(0, at), n - 1, ...rest.slice(at)]),
  );
}

const totalCost = (cost: Float64Array, columns: ArrayLike<number>): number =>
  Array.from(columns).reduce((sum, column, row) => sum + cost[row * columns.length + column], 0);

test("assignment: the least of all permutations, with and without ties", () => {
  for (let n = 1; n <= 7; n++)
    for (const round of [1, 2, 3, 4]) {
      const drawn = normal(100 * n + round, [n * n]);
      const cost = round % 2 ? drawn : drawn.map((x) => Math.round(2 * x));
      const found = assignment(cost, n);
      assert.deepEqual([...found].sort(), Array.from({ length: n }, (_, i) => i).sort(), "a permutation");
      const least = Math.min(...permutations(n).map((columns) => totalCost(cost, columns)));
      assertClose(totalCost(cost, found), least, { what: `n = ${n}, round ${round}` });
    }
});

test("assignment: costs that have no least pairing are refused", () => {
  assert.throws(() => assignment(Float64Array.of(1, 2, 3), 2), /assignment: got 3 costs, expected n² = 4/);
  assert.throws(() => assignment(Float64Array.of(1, Number.NaN, 3, 4), 2), /not finite/);
});

test("w2: the least of all permutations of small sets, whatever their scale and place", () => {
  for (const [n, dims, scale, shift] of [
    [5, 1, 1, 0],
    [6, 2, 1, 3],
    [6, 2, 20, 0],
    [7, 3, 0.01, -2],
  ]) {
    const a = { data: normal(n, [n, dims]), dims };
    const b = { data: normal(n + 50, [n, dims]).map((x) => scale * x + shift), dims };
    const squares = permutations(n).map((order) => {
      let sum = 0;
      for (let i = 0; i < n; i++)
        for (let d = 0; d < dims; d++) sum += (a.data[i * dims + d] - b.data[order[i] * dims + d]) ** 2;
      return sum / n;
    });
    assertClose(w2Squared(a, b), Math.min(...squares));
    assertClose(w2(a, b), Math.sqrt(Math.min(...squares)));
  }
});

test("w2 in one dimension is the sorted pairing", () => {
  const [a, b] = [normal(1, [200]), normal(2, [200]).map((x) => 0.3 * x + 1)];
  assertClose(w2({ data: a, dims: 1 }, { data: b, dims: 1 }), w2OneDimensional(a, b));
});

test("w2 of a set and its translated, shuffled copy is the length of the shift", () => {
  const a = normal(3, [150, 3]);
  const moved = Array.from({ length: 150 }, (_, i) =>
    [...a.subarray(3 * i, 3 * i + 3)].map((x, d) => x + [1, -2, 2][d]),
  );
  moved.reverse();
  assertClose(w2({ data: a, dims: 3 }, moved), 3);
  assertClose(w2({ data: a, dims: 3 }, { data: a, dims: 3 }), 0);
});

test("w2 takes sets without any spread", () => {
  const origin = Array.from({ length: 40 }, () => [0, 0]);
  const points = { data: normal(4, [40, 2]), dims: 2 };
  const meanSquare = points.data.reduce((sum, x) => sum + x * x, 0) / 40;
  assertClose(w2Squared(origin, points), meanSquare);
});

test("w2 of 1000 points in the plane is below two seconds of one core", () => {
  const [a, b] = [normal(5, [1000, 2]), normal(6, [1000, 2]).map((x) => 2 * x + 3)];
  const before = process.cpuUsage().user;
  assert.ok(w2({ data: a, dims: 2 }, { data: b, dims: 2 }) > 4);
  const seconds = (process.cpuUsage().user - before) / 1e6;
  assert.ok(seconds < 2, `took ${seconds} s of processor time`);
});

test("w2Gaussians: the oracle's pair of 2-D Gaussians (W01)", () => {
  const { inputs, expected, tol_rel, tol_abs } = oracle("W01");
  const [a, b] = [
    { mean: inputs.ma, covariance: inputs.A },
    { mean: inputs.mb, covariance: inputs.B },
  ];
  assertClose(w2Gaussians(a, b), expected.W2, { rel: tol_rel, abs: tol_abs });
  assertClose(w2SquaredGaussians(b, a), expected.W2_squared, { rel: tol_rel, abs: tol_abs });
});

test("w2Gaussians: diagonal covariances by hand in five dimensions, degenerate ones too", () => {
  const diagonal = (stds: number[]) => stds.map((std, i) => stds.map((_, j) => (i === j ? std * std : 0)));
  const [a, b] = [
    [1, 2, 3, 0, 0.5],
    [2, 2, 1, 1, 0],
  ];
  const byHand = a.reduce((sum, std, d) => sum + (std - b[d]) ** 2, 0) + 5 * 4;
  const square = w2SquaredGaussians(
    { mean: [0, 0, 0, 0, 0], covariance: diagonal(a) },
    { mean: [2, 2, 2, 2, 2], covariance: diagonal(b) },
  );
  assertClose(square, byHand);
  assert.throws(
    () => w2Gaussians({ mean: [0], covariance: [[1]] }, { mean: [0, 0], covariance: diagonal([1, 1]) }),
    /w2Gaussians: got means of 1 and 2/,
  );
  assert.throws(
    () => w2Gaussians({ mean: [0], covariance: [[-1]] }, { mean: [0], covariance: [[1]] }),
    /eigenvalue -1, expected none below 0/,
  );
});

test("w2Gaussians of close covariances, against mpmath 1.3 with 60 digits: how far, W2; of equal ones 0", () => {
  const at = (d: number) => ({
    mean: [0, 0],
    covariance: [
      [1.3 + d, 0.4 - 2 * d],
      [0.4 - 2 * d, 0.9 + 3 * d],
    ],
  });
  const golden = [
    [1e-3, 0.00261896569464757],
    [1e-7, 2.62320145789467e-7],
    [1e-10, 2.62320209958866e-10],
  ];
  for (const [d, want] of golden)
    for (const w2 of [w2Gaussians(at(d), at(0)), w2Gaussians(at(0), at(d))])
      assertClose(w2, want, { rel: 1e-10, abs: 2e-15, what: `${d}` }); // the entries themselves are rounded
  assertClose(w2Gaussians(at(0), at(0)), 0, { abs: 2e-15 });
  const [c, s] = [Math.cos(0.7), Math.sin(0.7)];
  const thin = (k: number) => ({
    mean: [0, 0],
    covariance: [
      [c * c + s * s * k, c * s * (1 - k)],
      [c * s * (1 - k), s * s + c * c * k],
    ],
  });
  assertClose(w2Gaussians(thin(1e-5), thin(1e-5)), 0, { abs: 1e-8 }); // the traces leave 2e-6
  assertClose(w2Gaussians(thin(1e-5), thin(4e-5)), Math.sqrt(1e-5), { abs: 1e-8 });
  const scaled = (scale: number) => ({
    mean: [0, 0],
    covariance: [
      [scale, 0],
      [0, 1e-4 * scale],
    ],
  });
  assertClose(w2Gaussians(scaled(1), scaled((1 + 1e-9) ** 2)), 1e-9 * Math.sqrt(1.0001), { rel: 1e-6 });
});

test("w2Gaussians: what is no covariance is refused, first or second", () => {
  const at = (covariance: number[][]) => ({ mean: [0, 0], covariance });
  const unit = at([
    [1, 0],
    [0, 1],
  ]);
  for (const [covariance, says] of [
    [
      [
        [-1, 0],
        [0, -1],
      ],
      /has the eigenvalue -1, expected none below 0/,
    ],
    [
      [
        [1, 2],
        [2, 1],
      ],
      /has the eigenvalue -/,
    ],
    [
      [
        [2, 1.5],
        [0, 2],
      ],
      /not symmetric/,
    ],
    [[[1, 0]], /expected the same/],
    [[[1], [0]], /expected 2 × 2/],
  ] as const) {
    const other = at(covariance.map((row) => [...row]));
    assert.throws(() => w2Gaussians(unit, other), says);
    assert.throws(() => w2Gaussians(other, unit), says);
  }
});

test("w2 of the optimal map's image is the Bures distance, within Monte Carlo's standard error", () => {
  const [n, stds, mean] = [900, [0.5, 2], [1, -1]];
  const x = normal(7, [n, 2]);
  const y = x.map((value, i) => mean[i % 2] + stds[i % 2] * value); // the optimal map from N(0, I)
  const squares = Array.from(
    { length: n },
    (_, i) => (x[2 * i] - y[2 * i]) ** 2 + (x[2 * i + 1] - y[2 * i + 1]) ** 2,
  );
  const average = squares.reduce((sum, value) => sum + value, 0) / n;
  const spread = Math.sqrt(squares.reduce((sum, value) => sum + (value - average) ** 2, 0) / (n - 1) / n);
  const exact = w2SquaredGaussians(
    {
      mean: [0, 0],
      covariance: [
        [1, 0],
        [0, 1],
      ],
    },
    {
      mean,
      covariance: [
        [0.25, 0],
        [0, 4],
      ],
    },
  );
  const found = w2Squared({ data: x, dims: 2 }, { data: y, dims: 2 });
  assertClose(found, average, { rel: 1e-9 });
  assertClose(found, exact, { abs: 4 * spread });
});

test("slicedW2: a shift of length s in D dimensions gives s/√D, at most W2/√D, the same for the same seed", () => {
  const dims = 4;
  const a = normal(8, [300, dims]);
  const b = a.map((x, i) => x + [3, 0, 4, 0][i % dims]);
  const [from, to] = [
    { data: a, dims },
    { data: b, dims },
  ];
  // Per direction the 1-D distance is |⟨θ, shift⟩|; its square has mean 25/D and variance 25²·2(D−1)/(D²(D+2)).
  const directions = 4000;
  const standardError = 25 * Math.sqrt((2 * (dims - 1)) / (dims ** 2 * (dims + 2)) / directions);
  assertClose(slicedW2(from, to, { directions, seed: 3 }) ** 2, 25 / dims, { abs: 4 * standardError });
  assert.equal(slicedW2(from, to, { seed: 1 }), slicedW2(from, to, { seed: 1 }));
  assert.notEqual(slicedW2(from, to, { seed: 1 }), slicedW2(from, to, { seed: 2 }));
  const c = { data: normal(9, [300, dims]).map((x) => x ** 3), dims };
  assert.ok(slicedW2(from, c, { directions: 2000 }) <= (w2(from, c) / Math.sqrt(dims)) * 1.05);
});

test("w2WithFloor: data against themselves lie at the floor, other samples above it", () => {
  const draw = (n: number, number: number) => ({ data: normal(1000 + number, [n, 2]), dims: 2 });
  const own = w2WithFloor(draw(256, 99), draw, { repeats: 4 });
  assert.equal(own.n, 256);
  assert.ok(own.floor > 0.05 && own.floor < 0.6, `floor ${own.floor}`);
  const doubt = Math.hypot(own.w2StandardError, own.floorStandardError);
  // The samples are one fixed set, so their distances to fresh draws are not independent: a wide margin.
  assert.ok(Math.abs(own.w2 - own.floor) < 4 * doubt + 0.1 * own.floor, `${own.w2} against ${own.floor}`);
  const shifted = { data: draw(256, 98).data.map((x) => x + 1), dims: 2 };
  assertClose(w2WithFloor(shifted, draw, { repeats: 2 }).w2, Math.SQRT2, { rel: 0.15 });
});

test("w2WithFloor disposes the tensors that it asked for and leaves the samples alone", () => {
  const samples = rng(1).normal([16, 2]);
  assertNoLeak(() => {
    w2WithFloor(samples as tf.Tensor2D, (n, number) => rng(2 + number).normal([n, 2]), { repeats: 2 });
    slicedW2(samples, samples);
    return [];
  });
  assertAllClose(samples.shape, [16, 2]);
  samples.dispose();
  assert.throws(
    () => w2WithFloor([[0, 0]], () => [[0, 0]], { repeats: 1 }),
    /repeats, expected a whole number of at least 2/,
  );
});

test("one set as tensor, rows and flat numbers is one and the same", () => {
  const rows = [
    [0, 1],
    [2, 3.5],
    [-1, 0],
  ];
  const other = { data: [1, 1, 0, 0, 2, 2], dims: 2 };
  const tensor = tf.tensor2d(rows);
  const expected = w2(rows, other);
  assertClose(w2(tensor, other), expected);
  assertClose(w2({ data: rows.flat(), dims: 2 }, other), expected);
  tensor.dispose();
});

test("bad sets are refused, each with its own reason", () => {
  const good = [
    [0, 0],
    [1, 1],
  ];
  assert.throws(() => w2([], good), /w2: the first set is empty/);
  assert.throws(() => w2([[0, 0]], good), /w2: got 1 and 2 points, expected as many in both. Draw or keep 1/);
  assert.throws(() => w2([[0], [1]], good), /points of 1 and of 2 dimensions/);
  assert.throws(
    () =>
      w2(good, [
        [0, 0],
        [Number.NaN, 0],
      ]),
    /the second set has NaN at point 1.*diverge/,
  );
  assert.throws(() => w2(good, [[0, 0], [1]]), /point 1 of the second set has 1 coordinates, expected 2/);
  assert.throws(
    () => w2({ data: [1, 2, 3], dims: 2 }, good),
    /3 numbers, expected a multiple of its 2 dimensions/,
  );
  assert.throws(
    () => slicedW2(good, good, { directions: 0 }),
    /directions, expected a whole number of at least 1/,
  );
});
