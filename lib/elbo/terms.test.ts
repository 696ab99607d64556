import assert from "node:assert/strict";
import { test } from "node:test";
import {
  conversion,
  convert,
  linearSchedule,
  type Model,
  PARAMETERIZATIONS,
  type Parameterization,
  type Predict,
  pMeanVariance,
  posteriorTables,
  qPosterior,
  qSample,
  type Schedule,
  scheduleFromBetas,
  sigma2,
  VARIANCES,
} from "../diffusion";
import { rng, tf } from "../tensor";
import { assertAllClose, assertClose, assertNoLeak, numbersFrom, oracle } from "../testing";
import { logBinProbability } from "./discretized";
import { gaussianKl, kl1d, logDensity1d } from "./gaussian";
import { estimate } from "./statistics";
import {
  decoderTerm,
  meanResidual,
  posteriorTerm,
  posteriorTermDraw,
  priorTerm,
  priorTermDraw,
  priorVarianceKl,
  varianceCost,
} from "./terms";
import { vlbWeights } from "./weights";

function randomSchedule(random: () => number): Schedule {
  const T = 3 + Math.floor(random() * 12);
  const betas = Array.from({ length: T }, () => 0.05 + 0.6 * random());
  return scheduleFromBetas(betas, { allowPriorMismatch: true });
}

const steps = (count: number, t: number) => tf.fill([count], t, "int32") as tf.Tensor1D;

/** The same ε-network said in another kind: one p_θ in five forms. */
function saidAs(
  kind: Parameterization,
  schedule: Schedule,
  eps: Predict,
  variance: "beta" | "betaTilde",
): Model {
  const predict: Predict = (xt, t) => tf.tidy(() => convert(schedule, eps(xt, t), "eps", kind, xt, t));
  return { schedule, parameterization: kind, variance, predict };
}

test("float64: five parameterizations of one prediction have one mean, one KL and one gradient, on any schedule", () => {
  const random = numbersFrom(11);
  for (let trial = 0; trial < 60; trial++) {
    const schedule = trial === 0 ? linearSchedule() : randomSchedule(random);
    const t = trial === 0 ? 700 : 2 + Math.floor(random() * (schedule.numSteps - 1));
    const [x0, eps, theta] = [4 * random() - 2, 4 * random() - 2, random()];
    const xt = schedule.sqrtAlphaBar[t] * x0 + schedule.sqrtOneMinusAlphaBar[t] * eps;
    const { c0, ct, betaTilde } = posteriorTables(schedule);
    const exactMean = c0[t] * x0 + ct[t] * xt;
    for (const variance of VARIANCES) {
      const noise = sigma2(schedule, variance)[t];
      const prediction = theta * xt; // of ε
      const toMean = conversion(schedule, "eps", "mean");
      const mean = toMean.scale[t] * prediction + toMean.shift[t] * xt;
      const wantKl = kl1d(exactMean, betaTilde[t], mean, noise);
      const wantSlope = ((mean - exactMean) / noise) * toMean.scale[t] * xt; // dKL/dθ
      for (const kind of PARAMETERIZATIONS) {
        const from = conversion(schedule, "eps", kind);
        const said = from.scale[t] * prediction + from.shift[t] * xt;
        const wanted = from.scale[t] * eps + from.shift[t] * xt;
        const back = conversion(schedule, kind, "mean");
        assertClose(back.scale[t] * said + back.shift[t] * xt, mean, {
          rel: 1e-9,
          abs: 1e-12,
          what: `${kind} mean`,
        });
        const weight = vlbWeights(schedule, kind, variance)[t];
        const loss = weight * (wanted - said) ** 2 + varianceCost(schedule, variance)[t];
        assertClose(loss, wantKl, { rel: 1e-9, abs: 1e-13, what: `${kind} KL` });
        const slope = -2 * weight * (wanted - said) * from.scale[t] * xt;
        assertClose(slope, wantSlope, { rel: 1e-7, abs: 1e-12, what: `${kind} gradient` });
      }
    }
  }
});

test("tensors: the same, for a network with weights, random shapes and schedules, to 1e-5", () => {
  const random = numbersFrom(5);
  for (let trial = 0; trial < 8; trial++) {
    const schedule = randomSchedule(random);
    const shape = [8, 1 + Math.floor(random() * 4), 3];
    const draw = rng(trial);
    const [x0, eps] = [draw.normal(shape), draw.normal(shape)];
    const t = draw.integers([8], 2, schedule.numSteps + 1) as tf.Tensor1D;
    const kernel = tf.tidy(() => draw.normal([3, 3]).mul(0.5)) as tf.Tensor2D;
    const variance = VARIANCES[trial % 2];
    const results = PARAMETERIZATIONS.map((kind) => {
      const loss = (weights: tf.Tensor) => {
        const net: Predict = (xt) => tf.tanh(tf.matMul(xt.reshape([-1, 3]), weights).reshape(xt.shape));
        return posteriorTerm(saidAs(kind, schedule, net, variance), x0, t, eps).sum() as tf.Scalar;
      };
      const { value, grad } = tf.valueAndGrad(loss)(kernel);
      return { value: value.dataSync()[0], grad: Array.from(grad.dataSync()) };
    });
    const size = Math.hypot(...results[0].grad);
    for (const { value, grad } of results) {
      assertClose(value, results[2].value, { rel: 1e-5, what: "KL" });
      assertAllClose(grad, results[2].grad, { abs: 1e-5 * size, what: "gradient" });
    }
  }
});

const schedule = linearSchedule({ numSteps: 12, betaStart: 0.01, betaEnd: 0.9 });
const net: Predict = (xt, t) =>
  tf.tidy(() =>
    xt
      .mul(0.4)
      .add(t.toFloat().div(50).reshape([-1, 1]))
      .tanh(),
  );
const models = PARAMETERIZATIONS.flatMap((kind) => VARIANCES.map((v) => saidAs(kind, schedule, net, v)));

test("L_{t−1} is the KL of q's posterior from p_θ, written with means and variances", () => {
  const [x0, eps] = [rng(1).normal([40, 3]), rng(2).normal([40, 3])];
  const t = rng(3).integers([40], 2, 13) as tf.Tensor1D;
  for (const model of models)
    tf.tidy(() => {
      const xt = qSample(schedule, x0, t, eps);
      const q = qPosterior(schedule, x0, xt, t);
      const p = pMeanVariance(model, xt, t);
      const want = gaussianKl(q.mean, q.variance, p.mean, p.variance).dataSync();
      assertAllClose(posteriorTerm(model, x0, t, eps).dataSync(), want, { rel: 1e-4, abs: 1e-5 });
    });
});

test("L_T of unit data, in nats, summed over dimensions (S08)", () => {
  const { inputs, expected, tol_rel } = oracle("S08");
  const x0 = tf.fill([2, 3], inputs.x0);
  const got = priorTerm(linearSchedule(), x0).dataSync();
  assertAllClose(got, [3 * expected.nats, 3 * expected.nats], { rel: Math.max(tol_rel, 1e-6) });
});

test("every term by plain Monte Carlo is the closed form, within 4 standard errors", () => {
  const count = 20000;
  const one = tf.tensor2d([[0.8, -1.1, 0.3]]);
  const x0 = one.tile([count, 1]);
  const check = (name: string, draws: tf.Tensor, closed: tf.Tensor) => {
    const [a, b] = [estimate(draws.dataSync()), estimate(closed.dataSync())];
    const error = Math.hypot(a.standardError, b.standardError);
    assert.ok(error > 0, name);
    assertClose(a.mean, b.mean, { abs: 4 * error, what: name });
    tf.dispose([draws, closed]);
  };
  check("L_T", priorTermDraw(schedule, x0, rng(4).normal([count, 3])), priorTerm(schedule, x0));
  for (const model of models.slice(0, 4))
    for (const t of [2, 7, 12]) {
      const at = steps(count, t);
      const draws = posteriorTermDraw(
        model,
        x0,
        at,
        rng(5, t).normal([count, 3]),
        rng(6, t).normal([count, 3]),
      );
      const closed = posteriorTerm(model, x0, at, rng(7, t).normal([count, 3]));
      check(`L_${t - 1} of ${model.parameterization}, ${model.variance}`, draws, closed);
    }
});

test("L_0 is −ln p_θ(x_0 | x_1), by density or by bins", () => {
  const levels = [3, 100, 255, 0];
  const x0 = tf.tensor2d(levels.map((k) => [(2 * k) / 255 - 1]));
  const eps = tf.tensor2d([[0.1], [-0.3], [1], [2]]);
  for (const model of models) {
    const s2 = sigma2(schedule, model.variance)[1];
    tf.tidy(() => {
      const t = steps(4, 1);
      const mean = pMeanVariance(model, qSample(schedule, x0, t, eps), t).mean.dataSync();
      const x = x0.dataSync();
      const density = Array.from(x, (value, i) => -logDensity1d(value, mean[i], s2));
      assertAllClose(decoderTerm(model, x0, eps).dataSync(), density, { rel: 1e-4, abs: 1e-5 });
      for (const form of ["exact", "tanh"] as const) {
        const bins = Array.from(x, (value, i) => -logBinProbability(value, mean[i], Math.sqrt(s2), { form }));
        const got = decoderTerm(model, x0, eps, { decoder: { kind: "discretized", form } });
        assertAllClose(got.dataSync(), bins, { rel: 1e-3, abs: 1e-4 });
      }
    });
  }
});

test("clipping x̂0 changes the residual only where x̂0 leaves the range", () => {
  tf.tidy(() => {
    const [x0, eps] = [rng(8).normal([50, 2]), rng(9).normal([50, 2])];
    const t = steps(50, 6);
    const [model] = models;
    const free = meanResidual(model, x0, t, eps).dataSync();
    assertAllClose(meanResidual(model, x0, t, eps, { clip: [-1e3, 1e3] }).dataSync(), free, {
      rel: 1e-4,
      abs: 1e-6,
    });
    const bound = meanResidual(model, x0, t, eps, { clip: [-0.2, 0.2] }).dataSync();
    const { mean } = pMeanVariance(model, qSample(schedule, x0, t, eps), t, { clip: [-0.2, 0.2] });
    const posterior = qPosterior(schedule, x0, qSample(schedule, x0, t, eps), t).mean;
    assertAllClose(bound, posterior.sub(mean).dataSync(), { rel: 1e-4, abs: 1e-6 });
    assert.notDeepEqual(bound, free);
  });
});

test("at t = 1 the KL is infinite; nothing leaks", () => {
  const [x0, eps, z] = [tf.ones([2, 2]), tf.ones([2, 2]), tf.ones([2, 2])];
  const [model] = models;
  const infinite = posteriorTerm(model, x0, steps(2, 1), eps);
  assert.deepEqual(Array.from(infinite.dataSync()), [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
  const t = steps(2, 3);
  assertNoLeak(() => priorTerm(schedule, x0));
  assertNoLeak(() => priorTermDraw(schedule, x0, eps));
  assertNoLeak(() => meanResidual(model, x0, t, eps));
  assertNoLeak(() => posteriorTerm(model, x0, t, eps));
  assertNoLeak(() => posteriorTermDraw(model, x0, t, eps, z));
  assertNoLeak(() => decoderTerm(model, x0, eps));
  assert.throws(
    () => posteriorTerm(model, x0, steps(1, 3), eps),
    /posteriorTerm: t has shape \[1\], expected \[2\] to match x0/,
  );
});

test("what the variance costs where β̃ is next to β: x²/4 of their relative difference x, to its digits", () => {
  const schedule = linearSchedule({ numSteps: 2000 });
  const { betaVar, alphaBar, oneMinusAlphaBar } = schedule;
  const costs = varianceCost(schedule, "beta");
  const x = (betaVar[2000] * alphaBar[1999]) / oneMinusAlphaBar[2000];
  assertClose(costs[2000], x ** 2 / 4, { rel: 1e-9 });
  assertClose(priorVarianceKl(schedule), alphaBar[2000] ** 2 / 4, { rel: 1e-7 });
});
