import assert from "node:assert/strict";
import { test } from "node:test";
import { ancestralPlan, ddimPlan, linearSchedule } from "../../diffusion";
import { gaussian, kl1d, mixture, scoreOf } from "../../elbo";
import { erf, rng, tf, toy, w2WithFloor } from "../../index";
import { assertAllClose, assertClose, assertNoLeak, oracle } from "../../testing";
import { gaussianDynamics, marginalAt, vpSde } from "../wasserstein-bound";
import { blurred, denoiser, diffusionMoves, ganDirections, gaussianFlow, scoreDifference } from "./densities";
import { annealing, drawPrior, modeCoverage, type PriorName, particleFlow, runParticleFlow } from "./flow";
import { kernelMean, scoreDifferenceStep } from "./samples";

const normal = ([mean, std]: [number, number]) => gaussian({ mean, std });

test("the flow between Gaussians in closed form (F01), and dKL/dτ = −Fisher", () => {
  const { inputs, expected, tol_rel: rel } = oracle("F01");
  const [q, p] = [inputs.q0, inputs.p].map(([mean, std]: [number, number]) => ({ mean, std }));
  inputs.t.forEach((tau: number, i: number) => {
    const state = gaussianFlow(q, p, tau);
    assertClose(state.mean, expected.mean[i], { rel });
    assertClose(state.variance, expected.var[i], { rel });
    assertClose(state.kl, expected.kl[i], { rel });
    assertClose(state.fisher, expected.fisher[i], { rel });
    if (tau === 0) return;
    const h = 1e-4;
    const slope = (gaussianFlow(q, p, tau + h).kl - gaussianFlow(q, p, tau - h).kl) / (2 * h);
    assertClose(slope, -state.fisher, { rel: 1e-5 });
  });
  assert.throws(() => gaussianFlow(q, p, -1), /tau is -1/);
  assert.throws(() => gaussianFlow({ mean: 0, std: 0 }, p, 1), /sigma is 0/);
  assert.throws(() => gaussianFlow({ mean: Number.NaN, std: 1 }, p, 1), /a mean is NaN/);
});

test("the flow keeps its KL and Fisher divergence as it converges, against mpmath 1.3 with 60 digits: τ, KL, Fisher", () => {
  const [q, p] = [
    { mean: 3, std: 0.5 },
    { mean: -1, std: 1.5 },
  ];
  const golden = [
    [1, 1.50642233205375, 1.39284894207485],
    [5, 0.0417825565183478, 0.0371646064200182],
    [10, 0.000490360412751736, 0.00043587926257039],
    [30, 9.3265556254922e-12, 8.29027166710538e-12],
  ];
  for (const [tau, kl, fisher] of golden) {
    const state = gaussianFlow(q, p, tau);
    assertClose(state.kl, kl, { rel: 1e-13, abs: 0, what: `KL at ${tau}` });
    assertClose(state.fisher, fisher, { rel: 1e-13, abs: 0, what: `Fisher at ${tau}` });
  }
  const centred = gaussianFlow({ ...q, mean: 0 }, { ...p, mean: 0 }, 30);
  assertClose(centred.kl, 1.35913499742984e-24, { rel: 1e-13, abs: 0 });
  assertClose(centred.fisher, 2.41623999543271e-24, { rel: 1e-13, abs: 0 });
  const end = gaussianFlow(q, p, Number.POSITIVE_INFINITY);
  assert.deepEqual(end, { mean: -1, variance: 2.25, kl: 0, fisher: 0 });
});

test("the flow is no Schrödinger bridge: at any finite time it is still away from the target", () => {
  const state = gaussianFlow({ mean: 3, std: 0.5 }, { mean: -1, std: 1.5 }, 2);
  assertClose(state.mean, 0.644, { rel: 1e-3 });
  assert.ok(state.kl > 0.5);
});

test("among fields of equal energy none lowers KL faster than Δ", () => {
  const [p, q] = [gaussian({ mean: 0, std: 1 }), gaussian({ mean: 1, std: 0.5 })];
  const delta = scoreDifference(p, q);
  const grid = Array.from({ length: 4001 }, (_, i) => 1 + 0.5 * (-8 + (16 * i) / 4000));
  const weight = (x: number) => Math.exp(-2 * (x - 1) ** 2);
  const average = (f: (x: number) => number) =>
    grid.reduce((sum, x) => sum + weight(x) * f(x), 0) / grid.reduce((sum, x) => sum + weight(x), 0);
  const energy = average((x) => delta(x)[0] ** 2);
  const others = [(x: number) => -x, () => -1, (x: number) => Math.sin(x) - x ** 3];
  for (const field of others) {
    const scale = Math.sqrt(energy / average((x) => field(x) ** 2));
    // d KL / dη for x → x + ηφ is −E_q φΔ
    assert.ok(scale * average((x) => field(x) * delta(x)[0]) < energy * (1 - 1e-6));
  }
  // and the first variation is what it is said to be: for φ = −x, q becomes N(1 − η, 0.25(1 − η)²)
  const h = 1e-5;
  const kl = (eta: number) => kl1d(1 - eta, 0.25 * (1 - eta) ** 2, 0, 1);
  assertClose((kl(h) - kl(-h)) / (2 * h), -average((x) => -x * delta(x)[0]), { rel: 1e-6 });
});

test("losses of a GAN descend along Δ when the discriminator is optimal (F03)", () => {
  const { inputs, expected, tol_rel: rel } = oracle("F03");
  const got = ganDirections(normal(inputs.p), normal(inputs.q), inputs.x);
  assertClose(got.discriminator, expected.D, { rel });
  assertClose(got.scoreDifference[0], expected.SD, { rel });
  assertClose(got.nonSaturating[0], expected.nonsaturating, { rel });
  assertClose(got.saturating[0], expected.saturating, { rel });
  assertClose(got.logit[0], expected.logit, { rel });
  const far = ganDirections(normal([0, 1]), normal([1, 0.5]), 60); // both densities underflow
  assert.equal(far.discriminator, 1);
  assertClose(far.nonSaturating[0] / far.scoreDifference[0], Math.exp(-5160 + Math.log(2)), { abs: 1e-300 });
});

test("proxies: blurred laws are closer, and Δ_σ is a difference of denoisers (F04)", () => {
  const { inputs, expected, tol_rel: rel } = oracle("F04");
  const { sigma, y } = inputs;
  const [p, q] = [normal(inputs.p), normal(inputs.q)];
  assertClose(scoreDifference(blurred(p, sigma), blurred(q, sigma))(y)[0], expected.SD_at_y, { rel });
  assertClose((denoiser(p, sigma)(y)[0] - denoiser(q, sigma)(y)[0]) / sigma ** 2, expected.SD_at_y, { rel });
  const [blurredP, blurredQ] = [p, q].map((law) => blurred(law, sigma).components[0]);
  const kl = kl1d(blurredQ.mean[0], blurredQ.variances[0], blurredP.mean[0], blurredP.variances[0]);
  assertClose(kl, expected.kl_q_p_proxy, { rel });
  assertClose(kl1d(2, 0.25, 0, 1), expected.kl_q_p_original, { rel });
  assert.throws(() => blurred(p, 0), /sigma is 0, expected a standard deviation above 0/);
  assert.throws(() => scoreDifference(p, gaussian({ mean: [0, 0], std: 1 })), /1 dimensions and q 2/);
});

test("each step of diffusion is a step of one particle along its score difference (F05)", () => {
  const { inputs, expected, tol_rel: rel } = oracle("F05");
  const moves = diffusionMoves(gaussian({ mean: 0, std: 1 }), inputs.y, {
    sigma: inputs.sigma,
    sigmaNext: inputs.sigma_next,
  });
  assertClose(moves.denoised[0], expected.D, { rel });
  assertClose(moves.ode[0], expected.ode_mean, { rel });
  assertClose(moves.ancestralMean[0], expected.posterior_mean, { rel });
  assertClose(moves.ancestralVariance, expected.posterior_var, { rel });
  assertClose(moves.renoisedMean[0], expected.renoise_mean, { rel });
  assertClose(moves.renoisedVariance, expected.renoise_var, { rel });
  assert.throws(
    () => diffusionMoves(gaussian({ mean: 0, std: 1 }), 0, { sigma: 1, sigmaNext: 1 }),
    /sigmaNext/,
  );
});

test("DDPM's and DDIM's steps, as they are sampled, are those steps in the coordinates x_t/√ᾱ_t", () => {
  const schedule = linearSchedule();
  const p = mixture({ weights: [0.3, 0.7], means: [-1, 0.8], stds: [0.4, 0.2] });
  for (const [t, s, xt] of [
    [900, 899, 0.7],
    [500, 250, -1.1],
    [60, 20, 0.4],
  ]) {
    const signal = (at: number) => schedule.sqrtAlphaBar[at];
    const sigma = (at: number) => Math.sqrt(schedule.oneMinusAlphaBar[at]) / signal(at);
    const moves = diffusionMoves(p, xt / signal(t), { sigma: sigma(t), sigmaNext: sigma(s) });
    const [ancestral] = ancestralPlan(schedule, { variance: "betaTilde", steps: [s, t] });
    const [ddim] = ddimPlan(schedule, { steps: [s, t] });
    const taken = ({ x0Coef, xtCoef }: typeof ddim) => (x0Coef * moves.denoised[0] + xtCoef * xt) / signal(s);
    assertClose(taken(ddim), moves.ode[0], { rel: 1e-9 });
    assertClose(taken(ancestral), moves.ancestralMean[0], { rel: 1e-9 });
    assertClose((ancestral.sigmaStd / signal(s)) ** 2, moves.ancestralVariance, { rel: 1e-9 });
  }
});

test("the reverse SDE moves its law by the probability flow and half g² of the score difference", () => {
  const sde = vpSde({ betaStart: 0.5, betaEnd: 2, T: 1.5 });
  const [data, start] = [
    { mean: 0.7, std: 0.6 },
    { mean: -0.4, variance: 1.7 },
  ];
  const target = gaussian(data);
  /** Mean and variance of q as they change in reversed time under that velocity, which is linear in x. */
  const change = (t: number, [M, S]: number[]): number[] => {
    const p = marginalAt(target, sde, t);
    const delta = scoreDifference(p, gaussian({ mean: M, std: Math.sqrt(S) }));
    const velocity = (x: number) =>
      sde.driftRate(t) * x + (sde.g2(t) / 2) * scoreOf(p, x)[0] + (sde.g2(t) / 2) * delta(x)[0];
    const slope = velocity(M + 0.5) - velocity(M - 0.5);
    return [velocity(M), 2 * slope * S];
  };
  const h = sde.T / 1000;
  let state = [start.mean, start.variance];
  const moved = (by: number, rates: number[]) => state.map((value, i) => value + by * rates[i]);
  for (let i = 0; i < 1000; i++) {
    const t = sde.T - i * h;
    const middle = change(t - h / 2, moved(h / 2, change(t, state)));
    state = moved(h, middle);
  }
  const law = gaussianDynamics({ sde, ...data, start });
  assertClose(state[0], law.mean, { rel: 1e-5 });
  assertClose(state[1], law.variance, { rel: 1e-5 });
});

test("the noise-injected step is the exact gradient of KL(q_σ‖p_σ) of a cloud; the noiseless one is not", () => {
  const [sigma, cloud] = [0.6, [-0.4, 0.1, 1.3]];
  const p = gaussian({ mean: 0, std: 1 });
  const lawOf = (points: number[]) =>
    mixture({ weights: [1 / 3, 1 / 3, 1 / 3], means: points, stds: [sigma, sigma, sigma] });
  const noisyP = blurred(p, sigma).components[0].variances[0];
  const grid = Array.from({ length: 6001 }, (_, i) => -9 + (18 * i) / 6000);
  const h = grid[1] - grid[0];
  const logNormal = (x: number, mean: number, variance: number) =>
    -0.5 * (Math.log(2 * Math.PI * variance) + (x - mean) ** 2 / variance);
  const kl = (points: number[]) =>
    grid.reduce((sum, x) => {
      const density = points.reduce((total, m) => total + Math.exp(logNormal(x, m, sigma ** 2)) / 3, 0);
      return density === 0 ? sum : sum + h * density * (Math.log(density) - logNormal(x, 0, noisyP));
    }, 0);
  const delta = scoreDifference(blurred(p, sigma), lawOf(cloud));
  let largestGap = 0;
  cloud.forEach((x, i) => {
    const shifted = (by: number) => kl(cloud.map((value, j) => (j === i ? value + by : value)));
    const slope = (shifted(1e-4) - shifted(-1e-4)) / 2e-4;
    const injected = grid.reduce(
      (sum, y) => sum + h * Math.exp(logNormal(y, x, sigma ** 2)) * delta(y)[0],
      0,
    );
    assertClose(slope, -injected / 3, { rel: 1e-6, abs: 1e-9 });
    largestGap = Math.max(largestGap, Math.abs(-delta(x)[0] / 3 - slope) / Math.abs(slope));
  });
  assert.ok(largestGap > 0.2, "the two versions differ");
});

/** D(y) in float64, pair by pair. */
function plainMean(y: number[][], points: number[][], sigma: number): number[] {
  return y.flatMap((at) => {
    const logs = points.map(
      (x) => -x.reduce((sum, value, d) => sum + (value - at[d]) ** 2, 0) / (2 * sigma ** 2),
    );
    const top = Math.max(...logs);
    const weights = logs.map((log) => Math.exp(log - top));
    const total = weights.reduce((sum, w) => sum + w, 0);
    return at.map((_, d) => points.reduce((sum, x, i) => sum + (weights[i] * x[d]) / total, 0));
  });
}

test("kernel means by blocks are those of all pairs, also far away and where blocks do not divide", async () => {
  const random = rng(5);
  const points = tf.tidy(() => random.normal([2500, 2]).add(3)) as tf.Tensor2D;
  const far = tf.tidy(() =>
    random
      .normal([7, 2])
      .mul(2)
      .add(tf.tensor2d([[40, -40]])),
  ) as tf.Tensor2D;
  const near = points.slice(0, 9);
  const rows = (await points.array()) as number[][];
  for (const y of [far, near])
    for (const sigma of [0.1, 1]) {
      const got = kernelMean(y, points, sigma, { pairs: 4 * 2048 });
      assertAllClose(got.dataSync(), plainMean((await y.array()) as number[][], rows, sigma), {
        rel: 2e-3,
        abs: 2e-3,
      });
      got.dispose();
    }
  assertNoLeak(() => scoreDifferenceStep(near, { target: points, source: far, sigma: 0.5 }));
  assert.throws(() => kernelMean(near, points, 0), /sigma is 0/);
  assert.throws(() => kernelMean(near, points, Number.NaN), /sigma is NaN/);
  const other = tf.zeros([3, 5]) as tf.Tensor2D;
  assert.throws(() => kernelMean(near, other, 1), /5 dimensions and y 2/);
  assert.throws(() => kernelMean(near, tf.zeros([0, 2]) as tf.Tensor2D, 1), /at least one point/);
  const broken = tf.tidy(() => tf.concat([near, tf.fill([1, 2], Number.NaN)])) as tf.Tensor2D;
  assert.throws(() => kernelMean(near, broken, 1), /kernelMean: samples holds a number that is not finite/);
  assert.throws(
    () => scoreDifferenceStep(broken, { target: points, source: far, sigma: 1 }),
    /y holds a number that is not finite/,
  );
  broken.dispose();
  tf.dispose([points, far, near, other]);
});

test("10,000 particles against 10,000 targets: no matrix of all pairs", async () => {
  const count = 10_000;
  const [start, points] = [rng(1).normal([count, 2]).mul(1.2), rng(2).normal([count, 2])] as tf.Tensor2D[];
  const sigma = 1;
  const before = process.memoryUsage().rss;
  const { particles } = await runParticleFlow({
    start,
    target: { sample: () => points.clone() },
    sigmas: [sigma],
    noise: false,
  });
  const grown = 1024 * process.resourceUsage().maxRSS - before;
  const matrix = 4 * count ** 2; // bytes
  assert.ok(grown < matrix / 2, `memory grew by ${grown} bytes, a matrix of all pairs has ${matrix}`);
  // of N(0, I) and N(0, 1.44 I): σ²Δ_σ = y (1/(1.44 + 1) − 1/(1 + 1)), on average
  const from = start.dataSync();
  const [along, squares] = particles.reduce(
    ([dot, all], x, i) => [dot + (x - from[i]) * from[i], all + from[i] ** 2],
    [0, 0],
  );
  assertClose(along / squares, 1 / 2.44 - 1 / 2, { rel: 0.1 });
  tf.dispose([start, points]);
});

test("noise levels: ends, shapes, and what is refused", () => {
  assertAllClose(annealing({ from: 4, to: 1, steps: 3 }), [4, 2, 1]);
  assertAllClose(annealing({ from: 4, to: 1, steps: 3, shape: "cosine" }), [4, 2.5, 1]);
  assertAllClose(annealing({ from: 4, to: 1, steps: 2, shape: "constant" }), [1, 1]);
  assert.throws(() => annealing({ from: 1, to: 0, steps: 3 }), /from ≥ to > 0/);
  assert.throws(() => annealing({ from: 1, to: 2, steps: 3 }), /from ≥ to > 0/);
  assert.throws(() => annealing({ from: 1, to: 1, steps: 0 }), /steps is 0/);
});

/** `count` points that stand for a Gaussian: its quantiles in the middle of equal shares, by bisection. */
function quantiles(mean: number, std: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => {
    let [low, high] = [-6, 6];
    for (let k = 0; k < 50; k++) {
      const z = (low + high) / 2;
      if ((1 + erf(z / Math.SQRT2)) / 2 < (i + 0.5) / count) low = z;
      else high = z;
    }
    return mean + std * low;
  });
}

test("particles follow the flow between Gaussians in closed form, to 2 % of the way (F01)", async () => {
  const { q0, p } = oracle("F01").inputs;
  const [q, goal] = [q0, p].map(([mean, std]: [number, number]) => ({ mean, std }));
  const [sigma, count] = [0.1, 1500];
  const tau = 1; // σ² of it in a step
  const column = (values: number[]) => tf.tensor2d(values, [count, 1]);
  const start = column(quantiles(q.mean, q.std, count));
  const target = column(quantiles(goal.mean, goal.std, count));
  const { particles } = await runParticleFlow({
    start,
    target: { sample: () => target.clone() },
    sigmas: new Float64Array(Math.round(tau / sigma ** 2)).fill(sigma),
    noise: false,
  });
  const mean = particles.reduce((sum, x) => sum + x / count, 0);
  const variance = particles.reduce((sum, x) => sum + (x - mean) ** 2 / count, 0);
  const exact = gaussianFlow(q, goal, tau);
  assert.ok(Math.abs(mean - exact.mean) < 0.02 * (q.mean - exact.mean), `mean ${mean}, exact ${exact.mean}`);
  const gained = exact.variance - q.std ** 2;
  assert.ok(
    Math.abs(variance - exact.variance) < 0.02 * gained,
    `variance ${variance}, exact ${exact.variance}`,
  );
  tf.dispose([start, target]);
});

test("coverage counts modes, quality and evenness", () => {
  const modes = {
    means: [
      [0, 0],
      [10, 0],
    ],
    std: 1,
  };
  assert.deepEqual(modeCoverage([0, 0, 10, 1, 5, 0, 0.5, 0], modes), {
    modes: 2,
    of: 2,
    nearMode: 0.75,
    klModes: (2 / 3) * Math.log(4 / 3) + (1 / 3) * Math.log(2 / 3),
  });
  const one = modeCoverage([0, 0, 0.1, 0], modes);
  assert.equal(one.modes, 1);
  assertClose(one.klModes, Math.LN2);
  assert.throws(() => modeCoverage([0], { means: [], std: 1 }), /no modes/);
  assert.throws(() => modeCoverage([], modes), /got 0 numbers, expected points of 2 each/);
  assert.ok(Number.isNaN(modeCoverage([5, 5], modes).klModes), "no point near a mode: nothing is even");
});

const grid25 = toy("25gaussians");
const gridStd = grid25.mixture!.std;

/** Particles from a named prior on the grid, with what they are worth. */
async function onGrid(prior: PriorName, sigmas: Float64Array, { count = 500, noise = true } = {}) {
  const start = drawPrior(prior, rng(9), count);
  const { particles } = await runParticleFlow({ start, target: grid25, sigmas, noise, seed: 2 });
  start.dispose();
  return { particles, ...modeCoverage(particles, grid25.mixture!) };
}

function distance(particles: Float32Array, data: Pick<typeof grid25, "sample">) {
  const draw = (n: number, number: number) => data.sample(rng(100, number), n);
  return w2WithFloor({ data: particles, dims: 2 }, draw, { repeats: 4 });
}

test("25 modes: an annealed flow from each of five priors covers all, evenly, and below the floor of W2", async () => {
  const annealed = annealing({ from: 1, to: 2 * gridStd, steps: 200 });
  const priors = { normal: true, narrow: true, point: true, far: true, ring: false };
  for (const [prior, noise] of Object.entries(priors)) {
    const { particles, modes, nearMode, klModes } = await onGrid(prior as PriorName, annealed, { noise });
    assert.equal(modes, 25, prior);
    assert.ok(nearMode >= 0.97 && klModes <= 0.02, `${prior}: ${nearMode}, ${klModes}`);
    const { w2, floor } = distance(particles, grid25);
    assert.ok(w2 <= floor, `${prior}: W2 ${w2} above its floor ${floor}`);
  }
});

test("two ways to lose modes: without annealing about 9 are left of 25, from far with a small σ one", async () => {
  // without noise on the particles nothing carries them over the gaps that a small σ does not see across
  const small = 0.5 / 2.83;
  const options = { count: 400, noise: false };
  const constant = await onGrid("narrow", annealing({ from: small, to: small, steps: 150 }), options);
  assert.ok(constant.modes >= 7 && constant.modes <= 11, `without annealing ${constant.modes} modes`);
  const far = await onGrid("far", annealing({ from: small, to: 2 * gridStd, steps: 150 }), options);
  assert.equal(far.modes, 1);
  assert.ok(Math.min(constant.nearMode, far.nearMode) > 0.9, "and quality does not show it");
});

test("a Swiss roll flows to the grid, and back to a Swiss roll", async () => {
  const roll = toy("swissroll");
  const from = roll.sample(rng(5), 300);
  const sigmas = (to: number) => annealing({ from: 1, to, steps: 150 });
  const there = await runParticleFlow({ start: from, target: grid25, sigmas: sigmas(2 * gridStd) });
  const middle = tf.tensor2d(there.particles, there.shape);
  const back = await runParticleFlow({ start: middle, target: roll, sigmas: sigmas(0.06) });
  const { modes, nearMode } = modeCoverage(there.particles, grid25.mixture!);
  assert.ok(modes === 25 && nearMode >= 0.97, `${modes} modes, ${nearMode} near one`);
  for (const [particles, data] of [
    [there.particles, grid25],
    [back.particles, roll],
  ] as const) {
    const { w2, floor } = distance(particles, data);
    assert.ok(w2 <= floor, `${data.name}: W2 ${w2} above its floor ${floor}`);
  }
  tf.dispose([from, middle]);
});

test("a flow leaves no tensors, also when left early, and says what is wrong", async () => {
  const start = drawPrior("normal", rng(1), 20);
  const target = toy("moons");
  const before = tf.memory().numTensors;
  for await (const { step, shape } of particleFlow({ start, target, sigmas: [1, 0.5, 0.2], every: 1 })) {
    assert.deepEqual(shape, [20, 2]);
    if (step === 2) break;
  }
  assert.equal(tf.memory().numTensors, before);
  await assert.rejects(runParticleFlow({ start, target, sigmas: [0] }), /sigma is 0/);
  await assert.rejects(runParticleFlow({ start, target, sigmas: [] }), /there are no noise levels/);
  await assert.rejects(runParticleFlow({ start, target, sigmas: [1], eta: 2 }), /eta is 2/);
  const broken = tf.fill([3, 2], Number.NaN) as tf.Tensor2D;
  await assert.rejects(runParticleFlow({ start: broken, target, sigmas: [1] }), /particle 0 is NaN/);
  assert.throws(() => drawPrior("nowhere" as "far", rng(1), 3), /unknown prior "nowhere"/);
  tf.dispose([start, broken]);
});

test("in as many dimensions as a digit has pixels, particles end among the target's own points", async () => {
  const [dims, count] = [784, 40];
  const points = tf.tidy(() => rng(3).uniform([200, dims]).mul(2).sub(1)) as tf.Tensor2D;
  const start = rng(4).normal([count, dims]) as tf.Tensor2D;
  const { particles } = await runParticleFlow({
    start,
    target: { sample: () => points.clone() },
    sigmas: annealing({ from: 20, to: 0.5, steps: 30 }),
    noise: false,
  });
  const squares = tf.tidy(() => {
    const moved = tf.tensor2d(particles, [count, dims]);
    const cross = moved.matMul(points, false, true).mul(-2);
    const all = cross.add(moved.square().sum(1, true)).add(points.square().sum(1));
    return all.min(1).mean().dataSync()[0] / dims;
  });
  assert.ok(squares < 0.01, `mean square per pixel to the nearest point: ${squares}`);
  tf.dispose([points, start]);
});

test("the denoiser and its moves keep their digits under large noise", () => {
  const p = gaussian({ mean: 0, std: 1 });
  for (const sigma of [1e2, 1e5, 1e8]) {
    const want = sigma / (1 + sigma ** 2);
    assertClose(denoiser(p, sigma)(sigma)[0], want, { rel: 1e-14 });
    const moves = diffusionMoves(p, sigma, { sigma, sigmaNext: 0 });
    for (const move of [moves.denoised, moves.ode, moves.ancestralMean, moves.renoisedMean])
      assertClose(move[0], want, { rel: 1e-14 });
  }
});
