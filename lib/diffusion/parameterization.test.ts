import assert from "node:assert/strict";
import { test } from "node:test";
import { rng, tf } from "../tensor";
import { assertAllClose, assertClose, assertNoLeak, oracle } from "../testing";
import {
  conversion,
  convert,
  cosineSchedule,
  linearSchedule,
  PARAMETERIZATIONS,
  type Parameterization,
  posteriorTables,
  predictions,
  qSample,
  target,
} from ".";

const schedule = linearSchedule();

test("targets from x0 and ε at t = 500 (P01)", () => {
  const { inputs, expected } = oracle("P01");
  tf.tidy(() => {
    const [x0, eps] = [tf.tensor2d([inputs.x0]), tf.tensor2d([inputs.eps])];
    const t = tf.tensor1d([inputs.t], "int32");
    const rel = 1e-6; // float32
    assertAllClose(qSample(schedule, x0, t, eps).dataSync(), expected.xt, { rel, what: "xt" });
    const names: [Parameterization, string][] = [
      ["v", "v"],
      ["mean", "mu_tilde"],
      ["score", "cond_score"],
    ];
    for (const [kind, name] of names)
      assertAllClose(target(schedule, kind, x0, eps, t).dataSync(), expected[name], { rel, what: name });
  });
});

test("the conversions in float64 (P01, to the oracle's tolerance)", () => {
  const { inputs, expected, tol_rel: rel } = oracle("P01");
  const t = inputs.t;
  inputs.x0.forEach((x0: number, i: number) => {
    const xt = schedule.sqrtAlphaBar[t] * x0 + schedule.sqrtOneMinusAlphaBar[t] * inputs.eps[i];
    assertClose(xt, expected.xt[i], { rel });
    const values = {
      x0,
      eps: inputs.eps[i],
      v: expected.v[i],
      mean: expected.mu_tilde[i],
      score: expected.cond_score[i],
    };
    for (const from of PARAMETERIZATIONS)
      for (const to of PARAMETERIZATIONS) {
        const { scale, shift } = conversion(schedule, from, to);
        // x0 ← mean divides by c0 = 0.003, and with it the rounding of the oracle's own μ̃
        assertClose(scale[t] * values[from] + shift[t] * xt, values[to], {
          rel,
          abs: 1e-11,
          what: `${from} to ${to}`,
        });
      }
  });
});

test("the conversions are the papers' formulas, and exact at both ends of a schedule", () => {
  for (const s of [schedule, cosineSchedule({ numSteps: 30 })]) {
    const { c0, ct } = posteriorTables(s);
    for (const t of [1, 2, 15, s.numSteps]) {
      const [a, n] = [s.sqrtAlphaBar[t], s.sqrtOneMinusAlphaBar[t]];
      const expected: [Parameterization, Parameterization, number, number][] = [
        ["x0", "mean", c0[t], ct[t]],
        ["mean", "x0", 1 / c0[t], -ct[t] / c0[t]],
        ["eps", "mean", -s.betaVar[t] / (n * Math.sqrt(s.alpha[t])), 1 / Math.sqrt(s.alpha[t])],
        ["eps", "x0", -n / a, 1 / a],
        ["x0", "eps", -a / n, 1 / n],
        ["v", "x0", -n, a],
        ["v", "eps", a, n],
        ["x0", "v", -1 / n, a / n],
        ["score", "mean", s.betaVar[t] / Math.sqrt(s.alpha[t]), 1 / Math.sqrt(s.alpha[t])],
        ["eps", "score", -1 / n, 0],
      ];
      for (const [from, to, scale, shift] of expected) {
        const got = conversion(s, from, to);
        assertClose(got.scale[t], scale, { rel: 1e-12, what: `${from} to ${to} scale at ${t}` });
        assertClose(got.shift[t], shift, { rel: 1e-12, abs: 1e-14, what: `${from} to ${to} shift at ${t}` });
      }
    }
  }
});

test("tensors: every conversion meets its target", () => {
  tf.tidy(() => {
    const t = tf.tensor1d([1, 2, 100, 900], "int32");
    const shape: [number, number, number, number] = [4, 3, 2, 1];
    const [x0, eps] = [rng(1).normal(shape), rng(2).normal(shape)];
    const xt = qSample(schedule, x0, t, eps);
    for (const from of ["x0", "eps", "v", "score"] as const) {
      const all = predictions(schedule, target(schedule, from, x0, eps, t), from, xt, t);
      for (const to of PARAMETERIZATIONS)
        assertAllClose(all[to].dataSync(), target(schedule, to, x0, eps, t).dataSync(), {
          rel: 1e-3, // at t = 900 x0 from ε multiplies float32 rounding by 1/√ᾱ = 57
          abs: 2e-4,
          what: `${from} to ${to}`,
        });
    }
  });
});

test("no leaks, and errors that say what to do", () => {
  const [x0, eps] = [tf.ones([2, 3]), tf.ones([2, 3])];
  const t = tf.tensor1d([1, 2], "int32");
  assertNoLeak(() => target(schedule, "v", x0, eps, t));
  assertNoLeak(() => convert(schedule, x0, "v", "mean", eps, t));
  assertNoLeak(() => predictions(schedule, x0, "eps", eps, t));
  assert.throws(
    () => conversion(schedule, "noise" as "eps", "x0"),
    /conversion: unknown parameterization "noise", expected one of mean, x0, eps, v, score/,
  );
  assert.throws(
    () => convert(schedule, tf.ones([2, 1]), "eps", "x0", x0, t),
    /convert: the eps prediction has shape \[2,1\], expected \[2,3\] to match xt/,
  );
  const blind = linearSchedule({ numSteps: 300, betaStart: 0.1, betaEnd: 0.9 }); // √ᾱ_T = e^-119
  assert.throws(
    () => convert(blind, x0, "eps", "x0", eps, t),
    /x0 from eps is multiplied by -?\d.* at t = \d+, more than float32 holds.*predict x0 or v/,
  );
  assert.ok(convert(blind, x0, "v", "x0", eps, t).isFinite().all().dataSync()[0]);
});
