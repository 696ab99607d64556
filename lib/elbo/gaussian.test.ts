import assert from "node:assert/strict";
import { test } from "node:test";
import { tf } from "../tensor";
import { assertAllClose, assertClose, assertNoLeak, oracle } from "../testing";
import {
  entropy1d,
  gaussianKl,
  gaussianLogDensity,
  kl1d,
  klDiagonal,
  klFull,
  logDensity1d,
  logDensityFull,
  varianceKl,
} from "./gaussian";
import { symmetricEigen } from "./linalg";
import { binOffsetBits, densityBitsPerDim } from "./units";

test("KL in 1-D and with full 2-D covariances (K01)", () => {
  const { inputs, expected, tol_rel: rel } = oracle("K01");
  assertClose(kl1d(inputs.m1, inputs.s1 ** 2, inputs.m2, inputs.s2 ** 2), expected.kl_1d, { rel });
  assertClose(klFull(inputs.ma, inputs.A, inputs.mb, inputs.B), expected.kl_2d, { rel });
});

test("KL against its definition: quadrature in 1-D, rotation in 3-D", () => {
  const [m1, v1, m2, v2] = [0.4, 0.3, -0.2, 1.7];
  let integral = 0;
  const h = 0.01;
  for (let x = -12; x <= 12; x += h)
    integral += h * Math.exp(logDensity1d(x, m1, v1)) * (logDensity1d(x, m1, v1) - logDensity1d(x, m2, v2));
  assertClose(kl1d(m1, v1, m2, v2), integral, { rel: 1e-10 });

  const c = Math.cos(0.7);
  const s = Math.sin(0.7);
  const turn = [
    [c, -s, 0],
    [s * c, c * c, -s],
    [s * s, s * c, c],
  ]; // orthogonal
  const rotate = (m: number[]) => turn.map((row) => row.reduce((sum, x, j) => sum + x * m[j], 0));
  const covariance = (variances: number[]) =>
    turn.map((a) => turn.map((b) => a.reduce((sum, x, k) => sum + x * variances[k] * b[k], 0)));
  const [a, b] = [
    [0.5, 1, 2],
    [1.5, 0.2, 3],
  ];
  const [ma, mb] = [
    [0, 1, 2],
    [0.3, -1, 2.5],
  ];
  assertClose(klFull(rotate(ma), covariance(a), rotate(mb), covariance(b)), klDiagonal(ma, a, mb, b), {
    rel: 1e-12,
  });
  assertClose(
    logDensityFull(rotate(ma), rotate(mb), covariance(b)),
    ma.reduce((sum, x, i) => sum + logDensity1d(x, mb[i], b[i]), 0),
    { rel: 1e-12 },
  );
  const { values, vectors } = symmetricEigen(covariance(a));
  assertAllClose([...values].sort(), [...a].sort(), { rel: 1e-12 });
  vectors.forEach((u, i) => {
    const image = covariance(a).map((row) => row.reduce((sum, x, j) => sum + x * u[j], 0));
    assertAllClose(
      image,
      u.map((x) => x * values[i]),
      { abs: 1e-12 },
    );
  });
});

test("the KL of nearly equal variances keeps its precision", () => {
  for (const x of [1e-9, -1e-6, 0.01, -0.0299, 0.0301]) {
    const series =
      Array.from({ length: 30 }, (_, i) => -((-x) ** (i + 2)) / (i + 2)).reduce((a, b) => a + b) * -0.5;
    assertClose(varianceKl(1 + x, 1), series, { rel: 1e-6 }); // 1 + x itself is rounded
  }
  assert.equal(varianceKl(0.3, 0.3), 0);
});

test("the KL of very different variances, against mpmath 1.3 with 50 digits: ratio, KL", () => {
  const golden = [
    [1e-300, 344.8877639491068],
    [1e-20, 22.52585092994046],
    [1e-14, 15.61809565095832],
    [1e-12, 13.31551055796477],
    [0.5, 0.0965735902799727],
    [1e3, 496.0461223605089],
    [1e12, 499999999985.6845],
  ];
  for (const [ratio, kl] of golden) {
    assertClose(varianceKl(ratio, 1), kl, { rel: 1e-14, what: `ratio ${ratio}` });
    assertClose(varianceKl(3 * ratio, 3), kl, { rel: 1e-14, what: `ratio ${ratio} of 3` });
  }
  assert.equal(varianceKl(0, 1), Number.POSITIVE_INFINITY);
  assert.equal(varianceKl(1, 0), Number.POSITIVE_INFINITY);
});

test("the KL of close and of far covariances, against mpmath 1.3 with 60 digits", () => {
  const b = [
    [1.3, 0.4],
    [0.4, 0.9],
  ];
  const at = (d: number) => [
    [1.3 + d, 0.4 - 2 * d],
    [0.4 - 2 * d, 0.9 + 3 * d],
  ];
  const golden: [number[][], number, number][] = [
    [at(1e-3), 1.04879588833376e-5, 1e-12],
    [at(1e-7), 1.05332764959714e-13, 1e-8], // the entries themselves are rounded
    [
      [
        [1.5, 0.2],
        [0.2, 0.8],
      ],
      0.0347255589070514,
      1e-13,
    ],
    [
      [
        [1e-20, 0],
        [0, 2e-20],
      ],
      44.7101034350275,
      1e-14,
    ],
  ];
  for (const [a, want, rel] of golden)
    assertClose(klFull([0, 0], a, [0, 0], b), want, { rel, abs: 0, what: `${a}` });
  assert.equal(klFull([1, 2], b, [1, 2], b), 0);
  const diagonal = (variances: number[]) =>
    variances.map((value, i) => variances.map((_, j) => (i === j ? value : 0)));
  for (const factor of [0.4, 0.69, 0.71, 0.999, 1.3, 1.36, 4]) {
    const [near, far] = [
      [2, 0.5],
      [2 * factor, 0.5 / factor],
    ];
    const want = klDiagonal([0, 1], far, [0.1, 1], near);
    assertClose(klFull([0, 1], diagonal(far), [0.1, 1], diagonal(near)), want, { rel: 1e-13 });
  }
});

test("entropy is the expected negative log-density", () => {
  let integral = 0;
  for (let x = -10; x <= 10; x += 0.01)
    integral -= 0.01 * Math.exp(logDensity1d(x, 0.1, 0.7)) * logDensity1d(x, 0.1, 0.7);
  assertClose(entropy1d(0.7), integral, { rel: 1e-10 });
});

test("tensor forms agree with the numbers, sum over dimensions and do not leak", () => {
  const [x, m, v] = [
    tf.tensor3d([1, 2, -1, 0.5], [2, 2, 1]),
    tf.tensor3d([0, 1, 0, 1], [2, 2, 1]),
    tf.tensor3d([0.5, 2], [2, 1, 1]),
  ];
  assertAllClose(
    gaussianLogDensity(x, m, v).dataSync(),
    [logDensity1d(1, 0, 0.5) + logDensity1d(2, 1, 0.5), logDensity1d(-1, 0, 2) + logDensity1d(0.5, 1, 2)],
    { rel: 1e-6 },
  );
  const one = tf.scalar(1.5);
  assertAllClose(
    gaussianKl(x, v, m, one).dataSync(),
    [klDiagonal([1, 2], [0.5, 0.5], [0, 1], [1.5, 1.5]), klDiagonal([-1, 0.5], [2, 2], [0, 1], [1.5, 1.5])],
    { rel: 1e-6 },
  );
  const ratios = [1e-30, 1e-6, 0.5, 0.79, 0.81, 0.99, 0.9999, 1, 1.0001, 1.03, 1.19, 1.21, 2, 1e6, 1e30].map(
    Math.fround,
  );
  const spread = (r: tf.Tensor) => gaussianKl(tf.zerosLike(r), r, tf.zerosLike(r), tf.scalar(1));
  const column = tf.tensor2d(ratios, [ratios.length, 1]);
  assertAllClose(
    spread(column).dataSync(),
    ratios.map((r) => varianceKl(r, 1)),
    { rel: 1e-5 },
  );
  assertAllClose(
    tf.grad(spread)(column).dataSync(),
    ratios.map((r) => 0.5 * (1 - 1 / r)),
    { rel: 2e-6, abs: 1e-9 },
  );
  assertNoLeak(() => gaussianLogDensity(x, m, v));
  assertNoLeak(() => gaussianKl(x, v, m, one));
});

test("bits/dim of 8-bit data from a density (D02)", () => {
  const { inputs, expected, tol_rel: rel } = oracle("D02");
  assertClose(densityBitsPerDim(inputs.nats), expected.bpd, { rel });
  assertClose(binOffsetBits(), expected.offset, { rel });
});

test("errors", () => {
  assert.throws(() => klDiagonal([0], [1], [0, 1], [1]), /klDiagonal: got lengths 1, 1, 2, 1/);
  for (const variance of [-1, Number.NaN]) {
    assert.throws(() => logDensity1d(0, 0, variance), /logDensity1d: a variance is .*, expected one above 0/);
    assert.throws(() => entropy1d(variance), /entropy1d: a variance is/);
    assert.throws(() => kl1d(0, variance, 1, 2), /kl1d: a variance is/);
    assert.throws(() => klDiagonal([0, 0], [1, 1], [0, 0], [1, variance]), /kl1d: a variance is/);
  }
  assert.equal(kl1d(0, 0, 1, 2), Number.POSITIVE_INFINITY);
  assert.throws(
    () =>
      klFull(
        [0],
        [
          [1, 0],
          [0, 1],
        ],
        [0],
        [[1]],
      ),
    /klFull: covariance1 is 2 × 2, expected 1 × 1/,
  );
  assert.throws(
    () =>
      klFull(
        [0, 0],
        [
          [1, 0.5],
          [0, 1],
        ],
        [0, 0],
        [
          [1, 0],
          [0, 1],
        ],
      ),
    /not symmetric/,
  );
  assert.throws(
    () =>
      klFull(
        [0, 0],
        [
          [1, 2],
          [2, 1],
        ],
        [0, 0],
        [
          [1, 0],
          [0, 1],
        ],
      ),
    /klFull: covariance1 is not positive definite: pivot 1 is -3, expected more than 0/,
  );
  const unit = [
    [1, 0],
    [0, 1],
  ];
  const singular = [
    [1, 1],
    [1, 1],
  ];
  assert.throws(
    () => klFull([0, 0], unit, [0], unit),
    /klFull: mean2 has 1 entries, expected 2 to match mean1/,
  );
  assert.throws(() => klFull([0, 0], unit, [0, 0, 0], unit), /mean2 has 3 entries, expected 2/);
  assert.throws(() => klFull([0, 0], unit, [0, 0], singular), /klFull: covariance2 is not positive definite/);
  assert.throws(
    () => logDensityFull([0, 0], [0], unit),
    /logDensityFull: mean has 1 entries, expected 2 to match x/,
  );
  assert.throws(() => logDensityFull([0, 0], [0, 0, 1], unit), /mean has 3 entries, expected 2/);
  assert.throws(() => logDensityFull([0, 0], [0, 0], singular), /logDensityFull: covariance is not positive/);
});
