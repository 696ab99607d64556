import assert from "node:assert/strict";
import { test } from "node:test";
import { toy } from "../../data";
import { drawFrom, gaussian, mixture } from "../../elbo";
import { w2WithFloor } from "../../metrics";
import { rng, tf } from "../../tensor";
import { blurred, ganDirections, scoreDifference } from "./densities";
import { annealing, modeCoverage } from "./flow";
import { type GanLoss, trainDiscriminator, trainGenerator } from "./generator";

test("a generator reaches all eight modes of the ring, in one smooth map", async () => {
  const target = toy("8gaussians");
  const before = tf.memory().numTensors;
  const generator = await trainGenerator({
    target,
    sigmas: annealing({ from: 1.4, to: 0.106, steps: 1200 }),
  });
  const samples = generator.sample(rng(77), 400);
  const { modes, nearMode } = modeCoverage(samples.dataSync(), target.mixture!, 5);
  const { w2, floor } = w2WithFloor(samples, (n, number) => target.sample(rng(3, number), n), { repeats: 2 });
  assert.equal(modes, 8);
  assert.ok(nearMode >= 0.85, `near a mode: ${nearMode}`);
  assert.ok(w2 <= 1.3 * floor, `W2 ${w2}, floor ${floor}`);
  generator.dispose();
  samples.dispose();
  assert.equal(tf.memory().numTensors, before);
  await assert.rejects(trainGenerator({ target, sigmas: [0] }), /trainGenerator: sigma is 0/);
  await assert.rejects(trainGenerator({ target, sigmas: [] }), /trainGenerator: there are no noise levels/);
  const tensors = tf.memory().numTensors;
  const onStep = () => {
    throw new Error("enough");
  };
  await assert.rejects(trainGenerator({ target, sigmas: [1, 1], onStep }), /enough/);
  assert.equal(tf.memory().numTensors, tensors);
});

test("a trained discriminator's slope points along the exact score difference", async () => {
  const [p, q] = [gaussian({ mean: [0, 0], std: 1 }), gaussian({ mean: [1, 0.5], std: 0.8 })];
  const before = tf.memory().numTensors;
  const sampler = ([x, y]: number[], std: number) => ({
    sample: (random: ReturnType<typeof rng>, n: number) =>
      random
        .normal([n, 2])
        .mul(std)
        .add(tf.tensor1d([x, y])),
  });
  const discriminator = await trainDiscriminator({
    p: sampler([0, 0], 1),
    q: sampler([1, 0.5], 0.8),
    steps: 300,
  });
  const points = [
    [0, 0],
    [1, 0],
    [0.5, 0.8],
    [1.5, 1],
    [0.2, -0.5],
  ];
  const x = tf.tensor2d(points);
  const got = discriminator.direction(x);
  const slopes = got.arraySync() as number[][];
  const exact = points.map(scoreDifference(p, q));
  const dot = (a: number[][], b: number[][]) => a.flat().reduce((sum, v, i) => sum + v * b.flat()[i], 0);
  const cosine = dot(slopes, exact) / Math.sqrt(dot(slopes, slopes) * dot(exact, exact));
  assert.ok(cosine > 0.95, `cosine ${cosine}`);
  const ratio = dot(slopes, exact) / dot(exact, exact);
  assert.ok(Math.abs(ratio - 1) < 0.3, `length ${ratio} of the exact`);
  discriminator.dispose();
  tf.dispose([x, got]);
  assert.equal(tf.memory().numTensors, before);
  await assert.rejects(
    trainDiscriminator({ p: sampler([0, 0], 1), q: sampler([0, 0], 1), steps: 0 }),
    /steps is 0/,
  );
});

test("on eight modes against a cloud, each loss of a trained discriminator descends along the exact direction", async () => {
  const { means, std } = toy("8gaussians").mixture!;
  const ring = mixture({
    weights: means.map(() => 1 / 8),
    means: means.map((mean) => [...mean]),
    stds: means.map(() => std),
  });
  const [p, q] = [blurred(ring, 0.35), gaussian({ mean: [0, 0], std: 1 })];
  const discriminator = await trainDiscriminator({
    p: { sample: (random, n) => drawFrom(p, n, random) },
    q: { sample: (random, n) => drawFrom(q, n, random) },
    steps: 800,
  });
  const x = tf.tidy(() => tf.concat([drawFrom(p, 200, rng(7)), drawFrom(q, 200, rng(8))]));
  const points = x.arraySync();
  const dot = (a: number[], b: number[]) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  for (const loss of ["logit", "nonSaturating", "saturating"] as const) {
    const got = tf.tidy(() => discriminator.direction(x, loss).arraySync()).flat();
    const exact = points.flatMap((point) => ganDirections(p, q, point)[loss]);
    const cosine = dot(got, exact) / Math.sqrt(dot(got, got) * dot(exact, exact));
    assert.ok(cosine > 0.83, `${loss}: cosine ${cosine}`);
    const length = dot(got, exact) / dot(exact, exact);
    assert.ok(length > 0.55 && length < 1.2, `${loss}: length ${length} of the exact`);
  }
  assert.throws(
    () => discriminator.direction(x, "hinge" as GanLoss),
    /unknown loss "hinge", expected one of/,
  );
  discriminator.dispose();
  x.dispose();
});
