import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ancestralPlan,
  cosineSchedule,
  linearSchedule,
  PARAMETERIZATIONS,
  type Parameterization,
  posteriorTables,
  type Schedule,
  sample,
  scheduleFromBetas,
  VARIANCES,
  type Variance,
} from "../../diffusion";
import { rng, tf } from "../../tensor";
import { assertAllClose, assertClose, numbersFrom, oracle } from "../../testing";
import { evaluateBound } from "../bound";
import { entropy1d, kl1d } from "../gaussian";
import { estimate } from "../statistics";
import { dataSet, diffused, gaussian, mixture, noised } from "./distribution";
import { affineBound, entropyOf, exactBound, exactRateDistortion, modelMoments } from "./exact";
import { minimumLoss, minimumSimpleLoss, optimal, optimalPredict } from "./optimal";

const schedule = linearSchedule();
const sum = (values: ArrayLike<number>) => Array.from(values).reduce((total, value) => total + value, 0);

test("N(0, 1) data with σ² = β: the bound is ½ ln(2πe), every term in closed form (G01)", () => {
  const { expected, tol_rel: rel } = oracle("G01");
  const bound = exactBound(gaussian({ mean: 0, std: 1 }), schedule, "beta");
  assertClose(bound.L_T, expected.L_T, { rel });
  assertClose(sum(bound.L_t), expected.sum_L, { rel });
  assertClose(bound.L_0, expected.L_0, { rel });
  assertClose(bound.total, expected.total, { rel });
  assertClose(bound.total, entropy1d(1), { rel: 1e-13 });
  const { oneMinusAlphaBar: noise } = schedule;
  bound.L_t.forEach((term, i) => {
    assertClose(term, 0.5 * Math.log(noise[i + 2] / noise[i + 1]), { rel: 1e-11 });
  });
});

test("N(0.5, 0.25) data, both variances: terms, NLL, entropy, generated moments (G03)", () => {
  const { inputs, expected, tol_rel: rel, tol_abs: abs } = oracle("G03");
  const data = gaussian({ mean: inputs.m, std: inputs.s });
  for (const variance of VARIANCES) {
    const want = expected[variance === "beta" ? "beta" : "beta_tilde"];
    const bound = exactBound(data, schedule, variance);
    const moments = modelMoments(data, schedule, variance);
    const got: Record<string, number> = {
      L_T: bound.L_T,
      sum_L: sum(bound.L_t),
      L_0: bound.L_0,
      total: bound.total,
      nll: bound.nll ?? Number.NaN,
      entropy: bound.entropy,
      gap_elbo: bound.total - (bound.nll ?? Number.NaN),
      gap_nll: (bound.nll ?? Number.NaN) - bound.entropy,
      gen_mean: moments.mean[0],
      gen_var: moments.variances[0],
      gen_mean_noiseless: moments.mean[0],
      gen_var_noiseless: moments.variancesNoiseless[0],
    };
    for (const [name, value] of Object.entries(want))
      assertClose(got[name], value as number, { rel, abs, what: name });
    assert.deepEqual(Object.keys(got).sort(), Object.keys(want).sort());
    assert.equal(bound.steps, 1000);
    assert.equal(bound.L_t.length, 999);
    assertClose(bound.alphaBarT, 4.035829765375687e-5, { rel: 1e-9 });
    assertClose(bound.bitsPerDim, want.total / Math.LN2, { rel });
  }
});

test("the least L_simple, and the least losses per kind (G08)", () => {
  const { inputs, expected, tol_rel: rel } = oracle("G08");
  for (const s of inputs.s)
    assertClose(minimumSimpleLoss(gaussian({ mean: 3, std: s }), schedule), expected[`s=${s}`], { rel });
  const s2 = 0.25;
  const data = gaussian({ mean: 0.5, std: 0.5 });
  const { c0 } = posteriorTables(schedule);
  for (const t of [1, 2, 500, 1000]) {
    const [signal, noise] = [schedule.alphaBar[t], schedule.oneMinusAlphaBar[t]];
    const v = signal * s2 + noise;
    const expectedLosses = {
      eps: (signal * s2) / v,
      x0: (s2 * noise) / v,
      v: s2 / v,
      mean: (c0[t] ** 2 * s2 * noise) / v,
      score: (signal * s2) / (noise * v),
    };
    for (const [kind, want] of Object.entries(expectedLosses))
      assertClose(minimumLoss(data, schedule, kind as "eps")[t], want, {
        rel: 1e-12,
        what: `${kind} at ${t}`,
      });
  }
});

/** The bound of a 1-D mixture by brute force: E ‖score‖² on one wide, fine grid (math.md 1.10 b). */
function bruteBound(w: number[], m: number[], s: number[], variance: Variance, T = 40) {
  const short = linearSchedule({ numSteps: T, betaStart: 0.1 / T, betaEnd: 20 / T });
  const { betaTilde } = posteriorTables(short);
  const moment = sum(w.map((weight, k) => weight * (m[k] ** 2 + s[k] ** 2)));
  const density = (x: number, t: number) => {
    let [q, slope] = [0, 0];
    w.forEach((weight, k) => {
      const v = short.alphaBar[t] * s[k] ** 2 + short.oneMinusAlphaBar[t];
      const u = x - short.sqrtAlphaBar[t] * m[k];
      const part = (weight * Math.exp((-u * u) / (2 * v))) / Math.sqrt(2 * Math.PI * v);
      q += part;
      slope -= (part * u) / v;
    });
    return [q, slope];
  };
  let [total, dataEntropy] = [0, 0];
  const h = 0.001;
  for (let x = -9; x <= 9; x += h) {
    const [q] = density(x, 0);
    if (q > 0) dataEntropy -= h * q * Math.log(q);
  }
  for (let t = 1; t <= T; t++) {
    let fisher = 0;
    for (let x = -9; x <= 9; x += h) {
      const [q, slope] = density(x, t);
      if (q > 0) fisher += (h * slope * slope) / q;
    }
    const least = 1 - short.oneMinusAlphaBar[t] * fisher;
    const sigma2 = variance === "beta" ? short.betaVar[t] : betaTilde[Math.max(t, 2)];
    const weight = short.betaVar[t] ** 2 / (2 * sigma2 * short.alpha[t] * short.oneMinusAlphaBar[t]);
    total +=
      weight * least + (t === 1 ? 0.5 * Math.log(2 * Math.PI * sigma2) : kl1d(0, betaTilde[t], 0, sigma2));
  }
  total += 0.5 * (short.alphaBar[T] * moment - short.alphaBar[T] - Math.log(short.oneMinusAlphaBar[T]));
  return { total, dataEntropy, short };
}

test("mixtures: the bound and the entropy agree with brute force to 1e-9", () => {
  const cases: [number[], number[], number[]][] = [
    [
      [0.3, 0.7],
      [-1.5, 1],
      [0.4, 0.6],
    ],
    [
      [0.5, 0.5],
      [-1, 1],
      [0.3, 0.3],
    ],
    [
      [0.2, 0.5, 0.3],
      [-2, 0, 1.5],
      [0.05, 1.2, 0.1],
    ],
  ];
  for (const [weights, means, stds] of cases)
    for (const variance of VARIANCES) {
      const { total, dataEntropy, short } = bruteBound(weights, means, stds, variance);
      const bound = exactBound(mixture({ weights, means, stds }), short, variance);
      assertClose(bound.total, total, { abs: 1e-9, what: "total" });
      assertClose(bound.entropy, dataEntropy, { abs: 1e-9, what: "entropy" });
      assert.equal(bound.nll, undefined);
    }
});

test("a mixture of one, or of two halves of the same Gaussian, has that Gaussian's bound", () => {
  const short = cosineSchedule({ numSteps: 25 });
  const one = exactBound(gaussian({ mean: 0.4, std: 0.7 }), short, "betaTilde");
  for (const weights of [[1], [0.25, 0.75]]) {
    const same = mixture({ weights, means: weights.map(() => 0.4), stds: weights.map(() => 0.7) });
    const bound = exactBound(same, short, "betaTilde");
    assertAllClose([...bound.L_t, bound.total, bound.entropy], [...one.L_t, one.total, one.entropy], {
      rel: 1e-12,
    });
  }
});

test("more dimensions: independent ones average, and turning the axes changes nothing", () => {
  const short = linearSchedule({ numSteps: 30, betaStart: 0.003, betaEnd: 0.6 });
  const [c, s] = [Math.cos(0.6), Math.sin(0.6)];
  const [a, b] = [1.7, 0.2];
  const covariance = [
    [c * c * a + s * s * b, c * s * (a - b)],
    [c * s * (a - b), s * s * a + c * c * b],
  ];
  const mean = [c * 0.5 - s * -1, s * 0.5 + c * -1];
  for (const variance of VARIANCES) {
    const turned = exactBound(gaussian({ mean, covariance }), short, variance);
    const straight = exactBound(
      gaussian({ mean: [0.5, -1], std: [Math.sqrt(a), Math.sqrt(b)] }),
      short,
      variance,
    );
    const [first, second] = [
      gaussian({ mean: 0.5, std: Math.sqrt(a) }),
      gaussian({ mean: -1, std: Math.sqrt(b) }),
    ].map((data) => exactBound(data, short, variance));
    for (const name of ["L_T", "L_0", "total", "nll", "entropy"] as const) {
      assertClose(turned[name] as number, straight[name] as number, { rel: 1e-12, what: name });
      const average = ((first[name] as number) + (second[name] as number)) / 2;
      assertClose(turned[name] as number, average, { rel: 1e-12, what: name });
    }
    const moments = modelMoments(gaussian({ mean, covariance }), short, variance);
    const plain = modelMoments(
      gaussian({ mean: [0.5, -1], std: [Math.sqrt(a), Math.sqrt(b)] }),
      short,
      variance,
    );
    assertAllClose(
      moments.mean,
      [c * plain.mean[0] - s * plain.mean[1], s * plain.mean[0] + c * plain.mean[1]],
      {
        rel: 1e-12,
      },
    );
  }
});

test("two dimensions by quadrature: a mixture apart along one axis is the product of two 1-D problems", () => {
  const short = linearSchedule({ numSteps: 25, betaStart: 0.004, betaEnd: 0.8 });
  const apart = exactBound(mixture({ weights: [0.4, 0.6], means: [-1, 1], stds: [0.4, 0.4] }), short, "beta");
  const plain = exactBound(gaussian({ mean: 0.2, std: 0.4 }), short, "beta");
  const means = [
    [-1, 0.2],
    [1, 0.2],
  ];
  const both = exactBound(mixture({ weights: [0.4, 0.6], means, stds: [0.4, 0.4] }), short, "beta");
  for (const name of ["L_T", "L_0", "total", "entropy"] as const)
    assertClose(both[name], (apart[name] + plain[name]) / 2, { rel: 1e-10, what: name });
});

test("bound ≥ NLL ≥ entropy, for random Gaussians, mixtures and schedules", () => {
  const random = numbersFrom(1);
  for (let trial = 0; trial < 40; trial++) {
    const T = 2 + Math.floor(random() * 60);
    const betas = Array.from({ length: T }, () => 0.001 + 0.9 * random() ** 3);
    const any = scheduleFromBetas(betas, { allowPriorMismatch: true });
    for (const variance of VARIANCES) {
      const data = gaussian({ mean: 4 * random() - 2, std: 0.05 + 2 * random() });
      const bound = exactBound(data, any, variance);
      const nll = bound.nll as number;
      assert.ok(
        bound.total >= nll - 1e-12 && nll >= bound.entropy - 1e-12,
        JSON.stringify({ data, betas, variance }),
      );
    }
    if (trial % 10 !== 0) continue;
    const w = 0.1 + 0.8 * random();
    const two = mixture({ weights: [w, 1 - w], means: [-1, random()], stds: [0.1 + random(), 0.2] });
    const bound = exactBound(two, any, "betaTilde");
    assert.ok(bound.total >= bound.entropy, JSON.stringify({ two, betas }));
  }
});

test("a single point: with β̃ nothing is left to learn, and the entropy is −∞", () => {
  const short = cosineSchedule({ numSteps: 12 });
  const bound = exactBound(dataSet([0.7]), short, "betaTilde");
  assertAllClose(
    bound.L_t,
    bound.L_t.map(() => 0),
    { abs: 1e-15 },
  );
  assert.equal(bound.entropy, Number.NEGATIVE_INFINITY);
});

test("two points: telling them apart costs a bit, and a little more for each step's length", () => {
  const bits = [250, 500, 1000].map((numSteps) => {
    const fine = linearSchedule({ numSteps, betaStart: 0.1 / numSteps, betaEnd: 20 / numSteps });
    return sum(exactBound(dataSet([-0.5, 0.5]), fine, "betaTilde").L_t) / Math.LN2;
  });
  const excess = bits.map((value) => value - 1);
  assert.ok(
    excess.every((value) => value > 0),
    `${bits}`,
  );
  assertClose(excess[1] / excess[2], 2, { rel: 0.1 }); // a Riemann sum of ½∫ Var(x_0 | x_t) dSNR: its error is O(1/T)
  assertClose(2 * bits[2] - bits[1], 1, { abs: 2e-3 });
});

test("progressive coding of N(0, 1) lies on Shannon's curve D = 2^{−2R}", () => {
  const { rate, distortionPerDim } = exactRateDistortion(gaussian({ mean: 0, std: 1 }), schedule, "beta");
  assertClose(rate[500], 0.0590403, { abs: 5e-8 });
  assertClose(Math.sqrt(distortionPerDim[500]), 0.959902, { abs: 5e-7 });
  for (let t = 1; t <= 1000; t++) {
    assertClose(rate[t], -0.5 * Math.log2(schedule.oneMinusAlphaBar[t]), { rel: 1e-10 });
    assertClose(distortionPerDim[t], 2 ** (-2 * rate[t]), { rel: 1e-10 });
  }
  assert.equal(rate[0], rate[1]);
});

test("points with noise are a mixture: far apart, their entropy is that of the noise and of the choice", () => {
  const points = dataSet([-0.5, 0, 0.5]);
  const noisy = noised(points, schedule, 1);
  assert.equal(noisy.kind, "mixture");
  const want = entropy1d(schedule.oneMinusAlphaBar[1]) + Math.log(3);
  assertClose(entropyOf(noisy), want, { rel: 1e-10 });
  assertClose(entropyOf(diffused(dataSet([[1, 2]]), { signal: 3, noise2: 0.2 })), 2 * entropy1d(0.2));
  for (const still of [noised(points, schedule, 0), diffused(points, { signal: 2, noise2: 0 })]) {
    assert.equal(still.kind, "dataSet");
    assert.equal(entropyOf(still), Number.NEGATIVE_INFINITY);
  }
  assert.equal(noised(gaussian({ mean: 1, std: 2 }), schedule, 500).kind, "gaussian");
});

test("without the last step's noise very narrow data come out narrow: two steps by hand", () => {
  const two = scheduleFromBetas([0.3, 0.9], { allowPriorMismatch: true });
  const s2 = 1e-20;
  const [v1, v2] = [0.7 * s2 + 0.3, 0.07 * s2 + 0.93]; // of x_1 and x_2
  const beforeLast = (Math.sqrt(0.1) * (v1 / v2)) ** 2 + 0.9;
  const want = ((Math.sqrt(0.7) * s2) / v1) ** 2 * beforeLast;
  const moments = modelMoments(gaussian({ mean: 0.5, std: Math.sqrt(s2) }), two, "beta");
  assertClose(moments.variancesNoiseless[0], want, { rel: 1e-13, abs: 0 });
  assertClose(moments.variances[0], 0.3, { rel: 1e-13 });
});

test("moments of the model are for Gaussian data only", () => {
  const two = mixture({ weights: [0.5, 0.5], means: [0, 1], stds: [1, 1] });
  assert.throws(
    () => modelMoments(two, schedule, "beta"),
    /modelMoments: the data is a mixture, expected a Gaussian/,
  );
  const three = mixture({
    weights: [0.5, 0.5],
    means: [
      [0, 0, 0],
      [1, 1, 1],
    ],
    stds: [1, 1],
  });
  assert.throws(
    () => exactBound(three, schedule, "beta"),
    /expectation: the mixture has 3 dimensions, expected 1 or 2/,
  );
});

test("sampling from the optimal network gives the model's own mean and variance, not the data's", async () => {
  const short = linearSchedule({ numSteps: 25, betaStart: 0.004, betaEnd: 0.8 });
  const data = gaussian({ mean: [0.5, -1], std: [0.5, 1.3] });
  const count = 6000;
  for (const variance of VARIANCES)
    for (const lastStepNoise of [true, false]) {
      const model = {
        schedule: short,
        parameterization: "v",
        variance,
        predict: optimalPredict(data, short, "v"),
      } as const;
      const plan = ancestralPlan(short, { variance, lastStepNoise });
      const x = await sample(model, [count, 2], { rng: rng(4), plan });
      const moments = modelMoments(data, short, variance);
      const want = lastStepNoise ? moments.variances : moments.variancesNoiseless;
      [0, 1].forEach((axis) => {
        const values = Array.from(x.slice([0, axis], [count, 1]).dataSync());
        const { mean } = estimate(values);
        const spread = sum(values.map((value) => (value - mean) ** 2)) / count;
        assertClose(mean, moments.mean[axis], { abs: 4 * Math.sqrt(want[axis] / count) });
        assertClose(spread, want[axis], { abs: 4 * want[axis] * Math.sqrt(2 / count), what: variance });
      });
    }
});

/** The optimal network of N(0.5, 0.6²) as tables, with its output changed: `scale` and `shift` times 1 + slip(t). */
function slipped(kind: Parameterization, any: Schedule, slip: (t: number) => number) {
  const predict = optimal(gaussian({ mean: 0.5, std: 0.6 }), any, kind);
  const table = (at: (t: number) => number) =>
    Float64Array.from({ length: any.numSteps + 1 }, (_, t) => (t === 0 ? 0 : at(t) * (1 + slip(t))));
  const shift = table((t) => predict(0, t)[0]);
  return { parameterization: kind, shift, scale: table((t) => predict(1, t)[0] - predict(0, t)[0]) };
}

test("affine networks: without a slip the optimal network, with any slip bound ≥ NLL ≥ entropy", () => {
  const random = numbersFrom(7);
  const data = gaussian({ mean: 0.5, std: 0.6 });
  for (const any of [schedule, cosineSchedule({ numSteps: 9 }), scheduleFromBetas([0.02, 0.3, 0.7, 0.98])])
    for (const variance of VARIANCES)
      for (const kind of PARAMETERIZATIONS) {
        const best = exactBound(data, any, variance);
        const same = affineBound(
          data,
          any,
          variance,
          slipped(kind, any, () => 0),
        );
        for (const name of ["L_0", "total", "nll", "entropy", "bitsPerDim"] as const)
          assertClose(same[name] as number, best[name] as number, { rel: 1e-10, what: `${kind} ${name}` });
        const worse = affineBound(
          data,
          any,
          variance,
          slipped(kind, any, () => 0.02 * random() - 0.01),
        );
        const nll = worse.nll as number;
        assert.ok(worse.total > best.total && worse.total >= nll && nll >= worse.entropy, kind);
      }
});

test("an affine network's NLL is that of its chain, by quadrature over every x_{t−1} given x_t", () => {
  const short = scheduleFromBetas([0.05, 0.3, 0.6, 0.9], { allowPriorMismatch: true });
  const data = gaussian({ mean: 0.5, std: 0.6 });
  const grid = Array.from({ length: 1201 }, (_, i) => -9 + (18 * i) / 1200);
  const h = grid[1] - grid[0];
  const normal = (x: number, mean: number, variance: number) =>
    Math.exp(-((x - mean) ** 2) / (2 * variance)) / Math.sqrt(2 * Math.PI * variance);
  const { scale, shift } = slipped("mean", short, (t) => 0.03 * t);
  let density = grid.map((x) => normal(x, 0, 1));
  for (let t = 4; t >= 1; t--)
    density = grid.map((to) =>
      sum(grid.map((x, i) => h * density[i] * normal(to, scale[t] * x + shift[t], short.betaVar[t]))),
    );
  const nll = -sum(grid.map((x, i) => h * normal(x, 0.5, 0.36) * Math.log(density[i])));
  const got = affineBound(data, short, "beta", { parameterization: "mean", scale, shift });
  assertClose(got.nll as number, nll, { rel: 1e-9 });
});

test("an affine network's bound is evaluateBound's, within 4 standard errors", async () => {
  const short = cosineSchedule({ numSteps: 12 });
  const prediction = slipped("eps", short, (t) => 0.3 - 0.04 * t);
  const exact = affineBound(gaussian({ mean: 0.5, std: 0.6 }), short, "betaTilde", prediction);
  const { scale, shift } = prediction;
  const at = (table: Float64Array, t: tf.Tensor1D) => tf.gather(tf.tensor1d([...table]), t).expandDims(1);
  const model = {
    schedule: short,
    parameterization: "eps",
    variance: "betaTilde",
    predict: (xt: tf.Tensor, t: tf.Tensor1D) => xt.mul(at(scale, t)).add(at(shift, t)),
  } as const;
  const x0 = rng(31).normal([20000, 1]).mul(0.6).add(0.5);
  const got = await evaluateBound(model, x0, { rng: rng(32) });
  assertClose(got.total, exact.total, { abs: 4 * got.standardError, what: "total" });
  got.L_t.forEach((term, i) => {
    assertClose(term, exact.L_t[i], { abs: 4 * got.L_tStandardError[i], what: `L_${i + 1}` });
  });
});

test("affineBound is for Gaussian data in one dimension, with a table entry for each t", () => {
  const two = gaussian({ mean: [0, 0], std: 1 });
  const ones = { parameterization: "eps", scale: new Float64Array(4), shift: new Float64Array(4) } as const;
  assert.throws(
    () => affineBound(two, schedule, "beta", ones),
    /affineBound: the data is a gaussian in 2 dimensions, expected a Gaussian in one\. Use evaluateBound\./,
  );
  assert.throws(
    () => affineBound(gaussian({ mean: 0, std: 1 }), schedule, "beta", ones),
    /affineBound: scale and shift have lengths 4 and 4, expected 1001 \(entry 0 a dummy\)/,
  );
});

test("the entropy of parts far from each other, against a sum over a fine grid", () => {
  const far = mixture({ weights: [0.5, 0.5], means: [0, 8], stds: [1, 0.5] });
  let want = 0;
  for (let i = -12_000; i <= 20_000; i++) {
    const x = i / 1000;
    const bump = (mean: number, std: number) =>
      Math.exp(-0.5 * ((x - mean) / std) ** 2) / (std * Math.sqrt(2 * Math.PI));
    const density = 0.5 * bump(0, 1) + 0.5 * bump(8, 0.5);
    want -= density * Math.log(density) * 1e-3;
  }
  assertClose(entropyOf(far), want, { rel: 3e-12 });
});
