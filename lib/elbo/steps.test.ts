import assert from "node:assert/strict";
import { test } from "node:test";
import { linearSchedule } from "../diffusion";
import { compile, rng, tf } from "../tensor";
import { assertAllClose, assertClose, assertNoLeak } from "../testing";
import { exactBound, gaussian } from "./analytic";
import { estimate } from "./statistics";
import {
  antitheticSteps,
  importanceProbabilities,
  importanceSteps,
  lossHistory,
  type StepSampler,
  singleDrawStd,
  stratifiedSteps,
  uniformSteps,
} from "./steps";

function draw(sampler: StepSampler, count: number, seed: number): { t: number[]; correction: number[] } {
  const drawn = sampler(count, rng(seed));
  const [t, correction] = [Array.from(drawn.t.dataSync()), Array.from(drawn.correction.dataSync())];
  assert.equal(drawn.t.dtype, "int32");
  tf.dispose(drawn);
  return { t, correction };
}

const T = 7;
const terms = [3, 0.5, 0.25, 0.1, 0.1, 0.05, 0.01];
const probabilities = importanceProbabilities(Float64Array.from([0, ...terms]), 0.05);
const samplers: Record<string, StepSampler> = {
  uniform: uniformSteps(T),
  stratified: stratifiedSteps(T),
  antithetic: antitheticSteps(T),
  importance: importanceSteps(probabilities),
};

test("every scheme's corrected mean is the uniform mean over t", () => {
  const want = terms.reduce((sum, term) => sum + term, 0) / T;
  for (const [name, sampler] of Object.entries(samplers)) {
    const means = Array.from({ length: 400 }, (_, seed) => {
      const { t, correction } = draw(sampler, 10, seed);
      assert.ok(t.every((step) => Number.isInteger(step) && step >= 1 && step <= T));
      return t.reduce((sum, step, i) => sum + (correction[i] * terms[step - 1]) / 10, 0);
    });
    const { mean, standardError } = estimate(means);
    assertClose(mean, want, { abs: 4 * standardError, what: name });
  }
});

test("stratified t covers 1…T evenly, antithetic t comes in pairs", () => {
  for (let seed = 0; seed < 20; seed++) {
    const even = draw(stratifiedSteps(T), 2 * T, seed).t;
    for (let t = 1; t <= T; t++) assertClose(even.filter((step) => step === t).length, 2, { abs: 1 });
    const pairs = draw(antitheticSteps(T), 5, seed).t;
    assert.equal(pairs.length, 5);
    assert.deepEqual([pairs[3], pairs[4]], [T + 1 - pairs[0], T + 1 - pairs[1]]);
  }
});

test("importance sampling draws with its probabilities, and lowers the variance of the bound's sum", () => {
  const count = 20000;
  const { t, correction } = draw(importanceSteps(probabilities), count, 3);
  for (let step = 1; step <= T; step++) {
    const share = t.filter((value) => value === step).length / count;
    const p = probabilities[step];
    assertClose(share, p, { abs: 4 * Math.sqrt((p * (1 - p)) / count), what: `share of t = ${step}` });
  }
  t.slice(0, 50).forEach((step, i) => {
    assertClose(correction[i], 1 / (T * probabilities[step]), { rel: 1e-5 });
  });
  const { L_t } = exactBound(gaussian({ mean: 0, std: 1 }), linearSchedule(), "beta");
  const tuned = importanceProbabilities(Float64Array.from([0, ...L_t])).slice(1);
  assert.ok(singleDrawStd(L_t, tuned) < singleDrawStd(L_t) / 100);
});

test("the spread of a single draw, measured, is the spread computed", () => {
  const { t, correction } = draw(samplers.importance, 20000, 5);
  const values = t.map((step, i) => correction[i] * T * terms[step - 1]);
  const { mean } = estimate(values);
  const std = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
  assertClose(std, singleDrawStd(terms, probabilities.slice(1)), { rel: 0.05 });
});

test("the spread of a single draw, against the textbook's difference; its probabilities are checked and made to sum to 1", () => {
  const values = [3, 1, 0, 2];
  const p = [0.4, 0.3, 0, 0.3];
  const want = Math.sqrt(9 / 0.4 + 1 / 0.3 + 4 / 0.3 - 36);
  assertClose(singleDrawStd(values, p), want);
  assertClose(
    singleDrawStd(
      values,
      p.map((value) => 7 * value),
    ),
    want,
  );
  assertClose(singleDrawStd(values), Math.sqrt(4 * 14 - 36));
  assertClose(singleDrawStd(values, values), 0); // p ∝ value: every draw gives the sum
  assert.throws(() => singleDrawStd([1, 2], [0, 0.5, 0.5]), /got 3 probabilities for 2 values/);
  assert.throws(() => singleDrawStd([1, 2], [1]), /got 1 probabilities for 2 values/);
  assert.throws(() => singleDrawStd([1, 2], [1, 0]), /probabilities\[1\] is 0 where the value is 2/);
  assert.throws(() => singleDrawStd([1, 2], [1, -1]), /probabilities\[1\] is -1, expected a finite number/);
  assert.throws(() => singleDrawStd([1, 2], [Number.NaN, 1]), /probabilities\[0\] is NaN/);
});

test("a history of losses: the last values count, and it is ready once every t has enough", () => {
  const history = lossHistory(2, 2);
  history.record([1, 1, 1, 2], [9, 3, 4, 6]);
  assert.equal(history.ready(), false);
  assertAllClose(history.rms(), [0, Math.sqrt((9 + 16) / 2), 6], { rel: 1e-12 });
  history.record([2], [8]);
  assert.equal(history.ready(), true);
  assertAllClose(history.rms(), [0, Math.sqrt(12.5), Math.sqrt(50)], { rel: 1e-12 });
});

test("inside a compiled function every call draws anew", () => {
  for (const sampler of Object.values(samplers)) {
    const compiled = compile((step: tf.Scalar) => sampler(6, rng(1, step)).t);
    const draws = [1, 2, 1].map((step) => {
      const [at, out] = tf.tidy(() => [step, compiled(tf.scalar(step, "int32")).dataSync().join()]);
      return { at, out };
    });
    assert.equal(draws[0].out, draws[2].out);
    const eager = sampler(6, rng(1, 2));
    assert.equal(draws[1].out, eager.t.dataSync().join());
    tf.dispose(eager);
  }
});

test("no leaks; bad input is refused", () => {
  for (const sampler of Object.values(samplers)) assertNoLeak(() => sampler(4, rng(1)));
  assert.throws(() => uniformSteps(0), /uniformSteps: numSteps is 0/);
  assert.throws(
    () => importanceSteps(Float64Array.from([0, 0.5, 0])),
    /the probability of t = 2 is 0, expected/,
  );
  const table = (...rms: number[]) => Float64Array.of(Number.NaN, ...rms); // entry 0 is a dummy
  assert.throws(
    () => importanceProbabilities(table(1, -2)),
    /rms is -2 at t = 2, .*at least 0\. Use uniformSteps\(2\)/,
  );
  assert.throws(
    () => importanceProbabilities(table(Number.NaN, 1)),
    /rms is NaN at t = 1, expected a finite/,
  );
  assert.throws(
    () => importanceProbabilities(table(0, 0, 0)),
    /rms sums to 0 over t = 1…3, .*uniformSteps\(3\)/,
  );
  for (const floor of [-0.1, 1.5, Number.NaN])
    assert.throws(
      () => importanceProbabilities(table(1, 1), floor),
      /floor is .*, expected a share from 0 to 1/,
    );
  for (const size of [0, 2.5])
    assert.throws(
      () => lossHistory(3, size),
      /lossHistory: size is .*, expected a whole number of at least 1/,
    );
  for (const t of [0, 4, 1.5])
    assert.throws(
      () => lossHistory(3).record([1, t], [1, 1]),
      /lossHistory: t is .*, expected a step from 1 to 3/,
    );
  assertAllClose(importanceProbabilities(table(1, 3), 1), [0, 0.5, 0.5]);
  assertAllClose(importanceProbabilities(table(1, 3), 0), [0, 0.25, 0.75]);
});
