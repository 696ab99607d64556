import assert from "node:assert/strict";
import { test } from "node:test";
import { linearSchedule, type Model } from "../diffusion";
import {
  affineBound,
  type Distribution,
  dataSet,
  drawFrom,
  exactBound,
  gaussian,
  logDensityOf,
  mixture,
  noised,
  optimalPredict,
  scoreOf,
} from "../elbo";
import { w2Gaussians } from "../metrics";
import { rng, tf } from "../tensor";
import { assertClose } from "../testing";
import { blurred, gaussianFlow } from "./score-difference";
import {
  boundExcess,
  differencesFromSamples,
  fisherDivergence,
  klDivergence,
  klFromDifferences,
  priorDistance,
  threeViews,
} from "./views";

const levels = (from: number, to: number, count: number) =>
  Float64Array.from({ length: count }, (_, k) => from * (to / from) ** (k / (count - 1)));
const schedule = linearSchedule({ numSteps: 60, betaStart: 2e-3, betaEnd: 0.3 });

test("KL and the Fisher divergence by quadrature are those of Gaussians in closed form", () => {
  const [q, p] = [
    { mean: 1, std: 0.5 },
    { mean: -1, std: 1.5 },
  ];
  const { kl, fisher } = gaussianFlow(q, p, 0);
  assertClose(klDivergence(gaussian(q), gaussian(p)), kl, { rel: 1e-9 });
  assertClose(fisherDivergence(gaussian(q), gaussian(p)), fisher, { rel: 1e-9 });
});

test("KL and the Fisher divergence from a law with narrow parts, against a sum over a fine grid", () => {
  const p = gaussian({ mean: 0, std: 1 });
  const narrow = (std: number) => mixture({ weights: [0.5, 0.5], means: [0, 0.37], stds: [1, std] });
  const points = noised(dataSet([-1, 0, 1]), linearSchedule(), 1);
  for (const [q, h] of [[narrow(0.005), 2e-5] as const, [points, 1e-5] as const]) {
    let [kl, fisher] = [0, 0];
    for (let i = -9 / h; i <= 9 / h; i++) {
      const x = i * h;
      const mass = (h * Math.exp(-0.5 * x * x)) / Math.sqrt(2 * Math.PI);
      kl += mass * (logDensityOf(p, x) - logDensityOf(q, x));
      fisher += mass * (x + scoreOf(q, x)[0]) ** 2;
    }
    assertClose(klDivergence(p, q), kl, { rel: 1e-7 });
    assertClose(fisherDivergence(p, q), fisher, { rel: 1e-6 });
  }
});

test("between points without noise neither divergence exists, and both say so", () => {
  const [points, wide] = [dataSet([1, 3]), gaussian({ mean: 0, std: 1 })];
  assert.throws(
    () => klDivergence(points, wide),
    /logDensityOf: component 0 of the dataSet has variances \[0\]/,
  );
  assert.throws(() => klDivergence(wide, points), /expected all above 0.*Add noise with noised/);
  assert.throws(() => fisherDivergence(points, wide), /scoreOf: component 0 of the dataSet/);
});

test("between laws of different dimensions neither divergence exists", () => {
  const [line, plane] = [gaussian({ mean: 0, std: 1 }), gaussian({ mean: [0, 0], std: 1 })];
  for (const [name, divergence] of Object.entries({ klDivergence, fisherDivergence }))
    assert.throws(
      () => divergence(line, plane),
      new RegExp(`${name}: p has 1 dimensions and q 2, expected the same`),
    );
});

test("KL is the score difference added up over noise levels", () => {
  const pairs: [Distribution, Distribution][] = [
    [gaussian({ mean: 1, std: 0.5 }), gaussian({ mean: -1, std: 1.5 })],
    [
      mixture({ weights: [0.5, 0.5], means: [-1.5, 1.5], stds: [0.4, 0.4] }),
      mixture({ weights: [0.8, 0.2], means: [-1.2, 1.5], stds: [0.5, 0.3] }),
    ],
  ];
  const sigmas = levels(0.3, 60, 120);
  for (const [p, q] of pairs) {
    const squares = sigmas.map(
      (sigma) => sigma ** 2 * fisherDivergence(blurred(p, sigma), blurred(q, sigma)),
    );
    const kl = klDivergence(blurred(p, 0.3), blurred(q, 0.3));
    assertClose(klFromDifferences(sigmas, squares), kl, { rel: 1e-3 });
  }
  assert.throws(() => klFromDifferences([1, 1], [0, 0]), /sigmas\[1\] is 1, expected levels above 0/);
  assert.throws(() => klFromDifferences([1, 2], [0]), /1 squares for 2 noise levels/);
  assert.throws(() => klFromDifferences([1, 2], [0, Number.NaN]), /squares\[1\] is NaN/);
});

test("wrong shares of modes far apart: KL stays, W2 grows, the Fisher divergence without noise sees nothing", () => {
  const pair = (a: number) =>
    [0.5, 0.8].map((share) => mixture({ weights: [share, 1 - share], means: [-a, a], stds: [0.5, 0.5] }));
  const [near, far] = [pair(1), pair(4)];
  const ofShares = 0.5 * Math.log(0.5 / 0.8) + 0.5 * Math.log(0.5 / 0.2);
  assertClose(klDivergence(far[0], far[1]), ofShares, { rel: 1e-6 });
  assert.ok(klDivergence(near[0], near[1]) < ofShares);
  assert.ok(fisherDivergence(near[0], near[1]) > 0.02);
  assert.ok(fisherDivergence(far[0], far[1]) < 1e-10);
  const seen = fisherDivergence(blurred(far[0], 4), blurred(far[1], 4));
  assert.ok(16 * seen > 0.1, `with noise as wide as the gap: ${16 * seen}`);
});

test("what a network's score is off by, weighed over t, is what its bound is above the best", () => {
  const data = gaussian({ mean: 0.4, std: 0.7 });
  for (const variance of ["beta", "betaTilde"] as const) {
    const off = 0.2; // a noise estimate that is off by a constant
    const scale = new Float64Array(61);
    const shift = new Float64Array(61);
    for (let t = 1; t <= 60; t++) {
      const v = schedule.alphaBar[t] * 0.49 + schedule.oneMinusAlphaBar[t];
      scale[t] = Math.sqrt(schedule.oneMinusAlphaBar[t]) / v;
      shift[t] = -scale[t] * schedule.sqrtAlphaBar[t] * 0.4 + off;
    }
    const { total } = affineBound(data, schedule, variance, { parameterization: "eps", scale, shift });
    const scoreError = schedule.oneMinusAlphaBar.map((noise2, t) => (t === 0 ? 0 : off ** 2 / noise2));
    const best = exactBound(data, schedule, variance).total;
    assertClose(boundExcess(schedule, variance, scoreError), total - best, { rel: 1e-6 });
  }
  assert.throws(() => boundExcess(schedule, "beta", [0, 1]), /2 entries, expected 61/);
  assert.throws(() => boundExcess(schedule, "beta", new Float64Array(61).fill(-1)), /-1 at t = 1/);
});

test("from samples: a shift is found with its KL, and the data's own samples leave only a floor", () => {
  const data = gaussian({ mean: [0, 0], std: 1 });
  const sigmas = levels(0.4, 60, 16);
  const own = drawFrom(data, 4000, rng(1));
  const shifted = tf.tidy(() => own.add<tf.Tensor2D>(tf.tensor1d([0.6, 0])));
  const kl = (samples: tf.Tensor2D) =>
    klFromDifferences(sigmas, differencesFromSamples(data, samples, { sigmas, draws: 1500 }));
  const floor = kl(own);
  assert.ok(floor > 0 && floor < 0.01, `floor ${floor}`);
  const wanted = 0.36 / (2 * (1 + 0.16)); // ‖d‖²/(2(1 + σ²)) for both blurred by σ
  const got = kl(shifted);
  assert.ok(Math.abs(got - wanted) < 0.1 * wanted + floor, `got ${got}, expected about ${wanted}`);
  assert.throws(() => differencesFromSamples(data, own, { sigmas: [0] }), /sigmas\[0\] is 0/);
  tf.dispose([own, shifted]);
});

test("the distance of q(x_T) from the prior is never above its coupling", () => {
  const data = gaussian({ mean: [0.5, -1], std: [0.3, 2] });
  const short = linearSchedule({ numSteps: 20, allowPriorMismatch: true });
  const [signal2, noise2] = [short.alphaBar[20], short.oneMinusAlphaBar[20]];
  const exact = w2Gaussians(
    {
      mean: [0.5, -1].map((m) => short.sqrtAlphaBar[20] * m),
      covariance: [
        [0.09 * signal2 + noise2, 0],
        [0, 4 * signal2 + noise2],
      ],
    },
    {
      mean: [0, 0],
      covariance: [
        [1, 0],
        [0, 1],
      ],
    },
  );
  const coupled = priorDistance(data, short);
  assert.ok(exact <= coupled && coupled < 3 * exact, `${exact} ≤ ${coupled}`);
});

test("three views: of the optimal network all stand at their floors, of a wrong one all rise, in the order they must", async () => {
  const data = mixture({
    weights: [0.5, 0.5],
    means: [
      [-0.8, 0],
      [0.8, 0],
    ],
    stds: [0.6, 0.6],
  });
  const best = optimalPredict(data, schedule, "eps");
  const modelOf = (predict: Model["predict"]): Model => ({
    schedule,
    predict,
    parameterization: "eps",
    variance: "beta",
  });
  const before = tf.memory().numTensors;
  const look = threeViews({ data, draws: 200, n: 200, cloud: 2000, sigmas: levels(0.3, 60, 12) });
  const right = await look(modelOf(best));
  assertClose(right.boundGap, right.boundGapFloor, { rel: 1e-6 });
  assert.ok(right.boundGapFloor > 0);
  assert.ok(right.w2 < 1.4 * right.w2Floor, `W2 ${right.w2}, floor ${right.w2Floor}`);
  assert.ok(right.kl < 3 * right.klFloor, `KL ${right.kl}, floor ${right.klFloor}`);
  const wrong = await look(modelOf((xt, t) => tf.tidy(() => best(xt, t).add(tf.tensor1d([0.5, 0])))));
  assert.ok(wrong.kl > 5 * right.kl && wrong.w2 > right.w2);
  assert.ok(wrong.kl < wrong.boundGap, `KL ${wrong.kl} is below the bound's gap ${wrong.boundGap}`);
  assert.ok(wrong.w2 < Math.exp(wrong.wasserstein.logTheorem1));
  assert.equal(tf.memory().numTensors, before);
  assert.throws(() => threeViews({ data: gaussian({ mean: 0, std: 1 }) }), /1 dimensions, expected points/);
  assert.throws(() => threeViews({ data, n: 10, cloud: 5 }), /cloud is 5, expected at least n = 10/);
});
