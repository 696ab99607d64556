import assert from "node:assert/strict";
import { test } from "node:test";
import { rng, tf } from "../tensor";
import { assertAllClose, assertNoLeak } from "../testing";
import {
  atStep,
  convert,
  linearSchedule,
  type Model,
  pMeanVariance,
  posteriorTables,
  predictX0,
  qPosterior,
  qSample,
  sigma2,
  takeStep,
  target,
} from ".";

const schedule = linearSchedule({ numSteps: 40, betaStart: 0.0025, betaEnd: 0.5 });
const t = tf.tensor1d([1, 2, 20, 40], "int32");
const [x0, eps] = [rng(1).normal([4, 3]), rng(2).normal([4, 3])];
const xt = qSample(schedule, x0, t, eps);
/** A network that knows the answer. */
const oracleModel = (parameterization: "mean" | "x0" | "eps" | "v"): Model => ({
  schedule,
  parameterization,
  variance: "beta",
  predict: () => target(schedule, parameterization, x0, eps, t),
});

test("with the true target, p_θ's mean is the posterior's, whatever is predicted", () => {
  for (const kind of ["mean", "x0", "eps", "v"] as const)
    tf.tidy(() => {
      const p = pMeanVariance(oracleModel(kind), xt, t);
      assertAllClose(p.mean.dataSync(), qPosterior(schedule, x0, xt, t).mean.dataSync(), {
        rel: 1e-4,
        abs: 1e-5,
      });
      assertAllClose(p.x0.dataSync(), x0.dataSync(), { rel: 1e-3, abs: 1e-3 });
      assert.deepEqual(p.variance.shape, [4, 1]);
      assertAllClose(
        p.variance.dataSync(),
        [1, 2, 20, 40].map((step) => schedule.betaVar[step]),
        { rel: 1e-6 },
      );
    });
});

test("a network made for ε and clipped x̂0: the mean is the posterior's at the clipped x̂0", () => {
  tf.tidy(() => {
    const p = pMeanVariance(oracleModel("eps"), xt, t, { clip: [-0.5, 0.5] });
    const clipped = x0.clipByValue(-0.5, 0.5);
    assertAllClose(p.x0.dataSync(), clipped.dataSync(), { abs: 1e-3 });
    assertAllClose(p.mean.dataSync(), qPosterior(schedule, clipped, xt, t).mean.dataSync(), { abs: 1e-3 });
    const mean = convert(schedule, p.x0, "x0", "mean", xt, t);
    assertAllClose(p.mean.dataSync(), mean.dataSync(), { rel: 1e-6 });
  });
});

test("the fixed variances; σ_1² of β̃ is β̃_2", () => {
  const { betaTilde } = posteriorTables(schedule);
  const small = sigma2(schedule, "betaTilde");
  assert.equal(small[1], betaTilde[2]);
  assert.deepEqual(small.slice(2), betaTilde.slice(2));
  assert.deepEqual(sigma2(schedule, "beta"), schedule.betaVar);
  assert.throws(
    () => sigma2(schedule, "learned" as "beta"),
    /sigma2: unknown variance "learned", expected one of beta, betaTilde/,
  );
  const single = linearSchedule({ numSteps: 1, betaStart: 0.99 });
  assert.throws(() => sigma2(single, "betaTilde"), /numSteps is 1\. Use "beta"/);
});

test("nothing leaks; a network of the wrong shape is named", () => {
  const model = oracleModel("v");
  assertNoLeak(() => ({ ...pMeanVariance(model, xt, t) }));
  assertNoLeak(() => predictX0(model, xt, t, { clip: [-1, 1] }));
  assertNoLeak(() => atStep(schedule.betaVar, t, 4));
  assertNoLeak(() => takeStep({ t: 2, s: 1, x0Coef: 0.5, xtCoef: 0.5, sigmaStd: 0.1 }, x0, xt, eps));
  const wrong: Model = { ...model, predict: () => tf.ones([4, 1]) };
  assert.throws(
    () => pMeanVariance(wrong, xt, t),
    /the v prediction has shape \[4,1\], expected \[4,3\] to match xt/,
  );
});
