import assert from "node:assert/strict";
import { test } from "node:test";
import { linearSchedule, scheduleFromBetas } from "../../diffusion";
import { dataSet, gaussian, mixture, optimalPredict, scoreOf } from "../../elbo";
import { w2Gaussians } from "../../metrics";
import { rng, tf } from "../../tensor";
import { assertClose, assertNoLeak, oracle } from "../../testing";
import {
  clusterOffsetExponent,
  clusterScoreLipschitz,
  estimateScoreLipschitz,
  gaussianScoreLipschitz,
  largestSlopes,
  squareGrid,
} from "./lipschitz";
import {
  conditionalErrorFloor,
  conditionalErrors,
  matchingLoss,
  mutualInformation,
  scoreErrors,
  scoreOfModel,
} from "./matching";
import { marginalAt, simulateReverse, veSde, vpSde } from "./sde";

const corners = (std: number) =>
  mixture({
    weights: [0.25, 0.25, 0.25, 0.25],
    means: [-0.5, 0.5].flatMap((x) => [-0.5, 0.5].map((y) => [x, y])),
    stds: [std, std, std, std],
  });
const short = scheduleFromBetas([0.05, 0.1, 0.2, 0.3], { allowPriorMismatch: true });

test("W2 between Gaussians is what the dynamics' distance uses (W01)", () => {
  const { inputs, expected, tol_rel: rel } = oracle("W01");
  const [a, b] = [
    { mean: inputs.ma, covariance: inputs.A },
    { mean: inputs.mb, covariance: inputs.B },
  ];
  assertClose(w2Gaussians(a, b), expected.W2, { rel });
});

test("the floor of J_DSM is a difference of mutual informations, and diverges at small τ (W06)", () => {
  const { inputs, expected, tol_rel: rel } = oracle("W06");
  const sde = vpSde({ betaStart: inputs.beta, betaEnd: inputs.beta, T: inputs.T });
  const data = gaussian({ mean: [0, 0], std: inputs.s });
  const information = (t: number) =>
    mutualInformation(data, { signal: sde.signal(t), noise2: sde.noise2(t) });
  inputs.tau.forEach((tau: number, i: number) => {
    assertClose(information(tau) - information(sde.T), expected.gap[i], { rel });
  });
  assert.throws(
    () => mutualInformation(data, { signal: 1, noise2: 0 }),
    /noise2 is 0, expected a variance above 0/,
  );
  assert.throws(() => mutualInformation(data, { signal: Number.NaN, noise2: 1 }), /signal is NaN/);
});

test("the information that a weak signal carries of a Gaussian, against mpmath 1.3 with 60 digits; of a point none", () => {
  const narrow = gaussian({ mean: 1, std: 0.5 });
  const plane = gaussian({ mean: [1, 2], std: [Math.sqrt(0.3), Math.sqrt(1.7)] });
  const golden = [
    [mutualInformation(narrow, { signal: 1e-6, noise2: 1 }), 1.24999999999984e-13],
    [mutualInformation(plane, { signal: -1e-3, noise2: 2 }), 4.99999813750103e-7],
    [mutualInformation(plane, { signal: 2, noise2: 0.5 }), 1.9523984801682],
  ];
  for (const [got, want] of golden) assertClose(got, want, { rel: 1e-13, abs: 0 });
  assert.equal(mutualInformation(dataSet([3]), { signal: 1, noise2: 0.1 }), 0);
});

test("for a mixture too: ½ Σ β_t floor_t is I(x_0; x_τ) − I(x_0; x_T) as the steps become fine", () => {
  const data = mixture({ weights: [0.3, 0.7], means: [-1, 0.5], stds: [0.3, 0.2] });
  const [steps, skip] = [800, 40];
  const schedule = scheduleFromBetas(new Float64Array(steps).fill(2 / steps), { allowPriorMismatch: true });
  const floor = conditionalErrorFloor(data, schedule);
  const late = schedule.betaVar.map((beta, t) => {
    if (t < skip) return 0;
    return t === skip || t === steps ? beta / 2 : beta; // the trapezoidal rule from t = skip to T
  });
  const information = (t: number) =>
    mutualInformation(data, { signal: schedule.sqrtAlphaBar[t], noise2: schedule.oneMinusAlphaBar[t] });
  assertClose(matchingLoss(schedule, floor, late), information(skip) - information(steps), { rel: 4e-3 });
});

test("J_DSM − J_SM is the floor, whatever the score; a perfect score has J_SM = 0", () => {
  const data = corners(0.3);
  const truth = optimalPredict(data, short, "eps");
  const base = { schedule: short, parameterization: "eps", variance: "beta" } as const;
  const biased = { ...base, predict: (xt: tf.Tensor, t: tf.Tensor1D) => truth(xt, t).add(0.3) };
  const floor = conditionalErrorFloor(data, short);
  const perfect = scoreErrors({ ...base, predict: truth }, data, { draws: 4000 });
  const errors = scoreErrors(biased, data, { draws: 4000, seed: 1 });
  const again = conditionalErrors(biased, (random, n) => sampleOf(data, random, n), { draws: 4000, seed: 2 });
  for (let t = 1; t <= 4; t++) {
    assert.ok(perfect.marginal[t] < 1e-8);
    assertClose(errors.marginal[t], (2 * 0.09) / short.oneMinusAlphaBar[t], { rel: 1e-3 });
    for (const [got, se] of [
      [errors.conditional[t] - errors.marginal[t], errors.conditionalStandardError[t]],
      [perfect.conditional[t], perfect.conditionalStandardError[t]],
      [again[t] - errors.marginal[t], errors.conditionalStandardError[t]],
    ])
      assert.ok(Math.abs(got - floor[t]) < 4 * se + 1e-3, `t = ${t}: ${got} against ${floor[t]} ± ${se}`);
  }
  assert.throws(() => matchingLoss(short, [0, 1]), /errors has 2 entries, expected 5/);
  assert.throws(() => scoreErrors(biased, data, { draws: 1 }), /draws is 1/);
  assert.throws(() => conditionalErrors(biased, () => tf.zeros([1, 2]), { draws: 0 }), /draws is 0/);
});

const sampleOf = (data: ReturnType<typeof corners>, random: ReturnType<typeof rng>, n: number) =>
  tf.tidy(() => {
    const means = tf.tensor2d(data.components.map(({ mean }) => [...mean]));
    const std = Math.sqrt(data.components[0].variances[0]);
    return tf
      .gather(means, random.integers([n], 0, means.shape[0]).as1D())
      .add(random.normal([n, 2]).mul(std));
  });

test("L_s from Jacobians: exact where the supremum is on the grid, never above it elsewhere", () => {
  const data = corners(0.1);
  const score = scoreOfModel({
    schedule: short,
    predict: optimalPredict(data, short, "eps"),
    parameterization: "eps",
  });
  const exact = clusterScoreLipschitz({ halfDistance: 0.5, std: 0.1 }, short);
  const [withMiddle, without] = [squareGrid(-1, 1, 5), squareGrid(-1, 1, 4)];
  const [reached, below] = [withMiddle, without].map((grid) => estimateScoreLipschitz(score, 4, grid));
  for (let t = 1; t <= 4; t++) {
    assertClose(reached[t], exact[t], { rel: 1e-3 });
    assert.ok(below[t] < exact[t]);
  }
  assertNoLeak(() => {
    estimateScoreLipschitz(score, 4, withMiddle);
    return [];
  });
  tf.dispose([withMiddle, without]);
  assert.throws(() => squareGrid(0, 1, 1), /count is 1/);
});

test("L_s of a linear field is the largest eigenvalue of its symmetric part, in any dimension", () => {
  const matrix = [
    [1, 4, 0],
    [0, 1, 0],
    [0, 0, -3],
  ];
  const points = rng(3).normal([5, 3]) as tf.Tensor2D;
  const slopes = largestSlopes((x) => x.matMul(tf.tensor2d(matrix), false, true), points);
  for (const slope of slopes) assertClose(slope, 3, { rel: 1e-6 }); // 1 + 4/2
  points.dispose();
  const narrow = gaussian({ mean: [1, 2], std: [0.5, 2] });
  const table = gaussianScoreLipschitz(narrow, short);
  assertClose(table[2], -1 / (4 * short.alphaBar[2] + short.oneMinusAlphaBar[2]));
  assert.throws(() => gaussianScoreLipschitz(corners(0.1), short), /expected a Gaussian/);
});

test("E3: L_s tends to −1, and the offset falls only once its constant is used up (W05)", () => {
  const clusters = { halfDistance: 0.5, std: 0.1 };
  const fine = scheduleFromBetas(new Float64Array(16000).fill(-Math.expm1(-0.0005)));
  const table = clusterScoreLipschitz(clusters, fine);
  assertClose(table[16000], -1.000248, { abs: 1e-6 }); // u = 8
  let integral = 0;
  for (let t = 1; t <= 16000; t++) {
    const previous = t === 1 ? 0.25 / 0.1 ** 4 - 100 : table[t - 1];
    integral += 0.00025 * (previous + table[t]); // its error at the steep start is 0.01
    if (t % 4000 === 0) assertClose(integral, clusterOffsetExponent(clusters, t / 2000), { rel: 1e-3 });
  }
  const limit = 0.25 / (1 - 0.01) / 0.01 - 0.25 / (1 - 0.01) + 2 * Math.log(0.1);
  assertClose(clusterOffsetExponent(clusters, 30), limit - 30, { rel: 1e-9 });
  const linear = linearSchedule();
  const U = -linear.logAlphaBar[1000];
  assert.ok(U > 10 && U < 10.2 && clusterOffsetExponent(clusters, U) > 5, "the offset is vacuous there");
  for (let u = 1; u < 40; u += 0.5)
    assert.ok(clusterOffsetExponent(clusters, u + 0.5) < clusterOffsetExponent(clusters, u));
  assert.throws(() => clusterOffsetExponent(clusters, Number.NaN), /U is NaN/);
  assert.throws(() => clusterOffsetExponent({ halfDistance: 0.5, std: 0 }, 1), /std 0, expected/);
});

test("signal and noise of the forward SDE obey its moments' equations, VP and VE", () => {
  const h = 1e-5;
  for (const sde of [
    vpSde({ betaStart: 0.5, betaEnd: 4, T: 2 }),
    veSde({ sigmaMin: 0.1, sigmaMax: 3, T: 2 }),
  ])
    for (const t of [0.1, 0.7, 1.9]) {
      const slope = (f: (t: number) => number) => (f(t + h) - f(t - h)) / (2 * h);
      // dm = −a m dt, and d Var = (−2 a Var + g²) dt
      assertClose(slope(sde.signal), -sde.driftRate(t) * sde.signal(t), { rel: 1e-7, abs: 1e-9 });
      assertClose(slope(sde.noise2), sde.g2(t) - 2 * sde.driftRate(t) * sde.noise2(t), { rel: 1e-7 });
    }
  assert.deepEqual(
    [vpSde(), veSde()].map(({ signal, noise2 }) => [signal(0), Math.abs(noise2(0))]),
    [
      [1, 0],
      [1, 0],
    ],
  );
});

test("the reverse SDE with the true score leads back to the data, VP and VE", () => {
  const data = gaussian({ mean: [1, -0.5], std: [0.5, 1] });
  for (const sde of [vpSde({ betaStart: 0.5, betaEnd: 4 }), veSde({ sigmaMin: 0.1, sigmaMax: 3 })]) {
    const end = marginalAt(data, sde, 1).components[0];
    const random = rng(11);
    const start = tf.tidy(() =>
      random
        .normal([4000, 2])
        .mul(tf.tensor1d(end.variances.map(Math.sqrt)))
        .add(tf.tensor1d([...end.mean])),
    ) as tf.Tensor2D;
    const score = (x: tf.Tensor2D, t: number) => {
      const { mean, variances } = marginalAt(data, sde, t).components[0];
      return tf
        .tensor1d([...mean])
        .sub(x)
        .div(tf.tensor1d([...variances]));
    };
    const drawn = simulateReverse(sde, score, start, { steps: 100, rng: random });
    const { mean, variance } = tf.moments(drawn, 0);
    const [means, variances] = [mean.dataSync(), variance.dataSync()];
    [1, -0.5].forEach((m, i) => {
      const v = [0.25, 1][i];
      assertClose(means[i], m, { rel: 0, abs: 4 * Math.sqrt(v / 4000) + 0.02, what: sde.name });
      assertClose(variances[i], v, { rel: 0.1, what: sde.name });
    });
    tf.dispose([start, drawn, mean, variance]);
  }
  assert.throws(() => vpSde({ T: 0 }), /T is 0/);
  assert.throws(() => veSde({ sigmaMin: 2, sigmaMax: 1 }), /sigmaMax is 1, expected more/);
  assert.throws(() => marginalAt(data, vpSde(), 2), /t is 2/);
  assert.equal(marginalAt(dataSet([0, 1]), vpSde(), 0.5).kind, "mixture");
  const [point, rest] = [tf.zeros([1, 2]) as tf.Tensor2D, { steps: 1, rng: rng(1) }];
  assert.throws(() => simulateReverse(vpSde(), (x) => x, point, { ...rest, end: 2 }), /end is 2/);
  const tensors = tf.memory().numTensors;
  const failing = () => {
    throw new Error("no score");
  };
  assert.throws(() => simulateReverse(vpSde(), failing, point, rest), /no score/);
  assert.equal(tf.memory().numTensors, tensors);
  point.dispose();
});

test("a score written by hand agrees with the library's at a point", () => {
  const data = corners(0.3);
  const score = scoreOfModel({
    schedule: short,
    predict: optimalPredict(data, short, "v"),
    parameterization: "v",
  });
  const [x, y] = [0.2, -0.4];
  const got = tf.tidy(() => score(tf.tensor2d([[x, y]]), tf.tensor1d([2], "int32")).dataSync());
  const marginal = marginalAt(
    data,
    { ...vpSde(), signal: () => short.sqrtAlphaBar[2], noise2: () => short.oneMinusAlphaBar[2] },
    0,
  );
  scoreOf(marginal, [x, y]).forEach((s, i) => {
    assertClose(got[i], s, { rel: 1e-4 });
  });
});

test("the clusters' exponent begins as L_s at time 0, and is one function of U", () => {
  for (const std of [0.3, 0.7, 1, 2])
    for (const U of [1e-12, 1e-9]) {
      const slope = 0.25 / std ** 4 - 1 / std ** 2;
      if (slope !== 0)
        assertClose(clusterOffsetExponent({ halfDistance: 0.5, std }, U), slope * U, { rel: 1e-7 });
    }
  const [below, above] = [1 - 1e-12, 1].map((U) => clusterOffsetExponent({ halfDistance: 0.5, std: 0.7 }, U));
  assertClose(below, above, { abs: 1e-11 });
});
