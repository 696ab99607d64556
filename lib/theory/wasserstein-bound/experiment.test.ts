import assert from "node:assert/strict";
import { test } from "node:test";
import { gaussian } from "../../elbo";
import { adam, compile, rng, tf } from "../../tensor";
import { assertClose, assertNoLeak } from "../../testing";
import { certifiedScoreLipschitz, constrainedMlp, spectralNormOf } from "./constrained-mlp";
import {
  type BoundCheckpoint,
  type BoundTrainingOptions,
  boundTraining,
  correlation,
  experimentData,
  tenSteps,
} from "./experiment";
import { estimateScoreLipschitz, largestSlopes, squareGrid } from "./lipschitz";
import { conditionalErrorFloor, matchingLoss, scoreOfModel } from "./matching";

test("spectral norms: of a matrix by its singular values, of normalized layers 1", () => {
  const wide = tf.tensor2d([
    [3, 0, 0],
    [0, 0, -5],
  ]);
  assertClose(spectralNormOf(wide), 5);
  assertClose(spectralNormOf(wide.transpose()), 5);
  wide.dispose();
  // without embeddings' factors, a normalized net has Lipschitz constant at most about 1
  const net = constrainedMlp({ numSteps: 3, hidden: 16, spectralNorm: true, seed: 4 });
  for (const [name, variable] of Object.entries(net.variables))
    if (name.startsWith("time")) variable.assign(tf.onesLike(variable));
  for (let i = 0; i < 60; i++) net.constrain();
  const bound = net.lipschitzBound();
  assertClose(bound[1], 1, { rel: 0.02 });
  assert.ok(bound[1] >= 1 - 1e-6, "the estimate is from below, so what it leaves is 1 or more");
  net.dispose();
});

test("the certified constant is above every slope that is seen, for each option and each t", () => {
  const points = squareGrid(-2, 2, 7);
  for (const options of [{}, { spectralNorm: true }, { weightLimit: 0.1 }]) {
    const net = constrainedMlp({ numSteps: 2, hidden: 12, seed: 1, ...options });
    net.constrain();
    const bound = net.lipschitzBound();
    const steps = tf.fill([49], 2, "int32") as tf.Tensor1D;
    for (const sign of [1, -1]) {
      const slopes = largestSlopes((x) => net.apply(x, steps).mul(sign), points);
      assert.ok(Math.max(...slopes) <= bound[2]);
    }
    if ("weightLimit" in options)
      for (const [name, variable] of Object.entries(net.variables))
        if (name.endsWith("weight")) assert.ok(variable.abs().max().dataSync()[0] <= Math.fround(0.1));
    steps.dispose();
    net.dispose();
  }
  points.dispose();
});

test("a certified L_s is above its lower estimate, and usable in the bound", () => {
  const schedule = tenSteps();
  const net = constrainedMlp({ numSteps: 10, hidden: 16 });
  const score = scoreOfModel({ schedule, predict: net.apply, parameterization: "eps" });
  const grid = squareGrid(-1, 1, 9);
  const [low, high] = [
    estimateScoreLipschitz(score, 10, grid),
    certifiedScoreLipschitz(net.lipschitzBound(), schedule),
  ];
  for (let t = 1; t <= 10; t++) assert.ok(low[t] < high[t] && Number.isFinite(high[t]));
  assert.throws(() => certifiedScoreLipschitz(new Float64Array(3), schedule), /3 entries, expected 11/);
  grid.dispose();
  net.dispose();
});

test("the gradient through a normalized weight has no part along the weight itself", () => {
  const net = constrainedMlp({ numSteps: 2, hidden: 8, spectralNorm: true, activation: "softplus" });
  for (let i = 0; i < 60; i++) net.constrain();
  const x = rng(1).normal([16, 2]);
  const t = tf.ones([16], "int32") as tf.Tensor1D;
  const { value, grads } = tf.variableGrads(() => net.apply(x, t).square().sum() as tf.Scalar);
  for (const i of [0, 1, 2, 3]) {
    // W/σ(W) does not change with the length of W
    const weight = net.variables[`linear.${i}.weight`];
    const along = tf.tidy(() => grads[weight.name].mul(weight).sum().abs().dataSync()[0]);
    const size = tf.tidy(() => grads[weight.name].norm().mul(weight.norm()).dataSync()[0]);
    assert.ok(along < 1e-3 * size, `layer ${i}: ${along} of ${size}`);
  }
  tf.dispose([x, t, value, grads]);
  net.dispose();
});

test("a constrained net trains in a compiled step, frees what it made, and refuses bad options", () => {
  const before = tf.memory().numTensors;
  const net = constrainedMlp({ numSteps: 2, hidden: 8, spectralNorm: true, weightLimit: 0.2 });
  const optimizer = adam(net.variables, { learningRate: 0.01 });
  const [x, t] = [tf.ones([4, 2]), tf.ones([4], "int32") as tf.Tensor1D];
  const step = compile((points: tf.Tensor) => {
    const loss = optimizer.minimize(() => net.apply(points, t).sub(3).square().mean() as tf.Scalar);
    net.constrain();
    return loss;
  });
  const losses = Array.from({ length: 30 }, () => tf.tidy(() => step(x).dataSync()[0]));
  assert.ok(losses[29] < 0.9 * losses[0]);
  assertNoLeak(() => net.apply(x, t));
  optimizer.dispose();
  net.dispose();
  tf.dispose([x, t]);
  assert.equal(tf.memory().numTensors, before);
  assert.throws(() => constrainedMlp({ numSteps: 1 }), /numSteps is 1/);
  assert.throws(() => constrainedMlp({ numSteps: 2, weightLimit: 0 }), /weightLimit is 0/);
});

async function checkpointsOf(options: BoundTrainingOptions): Promise<BoundCheckpoint[]> {
  const all: BoundCheckpoint[] = [];
  for await (const checkpoint of boundTraining({ draws: 1000, n: 192, grid: 11, ...options }))
    all.push(checkpoint);
  return all;
}
const logs = (values: number[]) => values.map(Math.log);

test("E1: loss and W2 fall together, the estimated bound stays above W2, the loss ends at its floor", async () => {
  const all = await checkpointsOf({
    data: experimentData.gaussian,
    checkpoints: [0, 10, 20, 40, 100, 800],
    ascent: 10,
    learningRate: 5e-3,
  });
  const r = correlation(logs(all.map(({ J }) => J)), logs(all.map(({ w2 }) => w2)));
  assert.ok(r >= 0.9, `correlation ${r}`);
  for (const { step, bound, w2 } of all)
    assert.ok(
      bound.logCorollary1 >= Math.log(w2),
      `at step ${step}: bound e^${bound.logCorollary1}, W2 ${w2}`,
    );
  const data = gaussian({ mean: [0, 0], std: Math.sqrt(0.1) });
  const floor = matchingLoss(tenSteps(), conditionalErrorFloor(data, tenSteps()));
  const last = all[all.length - 1];
  assertClose(last.J, floor, { rel: 0.03 });
  assert.ok(last.w2 <= 1.5 * last.w2Floor, `W2 ${last.w2}, floor ${last.w2Floor}`);
  assert.ok(all[1].w2 > 5 * last.w2, "the ascent made a bad network");
});

test("E2: brakes on the weights close the gap between bound and W2, at the price of loss and W2", async () => {
  const final = async (net: BoundTrainingOptions["net"]) =>
    (
      await checkpointsOf({ data: experimentData.clusters(), checkpoints: [500], learningRate: 5e-3, net })
    )[0];
  const free = await final({});
  const clipped = await final({ weightLimit: 0.1 });
  const normalized = await final({ spectralNorm: true });
  const gap = ({ bound, w2 }: BoundCheckpoint) => bound.logCorollary1 - Math.log(w2);
  for (const braked of [clipped, normalized]) {
    assert.ok(braked.bound.logCorollary1 < free.bound.logCorollary1);
    assert.ok(gap(braked) < gap(free));
    assert.ok(braked.J > free.J);
    assert.ok(gap(braked) > 0);
  }
  assert.ok(clipped.w2 > free.w2);
});

test("better training can raise the bound: the free network's L_s grows as its loss falls", async () => {
  const [early, late] = await checkpointsOf({
    data: experimentData.clusters(),
    checkpoints: [300, 500],
    learningRate: 5e-3,
  });
  assert.ok(late.J < early.J && late.w2 < early.w2);
  assert.ok(late.bound.logCorollary1 > early.bound.logCorollary1);
});

test("the experiments free what they made, also when left early, and name what is wrong", async () => {
  const before = tf.memory().numTensors;
  for await (const { step } of boundTraining({
    data: experimentData.gaussian,
    checkpoints: [0, 2, 4],
    n: 16,
    draws: 16,
    grid: 3,
  }))
    if (step === 2) break;
  assert.equal(tf.memory().numTensors, before);
  await assert.rejects(
    checkpointsOf({ data: experimentData.gaussian, checkpoints: [3, 3] }),
    /checkpoints\[1\]/,
  );
  assertClose(correlation([1, 2, 3], [2, 4, 6]), 1);
  assert.throws(() => correlation([1], [1]), /at least two/);
});
