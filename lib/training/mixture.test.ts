/** @file A trained MLP against the analytic ground: on a mixture its L_simple and its bound come near their minima, not below. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { linearSchedule, type Model } from "../diffusion";
import {
  drawFrom,
  estimate,
  evaluateBound,
  exactBound,
  minimumSimpleLoss,
  mixture,
  optimalPredict,
  simpleLoss,
} from "../elbo";
import { mlp } from "../nets";
import { engine, rng, tf } from "../tensor";
import { assertClose } from "../testing";
import { train } from "./trainer";

const schedule = linearSchedule();
const data = mixture({ weights: [0.5, 0.5], means: [-1, 1], stds: [0.3, 0.3] });
const optimal: Model = {
  schedule,
  predict: optimalPredict(data, schedule, "eps"),
  parameterization: "eps",
  variance: "beta",
};

/** Draws of the mixture by tensor ops alone. */
const source = {
  sample: (random: ReturnType<typeof rng>, count: number) =>
    tf.tidy(() => {
      const side = random.integers([count, 1], 0, 2).toFloat().mul(2).sub(1);
      return side.add(random.normal([count, 1]).mul(0.3));
    }),
};

/** The loss of each of many draws, the same for every model. */
function lossesOf(model: Model, count: number): Float32Array {
  return tf.tidy(() => {
    const random = rng(41);
    const x0 = source.sample(random, count);
    const t = random.integers([count], 1, schedule.numSteps + 1) as tf.Tensor1D;
    return simpleLoss(model, x0, t, random.normal(x0.shape)).dataSync() as Float32Array;
  });
}

test("a trained MLP: L_simple within 3 % of its least value, and its bound never below the entropy", {
  skip: !engine.native && "slow without the native engine",
}, async () => {
  const net = mlp({ inputDim: 1, hidden: 64, seed: 1 });
  const options = { net, schedule, data: source, learningRate: 0.01, emaDecay: 0.99, seed: 2 };
  const steps = 1500;
  for await (const { loss } of train({ ...options, steps, decaySteps: steps })) assert.ok(loss < 3);
  const trained: Model = { ...optimal, predict: net.apply };

  const least = minimumSimpleLoss(data, schedule);
  const [losses, leastLosses] = [lossesOf(trained, 200_000), lossesOf(optimal, 200_000)];
  const own = estimate(leastLosses);
  assertClose(own.mean, least, { abs: 4 * own.standardError, what: "the optimal network's L_simple" });
  // The optimum's error on the same draws is known, and is taken off: what is left is the network's own excess.
  const excess = estimate(losses.map((loss, i) => loss - leastLosses[i]));
  const interval = `${excess.mean} ± ${excess.standardError} above ${least}`;
  assert.ok(excess.mean < 0.03 * least, `L_simple is ${interval}`);
  assert.ok(excess.mean > -2 * excess.standardError, `L_simple is ${interval}`);

  const exact = exactBound(data, schedule, "beta");
  const x0 = drawFrom(data, 400, rng(5));
  const [bound, leastBound] = [
    await evaluateBound(trained, x0, { rng: rng(6) }),
    await evaluateBound(optimal, x0, { rng: rng(6) }),
  ];
  assertClose(leastBound.total, exact.total, { abs: 4 * leastBound.standardError });
  // As above: what the points at hand cost the optimal network is known to be chance, and is taken off.
  const better = exact.total + bound.total - leastBound.total;
  assert.ok(better >= exact.entropy, `the bound is ${better}, the entropy ${exact.entropy}`);
  assert.ok(better < exact.entropy + 0.1, `the bound is ${better}, the entropy ${exact.entropy}`);
  tf.dispose(x0);
  net.dispose();
});
