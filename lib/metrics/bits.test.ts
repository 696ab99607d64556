import assert from "node:assert/strict";
import { test } from "node:test";
import { linearSchedule, type Model, scheduleFromBetas } from "../diffusion";
import {
  drawFrom,
  estimate,
  evaluateBound,
  exactBound,
  exactRateDistortion,
  gaussian,
  optimalPredict,
  quantizedBitsPerDim,
} from "../elbo";
import { rng, tf } from "../tensor";
import { assertClose } from "../testing";
import { type BitsSummary, bitsSummary, imageBits, rowsOf } from ".";

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
  model = pixelModel(),
): Promise<BitsSummary> {
  const bits = imageBits(model, options);
  const rows: number[] = [];
  for (let from = 0, number = 0; from < x0.shape[0]; from += perBatch, number++) {
    const part = x0.slice(from, Math.min(perBatch, x0.shape[0] - from));
    rows.push(...(await bits.batch(part, number)));
    part.dispose();
  }
  return bitsSummary(rowsOf(Float32Array.from(rows), bits.dims), T);
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
    const found = await evaluated(x0, { parts, decoder: continuous, seed: 2 });
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
    x0.dispose();
    for (const { from, to, bits: mean, standardError, squaredError } of found.parts) {
      const over = (values: ArrayLike<number>, offset: number) =>
        Array.from(values)
          .slice(from - offset, to + 1 - offset)
          .reduce((sum, value) => sum + value, 0);
      within({ mean, standardError }, bits(over(exact.L_t, 2)), `Σ L_{t−1} over ${from}…${to}`);
      assertClose(squaredError, over(curve.distortionPerDim, 0) / (to - from + 1), { rel: 0.08 });
    }
  }
});

test("parts follow one another from 2 to T, narrow ones first; as many as there are steps are single steps", async () => {
  const x0 = images(1, 2);
  for (const count of [1, 2, 13, T - 2, T - 1]) {
    const { parts } = await evaluated(x0, { parts: count });
    assert.equal(parts.length, count);
    assert.deepEqual([parts[0].from, parts[count - 1].to], [2, T]);
    const widths = parts.map(({ from, to }) => to - from + 1);
    parts.slice(1).forEach(({ from }, i) => {
      assert.equal(from, parts[i].to + 1);
      assert.ok(widths[i] >= 1 && widths[i + 1] >= widths[i] - 1, `widths ${widths}`);
    });
  }
  x0.dispose();
});

test("a single step has no parts: its bound is L_T + L_0", async () => {
  const one = scheduleFromBetas([0.6], { allowPriorMismatch: true });
  const predict = optimalPredict(data, one, "eps");
  const model: Model = { schedule: one, parameterization: "eps", variance: "beta", predict };
  const x0 = drawFrom(data, 4000, rng(12));
  const bits = imageBits(model, { decoder: continuous });
  const rows = await bits.batch(x0, 0);
  const found = await bitsSummary(rowsOf(rows, bits.dims), 1);
  const exact = exactBound(data, one, "beta");
  assert.deepEqual(found.parts, []);
  for (const [got, nats] of [
    [found.L_T, exact.L_T],
    [found.L_0, exact.L_0],
    [found.bitsPerDim, exact.total],
  ] as const)
    assertClose(got.mean, nats / Math.LN2, { abs: 4 * got.standardError });
  assertClose(found.rate, found.L_T.mean, { rel: 1e-12 });
  assert.throws(
    () => imageBits(model, { parts: 1 }),
    /imageBits: parts is 1, expected a whole number from 0 to 0/,
  );
  x0.dispose();
});

test("image by image: the means are those of the rows, and what differs between models is known better than either", async () => {
  const x0 = images(10, 100);
  const worse: Model = { ...pixelModel(), predict: (xt, t) => pixelModel().predict(xt, t).mul(0.9) };
  const options = { parts: 13, decoder: continuous, seed: 11 };
  const [a, b] = [await evaluated(x0, options), await evaluated(x0, options, 10, worse)];
  assert.equal(a.perImage.length, 100);
  assertClose(a.bitsPerDim.mean, a.rate + a.distortion, { rel: 1e-12 });
  const difference = estimate(b.perImage.map((bits, i) => bits - a.perImage[i]));
  assertClose(difference.mean, b.bitsPerDim.mean - a.bitsPerDim.mean, { rel: 1e-9 });
  assert.ok(difference.mean > 4 * difference.standardError, `${difference.mean}`);
  assert.ok(difference.standardError < 0.5 * a.bitsPerDim.standardError, `${difference.standardError}`);
  x0.dispose();
});

test("8-bit data: the discretized bound lies above the data's own entropy, by no more than the schedule costs", async () => {
  const x0 = tf.tidy(() => {
    const values = images(3, 150).clipByValue(-1, 1);
    return values.add(1).mul(127.5).round().div(127.5).sub(1);
  });
  const found = await evaluated(x0, { seed: 4 });
  const entropy = quantizedBitsPerDim(data);
  const gap = exactBound(data, schedule, "betaTilde");
  const cost = (gap.total - gap.entropy) / Math.LN2;
  const { mean, standardError } = found.bitsPerDim;
  assertClose(mean, entropy + cost, { abs: 4 * standardError + 0.02 });
  assert.ok(mean + 4 * standardError > entropy);
  assertClose(found.distortion + found.rate, mean, { rel: 1e-9 });
  x0.dispose();
});

test("every t, and its draws, as evaluateBound has it, of the clipped model too", async () => {
  const x0 = images(5, 64);
  const bounds: number[] = [];
  for (const clip of [false, [-0.1, 0.4]] as const) {
    const ours = await evaluated(x0, { draws: 4, decoder: continuous, seed: 6, clip });
    const theirs = await evaluateBound(pixelModel(), x0, { rng: rng(7), draws: 4, clip });
    const spread = (Math.SQRT2 * theirs.noiseStandardError) / Math.LN2;
    assertClose(ours.bitsPerDim.mean, theirs.bitsPerDim, { abs: 4.5 * spread });
    assertClose(ours.bitsPerDim.standardError, theirs.standardError / Math.LN2, { rel: 0.15 });
    bounds.push(theirs.bitsPerDim - 4.5 * spread, theirs.bitsPerDim + 4.5 * spread);
  }
  assert.ok(bounds[2] > bounds[1], `clipping changes nothing: ${bounds}`);
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
    () => imageBits(pixelModel(), { parts: 0 }),
    /imageBits: parts is 0, expected a whole number from 1 to 39/,
  );
  assert.throws(
    () => imageBits(pixelModel(), { draws: 0 }),
    /imageBits: draws is 0, expected a whole number from 1/,
  );
  x0.dispose();
});
