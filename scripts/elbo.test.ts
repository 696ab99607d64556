/** @file The command as a user runs it: its numbers against the oracle and closed forms, and what it says of mistakes. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { assertAllClose, assertClose, oracle } from "../lib/testing";

const project = join(__dirname, "..");

/** Runs the command; an engine that exists nowhere proves that none is needed. */
function elbo(...args: string[]) {
  return spawnSync(process.execPath, ["--import", "tsx", join("scripts", "elbo.ts"), ...args], {
    cwd: project,
    encoding: "utf8",
    env: { ...process.env, LOWER_BOUND_ENGINE: "none" },
  });
}

function json(...args: string[]) {
  const { status, stdout, stderr } = elbo(...args, "--json");
  assert.equal(status, 0, stderr);
  return { ...JSON.parse(stdout), stdout, stderr };
}

const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
const gaussianEntropy = (std: number) => 0.5 * Math.log(2 * Math.PI * Math.E * std * std);

test("N(0, 1) with σ² = β is tight, term by term (G01)", () => {
  const got = json("--data", "gaussian", "--mean", "0", "--std", "1", "--variance", "beta");
  const { expected } = oracle("G01");
  assertClose(got.L_T, expected.L_T, { what: "L_T" });
  assertClose(sum(got.L_t), expected.sum_L, { what: "sum of L_t" });
  assertClose(got.L_0, expected.L_0, { what: "L_0" });
  for (const name of ["total", "nll", "entropy"] as const)
    assertClose(got[name], expected.total, { what: name });
  assert.equal(got.steps, 1000);
  assert.equal(got.L_t.length, 999);
  assert.equal(got.stderr, "");
});

test("N(0.5, 0.25) with both variances: every term, the model's NLL and the entropy (G03)", () => {
  for (const [variance, want] of [
    ["beta", oracle("G03").expected.beta],
    ["betaTilde", oracle("G03").expected.beta_tilde],
  ]) {
    const got = json("--mean", "0.5", "--std", "0.5", "--variance", variance);
    const found = { L_T: got.L_T, sum_L: sum(got.L_t), L_0: got.L_0, total: got.total, nll: got.nll };
    for (const [name, value] of Object.entries({ ...found, entropy: got.entropy }))
      assertClose(value, want[name], { what: `${variance} ${name}` });
    assertClose(got.bitsPerDim, want.total / Math.LN2, { what: "bitsPerDim" });
  }
});

test("the object has its keys in order, no nll for a mixture, and nothing else is on standard output", () => {
  const keys = ["steps", "alphaBarT", "L_T", "L_t", "L_0", "total", "entropy", "bitsPerDim"];
  const mixture = json("--data", "mixture", "--weights", "0.5,0.5", "--means", "-1,1", "--stds", "0.3,0.3");
  assert.deepEqual(Object.keys(JSON.parse(mixture.stdout)), keys);
  const gaussian = json("--steps", "1");
  assert.deepEqual(Object.keys(JSON.parse(gaussian.stdout)), [...keys.slice(0, 6), "nll", ...keys.slice(6)]);
  assert.deepEqual(gaussian.L_t, []);
  assert.equal(gaussian.stdout.trim().split("\n").length, 1);
});

test("a mixture of one Gaussian twice is that Gaussian", () => {
  const options = ["--schedule", "cosine", "--steps", "20", "--variance", "betaTilde"];
  const one = json(...options, "--mean", "-0.5", "--std", "0.5");
  const two = json(
    ...options,
    ...["--data", "mixture", "--weights", "0.3,0.7", "--means", "-0.5,-0.5", "--stds", "0.5,0.5"],
  );
  assertAllClose(two.L_t, one.L_t, { rel: 1e-9, abs: 1e-12, what: "L_t" });
  for (const name of ["L_T", "L_0", "total", "entropy"]) assertClose(two[name], one[name], { what: name });
});

/** Simpson's rule over [-12, 12], which shares no code with the library's quadrature. */
function integral(f: (x: number) => number): number {
  const [low, high, n] = [-12, 12, 6000];
  const h = (high - low) / n;
  let total = f(low) + f(high);
  for (let i = 1; i < n; i++) total += (i % 2 === 1 ? 4 : 2) * f(low + i * h);
  return (total * h) / 3;
}

interface Mixture {
  weights: number[];
  means: number[];
  stds: number[];
}

/** Density and score of √ᾱ·x_0 + √(1−ᾱ)·ε, written out. */
function noisedMixture({ weights, means, stds }: Mixture, alphaBar: number) {
  const parts = (x: number) =>
    weights.map((weight, k) => {
      const variance = alphaBar * stds[k] ** 2 + 1 - alphaBar;
      const shift = x - Math.sqrt(alphaBar) * means[k];
      const density =
        (weight * Math.exp((-shift * shift) / (2 * variance))) / Math.sqrt(2 * Math.PI * variance);
      return { density, slope: (-shift / variance) * density };
    });
  const density = (x: number) => sum(parts(x).map((part) => part.density));
  return { density, score: (x: number) => sum(parts(x).map((part) => part.slope)) / density(x) };
}

test("a mixture's terms are those of an independent quadrature (M01's mixture)", () => {
  const { w: weights, m: means, s: stds } = oracle("M01").inputs;
  const data = { weights, means, stds };
  const betas = [0.1, 0.3, 0.5, 0.7, 0.9]; // linear, five steps
  const range = ["--steps", "5", "--beta-start", "0.1", "--beta-end", "0.9"];
  const lists = ["--weights", weights.join(), "--means", means.join(), "--stds", stds.join()];
  const got = json("--data", "mixture", ...lists, ...range);
  const alphaBars = [1];
  for (const beta of betas) alphaBars.push(alphaBars[alphaBars.length - 1] * (1 - beta));
  // The best loss of ε is 1 − (1−ᾱ)·E score²; its weight is β/(2(1−β)(1−ᾱ)) for σ² = β.
  const residual = betas.map((beta, i) => {
    const { density, score } = noisedMixture(data, alphaBars[i + 1]);
    const fisher = integral((x) => density(x) * score(x) ** 2);
    const noise = 1 - alphaBars[i + 1];
    return (beta / (2 * (1 - beta) * noise)) * (1 - noise * fisher);
  });
  const wanted = residual.slice(1).map((value, i) => {
    const ratio = (1 - alphaBars[i + 1]) / (1 - alphaBars[i + 2]); // β̃_t/β_t at t = i + 2
    return value + 0.5 * (ratio - 1 - Math.log(ratio));
  });
  assertAllClose(got.L_t, wanted, { rel: 1e-9, what: "L_t" });
  assertClose(got.L_0, 0.5 * Math.log(2 * Math.PI * betas[0]) + residual[0], { what: "L_0" });
  const { density } = noisedMixture(data, 1);
  assertClose(got.entropy, -integral((x) => density(x) * Math.log(density(x))), { what: "entropy" });
  const second = sum(weights.map((weight: number, k: number) => weight * (means[k] ** 2 + stds[k] ** 2)));
  const aBar = alphaBars[5];
  assertClose(got.L_T, 0.5 * (aBar * second - aBar - Math.log(1 - aBar)), { what: "L_T" });
  assertClose(got.total, got.L_T + sum(got.L_t) + got.L_0, { what: "total" });
});

test("bound ≥ nll ≥ entropy over data, schedules and variances", () => {
  for (const [std, schedule, variance] of [
    ["0.1", "linear", "betaTilde"],
    ["0.1", "cosine", "beta"],
    ["3", "linear", "beta"],
    ["3", "cosine", "betaTilde"],
  ]) {
    const got = json("--std", std, "--schedule", schedule, "--variance", variance, "--steps", "1000");
    const what = `std ${std}, ${schedule}, ${variance}`;
    assert.ok(got.total >= got.nll - 1e-12, `${what}: total ${got.total} below nll ${got.nll}`);
    assert.ok(got.nll >= got.entropy - 1e-12, `${what}: nll ${got.nll} below entropy ${got.entropy}`);
    assertClose(got.entropy, gaussianEntropy(Number(std)), { what });
  }
});

test("a schedule that leaves signal in x_T is computed, with one line of warning that the flag silences", () => {
  const range = ["--steps", "10", "--beta-start", "0.1", "--beta-end", "0.5"];
  const got = json(...range);
  assertClose(got.total, gaussianEntropy(1), { what: "still tight for N(0, 1)" });
  assert.match(got.stderr, /^elbo: warning: .*L_T is 0\.0174 bits\/dim.* Use --schedule cosine.*\n$/);
  assert.match(json("--steps", "200").stderr, /Use --beta-start 0\.0005 --beta-end 0\.1,/);
  assert.equal(json(...range, "--allow-prior-mismatch").stderr, "");
});

test("the table for people shows the same numbers", () => {
  const { status, stdout, stderr } = elbo("--mean", "0.5", "--std", "0.5");
  assert.equal(status, 0, stderr);
  const { total, nll, L_0 } = oracle("G03").expected.beta;
  for (const number of [total, nll, L_0, total / Math.LN2])
    assert.ok(stdout.includes(number.toFixed(9)), `${number} is missing`);
  assert.match(elbo("--help").stdout, /--variance beta\|betaTilde/);
});

const MIXTURE = ["--data", "mixture", "--means", "-1,1", "--stds", "0.3,0.3"];
const MISTAKES: [args: string[], says: RegExp][] = [
  [["--beta-start", "-1e-4"], /--beta-start is -0\.0001, expected a variance between 0 and 1/],
  [["--beta-end", "1"], /--beta-end is 1, expected a variance between 0 and 1/],
  [["--steps", "0"], /--steps is "0", expected a whole number from 1/],
  [["--steps", "2.5"], /--steps is "2\.5", expected a whole number/],
  [["--steps", "ten"], /--steps is "ten", expected a whole number/],
  [["--std", "0"], /--std has 0, expected a standard deviation above 0/],
  [["--std", "-1"], /--std has -1, expected a standard deviation above 0/],
  [["--std", "1e-200"], /not finite in double precision/],
  [["--mean", "0.5,1"], /--mean has "0\.5,1", expected a finite number/],
  [["--data", "moons"], /--data is "moons", expected one of gaussian, mixture\./],
  [["--schedule", "quadratic"], /--schedule is "quadratic", expected one of linear, cosine\./],
  [["--variance", "sigma"], /--variance is "sigma", expected one of beta, betaTilde\./],
  [["--variance", "betaTilde", "--steps", "1"], /Use --variance beta\./],
  [["--schedule", "cosine", "--beta-end", "0.02"], /--beta-end has no meaning for --schedule cosine/],
  [["--weights", "0.5,0.5"], /--weights has no meaning for --data gaussian, which takes --mean, --std\./],
  [[...MIXTURE, "--weights", "0.5,0.6"], /--weights 0\.5,0\.6 sum to 1\.1, expected .* that sum to 1/],
  [[...MIXTURE, "--weights", "-0.5,1.5"], /expected numbers above 0 that sum to 1/],
  [[...MIXTURE, "--weights", "1"], /have 1, 2 and 2 numbers, expected as many of each/],
  [[...MIXTURE, "--weights", "0.5,"], /--weights has "", expected a finite number/],
  [MIXTURE, /--weights is missing/],
  [["--foo"], /unknown option --foo, expected one of --data, --schedule,/],
  [["--data"], /--data has no value/],
  [["--json=yes"], /--json takes no value/],
  [["gaussian"], /unexpected "gaussian"/],
];

for (const [args, says] of MISTAKES)
  test(`a mistake gets one line: ${args.join(" ")}`, () => {
    const { status, stdout, stderr } = elbo("--json", ...args);
    assert.equal(status, 1);
    assert.equal(stdout, "");
    assert.match(stderr, /^elbo: [^\n]+\n$/);
    assert.match(stderr, says);
  });
