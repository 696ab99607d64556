import assert from "node:assert/strict";
import { test } from "node:test";
import { rng, tf } from "../tensor";
import { assertAllClose, assertClose, assertNoLeak } from "../testing";
import { linearSchedule, posteriorTables, qMeanVariance, qPosterior, qSample, qStep } from ".";

const schedule = linearSchedule({ numSteps: 100, betaStart: 1e-3, betaEnd: 0.2 });
const steps = (count: number, t: number) => tf.fill([count], t, "int32") as tf.Tensor1D;

test("one jump and many steps give the same distribution, within Monte Carlo error", () => {
  const count = 20000;
  const x0Value = 1.3;
  for (const last of [1, 20]) {
    tf.tidy(() => {
      const x0 = tf.fill([count, 1], x0Value);
      const { mean, variance } = qMeanVariance(schedule, x0.slice([0, 0], [1, 1]), steps(1, last));
      const [mu, sigma2] = [mean.dataSync()[0], variance.dataSync()[0]];
      const jump = qSample(schedule, x0, steps(count, last), rng(3).normal([count, 1]));
      let walk: tf.Tensor = x0;
      for (let t = 1; t <= last; t++)
        walk = qStep(schedule, walk, steps(count, t), rng(10, t).normal([count, 1]));
      for (const [name, draws] of Object.entries({ jump, walk })) {
        const values = Array.from(draws.dataSync());
        const got = values.reduce((sum, x) => sum + x, 0) / count;
        const spread = values.reduce((sum, x) => sum + (x - mu) ** 2, 0) / count;
        assertClose(got, mu, { abs: 4 * Math.sqrt(sigma2 / count), what: `${name} mean at t = ${last}` });
        assertClose(spread, sigma2, {
          abs: 4 * sigma2 * Math.sqrt(2 / count),
          what: `${name} variance at ${last}`,
        });
      }
    });
  }
});

test("x0 and x_t weighted by the posterior's precisions: Bayes' rule for two Gaussians", () => {
  const { c0, ct, betaTilde } = posteriorTables(schedule);
  for (let t = 2; t <= schedule.numSteps; t++) {
    const prior = 1 / schedule.oneMinusAlphaBar[t - 1];
    const likelihood = schedule.alpha[t] / schedule.betaVar[t];
    assertClose(betaTilde[t], 1 / (prior + likelihood), { rel: 1e-12 });
    assertClose(c0[t], betaTilde[t] * prior * schedule.sqrtAlphaBar[t - 1], { rel: 1e-12 });
    assertClose(ct[t], (betaTilde[t] * Math.sqrt(schedule.alpha[t])) / schedule.betaVar[t], { rel: 1e-12 });
  }
});

test("the tensor forms read the tables at each example's t", () => {
  tf.tidy(() => {
    const t = tf.tensor1d([1, 60, 100], "int32");
    const x0 = tf.tensor3d([1, 2, 3, 4, 5, 6], [3, 1, 2]);
    const xt = tf.tensor3d([-1, 0, 1, 2, 0, 1], [3, 1, 2]);
    const { mean, variance } = qPosterior(schedule, x0, xt, t);
    const { c0, ct, betaTilde } = posteriorTables(schedule);
    const at = [1, 60, 100];
    const want = [...x0.dataSync()].map((x, i) => {
      const step = at[Math.floor(i / 2)];
      return c0[step] * x + ct[step] * xt.dataSync()[i];
    });
    assert.deepEqual(variance.shape, [3, 1, 1]);
    assertAllClose(mean.dataSync(), want, { rel: 1e-6 });
    assertAllClose(
      variance.dataSync(),
      at.map((step) => betaTilde[step]),
      { rel: 1e-6 },
    );
  });
});

test("shapes are checked, with the remedy", () => {
  const [x0, eps] = [tf.ones([64, 2]), tf.ones([64, 2])];
  assert.throws(
    () => qSample(schedule, x0, steps(1, 5), eps),
    /^Error: qSample: t has shape \[1\], expected \[64\] to match x0\. Use tf\.fill\(\[64\], step, "int32"\)\.$/,
  );
  assert.throws(
    () => qSample(schedule, x0, tf.ones([64]), eps),
    /qSample: t has dtype float32, expected int32/,
  );
  assert.throws(
    () => qSample(schedule, x0, steps(64, 5), tf.ones([64])),
    /eps has shape \[64\], expected \[64,2\]/,
  );
  assert.throws(
    () => qStep(schedule, tf.ones([64]), steps(64, 5), eps),
    /xPrev has shape \[64\].*expandDims/,
  );
});

test("nothing leaks", () => {
  const [x0, eps, t] = [tf.ones([4, 2]), tf.ones([4, 2]), steps(4, 7)];
  assertNoLeak(() => qSample(schedule, x0, t, eps));
  assertNoLeak(() => qStep(schedule, x0, t, eps));
  assertNoLeak(() => ({ ...qMeanVariance(schedule, x0, t) }));
  assertNoLeak(() => ({ ...qPosterior(schedule, x0, eps, t) }));
});
