import assert from "node:assert/strict";
import { test } from "node:test";
import {
  linearSchedule,
  type Model,
  PARAMETERIZATIONS,
  scheduleFromBetas,
  VARIANCES,
  type Variance,
} from "../diffusion";
import { rng, tf } from "../tensor";
import { assertAllClose, assertClose } from "../testing";
import { drawFrom, exactBound, exactRateDistortion, mixture, optimalPredict } from "./analytic";
import { evaluateBound, rateDistortion } from "./bound";

const schedule = linearSchedule({ numSteps: 20, betaStart: 0.005, betaEnd: 0.9 });
const data = mixture({ weights: [0.3, 0.7], means: [-1.5, 1], stds: [0.4, 0.6] });
const model = (parameterization: (typeof PARAMETERIZATIONS)[number], variance: Variance): Model => ({
  schedule,
  parameterization,
  variance,
  predict: optimalPredict(data, schedule, parameterization),
});

test("the optimal network's bound is the exact bound, whatever it predicts, within 4 standard errors", async () => {
  const x0 = drawFrom(data, 4000, rng(1));
  for (const variance of VARIANCES) {
    const exact = exactBound(data, schedule, variance);
    for (const kind of PARAMETERIZATIONS) {
      const got = await evaluateBound(model(kind, variance), x0, { rng: rng(2) });
      assertClose(got.total, exact.total, { abs: 4 * got.standardError, what: `${kind}, ${variance}` });
      assert.ok(got.standardError < 0.03 * exact.total);
      got.L_t.forEach((term, i) => {
        assertClose(term, exact.L_t[i], { abs: 4.5 * got.L_tStandardError[i], what: `L_${i + 1}` });
      });
      assertClose(got.bitsPerDim, got.total / Math.LN2, { rel: 1e-12 });
    }
  }
  x0.dispose();
});

test("closed form and plain Monte Carlo estimate one bound; Monte Carlo is the noisier", async () => {
  const x0 = tf.tidy(() => tf.tensor2d([[0.9]]).tile([2000, 1]));
  const bad: Model = { ...model("eps", "betaTilde"), predict: (xt) => xt.mul(0.5) };
  const closed = await evaluateBound(bad, x0, { rng: rng(3) });
  const plain = await evaluateBound(bad, x0, { rng: rng(4), estimator: "monteCarlo" });
  assertClose(plain.total, closed.total, { abs: 4 * Math.hypot(plain.standardError, closed.standardError) });
  assertClose(plain.L_T, closed.L_T, { abs: 0.01 });
  assert.ok(plain.standardError > closed.standardError);
  x0.dispose();
});

test("rate and distortion of the optimal network are the exact ones", async () => {
  const x0 = drawFrom(data, 4000, rng(5));
  const got = rateDistortion(await evaluateBound(model("v", "beta"), x0, { rng: rng(6) }));
  const exact = exactRateDistortion(data, schedule, "beta");
  assertAllClose(got.distortionPerDim, exact.distortionPerDim, { rel: 0.1 });
  assertAllClose(got.rate, exact.rate, { rel: 0.1, abs: 1e-3 });
  x0.dispose();
});

test("distortion where next to no signal is left, ᾱ = 1e-48, is the variance of the data", async () => {
  const steep = scheduleFromBetas(new Array(24).fill(0.99));
  const blind: Model = {
    ...model("x0", "beta"),
    schedule: steep,
    predict: optimalPredict(data, steep, "x0"),
  };
  const x0 = drawFrom(data, 4000, rng(8));
  const got = await evaluateBound(blind, x0, { rng: rng(9) });
  const exact = exactRateDistortion(data, steep, "beta");
  assertAllClose(got.distortionPerDim, exact.distortionPerDim, { rel: 0.1 });
  const eps = await evaluateBound(
    { ...blind, parameterization: "eps", predict: optimalPredict(data, steep, "eps") },
    x0,
    { rng: rng(9) },
  );
  assert.ok(eps.distortionPerDim.every(Number.isFinite), `${eps.distortionPerDim}`);
  x0.dispose();
});

test("slices and draws: the sums do not depend on how the work is cut; errors shrink with draws", async () => {
  const x0 = drawFrom(data, 3, rng(7));
  const still = { normal: (shape: number[]) => tf.ones(shape) };
  const before = tf.memory().numTensors;
  const whole = await evaluateBound(model("eps", "beta"), x0, { rng: still });
  const seen: string[] = [];
  const cut = await evaluateBound(model("eps", "beta"), x0, {
    rng: still,
    rowsPerCall: 21,
    onProgress: (done, total) => seen.push(`${done}/${total}`),
  });
  assert.deepEqual(seen, ["7/20", "14/20", "20/20"]);
  assertClose(cut.total, whole.total, { rel: 1e-6 });
  assertAllClose(cut.L_t, whole.L_t, { rel: 1e-5, abs: 1e-7 });
  const single = await evaluateBound(model("eps", "beta"), x0, { rng: still, rowsPerCall: 1 });
  assertClose(single.total, whole.total, { rel: 1e-6 });
  const twice = await evaluateBound(model("eps", "beta"), x0, { rng: still, draws: 2 });
  assertClose(twice.total, whole.total, { rel: 1e-6 });
  assertClose(twice.noiseStandardError, 0, { abs: 1e-6 });
  assert.equal(tf.memory().numTensors, before);
  const few = await evaluateBound(model("eps", "beta"), x0, { rng: rng(8), draws: 10 });
  const many = await evaluateBound(model("eps", "beta"), x0, { rng: rng(8), draws: 250 });
  assertClose(few.noiseStandardError / many.noiseStandardError, 5, { rel: 0.7 });
  assertClose(few.total, many.total, { abs: 4 * few.noiseStandardError });
  assert.ok(Number.isNaN(whole.noiseStandardError));
  x0.dispose();
});

test("quantized data: the bins' probabilities make the bound one on −log2 P in bits per dimension", async () => {
  const x0 = tf.tidy(() =>
    drawFrom(data, 500, rng(9)).div(4).clipByValue(-1, 1).add(1).mul(127.5).round().div(127.5).sub(1),
  );
  const fine = linearSchedule({ numSteps: 200, betaStart: 5e-4, betaEnd: 0.1 });
  const scaled = mixture({ weights: [0.3, 0.7], means: [-0.375, 0.25], stds: [0.1, 0.15] });
  const trained: Model = {
    schedule: fine,
    parameterization: "eps",
    variance: "beta",
    predict: optimalPredict(scaled, fine, "eps"),
  };
  const density = await evaluateBound(trained, x0, { rng: rng(10) });
  const bins = await evaluateBound(trained, x0, { rng: rng(10), decoder: { kind: "discretized" } });
  // σ_1 = 0.022 is wide against a bin of 2/255, so the density times the bin's width is nearly its probability.
  assertClose(bins.bitsPerDim, density.bitsPerDim + Math.log2(127.5), { abs: 0.02 });
  x0.dispose();
});

test("bad counts are refused", async () => {
  const x0 = tf.ones([1, 1]);
  await assert.rejects(
    evaluateBound(model("eps", "beta"), x0, { rng: rng(1), draws: 0 }),
    /evaluateBound: draws is 0, expected an integer of 1 or more/,
  );
  await assert.rejects(
    evaluateBound(model("eps", "beta"), x0, { rng: rng(1), estimator: "exact" as "monteCarlo" }),
    /estimator is "exact", expected "closedForm" or "monteCarlo"/,
  );
  await assert.rejects(
    evaluateBound(model("eps", "beta"), x0, { rng: rng(1), decoder: { kind: "bins" as "discretized" } }),
    /kind is "bins", expected "continuous" or "discretized"/,
  );
});
