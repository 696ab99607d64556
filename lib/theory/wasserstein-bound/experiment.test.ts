import assert from "node:assert/strict";
import { test } from "node:test";
import { linearSchedule } from "../../diffusion";
import { type Distribution, gaussian, mixture } from "../../elbo";
import { type MlpOptions, mlp } from "../../nets";
import { rng, tf } from "../../tensor";
import { assertClose } from "../../testing";
import { trainer } from "../../training";
import { logOffsets } from "./bound";
import { certifiedScoreLipschitz, largestSingularValue, mlpLipschitz } from "./certified";
import {
  type BoundCheckpoint,
  type BoundTrainingOptions,
  boundTraining,
  correlation,
  experimentData,
  experimentNet,
  tenSteps,
} from "./experiment";
import { clusterScoreLipschitz, estimateScoreLipschitz, largestSlopes, squareGrid } from "./lipschitz";
import { conditionalErrorFloor, matchingLoss, scoreOfModel } from "./matching";

test("the largest singular value of a matrix and of its transpose", () => {
  const wide = tf.tensor2d([
    [3, 0, 0],
    [0, 0, -5],
  ]);
  assertClose(largestSingularValue(wide), 5);
  assertClose(largestSingularValue(wide.transpose()), 5);
  wide.dispose();
});

test("the certified constant is above every slope that is seen, for each option and each t", () => {
  const points = squareGrid(-2, 2, 7);
  const small = { hidden: 12, depth: 2 };
  const factors = { timeFactors: 2, activation: "softplus" } as const;
  const cases: MlpOptions[] = [
    small,
    { ...small, inputGain: 4 },
    { ...small, spectralNorm: true },
    { ...small, ...factors },
    { ...small, ...factors, activation: "relu", spectralNorm: true },
    { ...small, ...factors, weightLimit: 0.1, factorLimit: 0.5 },
  ];
  for (const options of cases) {
    const net = mlp({ ...options, seed: 1 });
    tf.tidy(() => net.variables["out.weight"].assign(rng(2).normal([12, 2]).mul(0.1)));
    const bound = mlpLipschitz(net, options, 2);
    for (const t of [1, 2]) {
      const steps = tf.fill([49], t, "int32") as tf.Tensor1D;
      const steepest = [1, -1].map((sign) =>
        Math.max(...largestSlopes((x) => net.apply(x, steps).mul(sign), points)),
      );
      assert.ok(Math.max(...steepest) <= bound[t], `${JSON.stringify(options)} at t = ${t}`);
      assert.ok(Math.max(...steepest) > 0);
      steps.dispose();
    }
    net.dispose();
  }
  points.dispose();
});

test("the certified constant of one linear piece is its norm; normalized layers leave the input's gain", () => {
  // all units active: x ↦ x W_1 W_2 with diagonal matrices
  const linear: MlpOptions = { hidden: 2, depth: 1, timeFactors: 1, activation: "relu" };
  const net = mlp(linear);
  tf.tidy(() => {
    net.variables["hidden.0.weight"].assign(
      tf.tensor2d([
        [3, 0],
        [0, 1],
      ]),
    );
    net.variables["hidden.0.factor"].assign(tf.tensor2d([[0.5, 1]]));
    net.variables["out.weight"].assign(
      tf.tensor2d([
        [1, 0],
        [0, -2],
      ]),
    );
  });
  assertClose(mlpLipschitz(net, linear, 1)[1], 3 * 1 * 2);
  net.dispose();
  const held: MlpOptions = {
    hidden: 16,
    timeFactors: 1,
    activation: "softplus",
    spectralNorm: true,
    inputGain: 4,
  };
  const normalized = mlp({ ...held, seed: 4 });
  tf.tidy(() => {
    for (const [name, variable] of Object.entries(normalized.variables))
      if (name.endsWith("factor")) variable.assign(tf.onesLike(variable));
  });
  assertClose(mlpLipschitz(normalized, held, 1)[1], 4, { rel: 0.05 });
  normalized.dispose();
});

test("a certified L_s is above its lower estimate, and usable in the bound", () => {
  const schedule = tenSteps();
  const options = experimentNet(schedule, { hidden: 16 });
  const net = mlp(options);
  tf.tidy(() => net.variables["out.weight"].assign(rng(1).normal([16, 2]).mul(0.3)));
  const score = scoreOfModel({ schedule, predict: net.apply, parameterization: "eps" });
  const grid = squareGrid(-1, 1, 9);
  const [low, high] = [
    estimateScoreLipschitz(score, 10, grid),
    certifiedScoreLipschitz(mlpLipschitz(net, options, 10), schedule),
  ];
  for (let t = 1; t <= 10; t++) assert.ok(low[t] < high[t] && Number.isFinite(high[t]));
  assert.throws(() => certifiedScoreLipschitz(new Float64Array(3), schedule), /3 entries, expected 11/);
  assert.throws(() => mlpLipschitz(net, options, 11), /numSteps is 11, expected at most 10, the timeFactors/);
  grid.dispose();
  net.dispose();
});

test("the trainer keeps the limits of a clipped MLP", async () => {
  const net = mlp({ hidden: 8, depth: 1, weightLimit: 0.05 });
  const schedule = tenSteps();
  const training = trainer({
    net,
    schedule,
    data: experimentData.gaussian,
    learningRate: 0.05,
    batchSize: 16,
  });
  for (let i = 0; i < 5; i++) await training.step();
  for (const name of ["hidden.0.weight", "out.weight"]) {
    const largest = tf.tidy(() => net.variables[name].abs().max().dataSync()[0]);
    assertClose(largest, 0.05, { rel: 1e-6, what: name });
  }
  training.dispose();
  net.dispose();
});

async function checkpointsOf(options: BoundTrainingOptions): Promise<BoundCheckpoint[]> {
  const all: BoundCheckpoint[] = [];
  for await (const checkpoint of boundTraining({ draws: 1000, n: 256, learningRate: 5e-3, ...options }))
    all.push(checkpoint);
  return all;
}
const logs = (values: number[]) => values.map(Math.log);
const gap = ({ bound, w2 }: BoundCheckpoint) => bound.logCorollary1 - Math.log(w2);

/** The floor of J_DSM; clusters in the plane are two on a line in each coordinate, independently. */
const floors = {
  gaussian: floorOf(gaussian({ mean: [0, 0], std: Math.sqrt(0.1) })),
  clusters: 2 * floorOf(mixture({ weights: [0.5, 0.5], means: [-0.5, 0.5], stds: [0.1, 0.1] })),
};
function floorOf(data: Distribution): number {
  return matchingLoss(tenSteps(), conditionalErrorFloor(data, tenSteps()));
}

for (const [name, data] of Object.entries({
  gaussian: experimentData.gaussian,
  clusters: experimentData.clusters(),
}))
  test(`E1, ${name}: loss and W2 fall together, and the estimated bound stays above W2 at every checkpoint`, async () => {
    const all = await checkpointsOf({ data, checkpoints: [0, 10, 15, 20, 30, 40, 100, 800], ascent: 10 });
    const r = correlation(logs(all.map(({ J }) => J)), logs(all.map(({ w2 }) => w2)));
    assert.ok(r >= 0.9, `correlation ${r}`);
    for (const one of all) {
      assert.ok(gap(one) > 0, `at step ${one.step}: bound e^${one.bound.logCorollary1}, W2 ${one.w2}`);
      for (let t = 1; t <= 10; t++) assert.ok(one.certifiedLipschitz[t] > one.scoreLipschitz[t]);
    }
    assert.ok(all[1].w2 > 5 * all[7].w2, "the ascent made a bad network");
  });

test("E1 ends at both floors on the Gaussian: J within 3 % of its own, W2 within half as much again", async () => {
  const [last] = await checkpointsOf({
    data: experimentData.gaussian,
    checkpoints: [1000],
    draws: 10_000,
    n: 512,
  });
  assertClose(last.J, floors.gaussian, { rel: 0.03 });
  assert.ok(last.w2 <= 1.5 * last.w2Floor, `W2 ${last.w2}, floor ${last.w2Floor}`);
});

test("J_DSM of a trained net is its J_SM and the floor, and Theorem 1 with the true score is the tightest", async () => {
  const options = { checkpoints: [300], draws: 4000 };
  for (const [floor, data] of [
    [floors.gaussian, experimentData.gaussian],
    [floors.clusters, experimentData.clusters()],
  ] as const) {
    const [{ J, ideal, bound }] = await checkpointsOf({ data, ...options });
    assert.ok(ideal);
    assertClose(J - ideal.J, floor, { rel: 0.03 });
    assert.ok(ideal.bound.logTheorem1 <= ideal.bound.logCorollary1);
    assert.ok(ideal.bound.logCorollary1 < bound.logCorollary1);
  }
  const { sample } = experimentData.gaussian;
  const [unknown] = await checkpointsOf({ data: { sample }, checkpoints: [1] });
  assert.equal(unknown.ideal, undefined);
});

test("E2: brakes that hold close the gap between bound and W2, at the price of loss and W2; better training raises the bound", async () => {
  const data = experimentData.clusters();
  const run = (net: BoundTrainingOptions["net"], checkpoints = [1000]) =>
    checkpointsOf({ data, checkpoints, net });
  const [early, free] = await run({}, [300, 1000]);
  const [clipped] = await run({ weightLimit: 0.1 });
  const [held] = await run({ spectralNorm: true, factorLimit: 1 });
  for (const braked of [clipped, held]) {
    assert.ok(braked.bound.logCorollary1 < free.bound.logCorollary1 - 1);
    assert.ok(gap(braked) < gap(free) - 1);
    assert.ok(gap(braked) > 0);
    assert.ok(braked.J > free.J + 0.5, `J ${braked.J} against ${free.J}`);
    assert.ok(braked.w2 > 1.3 * free.w2, `W2 ${braked.w2} against ${free.w2}`);
  }
  assert.ok(free.J < early.J && free.w2 < early.w2, "better by loss and by W2");
  assert.ok(free.bound.logCorollary1 > early.bound.logCorollary1 + 0.5, "and the bound is worse");
});

test("E2: spectral normalization alone holds little, since the factors of t grow instead", async () => {
  const data = experimentData.clusters();
  const [half, alone] = await checkpointsOf({
    data,
    checkpoints: [300, 1000],
    net: { spectralNorm: true },
  });
  const steepest = ({ scoreLipschitz }: BoundCheckpoint) => Math.max(...scoreLipschitz.subarray(1));
  assert.ok(steepest(half) < 1 && steepest(alone) > 5, `${steepest(half)}, then ${steepest(alone)}`);
  assert.ok(alone.certifiedLipschitz[5] > 1.5 * half.certifiedLipschitz[5]);
  assert.ok(alone.J < half.J - 0.3 && alone.w2 < half.w2);
});

test("E3, trained: L_s of the last steps is near −1, and the offset falls with each of them", async () => {
  const schedule = linearSchedule({ numSteps: 50, betaStart: 0.002, betaEnd: 0.4 });
  const [{ scoreLipschitz }] = await checkpointsOf({
    data: experimentData.clusters(0.3),
    schedule,
    learningRate: 2e-3,
    checkpoints: [1000],
    n: 16,
    draws: 16,
    grid: 11,
  });
  const exact = clusterScoreLipschitz({ halfDistance: 0.5, std: 0.3 }, schedule);
  const offsets = logOffsets(schedule, scoreLipschitz, 1);
  for (let t = 25; t <= 50; t++) {
    assert.ok(Math.abs(scoreLipschitz[t] - exact[t]) < 0.2, `t = ${t}: ${scoreLipschitz[t]}, ${exact[t]}`);
    assert.ok(offsets[t] < offsets[t - 1]);
  }
  assert.ok(Math.abs(scoreLipschitz[50] + 1) < 0.15, `L_s(T) = ${scoreLipschitz[50]}`);
});

test("the clusters get equal shares, and have the moments of their distribution", () => {
  const [xs, before] = [experimentData.clusters(0.01).sample(rng(3), 402), tf.memory().numTensors];
  const counts = [0, 0, 0, 0];
  for (const [x, y] of xs.arraySync() as number[][]) {
    counts[(x > 0 ? 1 : 0) + (y > 0 ? 2 : 0)]++;
    assert.ok(Math.abs(Math.abs(x) - 0.5) < 0.05 && Math.abs(Math.abs(y) - 0.5) < 0.05);
  }
  assert.deepEqual(
    counts.sort((a, b) => a - b),
    [100, 100, 101, 101],
  );
  assert.equal(tf.memory().numTensors, before);
  xs.dispose();
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
