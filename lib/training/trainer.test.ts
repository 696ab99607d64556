import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { toy } from "../data";
import { linearSchedule } from "../diffusion";
import { gaussian, minimumSimpleLoss } from "../elbo";
import { createNet, mlp } from "../nets";
import { engine, type Rng, tf } from "../tensor";
import { assertAllClose } from "../testing";
import { run, type Trainer, train, trainer } from "./trainer";

const schedule = linearSchedule();
const small = (seed = 3): Trainer =>
  trainer({ net: mlp({ hidden: 16, depth: 1, seed: 1 }), schedule, data: toy("moons"), batchSize: 32, seed });

async function losses(training: Trainer, count: number): Promise<number[]> {
  const all: number[] = [];
  for (let i = 0; i < count; i++) all.push(await training.step());
  return all;
}

const valuesOf = (training: Trainer) =>
  Object.fromEntries(Object.entries(training.tensors()).map(([name, v]) => [name, [...v.dataSync()]]));

const disposeAll = (training: Trainer) => {
  training.dispose();
  training.net.dispose();
};

describe("trainer", () => {
  test("the same seed gives the same run, another seed another", async () => {
    const [a, b, c] = [small(), small(), small(4)];
    const [first, second, other] = [await losses(a, 5), await losses(b, 5), await losses(c, 5)];
    assert.deepEqual(first, second);
    assert.notDeepEqual(first, other);
    for (const one of [a, b, c]) disposeAll(one);
  });

  test("data drawn inside the compiled step are those drawn outside it, bit for bit", async () => {
    const data = toy("moons");
    const options = { schedule, batchSize: 32, seed: 3 };
    const inside = trainer({ ...options, net: mlp({ hidden: 16, depth: 1, seed: 1 }), data });
    const drawn = { sample: (random: Rng, count: number) => data.sample(random, count) };
    const outside = trainer({ ...options, net: mlp({ hidden: 16, depth: 1, seed: 1 }), data: drawn });
    assert.deepEqual(await losses(inside, 5), await losses(outside, 5));
    for (const one of [inside, outside]) disposeAll(one);
  });

  test("a resumed run equals an uninterrupted one, bit for bit", async () => {
    const whole = small();
    const wholeLosses = await losses(whole, 12);
    const before = small();
    await losses(before, 5);
    const kept = Object.fromEntries(Object.entries(before.tensors()).map(([name, v]) => [name, v.clone()]));
    const after = small();
    after.restore(5, kept);
    assert.deepEqual(await losses(after, 7), wholeLosses.slice(5));
    assert.deepEqual(valuesOf(after), valuesOf(whole));
    for (const one of [whole, before, after]) disposeAll(one);
    tf.dispose(kept);
  });

  test("on N(0, 1) data the loss comes down to its analytic minimum", {
    skip: !engine.native && "slow",
  }, async () => {
    const net = mlp({ inputDim: 1, hidden: 64, depth: 2, seed: 2 });
    const data = {
      sample: (random: { normal(shape: number[]): tf.Tensor }, count: number) => random.normal([count, 1]),
    };
    const recent: number[] = [];
    for await (const { step, loss } of train({
      net,
      schedule,
      data,
      batchSize: 512,
      steps: 1500,
      learningRate: 2e-3,
    }))
      if (step > 1000) recent.push(loss);
    const mean = recent.reduce((sum, one) => sum + one, 0) / recent.length;
    const spread = Math.sqrt(recent.reduce((sum, one) => sum + (one - mean) ** 2, 0) / recent.length);
    const standardError = spread / Math.sqrt(recent.length);
    const least = minimumSimpleLoss(gaussian({ mean: 0, std: 1 }), schedule);
    assert.ok(
      mean > least - 3 * standardError,
      `${mean} is below the least possible ${least} ± ${standardError}`,
    );
    assert.ok(mean < least * 1.04 + 2 * standardError, `${mean} ± ${standardError}, expected near ${least}`);
    net.dispose();
  });

  test("withAverages shows the averages and puts the trained weights back, also after an error", async () => {
    const training = small();
    await losses(training, 3);
    const before = valuesOf(training);
    const [name] = Object.keys(training.net.variables);
    const seen = await training.withAverages(async () => [...training.net.variables[name].dataSync()]);
    assert.deepEqual(seen, before[`ema/${name}`]);
    await assert.rejects(
      training.withAverages(() => Promise.reject(new Error("inside"))),
      /inside/,
    );
    assert.deepEqual(valuesOf(training), before);
    disposeAll(training);
  });

  test("with decaySteps the learning rate falls along half a cosine, also in a resumed run", async () => {
    const decaying = () =>
      trainer({
        net: mlp({ hidden: 8, depth: 1, seed: 1 }),
        schedule,
        data: toy("moons"),
        batchSize: 8,
        learningRate: 0.02,
        decaySteps: 4,
      });
    const rateOf = (training: Trainer) => training.tensors()["optimizer/learningRate"].dataSync()[0];
    const whole = decaying();
    const rates: number[] = [];
    for (let step = 0; step < 6; step++) {
      await whole.step();
      rates.push(rateOf(whole));
    }
    const root = Math.SQRT1_2;
    assertAllClose(rates, [0.02, 0.01 * (1 + root), 0.01, 0.01 * (1 - root), 0, 0], { abs: 1e-8 });
    const resumed = decaying();
    resumed.restore(2, whole.tensors());
    await resumed.step();
    assertAllClose([rateOf(resumed)], [0.01], { abs: 1e-8 });
    for (const one of [whole, resumed]) disposeAll(one);
    assert.throws(
      () => trainer({ net: mlp(), schedule, data: toy("moons"), decaySteps: 0 }),
      /trainer: decaySteps is 0/,
    );
  });

  test("a step leaves no tensors behind", async () => {
    const training = small();
    await losses(training, 2);
    const { numTensors } = tf.memory();
    await losses(training, 3);
    assert.equal(tf.memory().numTensors, numTensors);
    disposeAll(training);
  });

  test("run stops at a signal after the step in hand, and goes on from there", async () => {
    const training = small();
    const stop = new AbortController();
    for await (const { step } of run(training, { until: 10, signal: stop.signal }))
      if (step === 4) stop.abort();
    assert.equal(training.done, 4);
    for await (const { step } of run(training, { until: 6 })) assert.ok(step > 4);
    assert.equal(training.done, 6);
    disposeAll(training);
  });

  test("train leaves the averages in the net, also after a break", async () => {
    const net = mlp({ hidden: 8, depth: 1, seed: 1 });
    const before = [...net.variables[Object.keys(net.variables)[0]].dataSync()];
    for await (const { step } of train({ net, schedule, data: toy("moons"), batchSize: 8, steps: 50 }))
      if (step === 20) break;
    assert.notDeepEqual([...net.variables[Object.keys(net.variables)[0]].dataSync()], before);
    net.dispose();
  });

  test("the averages that train leaves keep the net's limits", async () => {
    const net = mlp({ hidden: 8, depth: 2, weightLimit: 0.05, seed: 1 });
    const options = { batchSize: 8, steps: 20, learningRate: 0.01, seed: 0 };
    for await (const _ of train({ net, schedule, data: toy("moons"), ...options })); // trains
    const largest = Math.max(
      ...Object.values(net.variables).flatMap((variable) =>
        variable.rank === 2 ? [...variable.dataSync()].map(Math.abs) : [],
      ),
    );
    assert.ok(largest <= 0.05 * (1 + 1e-6), `the largest weight is ${largest}`);
    net.dispose();
  });

  test("a loss that is no number stops the run with its step", async () => {
    const data = { sample: (_: unknown, count: number) => tf.fill([count, 2], Number.NaN) };
    const net = mlp({ hidden: 8, depth: 1 });
    const training = trainer({ net, schedule, data, batchSize: 8 });
    await assert.rejects(async () => {
      for await (const _ of run(training, { until: 3 }));
    }, /the loss is NaN at step 1, in the terms L_\{t−1\} of all 8 examples: the weights or the data are not finite\. Lower/);
    disposeAll(training);
  });

  test("a term that is no number is named with its t", async () => {
    const data = {
      sample: (_: unknown, count: number) =>
        tf.tidy(() => tf.concat([tf.zeros([count - 1, 2]), tf.fill([1, 2], Number.NaN)])),
    };
    const training = trainer({ net: mlp({ hidden: 8, depth: 1 }), schedule, data, batchSize: 8 });
    let message = "";
    try {
      for await (const _ of run(training, { until: 3 }));
    } catch (error) {
      message = (error as Error).message;
    }
    const [, term, t] =
      /the loss is NaN at step 1, in L_(\d+) \(t = (\d+)\): 1 of 8 examples\./.exec(message) ?? [];
    assert.equal(Number(t), training.lastTerms().t[7], message);
    assert.equal(Number(term), Number(t) - 1);
    disposeAll(training);
  });

  test("the last step's terms make up its loss", async () => {
    const training = small();
    const [loss] = (await losses(training, 2)).slice(1);
    const terms = training.lastTerms();
    assert.equal(terms.t.length, 32);
    assert.ok(terms.t.every((t) => t >= 1 && t <= 1000));
    const mean = terms.loss.reduce((sum, one) => sum + one, 0) / 32;
    assertAllClose([mean / 2], [loss], { rel: 1e-5 }); // 2 dimensions
    disposeAll(training);
  });

  test("a net with classes learns from labels, hides the asked share of them, and resumes exactly", async () => {
    const classes = 2;
    const config = {
      kind: "unet",
      imageSize: 4,
      channels: 4,
      multipliers: [1],
      blocks: 1,
      dropout: 0.2,
      classes,
    } as const;
    const labelled = (source: Rng, count: number) => ({
      images: source.normal([count, 4, 4, 3]),
      labels: tf.ones([count], "int32") as tf.Tensor1D,
    });
    const data = {
      sample: (source: Rng, count: number) => labelled(source, count).images,
      sampleLabelled: labelled,
    };
    const make = (labelDropout: number) =>
      trainer({ net: createNet(config, 1), schedule, data, batchSize: 4, labelDropout, learningRate: 0.01 });
    const trained = async (labelDropout: number) => {
      const training = make(labelDropout);
      const rowsOf = () => {
        const table = training.net.variables["time.class.table"].dataSync();
        return [0, 1, 2].map((row) => table.slice(16 * row, 16 * (row + 1)).join());
      };
      const before = rowsOf();
      await losses(training, 3);
      const rows = rowsOf().map((row, i) => row !== before[i]);
      disposeAll(training);
      return rows;
    };
    assert.deepEqual(await trained(0), [false, true, false]); // only the class that was shown
    assert.deepEqual(await trained(1), [false, false, true]); // only "of no known class"
    const [whole, again] = [make(0.5), make(0.5)];
    await losses(whole, 2);
    const kept = Object.fromEntries(Object.entries(whole.tensors()).map(([name, v]) => [name, v.clone()]));
    again.restore(2, kept);
    assert.deepEqual(await losses(again, 2), await losses(whole, 2));
    assert.throws(() => make(1.5), /trainer: labelDropout is 1\.5, expected a probability/);
    const unlabelled = { sample: data.sample };
    assert.throws(
      () => trainer({ net: whole.net, schedule, data: unlabelled }),
      /trainer: the net has classes, the data have none/,
    );
    for (const one of [whole, again]) disposeAll(one);
    tf.dispose(kept);
  });

  test("another net's values are refused, and nothing is changed", async () => {
    const training = small();
    const before = valuesOf(training);
    assert.throws(() => training.restore(1, {}), /is missing\. This is the checkpoint of another net/);
    const wrong = Object.fromEntries(Object.keys(training.tensors()).map((name) => [name, tf.zeros([3])]));
    assert.throws(() => training.restore(1, wrong), /has shape \[3\], expected \[/);
    assert.deepEqual(valuesOf(training), before);
    disposeAll(training);
  });
});
