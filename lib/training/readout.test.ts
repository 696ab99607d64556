import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  convert,
  linearSchedule,
  type Predict,
  qSample,
  SCHEDULES,
  scheduleByName,
  sigma2,
  VARIANCES,
} from "../diffusion";
import { vlbWeights } from "../elbo";
import { rng, tf } from "../tensor";
import { assertAllClose, assertClose } from "../testing";
import { smallRun, untrainedCheckpoint } from "../testing/images";
import { buildRun, modelOf } from "./config";
import { readOut } from "./readout";

const zero: Predict = (x) => tf.zerosLike(x);
const linear = { schedule: linearSchedule(), variance: "beta" } as const;

describe("readOut: what a network's output is read as", () => {
  for (const name of SCHEDULES)
    for (const variance of VARIANCES)
      test(`the output that is right is nowhere much larger than 1: ${name}, ${variance}`, () => {
        const schedule = scheduleByName(name, { numSteps: 1000 });
        const count = 20000;
        const [x0, eps] = [1, 2].map((seed) => rng(seed).normal([count, 1]));
        for (const step of [1, 2, 10, 100, 500, 999]) {
          const t = tf.fill([count], step, "int32") as tf.Tensor1D;
          const xt = qSample(schedule, x0, t, eps);
          for (const parameterization of ["mean", "score"] as const) {
            // readOut is affine in the output F: find F from what it makes of 0 and of 1.
            const reading = { schedule, parameterization, variance };
            const [atZero, atOne] = [0, 1].map((F) => readOut(reading, (x) => tf.fill(x.shape, F))(xt, t));
            const F = convert(schedule, eps, "eps", parameterization, xt, t)
              .sub(atZero)
              .div(atOne.sub(atZero));
            const size = Math.sqrt(F.square().mean().dataSync()[0]);
            assert.ok(size > 0.03 && size < 1.5, `${parameterization} at t = ${step}: size ${size}`);
          }
        }
      });

  test("an output of 0 is read as x_t itself for the mean, and left alone for x0, eps and v", () => {
    const xt = tf.tensor2d([[0.3, -1]]);
    const t = tf.tensor1d([7], "int32");
    assertAllClose(readOut({ ...linear, parameterization: "mean" }, zero)(xt, t).dataSync(), xt.dataSync());
    for (const parameterization of ["x0", "eps", "v"] as const)
      assert.equal(readOut({ ...linear, parameterization }, zero), zero);
  });

  test("the bound weighs an error of the mean's output by a half at every t", () => {
    const t = tf.range(1, 1001, 1, "int32") as tf.Tensor1D;
    const xt = tf.zeros([1000, 1]);
    for (const variance of VARIANCES) {
      const weights = vlbWeights(linear.schedule, "mean", variance);
      const one = readOut({ ...linear, variance, parameterization: "mean" }, (x) => tf.onesLike(x))(xt, t);
      one.dataSync().forEach((error, i) => {
        assertClose(weights[i + 1] * error ** 2, 0.5, { rel: 1e-5, what: `${variance}, t = ${i + 1}` });
      });
    }
  });

  test("what the output is told besides x_t and t is passed on, and no tensor stays behind", () => {
    const xt = tf.tensor2d([[0.3, -1]]);
    const t = tf.tensor1d([7], "int32");
    for (const parameterization of ["mean", "score", "v"] as const) {
      const read = readOut({ ...linear, parameterization }, (x, _t, F: number) => tf.fill(x.shape, F));
      const { numTensors } = tf.memory();
      const [atZero, atTwo] = [read(xt, t, 0), read(xt, t, 2)];
      assert.equal(tf.memory().numTensors, numTensors + 2);
      assert.ok(atTwo.sub(atZero).min().dataSync()[0] > 0, parameterization);
    }
  });
});

test("a run's net is read as what the run predicts: untrained its mean is x_t, told a class or not, guided or not", () => {
  const config = smallRun({ parameterization: "mean", variance: "betaTilde" }, 3);
  const { net, schedule } = buildRun(config);
  const opened = modelOf(untrainedCheckpoint(config), "here");
  const xt = rng(3).normal([2, 32, 32, 3]);
  const t = tf.tensor1d([1, 600], "int32");
  const labels = tf.tensor1d([0, 2], "int32");
  for (const mean of [
    net.apply(xt, t),
    net.apply(xt, t, { labels }),
    opened.model.predict(xt, t),
    opened.guidedModel({ labels: [0, 2], scale: 3 }).predict(xt, t),
  ])
    assertAllClose(mean.dataSync(), xt.dataSync());

  // The last layer's bias is F itself while its weights are 0.
  const bias = Object.entries(net.variables).filter(([name]) => /^out.*bias$/.test(name));
  assert.equal(bias.length, 1, Object.keys(net.variables).join(", "));
  bias[0][1].assign(tf.onesLike(bias[0][1]));
  const sigma = sigma2(schedule, "betaTilde").map(Math.sqrt);
  const added = net.apply(xt, t, { labels }).sub(xt).mean([1, 2, 3]).dataSync();
  assertAllClose(added, [sigma[1], sigma[600]], { rel: 1e-4 });
  opened.dispose();
  net.dispose();
});
