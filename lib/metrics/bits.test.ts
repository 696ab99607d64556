import assert from "node:assert/strict";
import { test } from "node:test";
import { linearSchedule, type Model } from "../diffusion";
import {
  drawFrom,
  evaluateBound,
  exactBound,
  exactRateDistortion,
  gaussian,
  optimalPredict,
  quantizedBitsPerDim,
} from "../elbo";
import { rng, tf } from "../tensor";
import { assertClose } from "../testing";
import { bitsSummary, imageBits, type Moments, mergeMoments } from ".";

const schedule = linearSchedule({ numSteps: 40, betaStart: 0.02, betaEnd: 0.4 });
const T = schedule.numSteps;
const data = gaussian({ mean: 0.2, std: 0.3 });
const optimal = optimalPredict(data, schedule, "eps");

/** The optimal network, pixel by pixel, and how many rows it was given at once. */
function pixelModel(seen: number[] = []): Model {
  const predict: Model["predict"] = (xt, t) => {
    seen.push(xt.shape[0]);
    const pixels = xt.size / xt.shape[0];
    const each = tf.tile(t.expandDims(1), [1, pixels]).reshape([-1]) as tf.Tensor1D;
    return optimal(xt.reshape([-1, 1]), each).reshape(xt.shape);
  };
  return { schedule, parameterization: "eps", variance: "betaTilde", predict };
}

const SHAPE = [4, 4, 2];
const images = (seed: number, count: number) =>
  tf.tidy(() => drawFrom(data, count * 32, rng(seed)).reshape([count, ...SHAPE]));

async function evaluated(
  x0: tf.Tensor,
  options: Parameters<typeof imageBits>[1],
  perBatch = 10,
): Promise<Moments> {
  const bits = imageBits(pixelModel(), options);
  let all: Moments | null = null;
  for (let from = 0, number = 0; from < x0.shape[0]; from += perBatch, number++) {
    const part = x0.slice(from, Math.min(perBatch, x0.shape[0] - from));
    all = mergeMoments(all, await bits.batch(part, number));
    part.dispose();
  }
  return all as Moments;
}

const continuous = { kind: "continuous" } as const;

test("Gaussian data and the optimal network: the bound, its terms, rate and distortion are the exact ones", async () => {
  const exact = exactBound(data, schedule, "betaTilde");
  const curve = exactRateDistortion(data, schedule, "betaTilde");
  const bits = (nats: number) => nats / Math.LN2;
  for (const [parts, count] of [
    [T - 1, 200],
    [13, 600],
  ]) {
    const x0 = images(1, count);
    const found = bitsSummary(await evaluated(x0, { parts, decoder: continuous, seed: 2 }), T);
    const within = (
      { mean, standardError }: { mean: number; standardError: number },
      want: number,
      what: string,
    ) => assertClose(mean, want, { abs: 4.5 * standardError + 1e-6, what: `${what}, ${parts} parts` });
    within(found.bitsPerDim, exact.bitsPerDim, "bits/dim");
    const { standardError } = found.bitsPerDim;
    assert.ok(standardError < 0.06, `standard error ${standardError}`);
    within(found.L_T, bits(exact.L_T), "L_T");
    within(found.L_0, bits(exact.L_0), "L_0");
    assert.equal(found.images, count);
    assert.equal(found.parts.length, parts);
    assertClose(found.rate, curve.rate[0], { rel: 0.02 });
    assertClose(found.rmse, 127.5 * Math.sqrt(curve.distortionPerDim[1]), { rel: 0.03 });
    assert.equal(found.parts[0].from, 2);
    assert.equal(found.parts[parts - 1].to, T);
    x0.dispose();
    if (parts < T - 1) continue;
    found.parts.forEach((part, i) => {
      assert.deepEqual([part.from, part.to], [i + 2, i + 2]);
      within({ mean: part.bits, standardError: part.standardError }, bits(exact.L_t[i]), `L_${i + 1}`);
      assertClose(part.squaredError, curve.distortionPerDim[i + 2], { rel: 0.08 });
    });
  }
});

test("8-bit data: the discretized bound lies above the data's own entropy, by no more than the schedule costs", async () => {
  const x0 = tf.tidy(() => {
    const values = images(3, 150).clipByValue(-1, 1);
    return values.add(1).mul(127.5).round().div(127.5).sub(1);
  });
  const found = bitsSummary(await evaluated(x0, { seed: 4 }), T);
  const entropy = quantizedBitsPerDim(data);
  const gap = exactBound(data, schedule, "betaTilde");
  const cost = (gap.total - gap.entropy) / Math.LN2;
  const { mean, standardError } = found.bitsPerDim;
  assertClose(mean, entropy + cost, { abs: 4 * standardError + 0.02 });
  assert.ok(mean + 4 * standardError > entropy);
  assertClose(found.distortion + found.rate, mean, { rel: 1e-9 });
  x0.dispose();
});

test("every t, and its draws, as evaluateBound has it", async () => {
  const x0 = images(5, 64);
  const ours = bitsSummary(await evaluated(x0, { draws: 4, decoder: continuous, seed: 6 }), T);
  const theirs = await evaluateBound(pixelModel(), x0, { rng: rng(7), draws: 4 });
  const spread = Math.hypot(theirs.noiseStandardError / Math.LN2, theirs.noiseStandardError / Math.LN2);
  assertClose(ours.bitsPerDim.mean, theirs.bitsPerDim, { abs: 4.5 * spread });
  assertClose(ours.bitsPerDim.standardError, theirs.standardError / Math.LN2, { rel: 0.15 });
  x0.dispose();
});

test("the same batches give the same numbers, at most `rows` images reach the network at once, nothing leaks", async () => {
  const x0 = images(8, 20);
  const options = { parts: 5, rows: 8, seed: 1 };
  const [a, b] = [await evaluated(x0, options), await evaluated(x0, options)];
  assert.deepEqual(a, b);
  assert.notDeepEqual(await evaluated(x0, { ...options, seed: 2 }), a);
  const seen: number[] = [];
  const before = tf.memory().numTensors;
  await imageBits(pixelModel(seen), options).batch(x0, 0);
  assert.equal(tf.memory().numTensors, before);
  assert.equal(Math.max(...seen), 8);
  x0.dispose();
});

test("a network that diverges and counts out of range are refused", async () => {
  const broken: Model = { ...pixelModel(), predict: (xt) => xt.mul(Number.NaN) };
  const x0 = images(9, 2);
  await assert.rejects(
    imageBits(broken, { parts: 3 }).batch(x0, 0),
    /imageBits: the bound of image 0 of batch 0 is NaN/,
  );
  assert.throws(
    () => imageBits(pixelModel(), { parts: T }),
    /imageBits: parts is 40, expected a whole number from 1 to 39/,
  );
  assert.throws(
    () => imageBits(pixelModel(), { draws: 0 }),
    /imageBits: draws is 0, expected a whole number from 1/,
  );
  x0.dispose();
});
