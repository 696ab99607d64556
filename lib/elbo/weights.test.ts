import assert from "node:assert/strict";
import { test } from "node:test";
import {
  cosineSchedule,
  linearSchedule,
  PARAMETERIZATIONS,
  posteriorTables,
  scheduleFromBetas,
  type Variance,
} from "../diffusion";
import { assertAllClose, assertClose, oracle } from "../testing";
import { exactBound, gaussian } from "./analytic";
import { singleDrawStd } from "./steps";
import { lossWeights, vlbWeights, type WEIGHTINGS } from "./weights";

const schedule = linearSchedule();
const columns = { mean: "w_mu", x0: "w_x0", eps: "w_eps", v: "w_v" } as const;

/** The weights of a record of the oracle, in each of its coordinates. */
function assertWeightsOf(record: string, variance: Variance): void {
  const { inputs, expected, tol_rel: rel } = oracle(record);
  for (const kind of ["mean", "x0", "eps", "v"] as const) {
    const weights = vlbWeights(schedule, kind, variance);
    assertAllClose(
      inputs.t.map((t: number) => weights[t]),
      expected[columns[kind]],
      { rel, what: kind },
    );
  }
}

test("the bound's weights with σ² = β (S05)", () => {
  assertWeightsOf("S05", "beta");
});

test("the bound's weights with σ² = β̃ (S06), and what they are in terms of the SNR", () => {
  assertWeightsOf("S06", "betaTilde");
  for (const any of [
    schedule,
    cosineSchedule({ numSteps: 100 }),
    scheduleFromBetas([0.01, 0.5, 0.2, 0.99]),
  ]) {
    const [onX0, onEps] = [vlbWeights(any, "x0", "betaTilde"), vlbWeights(any, "eps", "betaTilde")];
    const { betaTilde } = posteriorTables(any);
    assertClose(vlbWeights(any, "mean", "betaTilde")[1], 0.5 / betaTilde[2], { rel: 1e-12 });
    for (let t = 2; t <= any.numSteps; t++) {
      const [before, here] = [any.snr[t - 1], any.snr[t]];
      assertClose(onX0[t], (before - here) / 2, { rel: 1e-9 });
      assertClose(onEps[t], (before / here - 1) / 2, { rel: 1e-9 });
    }
  }
});

test("one weight in five coordinates: w_v = ᾱ w_ε = (1 − ᾱ) w_x0, w_score = (1 − ᾱ) w_ε", () => {
  const [x0, eps, v, score] = (["x0", "eps", "v", "score"] as const).map((kind) =>
    vlbWeights(schedule, kind, "beta"),
  );
  for (let t = 1; t <= 1000; t++) {
    const [signal, noise] = [schedule.alphaBar[t], schedule.oneMinusAlphaBar[t]];
    assertClose(v[t], signal * eps[t], { rel: 1e-12 });
    assertClose(v[t], noise * x0[t], { rel: 1e-12 });
    assertClose(score[t], noise * eps[t], { rel: 1e-12 });
  }
});

test("uniform t on the bound's terms, and the spread of ε's weight (V02)", () => {
  const { expected, tol_rel: rel } = oracle("V02");
  const weights = Array.from(vlbWeights(schedule, "eps", "beta").slice(1));
  assertClose(Math.min(...weights), expected.w_eps_min, { rel });
  assert.equal(weights.indexOf(Math.min(...weights)) + 1, expected.w_eps_argmin_t);
  assertClose(weights.reduce((a, b) => a + b) / weights.length, expected.w_eps_mean, { rel });
  const { L_t } = exactBound(gaussian({ mean: 0, std: 1 }), schedule, "beta");
  const sum = L_t.reduce((a, b) => a + b);
  assertClose(sum, expected.sum, { rel });
  assertClose(singleDrawStd(L_t), expected.std_of_single_draw, { rel });
  assertClose(L_t[0], expected.L_1, { rel });
  assertClose(L_t[998], expected.L_999, { rel });
  assertClose(
    singleDrawStd(
      L_t,
      L_t.map((term) => term / sum),
    ),
    0,
    { abs: 1e-12 },
  );
});

test("weightings by name: stated on x0, carried to the network's coordinates", () => {
  const at = (weighting: (typeof WEIGHTINGS)[number], kind: (typeof PARAMETERIZATIONS)[number], t: number) =>
    lossWeights(schedule, { parameterization: kind, weighting })[t];
  for (const t of [1, 100, 500, 1000]) {
    const snr = schedule.snr[t];
    for (const kind of PARAMETERIZATIONS) assert.equal(at("simple", kind, t), 1);
    assertClose(at("snr", "eps", t), 1, { rel: 1e-12 }); // L_simple, for every network
    assertClose(at("snr", "x0", t), snr, { rel: 1e-12 });
    assertClose(at("snr+1", "v", t), 1, { rel: 1e-12 });
    assertClose(at("snr+1", "x0", t), snr + 1, { rel: 1e-12 });
    assertClose(at("truncated-snr", "x0", t), Math.max(snr, 1), { rel: 1e-12 });
    assertClose(at("truncated-snr", "eps", t), Math.max(1, 1 / snr), { rel: 1e-12 });
    assertClose(at("min-snr", "eps", t), Math.min(1, 5 / snr), { rel: 1e-12 });
    assertClose(at("vlb", "eps", t), vlbWeights(schedule, "eps", "beta")[t], { rel: 1e-15 });
  }
  const own = lossWeights(schedule, { parameterization: "v", weighting: (t) => t / 2 });
  assert.deepEqual([own[0], own[1], own[1000]], [0, 0.5, 500]);
});

test("an unknown name lists the choices; a weight must be finite and not negative", () => {
  assert.throws(
    () => lossWeights(schedule, { parameterization: "eps", weighting: "p2" as "snr" }),
    /lossWeights: unknown weighting "p2", expected one of vlb, simple, snr, truncated-snr, snr\+1, min-snr/,
  );
  assert.throws(
    () => lossWeights(schedule, { parameterization: "eps", weighting: "toString" as "snr" }),
    /unknown weighting "toString"/,
  );
  assert.throws(
    () => lossWeights(schedule, { parameterization: "noise" as "eps" }),
    /unknown parameterization "noise"/,
  );
  assert.throws(
    () => lossWeights(schedule, { parameterization: "eps", weighting: (t) => 5 - t }),
    /the weight at t = 6 is -1, expected a finite number of 0 or more/,
  );
});
