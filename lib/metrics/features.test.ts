import assert from "node:assert/strict";
import { test } from "node:test";
import { estimate } from "../elbo";
import { rng, tf } from "../tensor";
import { assertAllClose, assertClose, numbersFrom } from "../testing";
import {
  covariance,
  frechetDistance,
  kid,
  type Moments,
  mergeMoments,
  momentsOf,
  momentsOfRows,
  nearest,
  precisionRecall,
  type Rows,
  rowsOf,
  spreadOf,
  standardErrors,
} from ".";

const normals = (seed: number, count: number, dims: number): Float32Array =>
  tf.tidy(() => rng(seed).normal([count, dims]).dataSync() as Float32Array);

/** Means and covariance by the textbook's two passes, far from anything streaming. */
function byDefinition(rows: ArrayLike<number>, dims: number) {
  const count = rows.length / dims;
  const at = (i: number, d: number) => rows[i * dims + d];
  const sum = (f: (i: number) => number) =>
    Array.from({ length: count }, (_, i) => f(i)).reduce((a, b) => a + b, 0);
  const mean = Array.from({ length: dims }, (_, d) => sum((i) => at(i, d)) / count);
  const matrix = mean.map((a, d) =>
    mean.map((b, e) => sum((i) => (at(i, d) - a) * (at(i, e) - b)) / (count - 1)),
  );
  return { mean, covariance: matrix.flat() };
}

test("streamed means and covariances are the two-pass ones, however the rows are cut, far from 0 too", () => {
  const dims = 5;
  const rows = Float64Array.from(normals(1, 700, dims), (x, i) => 1e6 + x * (1 + (i % dims)) + (i % 7));
  const want = byDefinition(rows, dims);
  for (const cuts of [[700], [1, 699], [350, 350], [13, 200, 1, 486], new Array(700).fill(1)]) {
    let from = 0;
    let [moments, spread]: (Moments | null)[] = [null, null];
    for (const count of cuts) {
      const part = rows.subarray(from * dims, (from + count) * dims);
      from += count;
      moments = mergeMoments(moments, momentsOf(part, dims));
      spread = mergeMoments(spread, spreadOf(part, dims));
    }
    assert.equal(moments?.count, 700);
    assertAllClose(moments?.mean as Float64Array, want.mean, { rel: 1e-14 });
    assertAllClose(covariance(moments as Moments), want.covariance, { rel: 1e-8, abs: 1e-8 });
    const variances = want.mean.map((_, d) => want.covariance[d * dims + d]);
    assertAllClose(covariance(spread as Moments), variances, { rel: 1e-8 });
    assertAllClose(
      standardErrors(spread as Moments),
      variances.map((value) => Math.sqrt(value / 700)),
      { rel: 1e-8 },
    );
  }
  assert.throws(() => momentsOf([1, 2, 3], 2), /got 3 numbers, expected a multiple of the 2 dimensions/);
  assert.throws(() => momentsOf([1, Number.NaN], 2), /momentsOf: dimension 1 has a value that is not finite/);
  assert.throws(() => covariance(momentsOf([1, 2], 2)), /got 1 rows, expected at least two/);
  assert.throws(() => mergeMoments(momentsOf([1, 2], 2), momentsOf([1], 1)), /got 2 and 1 dimensions/);
});

/** Moments of exactly this mean and covariance, as if of `count` rows. */
const given = (mean: number[], matrix: number[][], count = 1000): Moments => ({
  count,
  mean: Float64Array.from(mean),
  scatter: Float64Array.from(matrix.flat(), (value) => value * (count - 1)),
});

test("the Fréchet distance of Gaussians whose covariances commute, by hand, and along a rotation", () => {
  const [a, b] = [
    [1, 4, 0, 2.25],
    [4, 0.25, 9, 0],
  ]; // variances, some of them none
  const diagonal = (variances: number[]) =>
    variances.map((v, i) => variances.map((_, j) => (i === j ? v : 0)));
  const byHand = a.reduce((sum, v, i) => sum + (Math.sqrt(v) - Math.sqrt(b[i])) ** 2, 0) + 4 * 9;
  const far = given([3, 3, 3, 3], diagonal(b));
  assertClose(frechetDistance(given([0, 0, 0, 0], diagonal(a)), far), byHand, { rel: 1e-9 });
  assertClose(frechetDistance(far, far), 0, { abs: 1e-9 });
  const [c, s] = [Math.cos(0.7), Math.sin(0.7)];
  const turned = (x: number, y: number) => [
    [c * c * x + s * s * y, c * s * (x - y)],
    [c * s * (x - y), s * s * x + c * c * y],
  ];
  const distance = frechetDistance(given([1, 0], turned(4, 1)), given([0, 2], turned(9, 16)));
  assertClose(distance, 5 + 1 + 9, { rel: 1e-9 });
  assert.throws(
    () => frechetDistance(given([0], [[1]]), far),
    /got 1 and 4 dimensions, expected the same extractor/,
  );
});

test("the Fréchet distance of features of two Gaussians comes to the closed form within its sampling error", () => {
  const [count, dims] = [20_000, 3];
  const stds = [0.5, 1, 2];
  const x = momentsOf(normals(2, count, dims), dims);
  const y = momentsOf(
    normals(3, count, dims).map((value, i) => 1 + stds[i % dims] * value),
    dims,
  );
  const exact = 3 + 0.25 + 0 + 1;
  // Each mean errs by √((1 + σ²)/n), which the squared distance doubles; the stds err by less.
  assertClose(frechetDistance(x, y), exact, { abs: 5 * 2 * Math.sqrt((3 + 5.25 + 3) / count) });
});

/** Numbers that NumPy makes as exactly: Park and Miller's generator. */
const uniforms = (seed: number, length: number): Float64Array => {
  const next = numbersFrom(seed);
  return Float64Array.from({ length }, next);
};

/*
 * SciPy 1.16.3's values, of scipy.linalg.sqrtm as FID's first code has it:
 *
 *   import numpy as np
 *   from scipy import linalg
 *   def numbers(seed, n):                       # numbersFrom of lib/testing
 *       state, out = 1 + seed % 2147483646, []
 *       for i in range(n + 3):
 *           state = state * 48271 % 2147483647
 *           out.append(state / 2147483647)
 *       return np.array(out[3:])
 *   def features(seed, n, d):
 *       u = numbers(seed, n * d).reshape(n, d)
 *       return u @ numbers(seed + 1000, d * d).reshape(d, d) + u ** 2
 *   for n, m, d in [(40, 60, 3), (200, 150, 16), (20, 300, 32)]:
 *       x, y = features(d, n, d), features(d + 7, m, d)
 *       a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
 *       root = linalg.sqrtm(a @ b)
 *       print(n, m, d, ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * root.real))
 */
const SCIPY: [number, number, number, number][] = [
  [40, 60, 3, 0.5522044642652602],
  [200, 150, 16, 18.519494990025287],
  [20, 300, 32, 58.15795120310241],
];

function features(seed: number, count: number, dims: number): Float64Array {
  const u = uniforms(seed, count * dims);
  const weights = uniforms(seed + 1000, dims * dims);
  return u.map((value, at) => {
    const [row, column] = [Math.floor(at / dims) * dims, at % dims];
    let sum = value ** 2;
    for (let k = 0; k < dims; k++) sum += u[row + k] * weights[k * dims + column];
    return sum;
  });
}

test("the Fréchet distance of random features is SciPy's, with fewer rows than dimensions too", () => {
  for (const [n, m, dims, want] of SCIPY) {
    const got = frechetDistance(
      momentsOf(features(dims, n, dims), dims),
      momentsOf(features(dims + 7, m, dims), dims),
    );
    assertClose(got, want, { rel: 1e-6, what: `${n} and ${m} rows of ${dims}` });
  }
});

test("KID: near 0 for one law, at its closed form for two, of as many rows as asked for", async () => {
  const dims = 2;
  const [a, b] = [normals(4, 8, dims), normals(5, 8, dims).map((x) => x + 1)];
  const got = await kid(rowsOf(a, dims), rowsOf(b, dims), { rows: 6, seed: 1 });
  assert.deepEqual([got.count, got.reference], [6, 6]);
  assert.notEqual((await kid(rowsOf(a, dims), rowsOf(b, dims), { rows: 6, seed: 2 })).mean, got.mean);

  const many = 3000;
  const sets = [6, 7].map((seed) => rowsOf(normals(seed, many, dims), dims));
  const same = await kid(sets[0], sets[1]);
  assertClose(same.mean, 0, { abs: 4 * same.standardError });
  // E(⟨x,y⟩/2 + 1)³ for independent Gaussians N(0, I) and N(s, I), s = (1, 0): by their moments.
  const shifted = rowsOf(
    normals(8, many, dims).map((x, i) => x + (i % 2 === 0 ? 1 : 0)),
    dims,
  );
  const apart = await kid(sets[0], shifted);
  assertClose(
    apart.mean,
    kernelMean([0, 0], [0, 0]) + kernelMean([1, 0], [1, 0]) - 2 * kernelMean([0, 0], [1, 0]),
    {
      abs: 4 * apart.standardError,
    },
  );
  assert.ok(apart.mean > 10 * apart.standardError);
  await assert.rejects(kid(rowsOf(a, 2), rowsOf(b, 4)), /kid: got rows of 2 and of 4 dimensions/);
  await assert.rejects(
    kid(rowsOf(a.slice(0, 6), 2), rowsOf(b, 2)),
    /kid: got 3 and 8 rows, expected at least four/,
  );
  await assert.rejects(kid(rowsOf(a, 2), rowsOf(b.with(5, Number.NaN), 2)), /kid: row 2 has NaN, expected/);
});

/** MMD² over all pairs of two different rows, as its definition has it. */
function mmd2(a: number[][], b: number[][]): number {
  const kernel = (x: number[], y: number[]) =>
    (x.reduce((sum, value, i) => sum + value * y[i], 0) / x.length + 1) ** 3;
  const mean = (pairs: number[]) => pairs.reduce((sum, value) => sum + value, 0) / pairs.length;
  const own = (rows: number[][]) =>
    mean(rows.flatMap((x, i) => rows.filter((_, j) => j !== i).map((y) => kernel(x, y))));
  return own(a) + own(b) - 2 * mean(a.flatMap((x) => b.map((y) => kernel(x, y))));
}

test("KID is the definition's mean over pairs, its standard error that of the sets with each row left out", async () => {
  const dims = 3;
  const rows = (seed: number, count: number, shift: number) => {
    const values = normals(seed, count, dims).map((x) => x + shift);
    return { values, list: Array.from({ length: count }, (_, i) => [...values.subarray(3 * i, 3 * i + 3)]) };
  };
  const [a, b] = [rows(30, 7, 0.5), rows(31, 9, 0)];
  const got = await kid(rowsOf(a.values, dims), rowsOf(b.values, dims));
  assertClose(got.mean, mmd2(a.list, b.list), { rel: 1e-5 });
  const without = (list: number[][]) => list.map((_, i) => list.filter((_, j) => j !== i));
  const spread = (values: number[]) => {
    const { standardError } = estimate(values);
    return (standardError * (values.length - 1)) ** 2; // (n − 1)/n Σ (…)²
  };
  const variance =
    spread(without(a.list).map((list) => mmd2(list, b.list))) +
    spread(without(b.list).map((list) => mmd2(a.list, list)));
  assertClose(got.standardError, Math.sqrt(variance), { rel: 1e-4 });
});

test("KID's standard error is the spread of repeated draws; for one law, on the safe side", async () => {
  const [dims, repeats] = [3, 150];
  for (const [shift, least, most] of [
    [0.4, 0.85, 1.25],
    [0, 0.95, 1.9],
  ]) {
    const found = [];
    for (let i = 0; i < repeats; i++) {
      const a = normals(2 * i + 1000, 80, dims).map((x) => x + shift);
      found.push(await kid(rowsOf(a, dims), rowsOf(normals(2 * i + 1001, 300, dims), dims)));
    }
    const spread = estimate(found.map(({ mean }) => mean)).standardError * Math.sqrt(repeats);
    const told = estimate(found.map(({ standardError }) => standardError)).mean;
    assert.ok(told > least * spread && told < most * spread, `shift ${shift}: told ${told}, is ${spread}`);
  }
});

/** E(z/2 + 1)³ with z = ⟨x, y⟩, x ~ N(p, I), y ~ N(q, I) in the plane, by a rule that is exact to degree 5. */
function kernelMean(p: number[], q: number[]): number {
  const nodes = [-Math.sqrt(3), 0, Math.sqrt(3)];
  const weights = [1 / 6, 2 / 3, 1 / 6];
  let mean = 0;
  for (let code = 0; code < 81; code++) {
    const digits = [0, 1, 2, 3].map((place) => Math.floor(code / 3 ** place) % 3);
    const [x0, x1, y0, y1] = digits.map((digit, i) => nodes[digit] + [...p, ...q][i]);
    const weight = digits.reduce((product, digit) => product * weights[digit], 1);
    mean += weight * ((x0 * y0 + x1 * y1) / 2 + 1) ** 3;
  }
  return mean;
}

test("nearest neighbours: those of all distances, over many blocks, of bytes too, and none its own", async () => {
  const [n, m, dims, k] = [30, 5000, 6, 3];
  const bytes = (seed: number, count: number) =>
    Uint8Array.from(uniforms(seed, count * dims), (u) => Math.floor(256 * u));
  const [queries, references] = [bytes(1, n), bytes(2, m)];
  const found = await nearest(rowsOf(queries, dims), rowsOf(references, dims), { k });
  const distance = (i: number, j: number, from = queries) =>
    Math.sqrt(
      [...Array(dims).keys()].reduce(
        (sum, d) => sum + (from[i * dims + d] - references[j * dims + d]) ** 2,
        0,
      ),
    );
  for (let i = 0; i < n; i++) {
    const all = Array.from({ length: m }, (_, j) => distance(i, j)).sort((a, b) => a - b);
    assertAllClose(found.distances.subarray(i * k, (i + 1) * k), all.slice(0, k), { rel: 1e-12 });
    for (let j = 0; j < k; j++)
      assertClose(distance(i, found.places[i * k + j]), found.distances[i * k + j], { rel: 1e-12 });
  }
  const few = rowsOf(references.subarray(0, 50 * dims), dims);
  const own = await nearest(few, few, { k: 1, sameSet: true });
  own.places.forEach((place, i) => {
    assert.notEqual(place, i);
    const others = Array.from({ length: 50 }, (_, j) => (j === i ? Infinity : distance(i, j, references)));
    assertClose(own.distances[i], Math.min(...others), { rel: 1e-12 });
  });
  await assert.rejects(
    nearest(few, few, { k: 50, sameSet: true }),
    /k is 50, expected a whole number from 1 to the 49 other rows/,
  );
  const infinite = Float32Array.from(references.subarray(0, 50 * dims)).with(dims, Number.POSITIVE_INFINITY);
  const bad = rowsOf(infinite, dims);
  await assert.rejects(nearest(few, bad), /nearest: row 1 has Infinity, expected numbers/);
  for (const [real, samples] of [
    [bad, few],
    [few, bad],
  ])
    await assert.rejects(precisionRecall(real, samples), /nearest: row 1 has Infinity, expected numbers/);
});

test("neighbours nearer to each other than float32 tells, and copies, are found", async () => {
  const numbers = (...values: number[]) => rowsOf(Float32Array.from(values), 1);
  const line = await nearest(numbers(3000.125), numbers(3000.25, 3000.1875, -3000, 7));
  assert.deepEqual([[...line.places], [...line.distances]], [[1], [0.0625]]);
  for (let seed = 0; seed < 10; seed++) {
    const bright = Uint8Array.from({ length: 3072 }, (_, i) => 200 + ((i * 37 + seed * 11) % 50));
    const nearly = bright.map((value, i) => value + Number(i === seed));
    const dark = Array.from({ length: 4 }, (_, k) => bright.map((_, i) => (i * k + seed) % 30));
    const references = Uint8Array.from([nearly, bright, ...dark].flatMap((image) => [...image]));
    const { places, distances } = await nearest(rowsOf(bright, 3072), rowsOf(references, 3072), { k: 2 });
    assert.deepEqual(
      [[...places], [...distances]],
      [
        [1, 0],
        [0, 1],
      ],
    );
  }
  const crowd = Float32Array.from({ length: 40 }, (_, i) => 1000 + (i === 33 ? 0 : 2 ** -13)); // more ties than are kept
  const { places } = await nearest(numbers(1000), rowsOf(Float32Array.from([...crowd, -1000]), 1), { k: 1 });
  assert.deepEqual([...places], [33]);
});

test("precision and recall count a ball's boundary, and copies, as Kynkäänniemi et al.'s ≤ says", async () => {
  const numbers = (...values: number[]) => rowsOf(Float32Array.from(values), 1);
  assert.equal((await precisionRecall(numbers(0, 1, 4), numbers(-1, 2, 7), 1)).precision, 1);
  assert.equal(
    (await precisionRecall(numbers(5, 16, 4, 16, 3), numbers(0, 6, 17, 19, 10), 1)).precision,
    0.2,
  );
  const [p, q] = [3, 4].map((of) => Array.from({ length: 8 }, (_, i) => Math.sin(of * i)));
  const copies = (...points: number[][]) => rowsOf(Float32Array.from(points.flat()), 8);
  const both = await precisionRecall(copies(p, p, p, p, q, q, q, q), copies(p, q, p, q, p, q, p, q), 3);
  assert.deepEqual([both.precision, both.recall], [1, 1]);
});

test("precision and recall: 1 and 1 of one set, 0 and 0 of sets apart, half where half of the law is missing", async () => {
  const dims = 2;
  const at = (seed: number, count: number, x: number) =>
    rowsOf(
      normals(seed, count, dims).map((value, i) => value + (i % 2 === 0 ? x : 0)),
      dims,
    );
  const real = at(1, 400, 0);
  assert.deepEqual(await precisionRecall(real, real), { precision: 1, recall: 1, k: 3 });
  assert.deepEqual(await precisionRecall(real, at(2, 300, 50)), { precision: 0, recall: 0, k: 3 });
  const both = rowsOf(Float32Array.of(...real.slice(0, 400), ...at(3, 400, 50).slice(0, 400)), dims);
  const { precision, recall } = await precisionRecall(both, at(4, 400, 0));
  assert.ok(precision > 0.9, `precision ${precision}`);
  assertClose(recall, 0.5, { abs: 0.05 });
});

/** Rows of an array, and the most that were asked for at once. */
function watchedRows(values: Float32Array, dims: number): Rows & { most(): number } {
  let most = 0;
  const { count, slice } = rowsOf(values, dims);
  const watched = (from: number, to: number) => {
    most = Math.max(most, to - from);
    return slice(from, to);
  };
  return { count, dims, slice: watched, most: () => most };
}

test("moments, neighbours, KID, precision and recall of many rows hold a few thousand of them at a time", async () => {
  const values = normals(20, 5000, 4);
  const [images, samples] = [watchedRows(values, 4), watchedRows(normals(21, 60, 4), 4)];
  const [moments, atOnce] = [await momentsOfRows(images), momentsOf(values, 4)];
  assert.ok(images.most() <= 1000, `${images.most()} rows at once`);
  assert.equal(moments.count, 5000);
  assertAllClose(moments.mean, atOnce.mean, { rel: 1e-12, abs: 1e-12 });
  assertAllClose(covariance(moments), covariance(atOnce), { rel: 1e-10, abs: 1e-12 });
  await nearest(samples, images);
  const { mean } = await kid(images, images); // a set and itself: pairs of a row with itself count across
  assert.ok(mean < 0, `${mean}`);
  await precisionRecall(images, samples);
  assert.ok(images.most() <= 4096, `${images.most()} rows at once`);
  await assert.rejects(
    momentsOfRows(rowsOf(new Float32Array(0), 4)),
    /momentsOfRows: got no rows, expected at least one/,
  );
});
