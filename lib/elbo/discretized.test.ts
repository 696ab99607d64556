import assert from "node:assert/strict";
import { test } from "node:test";
import { tf } from "../tensor";
import { assertAllClose, assertClose, assertNoLeak, oracle } from "../testing";
import { discretizedLogLikelihood, logBinProbability, logNormalMass } from "./discretized";
import { erf, erfc, gaussLegendre, logErfc, logSumExp } from "./special";
import { binOffsetBits } from "./units";

const pixel = (k: number) => (2 * k) / 255 - 1;

test("erfc and its logarithm, against mpmath 1.3 with 40 digits: x, erfc(x), ln erfc(x)", () => {
  const golden: [number, number, number][] = [
    [-6, 2, Math.LN2],
    [-1.5, 1.96610514647531, 0.676054502733961],
    [-0.1, 1.11246291601828, 0.106576400586522],
    [0.001, 0.998871621209031, -0.00112901588962135],
    [0.5, 0.479500122186953, -0.735011129837084],
    [1.9999, 0.00467980209297061, -5.36449945777353],
    [2, 0.00467773498104727, -5.36494126461664],
    [2.5, 0.000406952017444959, -7.80681527272726],
    [5, 1.53745979442803e-12, -27.2008895455374],
    [10, 2.08848758376254e-45, -102.879889024845],
    [100, 0, -10005.1775851227],
    [10000, 0, -100000009.78270532],
  ];
  for (const [x, value, log] of golden) {
    assertClose(erfc(x), value, { rel: 1e-12, abs: 0, what: `erfc(${x})` });
    assertClose(logErfc(x), log, { rel: 1e-12, abs: 0, what: `ln erfc(${x})` });
    assertClose(erf(x), 1 - value, { rel: 1e-12, abs: 1e-15, what: `erf(${x})` });
  }
});

test("the rule of Gauss and Legendre is exact to degree 2n − 1; log-sum-exp neither overflows nor loses −∞", () => {
  const { nodes, weights } = gaussLegendre(5);
  for (let degree = 0; degree <= 9; degree++) {
    const got = nodes.reduce((sum, x, i) => sum + weights[i] * x ** degree, 0);
    assertClose(got, degree % 2 ? 0 : 2 / (degree + 1), { abs: 1e-14 });
  }
  assertClose(logSumExp([1000, 1000 + Math.log(3)]), 1000 + Math.log(4), { rel: 1e-15 });
  assert.equal(logSumExp([Number.NEGATIVE_INFINITY]), Number.NEGATIVE_INFINITY);
});

test("bin probabilities, exact and in the authors' tanh form (D01)", () => {
  const { inputs, expected, tol_rel: rel } = oracle("D01");
  inputs.cases_k_mu_sigma.forEach(([k, mu, sigmaStd]: number[], i: number) => {
    const exact = logBinProbability(pixel(k), mu, sigmaStd);
    assertClose(Math.exp(exact), expected.p_exact[i], { rel });
    assertClose(-exact / Math.LN2, expected.neg_log2_p[i], { rel });
    const tanh = logBinProbability(pixel(k), mu, sigmaStd, { form: "tanh" });
    assertClose(Math.exp(tanh), expected.p_tanh_approx_Ho_code[i], { rel });
  });
});

/** k, mean, σ, ln P(k); mpmath 1.3 with 60 digits. */
const GOLDEN: [number, number, number, number][] = [
  [128, 0.01, 0.01, -1.36273059440341],
  [100, -0.2, 0.3, -4.56447748996801],
  [200, -0.9, 0.01, -10732.7224187819],
  [10, 0.9, 0.02, -4135.22966347535],
  [0, 1, 0.01, -19927.8608392408],
  [255, -1, 0.01, -19927.8608392408],
  [0, -1.5, 0.02, 0],
  [127, 0, 5, -7.37649322033587],
  [127, 0, 1e-4, -Math.LN2],
  [130, 0.5, 1e-3, -113519.196075578],
  [40, -0.68, 0.008, -1.26198121546795],
  [254, 1, 0.002, -3.69079760023821],
];

test("bin probabilities in the far tails, narrow and wide", () => {
  for (const [k, mu, sigmaStd, want] of GOLDEN)
    assertClose(logBinProbability(pixel(k), mu, sigmaStd), want, {
      rel: 2e-12,
      abs: 1e-12,
      what: `k = ${k}`,
    });
});

test("open bins that hold nearly all of the mass, against mpmath 1.3 with 60 digits: edge, ln of the mass above", () => {
  const golden = [
    [-0.5, -0.368946415288656],
    [-1, -0.17275377902345],
    [-3, -0.00135080996474819],
    [-6, -9.86587645524376e-10],
    [-9, -1.12858840595384e-19],
    [-20, -2.75362411860623e-89],
    [Number.NEGATIVE_INFINITY, 0],
  ];
  for (const [edge, want] of golden) {
    const tolerance = { rel: 1e-12, abs: 0, what: `edge ${edge}` };
    assertClose(logNormalMass(edge, Number.POSITIVE_INFINITY), want, tolerance);
    assertClose(logNormalMass(Number.NEGATIVE_INFINITY, -edge), want, tolerance);
  }
});

test("the probabilities of all bins sum to 1", () => {
  for (const [mu, sigmaStd] of [
    [0.3, 0.01],
    [-1.2, 0.05],
    [0, 3],
    [0.99, 0.001],
  ]) {
    const logs = Array.from({ length: 256 }, (_, k) => logBinProbability(pixel(k), mu, sigmaStd));
    assertClose(logSumExp(logs), 0, { abs: 1e-12 });
  }
});

test("the tensor form agrees, in value and gradient", () => {
  const k = GOLDEN.map(([level]) => level);
  const x = tf.tensor2d(k.map(pixel), [k.length, 1]);
  const mean = tf.tensor2d(
    GOLDEN.map((row) => row[1]),
    [k.length, 1],
  );
  const variance = tf.tensor2d(
    GOLDEN.map((row) => row[2] ** 2),
    [k.length, 1],
  );
  const logP = (m: tf.Tensor, v: tf.Tensor) => discretizedLogLikelihood(x, m, v);
  assertAllClose(
    logP(mean, variance).dataSync(),
    GOLDEN.map((row) => row[3]),
    { rel: 2e-5, abs: 1e-5 },
  );

  const [byMean, byVariance] = tf
    .grads((m, v) => logP(m, v).sum())([mean, variance])
    .map((g) => g.dataSync());
  GOLDEN.forEach(([level, mu, sigmaStd], i) => {
    const at = (m: number, s2: number) => logBinProbability(pixel(level), m, Math.sqrt(s2));
    const [dm, ds] = [1e-4 * sigmaStd, 1e-4 * sigmaStd ** 2];
    const wantMean = (at(mu + dm, sigmaStd ** 2) - at(mu - dm, sigmaStd ** 2)) / (2 * dm);
    const wantVariance = (at(mu, sigmaStd ** 2 + ds) - at(mu, sigmaStd ** 2 - ds)) / (2 * ds);
    const scale = 1e-4 / sigmaStd;
    assertClose(byMean[i], wantMean, { rel: 1e-3, abs: scale, what: `d/dmean of case ${i}` });
    assertClose(byVariance[i], wantVariance, {
      rel: 1e-3,
      abs: scale / sigmaStd,
      what: `d/dvariance of case ${i}`,
    });
  });

  const tanh = discretizedLogLikelihood(x, mean, variance, { form: "tanh" }).dataSync();
  GOLDEN.forEach(([level, mu, sigmaStd], i) => {
    assertClose(tanh[i], logBinProbability(pixel(level), mu, sigmaStd, { form: "tanh" }), {
      rel: 2e-5,
      abs: 1e-5,
    });
  });
});

test("the tanh form in its tails does not cancel, down to its floor", () => {
  for (const [level, mu, sigmaStd] of [
    [254, -3, 1],
    [254, 0.7, 0.05],
    [1, 0, 0.2],
    [0, 0.9, 0.3],
    [255, -0.9, 0.3],
    [128, -0.9, 0.1],
  ]) {
    const [x, mean, variance] = [pixel(level), mu, sigmaStd ** 2].map((value) => tf.tensor2d([[value]]));
    const got = discretizedLogLikelihood(x, mean, variance, { form: "tanh" }).dataSync()[0];
    const want = logBinProbability(pixel(level), mu, sigmaStd, { form: "tanh" });
    assertClose(got, want, { rel: 1e-5, what: `level ${level}, mean ${mu}, σ ${sigmaStd}` });
  }
});

test("a mean at the very edge of an open-ended bin has the gradient of both sides", () => {
  const levels = 2; // x = ±1, the edge of both bins at 0
  for (const x of [1, -1]) {
    const logP = (m: number, v: number) => logBinProbability(x, m, Math.sqrt(v), { levels });
    const gradients = tf.grads((m, v) =>
      discretizedLogLikelihood(tf.tensor2d([[x]]), m, v, { levels }).sum(),
    );
    for (const at of [0, 1e-3, -1e-3]) {
      const [byMean, byVariance] = tf.tidy(() =>
        gradients([tf.tensor2d([[at]]), tf.tensor2d([[0.25]])]).map((g) => g.dataSync()[0]),
      );
      const h = 1e-5;
      const wantMean = (logP(at + h, 0.25) - logP(at - h, 0.25)) / (2 * h);
      const wantVariance = (logP(at, 0.25 + h) - logP(at, 0.25 - h)) / (2 * h);
      assertClose(byMean, wantMean, { rel: 1e-5, what: `d/dmean at ${at} for x = ${x}` });
      assertClose(byVariance, wantVariance, {
        rel: 1e-4,
        abs: 1e-5,
        what: `d/dvariance at ${at} for x = ${x}`,
      });
    }
  }
});

test("no leaks; a σ that is not positive is refused", () => {
  const [x, mean, variance] = [tf.zeros([2, 3]), tf.ones([2, 3]), tf.fill([2, 1], 0.01)];
  assertNoLeak(() => discretizedLogLikelihood(x, mean, variance));
  assertNoLeak(() => discretizedLogLikelihood(x, mean, variance, { form: "tanh" }));
  assert.throws(() => logBinProbability(0, 0, 0), /logBinProbability: sigmaStd is 0, expected .* above 0/);
  assert.throws(() => logBinProbability(Number.NaN, 0, 1), /x is NaN, expected a quantized value/);
  assert.throws(() => logBinProbability(1.5, 0, 1), /x is 1.5, expected a quantized value from −1 to 1/);
  assert.throws(() => logBinProbability(0, Number.NaN, 1), /mean is NaN, expected a finite number/);
  const form = "logistic" as "tanh";
  assert.throws(() => logBinProbability(0, 0, 1, { form }), /form is "logistic", expected "exact" or "tanh"/);
  assert.throws(() => discretizedLogLikelihood(x, mean, variance, { form }), /form is "logistic"/);
  for (const levels of [1, 2.5, -3, Number.NaN]) {
    const says = /levels is .*, expected a whole number of at least 2/;
    assert.throws(() => logBinProbability(0, 0, 1, { levels }), says);
    assert.throws(() => discretizedLogLikelihood(x, mean, variance, { levels }), says);
    assert.throws(() => binOffsetBits(levels), says);
  }
  assert.ok(Number.isNaN(erf(Number.NaN)) && Number.isNaN(erfc(Number.NaN)));
});
