import assert from "node:assert/strict";
import { test } from "node:test";
import { assertAllClose, assertClose, oracle } from "../testing";
import {
  cosineSchedule,
  ddimPlan,
  evenSteps,
  linearSchedule,
  MAX_PRIOR_MISMATCH,
  posteriorTables,
  priorMismatch,
  respace,
  SCHEDULES,
  type Schedule,
  scheduleByName,
  scheduleFromBetas,
  sigmoidSchedule,
} from ".";

const at = (table: Float64Array, steps: number[]) => steps.map((t) => table[t]);

test("the linear schedule's tables (S01)", () => {
  const { inputs, expected, tol_rel: rel, tol_abs: abs } = oracle("S01");
  const schedule = linearSchedule({ numSteps: inputs.T, betaStart: inputs.beta_1, betaEnd: inputs.beta_T });
  const columns: [keyof Schedule, string][] = [
    ["betaVar", "beta"],
    ["alphaBar", "alpha_bar"],
    ["sqrtAlphaBar", "sqrt_alpha_bar"],
    ["sqrtOneMinusAlphaBar", "sqrt_one_minus_alpha_bar"],
    ["snr", "snr"],
    ["logSnr", "log_snr"],
  ];
  for (const [name, column] of columns)
    assertAllClose(at(schedule[name] as Float64Array, inputs.t), expected[column], { rel, abs, what: name });
});

test("the posterior's coefficients (S03)", () => {
  const { inputs, expected, tol_rel: rel, tol_abs: abs } = oracle("S03");
  const { c0, ct, betaTilde } = posteriorTables(linearSchedule());
  assertAllClose(at(c0, inputs.t), expected.c0, { rel, abs, what: "c0" });
  assertAllClose(at(ct, inputs.t), expected.ct, { rel, abs, what: "ct" });
  assertAllClose(at(betaTilde, inputs.t), expected.beta_tilde, { rel, abs, what: "betaTilde" });
});

test("Kwon's sigmoid schedule of 10 steps (S09)", () => {
  const { inputs, expected, tol_rel: rel, tol_abs: abs } = oracle("S09");
  const { n_steps: numSteps, start: betaStart, end: betaEnd } = inputs;
  assert.throws(() => sigmoidSchedule({ numSteps, betaStart, betaEnd }), /sigmoidSchedule.*bits\/dim/);
  const schedule = sigmoidSchedule({ numSteps, betaStart, betaEnd, allowPriorMismatch: true });
  assertAllClose(schedule.betaVar.slice(1), expected.beta, { rel, abs, what: "beta" });
  assertAllClose(schedule.alphaBar.slice(1), expected.alpha_bar, { rel, abs, what: "alphaBar" });
  const ratios = expected.g2_over_1mab.map((_: number, i: number) => {
    return schedule.betaVar[i + 1] / schedule.oneMinusAlphaBar[i + 1];
  });
  assertAllClose(ratios, expected.g2_over_1mab, { rel, abs, what: "g2 / (1 - alphaBar)" });
});

test("the cosine schedule follows cos² until β is capped", () => {
  const numSteps = 400;
  const schedule = cosineSchedule({ numSteps });
  const f = (t: number) => Math.cos((((t / numSteps + 0.008) / 1.008) * Math.PI) / 2) ** 2;
  for (const t of [1, 17, 200, 390]) assertClose(schedule.alphaBar[t], f(t) / f(0), { rel: 1e-11 });
  assert.equal(schedule.betaVar[numSteps], 0.999);
});

test("without an offset the first step of the cosine schedule is sin²(π/2T), however short", () => {
  for (const numSteps of [10, 1000, 10_000]) {
    const { betaVar } = cosineSchedule({ numSteps, offset: 0 });
    assertClose(betaVar[1], Math.sin(Math.PI / 2 / numSteps) ** 2, { rel: 1e-14 });
  }
});

test("identities of every schedule", () => {
  const schedules = [
    linearSchedule(),
    linearSchedule({ numSteps: 50, betaStart: 0.002, betaEnd: 0.4 }),
    cosineSchedule({ numSteps: 1 }),
    cosineSchedule({ numSteps: 37 }),
    sigmoidSchedule({ numSteps: 200, betaStart: 5e-4, betaEnd: 0.1 }),
    scheduleFromBetas([1e-12, 0.3, 0.9999]),
  ];
  for (const schedule of schedules) {
    const { c0, ct, betaTilde } = posteriorTables(schedule);
    const { numSteps, alphaBar, sqrtAlphaBar, oneMinusAlphaBar, snr, logSnr } = schedule;
    assert.equal(alphaBar.length, numSteps + 1);
    assert.deepEqual([alphaBar[0], oneMinusAlphaBar[0], schedule.betaVar[0]], [1, 0, 0]);
    assert.deepEqual([c0[1], ct[1], betaTilde[1]], [1, 0, 0]);
    let product = 1;
    for (let t = 1; t <= numSteps; t++) {
      product *= 1 - schedule.betaVar[t];
      assertClose(alphaBar[t], product, { rel: 1e-12 });
      assertClose(snr[t], Math.exp(logSnr[t]), { rel: 1e-12 });
      assertClose(c0[t] + ct[t] * sqrtAlphaBar[t], sqrtAlphaBar[t - 1], { rel: 1e-12 });
      assertClose(betaTilde[t] + ct[t] ** 2 * oneMinusAlphaBar[t], oneMinusAlphaBar[t - 1], { rel: 1e-11 });
    }
  }
});

test("1 − ᾱ keeps its precision where β is tiny", () => {
  const schedule = scheduleFromBetas([1e-18, 1e-18], { allowPriorMismatch: true });
  assertClose(schedule.oneMinusAlphaBar[2], 2e-18, { rel: 1e-12, abs: 0 });
});

test("L_T of unit-variance data, in bits (S08)", () => {
  const { expected, tol_rel: rel } = oracle("S08");
  assertClose(priorMismatch(linearSchedule()), expected.bits, { rel });
  const oneStep = (beta: number) => priorMismatch(scheduleFromBetas([beta], { allowPriorMismatch: true }));
  assertClose(oneStep(1e-17), 28.23638880654258, { rel: 1e-14 }); // −½ log2 β, mpmath 1.3 with 50 digits
  assertClose(oneStep(1e-12), 19.93156856932417, { rel: 1e-14 });
  assertClose(oneStep(0.7), -Math.log2(0.7) / 2, { rel: 1e-14 });
  const halves = scheduleFromBetas(new Float64Array(100).fill(0.5)); // ᾱ_T = 2^−100
  assertClose(priorMismatch(halves), 2 ** -101 / Math.LN2, { rel: 1e-12, abs: 0 });
});

test("a schedule that leaves signal in x_T is refused, with the number and a remedy that works", () => {
  const refusal = (run: () => unknown): string => {
    try {
      run();
    } catch (error) {
      return (error as Error).message;
    }
    return assert.fail("not refused");
  };
  const message = refusal(() => linearSchedule({ numSteps: 50 }));
  assert.match(message, /^linearSchedule: with numSteps = 50, L_T is 0\.666 bits\/dim/);
  assert.match(message, /linearSchedule\(\{ numSteps: 50, betaStart: 0.002, betaEnd: 0.4 \}\)/);
  assert.match(message, /allowPriorMismatch: true/);
  assert.match(
    refusal(() => linearSchedule({ numSteps: 10 })),
    /Use cosineSchedule\(\{ numSteps: 10 \}\)/,
  );
  for (let numSteps = 1; numSteps <= 300; numSteps++) {
    assert.ok(priorMismatch(cosineSchedule({ numSteps })) <= MAX_PRIOR_MISMATCH);
    if (20 / numSteps >= 1) continue;
    const [betaStart, betaEnd] = [0.1 / numSteps, 20 / numSteps].map((x) => Number(x.toPrecision(3)));
    linearSchedule({ numSteps, betaStart, betaEnd });
    sigmoidSchedule({ numSteps, betaStart, betaEnd });
  }
  const wrong = linearSchedule({ numSteps: 200, allowPriorMismatch: true });
  assertClose(wrong.alphaBar[200], 0.132, { abs: 1e-3 });
});

test("bad inputs are named", () => {
  for (const numSteps of [0, -1, 2.5, Number.NaN, Number.POSITIVE_INFINITY])
    assert.throws(
      () => linearSchedule({ numSteps }),
      /linearSchedule: numSteps is .*, expected an integer of 1 or more/,
    );
  for (const betaStart of [0, -1e-4, 1, Number.NaN])
    assert.throws(() => linearSchedule({ betaStart }), /linearSchedule: betaStart is .*between 0 and 1/);
  assert.throws(() => sigmoidSchedule({ betaEnd: 1 }), /sigmoidSchedule: betaEnd is 1/);
  assert.throws(() => cosineSchedule({ maxBeta: 1 }), /cosineSchedule: maxBeta is 1/);
  assert.throws(() => cosineSchedule({ offset: Number.NaN }), /cosineSchedule: offset is NaN/);
  assert.throws(() => scheduleFromBetas([]), /numSteps is 0/);
  const short = linearSchedule({ numSteps: 10, betaStart: 0.01, betaEnd: 0.9 });
  assert.throws(() => respace(short, [3, 11]), /steps\[1\] is 11.*Try evenSteps\(10, 10\)/);
  assert.throws(() => scheduleFromBetas([0.1, 1.5]), /beta at t = 2 is 1.5/);
});

test("schedules by name", () => {
  for (const name of SCHEDULES) assert.equal(scheduleByName(name, { numSteps: 1000 }).name, name);
  assert.deepEqual(
    scheduleByName("cosine", { numSteps: 30, offset: 0.1 }),
    cosineSchedule({ numSteps: 30, offset: 0.1 }),
  );
  assert.throws(
    () => scheduleByName("quadratic"),
    /scheduleByName: unknown schedule "quadratic", expected one of linear, cosine, sigmoid/,
  );
});

test("respacing keeps ᾱ at the steps it keeps", () => {
  const schedule = linearSchedule();
  const steps = evenSteps(1000, 7);
  assert.deepEqual(steps, [1, 168, 334, 501, 667, 834, 1000]);
  const strided = respace(schedule, steps);
  steps.forEach((t, i) => {
    assert.equal(strided.alphaBar[i + 1], schedule.alphaBar[t]);
  });
  assert.deepEqual(evenSteps(1000, 1), [1000]);
  assert.throws(
    () => evenSteps(10, 11),
    /evenSteps: count is 11, expected an integer from 1 to numSteps = 10/,
  );
  const long = linearSchedule({ numSteps: 4000 });
  const stride = respace(long, [1, 3900, 4000]);
  assert.equal(stride.betaVar[2], 1); // rounded
  assertClose(stride.alpha[2], long.alphaBar[3900] / long.alphaBar[1], { rel: 1e-12, abs: 0 });
  assertClose(stride.alpha[3], long.alphaBar[4000] / long.alphaBar[3900], { rel: 1e-12 });
  assert.equal(stride.logAlphaBar[3], long.logAlphaBar[4000]);
  const [jump, last] = ddimPlan(long, { steps: evenSteps(4000, 2) }); // x_1 = √ᾱ_1 x̂_0 + √(1−ᾱ_1) ε̂, ε̂ = x_4000
  assertClose(jump.xtCoef, long.sqrtOneMinusAlphaBar[1]);
  assertClose(jump.x0Coef, long.sqrtAlphaBar[1], { rel: 1e-10 });
  assert.deepEqual([last.x0Coef, last.xtCoef], [1, 0]);
  assert.throws(() => respace(schedule, [5, 5]), /respace: steps\[1\] is 5, expected increasing/);
  assert.throws(() => respace(schedule, [0]), /steps\[0\] is 0/);
  assert.throws(() => respace(schedule, [1001]), /steps\[0\] is 1001/);
  assert.throws(() => respace(schedule, []), /steps is empty/);
});
