/**
 * @file The derivation that lessons 02 and 03 walk through, line by line on sampled paths: what is an equality for
 * every path must hold for every path, and what is one in the mean within standard errors.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Model,
  posteriorTables,
  type Schedule,
  scheduleFromBetas,
  sigma2,
  VARIANCES,
  type Variance,
} from "../diffusion";
import { rng, tf } from "../tensor";
import { assertClose } from "../testing";
import {
  estimate,
  evaluateBound,
  exactBound,
  gaussian,
  kl1d,
  logDensity1d,
  mixture,
  optimalPredict,
  posteriorVariances,
  varianceKl,
  vlbWeights,
} from ".";

const X0 = 0.8;
const SCHEDULE = scheduleFromBetas([0.1, 0.2, 0.4, 0.6, 0.95]);
const T = SCHEDULE.numSteps;

/** A linear network's mean, x ↦ factor·x: 80 % of the best guess of ε for N(0, 1) data. */
const factor = (t: number) => (1 - 0.8 * SCHEDULE.betaVar[t]) / Math.sqrt(SCHEDULE.alpha[t]);

function drawPaths(count: number): number[][] {
  const normals = rng(21).normal([count, T]).arraySync() as number[][];
  return normals.map((z) => {
    const path = [X0];
    for (let t = 1; t <= T; t++)
      path.push(Math.sqrt(SCHEDULE.alpha[t]) * path[t - 1] + Math.sqrt(SCHEDULE.betaVar[t]) * z[t - 1]);
    return path;
  });
}

/** The five log-densities that the derivation is about, at one path. */
const logQStep = (path: number[], t: number) =>
  logDensity1d(path[t], Math.sqrt(SCHEDULE.alpha[t]) * path[t - 1], SCHEDULE.betaVar[t]);
const logQJump = (path: number[], t: number) =>
  logDensity1d(path[t], SCHEDULE.sqrtAlphaBar[t] * path[0], SCHEDULE.oneMinusAlphaBar[t]);
const logPosterior = (path: number[], t: number) => {
  const { c0, ct, betaTilde } = posteriorTables(SCHEDULE);
  return logDensity1d(path[t - 1], c0[t] * path[0] + ct[t] * path[t], betaTilde[t]);
};
const logModel = (path: number[], t: number) =>
  logDensity1d(path[t - 1], factor(t) * path[t], SCHEDULE.betaVar[t]);
const logPrior = (path: number[]) => logDensity1d(path[T], 0, 1);

function sumFrom(first: number, term: (t: number) => number): number {
  let sum = 0;
  for (let t = first; t <= T; t++) sum += term(t);
  return sum;
}

/** ln w = ln p_θ(x_{0:T}) − ln q(x_{1:T} | x_0), line 3. */
const logWeight = (path: number[]) =>
  logPrior(path) + sumFrom(1, (t) => logModel(path, t) - logQStep(path, t));

test("lines 1 and 2: the mean weight is the likelihood, the mean log-weight lies below by the bound's gap", () => {
  const logWeights = drawPaths(20000).map(logWeight);
  let modelVar = 1;
  for (let t = T; t >= 1; t--) modelVar = factor(t) ** 2 * modelVar + SCHEDULE.betaVar[t];
  const likelihood = Math.exp(logDensity1d(X0, 0, modelVar));
  const weight = estimate(logWeights.map(Math.exp));
  assert.ok(Math.abs(weight.mean - likelihood) < 4 * weight.standardError, "line 1");
  const bound = estimate(logWeights);
  assert.ok(bound.mean + 4 * bound.standardError < Math.log(likelihood), "line 2 is strict for this network");
});

test("lines 4 to 6: Bayes' rule, the telescope and the regrouping hold on every path", () => {
  for (const path of drawPaths(200)) {
    for (let t = 2; t <= T; t++)
      assertClose(logPosterior(path, t) + logQJump(path, t) - logQJump(path, t - 1), logQStep(path, t), {
        abs: 1e-10,
        what: `line 4 at t = ${t}`,
      });
    const telescope = sumFrom(2, (t) => logQJump(path, t) - logQJump(path, t - 1));
    assertClose(telescope, logQJump(path, T) - logQJump(path, 1), { abs: 1e-10, what: "line 5" });
    const prior = logQJump(path, T) - logPrior(path);
    const steps = sumFrom(2, (t) => logPosterior(path, t) - logModel(path, t));
    assertClose(prior + steps - logModel(path, 1), -logWeight(path), { abs: 1e-10, what: "line 6" });
  }
});

test("line 7 by the library: the mean of −ln w is evaluateBound's total", async () => {
  const guess = SCHEDULE.sqrtOneMinusAlphaBar.map((std) => 0.8 * std);
  const model: Model = {
    schedule: SCHEDULE,
    parameterization: "eps",
    variance: "beta",
    predict: (xt, t) => xt.mul(tf.gather(tf.tensor1d(Float32Array.from(guess)), t).expandDims(1)),
  };
  const byPaths = estimate(drawPaths(20000).map((path) => -logWeight(path)));
  const byTerms = await evaluateBound(model, tf.fill([20000, 1], X0), { rng: rng(22) });
  const error = Math.hypot(byPaths.standardError, byTerms.standardError);
  assert.ok(Math.abs(byPaths.mean - byTerms.total) < 4 * error, `${byPaths.mean} against ${byTerms.total}`);
});

/** KL(q(x_T) ‖ p) + Σ ½[v/σ² − 1 − ln(v/σ²)], v the true variance of a step back. */
function gapBySteps(mean: number, std: number, schedule: Schedule, variance: Variance): number {
  const { c0, betaTilde } = posteriorTables(schedule);
  const doubt = posteriorVariances(gaussian({ mean, std }), schedule);
  const sigma2t = sigma2(schedule, variance);
  const last = schedule.numSteps;
  const endVar = schedule.alphaBar[last] * std * std + schedule.oneMinusAlphaBar[last];
  let gap = kl1d(schedule.sqrtAlphaBar[last] * mean, endVar, 0, 1);
  for (let t = 1; t <= last; t++) gap += varianceKl(betaTilde[t] + c0[t] ** 2 * doubt[t], sigma2t[t]);
  return gap;
}

test("bound minus entropy is a sum over steps of what the wrong variance costs", () => {
  for (const variance of VARIANCES)
    for (const [mean, std] of [
      [0, 1],
      [0.5, 0.5],
      [-1, 0.05],
      [0, 4],
    ]) {
      const { total, entropy } = exactBound(gaussian({ mean, std }), SCHEDULE, variance);
      const gap = gapBySteps(mean, std, SCHEDULE, variance);
      assertClose(gap, total - entropy, { abs: 1e-12, rel: 1e-10, what: `${variance}, N(${mean}, ${std}²)` });
    }
});

test("a network's excess over the best one is Σ w_t E‖ε* − ε_θ‖²", async () => {
  const data = mixture({ weights: [0.5, 0.5], means: [-1, 1], stds: [0.3, 0.3] });
  const best = optimalPredict(data, SCHEDULE, "eps");
  const base = { schedule: SCHEDULE, parameterization: "eps", variance: "beta" } as const;
  const half: Model = { ...base, predict: (xt, t) => best(xt, t).mul(0.5) };
  const weights = vlbWeights(SCHEDULE, "eps", "beta");
  // ε_θ = ½ε*, so the excess is ¼ Σ w_t E ε*², and E ε*² = 1 − min E(ε − ε*)² for noise of variance 1.
  const doubt = posteriorVariances(data, SCHEDULE);
  let excess = 0;
  for (let t = 1; t <= T; t++) excess += 0.25 * weights[t] * (1 - SCHEDULE.snr[t] * doubt[t]);
  const count = 20000;
  const signs = rng(23).integers([count, 1], 0, 2).mul(2).sub(1);
  const x0 = signs.add(rng(24).normal([count, 1]).mul(0.3));
  const bound = await evaluateBound(half, x0, { rng: rng(25) });
  const wanted = exactBound(data, SCHEDULE, "beta").total + excess;
  assert.ok(Math.abs(bound.total - wanted) < 4 * bound.standardError, `${bound.total} against ${wanted}`);
});

test("law of total variance: the second sample adds β̃_t/σ_t⁴ to the gradient's variance, at every t", () => {
  const schedule = SCHEDULE;
  const { c0, ct, betaTilde } = posteriorTables(schedule);
  const count = 40000;
  const [x0s, epsPrev, zs] = rng(26).normal([3, count]).arraySync() as number[][];
  const varianceOf = (values: number[]) => estimate(values).standardError ** 2 * count;
  for (let t = 1; t <= T; t++) {
    const beta = schedule.betaVar[t];
    const pairs = x0s.map((x0, i) => {
      const xPrev = schedule.sqrtAlphaBar[t - 1] * x0 + schedule.sqrtOneMinusAlphaBar[t - 1] * epsPrev[i];
      const xt = Math.sqrt(schedule.alpha[t]) * xPrev + Math.sqrt(beta) * zs[i];
      return { x0, xPrev, xt, mu: Math.sqrt(schedule.alpha[t]) * xt };
    });
    const two = varianceOf(pairs.map(({ xPrev, mu }) => (xPrev - mu) / beta));
    const one = varianceOf(pairs.map(({ x0, xt, mu }) => (c0[t] * x0 + ct[t] * xt - mu) / beta));
    // Best network, N(0, 1) data: Var g_1 = (β − β̃)/β², Var g_2 = 1/β; a variance's relative error is √(2/n).
    const within = 4 * Math.sqrt(2 / count);
    assertClose(one, (beta - betaTilde[t]) / beta ** 2, { rel: within, what: `Var g_1 at t = ${t}` });
    assertClose(two, 1 / beta, { rel: within, what: `Var g_2 at t = ${t}` });
    const ratio = schedule.oneMinusAlphaBar[t] / (beta * schedule.alphaBar[t - 1]);
    assertClose(two / one, ratio, { rel: 2 * within, what: `ratio at t = ${t}` });
  }
});
