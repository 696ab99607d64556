import assert from "node:assert/strict";
import { test } from "node:test";
import { linearSchedule, type Model, PARAMETERIZATIONS, posteriorTables, type Schedule } from "../diffusion";
import { compile, rng, tf } from "../tensor";
import { assertAllClose, assertClose, assertNoLeak } from "../testing";
import { exactBound, gaussian, minimumSimpleLoss, optimalPredict } from "./analytic";
import {
  lossIn,
  objectiveJ,
  oneSampleObjective,
  posteriorEntropies,
  randomStepObjective,
  simpleLoss,
  twoSampleObjective,
  weightedLoss,
} from "./objectives";
import { estimate } from "./statistics";
import { decoderTerm, posteriorTerm, squaredResidualTerm } from "./terms";
import { lossWeights } from "./weights";

const short = linearSchedule({ numSteps: 15, betaStart: 0.01, betaEnd: 0.8 });
const steps = (count: number, t: number) => tf.fill([count], t, "int32") as tf.Tensor1D;
const data = gaussian({ mean: 0, std: 1 });
const optimalModel = (schedule: Schedule): Model => ({
  schedule,
  parameterization: "eps",
  variance: "beta",
  predict: optimalPredict(data, schedule, "eps"),
});
/** The exact J of the optimal network: L = L_T − J − Σ entropies, solved for J. */
const exactJ = (schedule: Schedule) => {
  const { L_T, total } = exactBound(data, schedule, "beta");
  return L_T - total - posteriorEntropies(schedule);
};

test("the bookkeeping of J: the one-sample objective and the bound's terms differ by the posteriors' entropies", () => {
  const model: Model = { ...optimalModel(short), predict: (xt) => xt.mul(0.3) };
  const [x0, eps] = [rng(1).normal([5, 2]), rng(2).normal([5, 2])];
  const { betaTilde } = posteriorTables(short);
  for (let t = 1; t <= 15; t++)
    tf.tidy(() => {
      const j = oneSampleObjective(model, x0, steps(5, t), eps).div(-short.numSteps).dataSync();
      const term = (
        t === 1 ? decoderTerm(model, x0, eps) : posteriorTerm(model, x0, steps(5, t), eps)
      ).dataSync();
      const entropies = t === 1 ? 0 : Math.log(2 * Math.PI * Math.E * betaTilde[t]); // D/2 = 1
      assertAllClose(
        j,
        Array.from(term, (value) => value + entropies),
        { rel: 1e-5, abs: 1e-5 },
      );
    });
});

test("J from both ends: −L = E ln p(x_T) + J + Σ ½ ln(2πe β_t), the entropies of q's own steps", () => {
  for (const schedule of [short, linearSchedule()]) {
    const { alphaBar, oneMinusAlphaBar, betaVar, numSteps } = schedule;
    const secondMoment = alphaBar[numSteps] + oneMinusAlphaBar[numSteps]; // of x_T, for N(0, 1) data
    const logPrior = -0.5 * (Math.log(2 * Math.PI) + secondMoment);
    const entropies = betaVar.reduce(
      (sum, beta, t) => (t === 0 ? 0 : sum + 0.5 * Math.log(2 * Math.PI * Math.E * beta)),
      0,
    );
    const { total } = exactBound(data, schedule, "beta");
    assertClose(-total, logPrior + exactJ(schedule) + entropies, { rel: 1e-10 });
  }
});

test("(0), (1), (2) and (3) are unbiased for the same J", () => {
  const count = 30000;
  const model = optimalModel(short);
  const want = exactJ(short);
  const x0 = rng(3).normal([count, 1]);
  const values = tf.tidy(() => {
    const random = rng(4);
    const t = random.integers([count], 1, 16) as tf.Tensor1D;
    return {
      sum: objectiveJ(model, x0, random).dataSync(),
      randomStep: randomStepObjective(model, x0, random).dataSync(),
      twoSample: twoSampleObjective(
        model,
        x0,
        t,
        random.normal([count, 1]),
        random.normal([count, 1]),
      ).dataSync(),
      oneSample: oneSampleObjective(model, x0, t, random.normal([count, 1])).dataSync(),
    };
  });
  const errors: Record<string, number> = {};
  for (const [name, draws] of Object.entries(values)) {
    const { mean, standardError } = estimate(draws);
    assertClose(mean, want, { abs: 4 * standardError, what: name });
    errors[name] = standardError;
  }
  assert.ok(errors.oneSample < errors.twoSample, JSON.stringify(errors));
});

test("at t = 500 of N(0, 1) the gradient's variance falls 1156-fold, the objective's 1.3 million-fold", () => {
  const schedule = linearSchedule();
  const count = 200000;
  const t = steps(count, 500);
  const [x0, eps, z] = [1, 2, 3].map((seed) => rng(seed).normal([count, 1]));
  /** μ_θ = √α x_t + b with a b of each example's own, so that ∂/∂b is the gradient of each draw. */
  const shifted = (b: tf.Tensor): Model => ({
    schedule,
    parameterization: "mean",
    variance: "beta",
    predict: (xt) => xt.mul(Math.sqrt(schedule.alpha[500])).add(b),
  });
  const objectives = {
    two: (b: tf.Tensor) => twoSampleObjective(shifted(b), x0, t, eps, z),
    one: (b: tf.Tensor) => oneSampleObjective(shifted(b), x0, t, eps),
  };
  const b = tf.zeros([count, 1]);
  const spread = (values: tf.Tensor) => {
    const { mean, standardError } = estimate(values.div(1000).dataSync());
    return { mean, standardError, variance: standardError ** 2 * count };
  };
  const gradients = { two: spread(tf.grad(objectives.two)(b)), one: spread(tf.grad(objectives.one)(b)) };
  const values = { two: spread(objectives.two(b)), one: spread(objectives.one(b)) };
  const { alphaBar, oneMinusAlphaBar, betaVar } = schedule;
  const ratio = oneMinusAlphaBar[500] / (betaVar[500] * alphaBar[499]);
  assertClose(ratio, 1156.07, { rel: 1e-5 });
  assertClose(gradients.two.variance / gradients.one.variance, ratio, { rel: 0.02 });
  assertClose(values.two.variance, 0.5, { rel: 0.03 });
  assertClose(values.two.variance / values.one.variance, 1.336e6, { rel: 0.05 });
  for (const { two, one } of [gradients, values])
    assertClose(two.mean, one.mean, { abs: 4 * Math.hypot(two.standardError, one.standardError) });
  tf.dispose([x0, eps, z, b, t]);
});

test("the losses in all coordinates are one number, the part of L_{t−1} that can be trained", () => {
  const [x0, eps] = [rng(5).normal([6, 2, 1]), rng(6).normal([6, 2, 1])];
  const t = tf.tensor1d([1, 2, 4, 8, 12, 15], "int32");
  const model: Model = { ...optimalModel(short), parameterization: "v", predict: (xt) => xt.mul(0.5) };
  const want = squaredResidualTerm(model, x0, t, eps).dataSync();
  for (const kind of PARAMETERIZATIONS)
    assertAllClose(lossIn(kind, model, x0, t, eps).dataSync(), want, { rel: 1e-4, what: kind });
  const weights = lossWeights(short, { parameterization: "v", weighting: "vlb" });
  assertAllClose(weightedLoss(model, x0, t, eps, weights).dataSync(), want, { rel: 1e-5 });
  const snr = lossWeights(short, { parameterization: "v", weighting: "snr" });
  assertAllClose(weightedLoss(model, x0, t, eps, snr).dataSync(), simpleLoss(model, x0, t, eps).dataSync(), {
    rel: 1e-4,
  });
});

test("the optimal network's L_simple is its analytic minimum, within Monte Carlo error", () => {
  const schedule = linearSchedule();
  const count = 20000;
  const model: Model = { ...optimalModel(schedule), schedule };
  const draws = tf.tidy(() => {
    const random = rng(7);
    const t = random.integers([count], 1, 1001) as tf.Tensor1D;
    return simpleLoss(model, random.normal([count, 1]), t, random.normal([count, 1])).dataSync();
  });
  const { mean, standardError } = estimate(draws);
  assertClose(mean, minimumSimpleLoss(data, schedule), { abs: 4 * standardError });
});

test("compiled, a loss and its gradient are what they are eagerly", () => {
  const weights = lossWeights(short, { parameterization: "x0", weighting: "min-snr" });
  const loss = (w: tf.Tensor, x0: tf.Tensor, eps: tf.Tensor, t: tf.Tensor1D) => {
    const model: Model = { ...optimalModel(short), parameterization: "x0", predict: (xt) => xt.mul(w) };
    return weightedLoss(model, x0, t, eps, weights).mean();
  };
  const both = (w: tf.Tensor, x0: tf.Tensor, eps: tf.Tensor, t: tf.Tensor) =>
    tf.valueAndGrad((v: tf.Tensor) => loss(v, x0, eps, t as tf.Tensor1D))(w);
  const args = [
    tf.scalar(0.3),
    rng(8).normal([4, 2]),
    rng(9).normal([4, 2]),
    tf.tensor1d([1, 5, 9, 15], "int32"),
  ];
  const eager = both(...(args as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]));
  const compiled = compile((...inputs: tf.Tensor[]) => {
    const { value, grad } = both(...(inputs as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]));
    return [value, grad];
  });
  const [value, grad] = compiled(...args);
  assertAllClose(value.dataSync(), eager.value.dataSync(), { rel: 1e-6 });
  assertAllClose(grad.dataSync(), eager.grad.dataSync(), { rel: 1e-6 });
});

test("no leaks; weights must be a table over t", () => {
  const model = optimalModel(short);
  const [x0, eps, z, t] = [tf.ones([2, 1]), tf.ones([2, 1]), tf.ones([2, 1]), steps(2, 4)];
  assertNoLeak(() => objectiveJ(model, x0, rng(1)));
  assertNoLeak(() => randomStepObjective(model, x0, rng(1)));
  assertNoLeak(() => twoSampleObjective(model, x0, t, eps, z));
  assertNoLeak(() => oneSampleObjective(model, x0, t, eps));
  assertNoLeak(() => lossIn("v", model, x0, t, eps));
  assertNoLeak(() => simpleLoss(model, x0, t, eps));
  assert.throws(
    () => weightedLoss(model, x0, t, eps, new Float64Array(15)),
    /weightedLoss: weights has length 15, expected 16 \(entry 0 a dummy\)/,
  );
});
