import assert from "node:assert/strict";
import { test } from "node:test";
import { linearSchedule, scheduleFromBetas, sigmoidSchedule } from "../../diffusion";
import { gaussian, kl1d, mixture } from "../../elbo";
import { w2Gaussians, w2OneDimensional } from "../../metrics";
import { assertAllClose, assertClose, numbersFrom, oracle } from "../../testing";
import {
  type BoundFunctions,
  logOffsets,
  wassersteinBound,
  wassersteinBoundOfFunctions,
  wassersteinBoundOfSteps,
} from "./bound";
import { gaussianDynamics } from "./gaussian-dynamics";
import { clusterScoreLipschitz, gaussianScoreLipschitz } from "./lipschitz";
import { conditionalErrorFloor, matchingLoss } from "./matching";
import { veSde, vpSde } from "./sde";

test("the sharp case: W2, Theorem 1 and Corollary 1 are one number (W03)", () => {
  const { expected, inputs } = oracle("W03");
  const { w2, mean, variance, tables, bound } = gaussianDynamics({
    sde: vpSde({ betaStart: inputs.beta, betaEnd: inputs.beta, T: inputs.T }),
    mean: inputs.m,
    std: inputs.s,
    bias: (t) => -0.3 * Math.exp(-t / 2),
  });
  const rel = 1e-6;
  assertClose(w2, expected.W2, { rel });
  assertClose(mean, expected.gen_mean, { rel });
  assertClose(variance, expected.gen_var, { rel });
  assertClose(tables.scoreLipschitz[0], expected.L_s_0, { rel });
  assertClose(Math.exp(bound.logI[bound.logI.length - 1]), expected.I_T, { rel });
  assertClose(tables.priorW2, expected.W2_T, { rel });
  assertClose(Math.exp(bound.logOffset), expected.offset, { rel });
  assertClose(Math.exp(bound.logTheorem1), expected.theorem1, { rel });
  assertClose(bound.J, expected.J_SM, { rel });
  assertClose(Math.exp(bound.logCorollary1), expected.corollary1, { rel });
});

test("the sharp case with other β and T, and its loss, to 1e-10", () => {
  const cases = [
    { beta: 4, T: 3, e: -0.2, rate: 2 },
    { beta: 0.5, T: 1, e: -0.7, rate: 1 },
    { beta: 1, T: 2, e: -0.3, rate: 0.5, steps: 301 },
  ];
  for (const { beta, T, e, rate, steps } of cases) {
    const sde = vpSde({ betaStart: beta, betaEnd: beta, T });
    const bias = (t: number) => e * Math.exp(-rate * t);
    const { w2, bound } = gaussianDynamics({ sde, mean: 1, std: 1, bias, steps });
    const loss = (beta * e ** 2 * -Math.expm1(-2 * rate * T)) / (4 * rate); // ½ ∫ β e² dt
    const rel = steps ? 1e-8 : 1e-10;
    assertClose(bound.J, loss, { rel, what: `J at β = ${beta}` });
    assertClose(Math.exp(bound.logTheorem1), w2, { rel, what: `Theorem 1 at β = ${beta}` });
    // g²I ∝ e^{-βt/2} and √b ∝ e^{-rate·t} are parallel, and Corollary 1 sharp, where β/2 = rate
    if (beta / 2 === rate) assertClose(Math.exp(bound.logCorollary1), w2, { rel });
    assert.equal(bound.logI.length, (steps ?? 2000) + 1);
    assertClose(bound.logI[bound.logI.length - 1], -(beta * T) / 2, { rel }); // L_s = −1
  }
});

test("200 random Gaussian cases, VP and VE: W2 ≤ Theorem 1 ≤ Corollary 1, none of them trivially", () => {
  const uniform = numbersFrom(8);
  const between = (low: number, high: number) => low + (high - low) * uniform();
  const ratios: number[] = [];
  for (let k = 0; k < 200; k++) {
    const T = between(0.5, 3);
    const sde =
      k % 4 === 3
        ? veSde({ sigmaMin: between(0.2, 0.5), sigmaMax: between(1, 4), T })
        : vpSde({ betaStart: between(0.1, 1), betaEnd: between(0.5, 2), T });
    const [amplitude, frequency] = [between(-0.8, 0.8), between(0, 3)];
    const { w2, bound } = gaussianDynamics({
      sde,
      dims: 1 + (k % 3),
      mean: between(-2, 2),
      std: between(0.3, 1.8),
      scale: between(-0.6, 0.6),
      bias: (t) => amplitude * Math.cos(frequency * t),
      start: { mean: between(-0.5, 0.5), variance: between(0.5, 2) },
      steps: 1000,
    });
    const [theorem1, corollary1] = [Math.exp(bound.logTheorem1), Math.exp(bound.logCorollary1)];
    assert.ok(w2 <= theorem1 * (1 + 1e-6), `case ${k}: W2 ${w2} above Theorem 1's ${theorem1}`);
    assert.ok(theorem1 <= corollary1 * (1 + 1e-12), `case ${k}: ${theorem1} above ${corollary1}`);
    ratios.push(theorem1 / w2);
  }
  ratios.sort((a, b) => a - b);
  assert.ok(ratios[100] < 5, `the median of bound / W2 is ${ratios[100]}: the bound says little`);
});

test("narrow data: the grid resolves 1/v near t = 0, and W2 stays below Theorem 1", () => {
  const narrow = (std: number, steps?: number) =>
    gaussianDynamics({
      sde: vpSde({ betaStart: 1, betaEnd: 1, T: 2 }),
      mean: 1,
      std,
      bias: (t) => -0.3 * Math.exp(-t / 2),
      steps,
    });
  for (const std of [0.05, 0.005, 0.001]) {
    const { w2, variance, bound } = narrow(std);
    const fine = narrow(std, 50_000);
    assert.ok(w2 <= Math.exp(bound.logTheorem1), `std ${std}: ${w2} above ${Math.exp(bound.logTheorem1)}`);
    assertClose(w2, fine.w2, { rel: 1e-7, abs: 0, what: `W2 at std ${std}` });
    assertClose(bound.logTheorem1, fine.bound.logTheorem1, { rel: 0, abs: 1e-4 });
    // at δ = 0, (S − v)·signal²/v² does not change with time, as both equations say
    const [v, atEnd] = [std ** 2, std ** 2 * Math.exp(-2) - Math.expm1(-2)];
    const want = v + (v ** 2 * Math.exp(-2) * (1 - atEnd)) / atEnd ** 2;
    assertClose(variance, want, { rel: 1e-9, abs: 0, what: `variance at std ${std}` });
  }
});

test("a generic case has strict inequalities, and its W2 is that of particles' own mean and variance", () => {
  const bias = (t: number) => 0.2 * Math.sin(3 * t);
  const given = { sde: vpSde({ betaStart: 0.5, betaEnd: 2, T: 1.5 }), mean: 0.7, std: 0.6, scale: 0.2, bias };
  const { w2, mean, variance, bound } = gaussianDynamics(given);
  assert.ok(w2 < 0.99 * Math.exp(bound.logTheorem1));
  assert.ok(bound.logTheorem1 < bound.logCorollary1 - 0.01);
  // the same walk step by step in law: x ← x + h(ax + g² s) + √(h g²) z keeps Gaussians Gaussian
  const { sde, std, scale } = given;
  const steps = 40_000;
  const h = sde.T / steps;
  let [M, S] = [0, 1];
  for (let i = 0; i < steps; i++) {
    const t = sde.T - i * h;
    const gain = (1 + scale) / (sde.signal(t) ** 2 * std ** 2 + sde.noise2(t));
    const factor = 1 + h * (sde.driftRate(t) - sde.g2(t) * gain);
    M = factor * M + h * sde.g2(t) * (gain * sde.signal(t) * given.mean + bias(t));
    S = factor ** 2 * S + h * sde.g2(t);
  }
  assertClose(mean, M, { rel: 1e-3 });
  assertClose(variance, S, { rel: 1e-3 });
});

test("the authors' ten steps: floor of J_DSM, L_s, ln I and the bound for the perfect score, up to e^881 (W07)", () => {
  const { inputs, expected, tol_rel: rel } = oracle("W07");
  const schedule = sigmoidSchedule({
    numSteps: inputs.n_steps,
    betaStart: inputs.start,
    betaEnd: inputs.end,
    allowPriorMismatch: true,
  });
  // four clusters in the plane are two in each coordinate, independently: twice the floor of one
  const clusters = (std: number) => ({
    data: mixture({ weights: [0.5, 0.5], means: [-0.5, 0.5], stds: [std, std] }),
    copies: 2,
    lipschitz: clusterScoreLipschitz({ halfDistance: 0.5, std }, schedule),
  });
  const normal = gaussian({ mean: [0, 0], std: Math.sqrt(0.1) });
  const cases = {
    "gauss_0.1I": { data: normal, copies: 1, lipschitz: gaussianScoreLipschitz(normal, schedule) },
    "four_var0.01": clusters(0.1),
    "four_code_std0.0125": clusters(0.0125),
  };
  for (const [name, { data, copies, lipschitz }] of Object.entries(cases)) {
    const want = expected[name];
    const errors = conditionalErrorFloor(data, schedule).map((error) => copies * error);
    const bound = wassersteinBoundOfSteps({ schedule, scoreLipschitz: lipschitz, scoreError: errors });
    assertClose(matchingLoss(schedule, errors), want.J_DSM_floor, { rel, what: `${name} J` });
    assertClose(bound.J, want.J_DSM_floor, { rel });
    assertAllClose(lipschitz.subarray(1), want.L_s, { rel, what: `${name} L_s` });
    assertClose(bound.logI[inputs.n_steps], want.log_I_T, { rel, what: `${name} ln I` });
    assertClose(bound.logCorollary1, want.log_bound_at_floor, { rel, what: `${name} bound` });
  }
});

test("any weighting λ: Corollary 1 stays above Theorem 1, and λ ∝ g²I/√b makes them equal", () => {
  const { tables, bound: exact } = gaussianDynamics({
    sde: vpSde({ betaStart: 0.5, betaEnd: 2, T: 1.5 }),
    mean: 0.7,
    std: 0.6,
    bias: (t) => 0.2 + 0.1 * Math.sin(3 * t),
  });
  const bound = wassersteinBound(tables);
  assertClose(bound.logTheorem1, exact.logTheorem1, { rel: 1e-7, what: "trapezoids beside Simpson's rule" });
  for (const power of [-1, 0, 1, 3]) {
    const logWeight = tables.times.map((t) => power * t);
    const { logCorollary1, logTheorem1 } = wassersteinBound({ ...tables, logWeight });
    assertClose(logTheorem1, bound.logTheorem1);
    assert.ok(logCorollary1 >= logTheorem1);
  }
  const logBest = tables.times.map(
    (_, i) => Math.log(tables.g2[i]) + bound.logI[i] - Math.log(tables.scoreError[i]) / 2,
  );
  const best = wassersteinBound({ ...tables, logWeight: logBest });
  assertClose(best.logCorollary1, bound.logTheorem1, { rel: 1e-10 });
});

test("a time without noise adds nothing to either bound", () => {
  const { logI, logTheorem1, logCorollary1, J } = wassersteinBound({
    times: [0, 1],
    g2: [0, 1],
    driftLipschitz: [0, 0.5],
    scoreLipschitz: [-1, -1],
    scoreError: [1, 1],
  });
  assertAllClose(logI, [0, -0.25]);
  assertClose(J, 0.25);
  const second = Math.log(0.5) - 0.25; // one trapezoid, of which only the second node counts: √(2·½I²·¼) = ½I
  assertClose(logTheorem1, second);
  assertClose(logCorollary1, second);
});

test("the steps of a fine schedule give the integral's bound", () => {
  const [steps, mean, std] = [4000, 0.8, 0.5];
  const beta = 2 / steps;
  const schedule = scheduleFromBetas(new Float64Array(steps).fill(beta), { allowPriorMismatch: true });
  const bias = 0.3;
  const { tables, bound } = gaussianDynamics({
    sde: vpSde({ betaStart: 1, betaEnd: 1, T: 2 }),
    mean,
    std,
    bias: () => bias,
  });
  const discrete = wassersteinBoundOfSteps({
    schedule,
    scoreLipschitz: gaussianScoreLipschitz(gaussian({ mean, std }), schedule),
    scoreError: new Float64Array(steps + 1).fill(bias ** 2),
    priorW2: tables.priorW2,
  });
  assertClose(discrete.logTheorem1, bound.logTheorem1, { rel: 0, abs: 4e-3 });
  assertClose(discrete.logCorollary1, bound.logCorollary1, { rel: 0, abs: 4e-3 });
});

test("Corollary 2: from N(0, I) the drift's +β/2 and the contraction of W2 cancel, and e^Σβ L_s is left", () => {
  const schedule = scheduleFromBetas([0.1, 0.3, 0.2, 0.4], { allowPriorMismatch: true });
  const scoreLipschitz = [0, 3, 1, -0.5, -1];
  const dataW2 = 1.7;
  const logs = logOffsets(schedule, scoreLipschitz, dataW2);
  for (let steps = 1; steps <= 4; steps++) {
    const start = scheduleFromBetas(schedule.betaVar.slice(1, steps + 1), { allowPriorMismatch: true });
    const U = start.betaVar.reduce((sum, beta) => sum + beta, 0);
    const { logOffset } = wassersteinBoundOfSteps({
      schedule: start,
      scoreLipschitz: scoreLipschitz.slice(0, steps + 1),
      scoreError: new Float64Array(steps + 1),
      priorW2: Math.exp(-U / 2) * dataW2, // W2(p_T, N(0, I)) is at most this
    });
    assertClose(logs[steps], logOffset);
  }
  // of a Gaussian the contraction is exact: W2(N(c m, v), N(0, 1)) against e^{−U/2} W2(N(m, s²), N(0, 1)), s = 1
  const U = 1.3;
  const mean = Math.exp(-U / 2) * 0.9;
  assertClose(
    w2Gaussians({ mean: [mean], covariance: [[1]] }, { mean: [0], covariance: [[1]] }),
    Math.exp(-U / 2) * 0.9,
  );
  assert.throws(() => logOffsets(schedule, [0, 1], 1), /2 entries, expected 5/);
  assert.throws(() => logOffsets(schedule, [0, 1, Number.NaN, 1, 1], 1), /NaN at t = 2/);
  assert.throws(() => logOffsets(schedule, scoreLipschitz, -1), /dataW2 is -1/);
});

test("without common support KL is infinite or as good as that, and W2 is the way to go", () => {
  const shift = 0.7;
  for (const std of [1, 0.1, 1e-3]) {
    assertClose(kl1d(0, std ** 2, shift, std ** 2), shift ** 2 / (2 * std ** 2));
    const [p, q] = [0, shift].map((mean) => ({ mean: [mean], covariance: [[std ** 2]] }));
    assertClose(w2Gaussians(p, q), shift, { rel: 1e-6 });
  }
  const points = [0, 0.25, 0.5, 0.75];
  const moved = points.map((x) => x + 10);
  assertClose(w2OneDimensional(points, moved), 10);
  assert.equal(kl1d(0, 1e-320, shift, 1e-320), Number.POSITIVE_INFINITY);
});

test("bad tables are named", () => {
  const good = {
    times: [0, 1],
    g2: [1, 1],
    driftLipschitz: [0, 0],
    scoreLipschitz: [0, 0],
    scoreError: [1, 1],
  };
  assert.throws(() => wassersteinBound({ ...good, times: [0, 0] }), /times\[1\] is 0, expected more than/);
  assert.throws(() => wassersteinBound({ ...good, scoreError: [1, -1] }), /scoreError has -1 at node 1/);
  assert.throws(() => wassersteinBound({ ...good, scoreLipschitz: [1, Number.NaN] }), /NaN at node 1/);
  assert.throws(() => wassersteinBound({ ...good, g2: [1] }), /g2 has 1 entries, expected 2/);
  assert.throws(() => wassersteinBound({ ...good, priorW2: -1 }), /priorW2 is -1/);
  assert.throws(() => wassersteinBound({ ...good, times: [Number.NaN, 1] }), /times\[0\] is NaN/);
  const sde = vpSde();
  assert.throws(() => gaussianDynamics({ sde, mean: Number.NaN, std: 1 }), /mean is NaN, expected a finite/);
  assert.throws(() => gaussianDynamics({ sde, mean: 0, std: 0 }), /std is 0/);
  assert.throws(() => gaussianDynamics({ sde, mean: 0, std: 1, steps: 0 }), /steps is 0/);
  assert.throws(
    () => gaussianDynamics({ sde, mean: 0, std: 1, bias: () => Number.NaN }),
    /scoreError has NaN at node 0/,
  );
  assert.throws(
    () => gaussianDynamics({ sde, mean: 0, std: 0.01, scale: 100, steps: 2000 }),
    /2000 steps led to mean .* and variance .*, which no law has/,
  );
  const [zero, one] = [() => 0, () => 1];
  const functions: BoundFunctions = {
    g2: one,
    driftLipschitz: zero,
    scoreLipschitz: zero,
    scoreError: one,
  };
  const times = Float64Array.of(0, 1, 1);
  assert.throws(
    () => wassersteinBoundOfFunctions(functions, times, 0),
    /times\[2\] is 1, expected more than/,
  );
  assert.throws(
    () => wassersteinBoundOfFunctions({ ...functions, driftLipschitz: Math.log }, Float64Array.of(-1, 1), 0),
    /wassersteinBoundOfFunctions: driftLipschitz has NaN at node 0/,
  );
  const schedule = linearSchedule();
  const [whole, short] = [new Float64Array(1001), new Float64Array(1000)];
  assert.throws(
    () => wassersteinBoundOfSteps({ schedule, scoreLipschitz: short, scoreError: whole }),
    /wassersteinBoundOfSteps: scoreLipschitz has 1000 entries, expected 1001, entry 0 a dummy/,
  );
  assert.throws(
    () => wassersteinBoundOfSteps({ schedule, scoreLipschitz: whole, scoreError: whole, logWeight: short }),
    /logWeight has 1000 entries, expected 1001/,
  );
  assert.throws(
    () => wassersteinBoundOfSteps({ schedule, scoreLipschitz: whole, scoreError: whole.with(7, -1) }),
    /scoreError has -1 at node 7/,
  );
  const dummy = wassersteinBoundOfSteps({
    schedule,
    scoreLipschitz: whole.with(0, Number.NaN),
    scoreError: whole.with(0, Number.NaN),
  });
  assert.equal(dummy.J, 0);
});
