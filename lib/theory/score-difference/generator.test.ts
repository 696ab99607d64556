import assert from "node:assert/strict";
import { test } from "node:test";
import { toy } from "../../data";
import { gaussian } from "../../elbo";
import { w2WithFloor } from "../../metrics";
import { rng, tf } from "../../tensor";
import { scoreDifference } from "./densities";
import { annealing, modeCoverage } from "./flow";
import { trainDiscriminator, trainGenerator } from "./generator";

test("a generator reaches all eight modes of the ring, in one smooth map", async () => {
  const target = toy("8gaussians");
  const before = tf.memory().numTensors;
  const generator = await trainGenerator({
    target,
    sigmas: annealing({ from: 1.4, to: 0.106, steps: 700 }),
  });
  const samples = generator.sample(rng(77), 400);
  const { modes, nearMode } = modeCoverage(samples.dataSync(), target.mixture!, 5);
  const { w2, floor } = w2WithFloor(samples, (n, number) => target.sample(rng(3, number), n), { repeats: 2 });
  assert.equal(modes, 8);
  assert.ok(nearMode >= 0.75, `near a mode: ${nearMode}`);
  assert.ok(w2 <= 1.5 * floor, `W2 ${w2}, floor ${floor}`);
  generator.dispose();
  samples.dispose();
  assert.equal(tf.memory().numTensors, before);
  await assert.rejects(trainGenerator({ target, sigmas: [0] }), /trainGenerator: sigma is 0/);
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
