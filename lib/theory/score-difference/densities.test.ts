import assert from "node:assert/strict";
import { test } from "node:test";
import { gaussian, kl1d, mixture } from "../../elbo";
import { rng, tf, toy, w2WithFloor } from "../../index";
import { assertAllClose, assertClose, assertNoLeak, oracle } from "../../testing";
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
  tf.dispose([points, far, near, other]);
});

test("10,000 particles against 10,000 targets: no matrix of all pairs", () => {
  const [y, points] = [rng(1).normal([10_000, 2]), rng(2).normal([10_000, 2])] as tf.Tensor2D[];
  const sigma = 0.5;
  const denoised = kernelMean(y, points, sigma, { pairs: 2 ** 21 });
  // samples of N(0, I): D(y) = y/(1 + σ²), on average
  const slope = tf.tidy(() => denoised.mul(y).sum().div(y.square().sum()).dataSync()[0]);
  assertClose(slope, 1 / (1 + sigma ** 2), { rel: 0.01 });
  tf.dispose([y, points, denoised]);
});

test("noise levels: ends, shapes, and what is refused", () => {
  assertAllClose(annealing({ from: 4, to: 1, steps: 3 }), [4, 2, 1]);
  assertAllClose(annealing({ from: 4, to: 1, steps: 3, shape: "cosine" }), [4, 2.5, 1]);
  assertAllClose(annealing({ from: 4, to: 1, steps: 2, shape: "constant" }), [1, 1]);
  assert.throws(() => annealing({ from: 1, to: 0, steps: 3 }), /from ≥ to > 0/);
  assert.throws(() => annealing({ from: 1, to: 2, steps: 3 }), /from ≥ to > 0/);
  assert.throws(() => annealing({ from: 1, to: 1, steps: 0 }), /steps is 0/);
});

test("particles follow the exact Gaussian flow to 5 % of the way", async () => {
  // Δ_σ at y = x with a small η σ² per step is the flow of blurred laws; those are Gaussians too
  const [sigma, eta, steps, count] = [0.5, 0.05, 60, 1500];
  const start = tf.tidy(() => rng(3).normal([count, 1]).mul(0.5).add(3)) as tf.Tensor2D;
  const last = await runParticleFlow({
    start,
    target: { sample: (random, n) => random.normal([n, 1]).mul(1.5).sub(1) },
    sigmas: new Float64Array(steps).fill(sigma),
    batchSize: 1500,
    eta,
    noise: false,
    seed: 4,
  });
  // mean and variance by Euler's steps with the exact denoisers
  let [mean, variance] = [3, 0.25];
  const blur = sigma ** 2;
  for (let k = 0; k < steps; k++) {
    const slope = 1 + eta * blur * (1 / (variance + blur) - 1 / (2.25 + blur));
    const pull = (mean + 1) / (2.25 + blur);
    mean -= eta * blur * pull;
    variance *= slope ** 2;
  }
  const got = last.particles.reduce((sum, x) => sum + x / count, 0);
  assertClose(got - 3, mean - 3, { rel: 0.05, abs: 0.02 });
  start.dispose();
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
});

test("25 modes: an annealed flow from several priors covers all; without annealing modes are lost", async () => {
  const target = toy("25gaussians");
  const { std } = target.mixture!;
  const count = 250;
  const flowFrom = async (prior: PriorName, sigmas: Float64Array, noise: boolean) => {
    const start = drawPrior(prior, rng(9), count);
    const { particles } = await runParticleFlow({ start, target, sigmas, noise, seed: 2 });
    start.dispose();
    return { particles, ...modeCoverage(particles, target.mixture!) };
  };
  const annealed = annealing({ from: 1, to: 2 * std, steps: 120 });
  for (const [prior, noise] of [
    ["normal", true],
    ["far", true],
    ["ring", false],
  ] as const) {
    const { particles, modes, nearMode, klModes } = await flowFrom(prior, annealed, noise);
    assert.equal(modes, 25, prior);
    assert.ok(nearMode >= 0.95 && klModes <= 0.03, `${prior}: ${nearMode}, ${klModes}`);
    const draw = (n: number, number: number) => target.sample(rng(100 + number), n);
    const { w2, floor } = w2WithFloor({ data: particles, dims: 2 }, draw, { repeats: 2 });
    assert.ok(w2 <= floor, `${prior}: W2 ${w2} above its floor ${floor}`);
  }
  // without noise on the particles nothing carries them over the gaps that a small σ does not see across
  const [small, end] = [0.5 / 2.83, 2 * std];
  const constant = await flowFrom("narrow", annealing({ from: small, to: small, steps: 100 }), false);
  assert.ok(constant.modes <= 15, `without annealing ${constant.modes} modes`);
  const far = await flowFrom("far", annealing({ from: small, to: end, steps: 100 }), false);
  assert.ok(far.modes <= 3, `from far with a small σ ${far.modes} modes`);
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
