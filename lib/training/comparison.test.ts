import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { linearSchedule, PARAMETERIZATIONS } from "../diffusion";
import { vlbWeights, WEIGHTINGS } from "../elbo";
import { engine, rng, tf } from "../tensor";
import { assertAllClose, assertClose } from "../testing";
import {
  type ComparisonRow,
  compareCell,
  comparisonCells,
  comparisonSteps,
  judge,
  optimalModel,
  summarize,
  trainCell,
} from "./comparison";

const schedule = linearSchedule();
const slow = { skip: !engine.native && "slow without the native engine" };

describe("comparison: the grid", () => {
  test("seeds are outermost, then weightings, then parameterizations", () => {
    const cells = comparisonCells({ parameterizations: ["x0", "v"], weightings: ["vlb", "snr+1"], seeds: 2 });
    assert.deepEqual(
      cells.map(({ parameterization, weighting, seed }) => `${parameterization} ${weighting} ${seed}`),
      [0, 1].flatMap((seed) => [`x0 vlb ${seed}`, `v vlb ${seed}`, `x0 snr+1 ${seed}`, `v snr+1 ${seed}`]),
    );
  });

  test("unknown names and empty lists are refused with the choices", async () => {
    const grid = { parameterizations: ["eps"], weightings: ["vlb"], seeds: 1 } as const;
    assert.throws(
      () => comparisonCells({ ...grid, parameterizations: ["noise" as "eps"] }),
      /unknown parameterization "noise", expected one of mean, x0, eps, v, score/,
    );
    assert.throws(() => comparisonCells({ ...grid, weightings: [] }), /no weighting, expected at least one/);
    assert.throws(() => comparisonCells({ ...grid, seeds: 0 }), /seeds is 0/);
    const [cell] = comparisonCells(grid);
    await assert.rejects(trainCell(cell, { data: "suns" as "moons", steps: 1 }), /unknown data set "suns"/);
    await assert.rejects(trainCell(cell, { data: "moons", steps: 1.5 }), /steps is 1.5/);
  });
});

describe("comparison: what makes cells train", () => {
  test("t is drawn without bias, and no corrected weight on eps is above 2.1 times the mean weight", () => {
    const count = 200_000;
    const { t, correction } = comparisonSteps(schedule)(count, rng(3));
    const [steps, corrections] = [t.dataSync(), correction.dataSync()];
    const weights = vlbWeights(schedule, "eps", "beta");
    const mean = weights.reduce((sum, weight) => sum + weight, 0) / schedule.numSteps;
    const values = Array.from(steps, (step, i) => weights[step] * corrections[i]);
    const found = values.reduce((sum, value) => sum + value, 0) / count;
    const squares = values.reduce((sum, value) => sum + (value - found) ** 2, 0) / count;
    assertClose(found, mean, { abs: 4 * Math.sqrt(squares / count), what: "mean weight" });
    const largest = values.reduce((most, value) => Math.max(most, value), 0);
    assert.ok(largest < 2.1 * mean, `${largest} against a mean of ${mean}`);
    assert.ok(Math.max(...weights) > 40 * mean, "uncorrected weights are far above their mean");
  });

  test(
    "no parameterization diverges with any weighting, at the learning rate that they all share",
    slow,
    async () => {
      for (const cell of comparisonCells({
        parameterizations: PARAMETERIZATIONS,
        weightings: WEIGHTINGS,
        seeds: 1,
      })) {
        const { curve, divergedAt, dispose } = await trainCell(cell, {
          data: "moons",
          steps: 60,
          hidden: 32,
          batch: 2048,
        });
        dispose();
        const name = `${cell.parameterization}, ${cell.weighting}`;
        const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
        assert.equal(divergedAt, undefined, name);
        assert.ok(
          mean(curve.loss.slice(-3)) < 1.05,
          `${name}: the loss went from 1 to ${curve.loss.join(", ")}`,
        );
      }
    },
  );
});

describe("comparison: common random numbers", () => {
  const settings = { data: "moons", steps: 20, hidden: 16, points: 40 } as const;
  const cell = { parameterization: "eps", weighting: "simple", seed: 3 } as const;

  test("a cell is a function of its seed, and leaves no tensors", slow, async () => {
    const first = await compareCell(cell, settings);
    const { numTensors } = tf.memory();
    const again = await compareCell(cell, settings);
    assert.equal(tf.memory().numTensors, numTensors);
    assert.deepEqual({ ...again, seconds: 0 }, { ...first, seconds: 0 });
    const other = await compareCell({ ...cell, seed: 4 }, settings);
    assert.notEqual(other.bound, first.bound);
    assert.equal(first.terms.length, 1001);
    assertClose(
      first.terms.reduce((sum, term) => sum + term, 0),
      first.bound,
      { rel: 1e-5 },
    );
  });

  test(
    "two weightings that are one in these coordinates give one run: the same data, t and noise",
    slow,
    async () => {
      // For eps, "snr" is "simple": SNR·‖x0 − x̂0‖² = ‖eps − ε̂‖².
      const simple = await compareCell(cell, settings);
      const snr = await compareCell({ ...cell, weighting: "snr" }, settings);
      assertAllClose(snr.curve.loss, simple.curve.loss, { rel: 1e-3 });
      assertClose(snr.w2Floor, simple.w2Floor);
    },
  );

  test("a training that diverges becomes a row of NaN", slow, async () => {
    const result = await compareCell(cell, { ...settings, learningRate: 1e38 });
    for (const name of ["bound", "boundStandardError", "w2", "w2Floor"] as const)
      assert.ok(Number.isNaN(result[name]), name);
    assert.equal(result.steps, 20);
  });

  test("the optimal network is known for mixtures, and no trained one has a lower bound", slow, async () => {
    assert.equal(optimalModel("moons"), undefined);
    const eight = { data: "8gaussians", points: 100 } as const;
    const optimal = await judge(optimalModel("8gaussians")!, eight, 0);
    const trained = await compareCell(
      { parameterization: "v", weighting: "vlb", seed: 0 },
      { ...eight, steps: 200, hidden: 32 },
    );
    assert.ok(trained.bound > optimal.bound.total, `${trained.bound} against ${optimal.bound.total}`);
    assert.ok(optimal.distance.w2 < 1.5 * optimal.distance.floor, `W2 ${optimal.distance.w2}`);
  });
});

describe("comparison: the summary", () => {
  const row = (parameterization: "eps" | "v", seed: number, bound: number, w2: number): ComparisonRow => ({
    parameterization,
    weighting: "vlb",
    seed,
    steps: 10,
    bound,
    boundStandardError: 1,
    w2,
    w2Floor: 2,
    seconds: 3,
  });
  const rows = [row("eps", 0, 1, 2), row("v", 0, 2, 3), row("eps", 1, 5, 4), row("v", 1, 7, 3)];

  test("bounds are set against the lowest combination, seed by seed", () => {
    const [eps, v] = summarize(rows);
    assert.deepEqual([eps.bound, eps.excess, eps.excessStandardError], [3, 0, 0]);
    assert.deepEqual([v.bound, v.excess, v.excessStandardError], [4.5, 1.5, 0.5]);
    assert.deepEqual([eps.ratio, eps.worstRatio, eps.w2, eps.seconds, eps.seeds], [1.5, 2, 3, 6, 2]);
  });

  test("or against a given reference; what diverged is never the lowest", () => {
    assert.deepEqual(
      summarize(rows, { 0: 0.5, 1: 4 }).map(({ excess }) => excess),
      [0.75, 2.25],
    );
    const [, v] = summarize([row("eps", 0, Number.NaN, Number.NaN), row("v", 0, 2, 3)]);
    assert.equal(v.excess, 0);
  });
});
