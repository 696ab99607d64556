import assert from "node:assert/strict";
import { test } from "node:test";
import {
  conversion,
  cosineSchedule,
  linearSchedule,
  PARAMETERIZATIONS,
  qSample,
  target,
} from "../../diffusion";
import { rng, tf } from "../../tensor";
import { assertAllClose, assertClose, assertNoLeak, oracle } from "../../testing";
import { estimate } from "../statistics";
import {
  type Component,
  dataSet,
  diffused,
  drawFrom,
  gaussian,
  logDensityOf,
  mixture,
  noised,
  responsibilities,
  scoreOf,
} from "./distribution";
import { minimumLoss, optimal, optimalPredict, posteriorVariances } from "./optimal";
import { expectation } from "./quadrature";

const schedule = linearSchedule();

test("optimal predictors of N(0.5, 0.25) at a point (G06)", () => {
  const { inputs, expected, tol_rel: rel } = oracle("G06");
  const data = gaussian({ mean: inputs.m, std: inputs.s });
  const names = { score: "score", eps: "eps", x0: "x0", v: "v", mean: "mu" } as const;
  for (const kind of PARAMETERIZATIONS)
    assertClose(optimal(data, schedule, kind)(inputs.x, inputs.t)[0], expected[names[kind]], {
      rel,
      what: kind,
    });
});

test("a mixture's density, score and optimal predictors (M01)", () => {
  const { inputs, expected, tol_rel: rel } = oracle("M01");
  const data = mixture({ weights: inputs.w, means: inputs.m, stds: inputs.s });
  for (const t of inputs.t) {
    const want = expected[`t=${t}`];
    assertClose(logDensityOf(noised(data, schedule, t), inputs.x), want.logq, { rel });
    for (const kind of ["score", "eps", "x0"] as const)
      assertClose(optimal(data, schedule, kind)(inputs.x, t)[0], want[kind], { rel, what: kind });
  }
});

const tilted = mixture({
  weights: [0.2, 0.5, 0.3],
  means: [
    [0, 1],
    [-1, 0.5],
    [0.3, -0.4],
  ],
  covariances: [
    [
      [0.5, 0.2],
      [0.2, 0.3],
    ],
    [
      [0.1, 0],
      [0, 1],
    ],
    [
      [0.4, -0.3],
      [-0.3, 0.4],
    ],
  ],
});

test("the score is the gradient of the log-density, also with tilted axes", () => {
  for (const t of [0, 1, 300]) {
    const at = noised(tilted, schedule, t);
    const x = [0.2, 0.7];
    const h = 1e-5;
    const slope = x.map((_, i) => {
      const [up, down] = [1, -1].map((sign) =>
        logDensityOf(
          at,
          x.map((value, j) => value + (i === j ? sign * h : 0)),
        ),
      );
      return (up - down) / (2 * h);
    });
    assertAllClose(scoreOf(at, x), slope, { rel: 1e-7 });
  }
});

test("for points, x0* is their softmax-weighted mean", () => {
  const points = [
    [0, 1],
    [0.5, -1],
    [-2, 0.3],
  ];
  const x = [0.1, 0.2];
  for (const t of [50, 400, 1000]) {
    const [signal, noise] = [schedule.sqrtAlphaBar[t], schedule.oneMinusAlphaBar[t]];
    const logits = points.map(
      (p) => -((x[0] - signal * p[0]) ** 2 + (x[1] - signal * p[1]) ** 2) / (2 * noise),
    );
    const weights = logits.map((logit) => Math.exp(logit - Math.max(...logits)));
    const total = weights.reduce((a, b) => a + b);
    const want = x.map((_, i) => points.reduce((sum, p, k) => sum + (weights[k] / total) * p[i], 0));
    assertAllClose(optimal(dataSet(points), schedule, "x0")(x, t), want, { rel: 1e-9, abs: 1e-12 });
  }
});

test("points of as many dimensions as an image: E[x_0 | x_t] in closed form, without a matrix of dims × dims", () => {
  const dims = 3 * 64 * 64;
  const [a, b] = [0.4, -0.3];
  const points = dataSet([a, b].map((value) => new Array<number>(dims).fill(value)));
  const t = 600;
  const [signal, noise2] = [schedule.sqrtAlphaBar[t], schedule.oneMinusAlphaBar[t]];
  const middle = 0.5 * signal * (a + b) + 1e-5;
  const share = 1 / (1 + Math.exp((-dims * signal * (a - b) * 1e-5) / noise2)); // of a
  const x0 = share * a + (1 - share) * b;
  const want = { x0, eps: (middle - signal * x0) / Math.sqrt(noise2) };
  const before = process.cpuUsage().user;
  for (const kind of ["x0", "eps"] as const) {
    const got = optimal(points, schedule, kind)(new Array<number>(dims).fill(middle), t);
    for (const i of [0, dims - 1]) assertClose(got[i], want[kind], { rel: 1e-7, abs: 1e-8, what: kind });
  }
  const seconds = (process.cpuUsage().user - before) / 1e6;
  assert.ok(seconds < 1, `took ${seconds} s of processor time`);
});

test("the optimal network on tensors is the optimal function of numbers", () => {
  const data = {
    tilted,
    points: dataSet([
      [0, 1],
      [0.5, -1],
      [-2, 0.3],
    ]),
    plain: gaussian({ mean: [1, 2], std: [0.5, 2] }),
  };
  const t = tf.tensor1d([20, 300, 800], "int32");
  const xt = tf.tensor3d([0.2, 0.7, -1, 0.4, 1.5, -2], [3, 1, 2]);
  const rows = [
    [0.2, 0.7],
    [-1, 0.4],
    [1.5, -2],
  ];
  for (const [name, distribution] of Object.entries(data))
    for (const kind of PARAMETERIZATIONS) {
      const predict = optimalPredict(distribution, schedule, kind);
      const out = predict(xt, t);
      assert.deepEqual(out.shape, [3, 1, 2]);
      const want = rows.flatMap((x, i) => optimal(distribution, schedule, kind)(x, [20, 300, 800][i]));
      assertAllClose(out.dataSync(), want, { rel: 2e-4, abs: 2e-5, what: `${kind} for ${name}` });
      assertNoLeak(() => predict(xt, t));
    }
  assert.throws(
    () => optimalPredict(tilted, schedule, "eps")(tf.ones([2, 3]), tf.ones([2], "int32")),
    /optimalPredict: xt has shape \[2,3\], expected 2 numbers per example/,
  );
});

test("where next to no signal is left, x0* and v* are still those of float64", () => {
  const data = mixture({ weights: [0.3, 0.7], means: [-1, 0.8], stds: [0.4, 0.2] });
  const points = [0.7, -1.3, 2.1];
  const schedules = [
    cosineSchedule(),
    linearSchedule({ numSteps: 4000 }),
    linearSchedule({ numSteps: 20_000 }),
  ];
  for (const long of schedules) {
    const T = long.numSteps;
    for (const kind of PARAMETERIZATIONS) {
      const predict = optimalPredict(data, long, kind);
      const got = tf.tidy(() => predict(tf.tensor2d(points, [3, 1]), tf.fill([3], T, "int32")).dataSync());
      const want = points.map((x) => optimal(data, long, kind)(x, T)[0]);
      assertAllClose(got, want, { rel: 1e-5, abs: 1e-6, what: `${kind} after ${T} steps` });
    }
    // x_T says nothing of x_0 beyond Cov(x_0, x_T)·x = √ᾱ Var(x_0)·x, and what is of second order in √ᾱ
    const signal = long.sqrtAlphaBar[T];
    const variance = 0.3 * (1 + 0.16) + 0.7 * (0.64 + 0.04) - 0.26 ** 2;
    for (const x of points) {
      const x0 = optimal(data, long, "x0")(x, T)[0];
      assertClose(x0, 0.26 + signal * variance * x, { rel: 0, abs: 1e-14 + 5 * signal ** 2 });
    }
  }
});

test("the least losses are what the optimal network leaves, within Monte Carlo error", () => {
  const count = 20000;
  for (const t of [5, 200, 700])
    for (const kind of PARAMETERIZATIONS) {
      const draws = tf.tidy(() => {
        const random = rng(7, t);
        const x0 = drawFrom(tilted, count, random);
        const eps = random.normal([count, 2]);
        const steps = tf.fill([count], t, "int32") as tf.Tensor1D;
        const xt = qSample(schedule, x0, steps, eps);
        const out = optimalPredict(tilted, schedule, kind)(xt, steps);
        return target(schedule, kind, x0, eps, steps).sub(out).square().sum(1).dataSync();
      });
      const { mean, standardError } = estimate(draws);
      const least = leastAt(kind, t);
      assertClose(mean, least, { abs: 4 * standardError, what: `${kind} at t = ${t}` });
    }
});

const variances = new Map<number, number>();
function leastAt(kind: (typeof PARAMETERIZATIONS)[number], t: number): number {
  if (!variances.has(t)) {
    // A schedule of one step with the same ᾱ has the same marginal, and needs one quadrature instead of 1000.
    const single = linearSchedule({
      numSteps: 1,
      betaStart: schedule.oneMinusAlphaBar[t],
      allowPriorMismatch: true,
    });
    variances.set(t, posteriorVariances(tilted, single)[1]);
  }
  return conversion(schedule, "x0", kind).scale[t] ** 2 * (variances.get(t) as number);
}

test("minimumLoss is the same number through any quadrature or closed form", () => {
  const short = linearSchedule({ numSteps: 20, betaStart: 0.005, betaEnd: 0.9 });
  const halves = mixture({ weights: [0.5, 0.5], means: [0.3, 0.3], stds: [0.8, 0.8] });
  const closed = minimumLoss(gaussian({ mean: 0.3, std: 0.8 }), short, "v");
  assertAllClose(minimumLoss(halves, short, "v"), closed, { rel: 1e-12 });
});

test("draws have the distribution's mean and covariance", () => {
  const count = 40000;
  const x = drawFrom(tilted, count, rng(3));
  const [first, second] = [0, 1].map((axis) => x.slice([0, axis], [count, 1]).dataSync());
  x.dispose();
  const check = (values: number[], want: number, what: string) => {
    const { mean, standardError } = estimate(values);
    assertClose(mean, want, { abs: 4 * standardError, what });
  };
  check(Array.from(first), 0.2 * 0 + 0.5 * -1 + 0.3 * 0.3, "E x");
  check(Array.from(second), 0.2 + 0.25 - 0.12, "E y");
  check(
    Array.from(first, (value, i) => value * second[i]),
    0.2 * 0.2 + 0.5 * (0 - 0.5) + 0.3 * (-0.3 - 0.12),
    "E xy",
  );
});

test("over points without noise an expectation is a sum, and there is no density", () => {
  const points = dataSet([1, 3]);
  assert.equal(
    expectation(points, ([x]) => x),
    2,
  );
  const plane = dataSet([
    [0, 1],
    [2, -1],
    [4, 3],
  ]);
  assertClose(
    expectation(plane, ([x, y]) => x * y),
    10 / 3,
  );
  const mixed = (...components: Component[]) =>
    ({ kind: "mixture", dims: components[0].mean.length, components }) as const;
  const besideGaussian = mixed(
    { weight: 0.25, mean: [2], variances: [0] },
    { weight: 0.75, mean: [-1], variances: [0.49] },
  );
  assertClose(
    expectation(besideGaussian, ([x]) => x * x),
    0.25 * 4 + 0.75 * 1.49,
  );
  const flat = mixed({ weight: 1, mean: [0.3, 2], variances: [0.09, 0] });
  assertClose(
    expectation(flat, ([x, y]) => Math.exp(x) * y),
    2 * Math.exp(0.345),
  );
  for (const [name, ask] of Object.entries({ logDensityOf, scoreOf }))
    assert.throws(
      () => ask(points, 1),
      new RegExp(`${name}: component 0 of the dataSet has variances \\[0\\], expected all above 0.*noised`),
    );
  assert.throws(() => responsibilities(points, [1]), /responsibilities: component 0/);
  assert.throws(() => logDensityOf(flat, [0, 2]), /variances \[0.09, 0\]/);
});

test("points of another length and times off the schedule are refused", () => {
  const plane = gaussian({ mean: [0, 0], std: 1 });
  const message = /x has 1 entries, expected 2 as the gaussian has\. Pass an array of 2\./;
  assert.throws(() => logDensityOf(plane, 0.5), message);
  assert.throws(() => scoreOf(plane, [0.5]), message);
  assert.throws(() => responsibilities(plane, [0.5]), message);
  for (const kind of PARAMETERIZATIONS)
    assert.throws(() => optimal(plane, schedule, kind)(0.5, 3), message, kind);
  assert.throws(() => logDensityOf(gaussian({ mean: 0, std: 1 }), [0.5, 1]), /x has 2 entries, expected 1/);
  for (const t of [-1, 0.5, 1001, Number.NaN])
    assert.throws(
      () => noised(plane, schedule, t),
      new RegExp(`noised: t is ${t}, expected a whole number from 0 to 1000`),
    );
});

test("wrong distributions are refused", () => {
  assert.throws(
    () => gaussian({ mean: 0, std: 0 }),
    /gaussian: std is 0, expected a standard deviation above 0/,
  );
  assert.throws(() => gaussian({ mean: Number.NaN, std: 1 }), /gaussian: mean is \[NaN\]/);
  assert.throws(() => gaussian({ mean: [], std: 1 }), /gaussian: the mean is empty/);
  assert.throws(() => mixture({ weights: [1], means: [[]], stds: [1] }), /mixture: the means are empty/);
  assert.throws(
    () => mixture({ weights: [1], means: [0], stds: [1], covariances: [[[2]]] }),
    /mixture: got stds and covariances, expected one of them/,
  );
  assert.throws(
    () => diffused(gaussian({ mean: 0, std: 1 }), { signal: 1, noise2: -0.5 }),
    /diffused: signal is 1 and noise2 -0\.5, expected/,
  );
  assert.throws(
    () => optimal(gaussian({ mean: 0, std: 1 }), schedule, "x0")(0.7, 0),
    /optimal: t is 0, expected a step from 1/,
  );
  assert.throws(() => gaussian({ mean: [0, 0], std: [1, 1, 1] }), /std has 3 entries, expected 2/);
  assert.throws(
    () =>
      gaussian({
        mean: [0, 0],
        covariance: [
          [1, 2],
          [2, 1],
        ],
      }),
    /eigenvalues .* expected all above 0/,
  );
  assert.throws(
    () => mixture({ weights: [0.5, 0.6], means: [0, 1], stds: [1, 1] }),
    /mixture: weights \[0.5, 0.6\] sum to 1.1, expected positive weights that sum to 1/,
  );
  assert.throws(
    () => mixture({ weights: [1], means: [0, 1], stds: [1, 1] }),
    /1 weights, 2 means and 2 spreads/,
  );
  assert.throws(() => mixture({ weights: [1], means: [0] }), /stds are missing/);
  assert.throws(() => mixture({ weights: [0.5, 0.5], means: [0, [1, 2]], stds: [1, 1] }), /1, 2 dimensions/);
  assert.throws(
    () => gaussian({ mean: Number.NaN, covariance: [[1]] }),
    /gaussian: mean is \[NaN\], expected finite/,
  );
  assert.throws(
    () => mixture({ weights: [0.5, 0.5], means: [0, Number.POSITIVE_INFINITY], covariances: [[[1]], [[1]]] }),
    /mixture: mean is \[Infinity\]/,
  );
  assert.throws(() => dataSet([]), /dataSet: no points/);
  assert.throws(() => dataSet([0, Number.NaN]), /dataSet: point 1 is \[NaN\], expected finite numbers/);
  assert.throws(
    () => dataSet([[0, 1], [2, 3], [4]]),
    /dataSet: point 2 has 1 dimensions, expected 2 as point 0 has/,
  );
});
