import assert from "node:assert/strict";
import { test } from "node:test";
import { rng, tf } from "../tensor";
import { assertAllClose, assertClose, assertNoLeak } from "../testing";
import {
  ancestralPlan,
  cosineSchedule,
  ddimPlan,
  evenSteps,
  interpolate,
  linearSchedule,
  type Model,
  mixNoised,
  type Plan,
  posteriorTables,
  predictX0,
  sample,
  sampleFrom,
  sampleStream,
  scheduleFromBetas,
  takeStep,
} from ".";

const schedule = linearSchedule({ numSteps: 50, betaStart: 0.002, betaEnd: 0.4 });

/** N(0, 1) data: the optimal ε is √(1−ᾱ) x_t. */
const model: Model = {
  schedule,
  parameterization: "eps",
  variance: "beta",
  predict: (xt, t) =>
    tf.tidy(() =>
      tf
        .gather(tf.tensor1d([...schedule.sqrtOneMinusAlphaBar]), t)
        .expandDims(1)
        .mul(xt),
    ),
};

/** Variance of the sample when x̂0 = √ᾱ x_t (N(0, 1) data): each transition is linear, x_s = gain·x_t + noise. */
function predictedVariance(plan: Plan): number {
  return plan.reduce((variance, { t, x0Coef, xtCoef, sigmaStd }) => {
    const gain = x0Coef * schedule.sqrtAlphaBar[t] + xtCoef;
    return gain ** 2 * variance + sigmaStd ** 2;
  }, 1);
}

test("ancestral sampling of N(0, 1) with σ² = β and a noisy last step is exact", () => {
  assertClose(predictedVariance(ancestralPlan(schedule, { variance: "beta", lastStepNoise: true })), 1, {
    rel: 1e-12,
  });
  assert.ok(
    predictedVariance(ancestralPlan(schedule, { variance: "betaTilde", lastStepNoise: true })) < 0.98,
  );
});

test("the last step's noise is exactly σ_1² of the variance", () => {
  const noisy = predictedVariance(ancestralPlan(schedule, { lastStepNoise: true }));
  const noiseless = predictedVariance(ancestralPlan(schedule));
  assertClose(noisy - noiseless, schedule.betaVar[1], { rel: 1e-9 });
  const { betaTilde } = posteriorTables(schedule);
  const last = ancestralPlan(schedule, { variance: "betaTilde", lastStepNoise: true }).at(-1);
  assertClose((last?.sigmaStd ?? 0) ** 2, betaTilde[2], { rel: 1e-12 });
});

test("DDIM at η = 1 is ancestral sampling with β̃, on any steps; at η = 0 it adds no noise", () => {
  for (const steps of [undefined, evenSteps(50, 7), [3], [2, 50]]) {
    const ddim = ddimPlan(schedule, { eta: 1, steps });
    const ancestral = ancestralPlan(schedule, { variance: "betaTilde", steps });
    ddim.forEach((step, i) => {
      assert.deepEqual([step.t, step.s], [ancestral[i].t, ancestral[i].s]);
      for (const name of ["x0Coef", "xtCoef", "sigmaStd"] as const)
        assertClose(step[name], ancestral[i][name], { rel: 1e-9, abs: 1e-12, what: `${name} at ${step.t}` });
    });
  }
  assert.ok(ddimPlan(schedule).every(({ sigmaStd }) => sigmaStd === 0));
});

/** x_s of one transition, from x_t, the noise predicted in it, and z. */
function stepFrom(step: Plan[number], [xt, eps, z]: number[]): number {
  const { sqrtAlphaBar, sqrtOneMinusAlphaBar } = schedule;
  const x0Hat = (xt - sqrtOneMinusAlphaBar[step.t] * eps) / sqrtAlphaBar[step.t];
  return step.x0Coef * x0Hat + step.xtCoef * xt + step.sigmaStd * z;
}

test("DDIM at η = 1 is ancestral sampling to rounding, where 1 − ᾱ is next to 1 and where it is tiny", () => {
  const cosine = cosineSchedule();
  const tiny = scheduleFromBetas([1.34e-18, 0.8433, 0.9999]);
  for (const [schedule, steps] of [
    [cosine, evenSteps(1000, 2)],
    [cosine, evenSteps(1000, 5)],
    [tiny, [1, 2, 3]],
  ] as const) {
    const want = ancestralPlan(schedule, { steps, variance: "betaTilde" });
    ddimPlan(schedule, { steps, eta: 1 }).forEach(({ xtCoef, sigmaStd }, i) => {
      assertClose(xtCoef, want[i].xtCoef, { rel: 1e-13 });
      if (want[i].s > 0) assertClose(sigmaStd, want[i].sigmaStd, { rel: 1e-13 });
    });
  }
});

test("Algorithm 2's printed line is a step of the ancestral plan, at every t", () => {
  const [xt, eps, z] = [0.7, -1.3, 0.4];
  for (const step of ancestralPlan(schedule, { variance: "beta" })) {
    const beta = schedule.betaVar[step.t];
    const mean = (xt - (beta / Math.sqrt(schedule.oneMinusAlphaBar[step.t])) * eps) / Math.sqrt(1 - beta);
    const printed = mean + (step.t > 1 ? Math.sqrt(beta) * z : 0);
    assertClose(stepFrom(step, [xt, eps, z]), printed, { rel: 1e-11, abs: 1e-12, what: `t = ${step.t}` });
  }
});

test("DDIM's printed line is a step of its plan, for any strides and any η", () => {
  const [xt, eps, z] = [0.7, -1.3, 0.4];
  const { alphaBar } = schedule;
  for (const eta of [0, 0.4, 1])
    for (const steps of [evenSteps(50, 50), evenSteps(50, 7), [2, 50]])
      for (const step of ddimPlan(schedule, { eta, steps })) {
        const [here, there] = [alphaBar[step.t], alphaBar[step.s]];
        const sigma2 = eta ** 2 * ((1 - there) / (1 - here)) * (1 - here / there); // Song et al. 2021, eq. 16
        const x0Hat = (xt - Math.sqrt(1 - here) * eps) / Math.sqrt(here);
        const printed =
          Math.sqrt(there) * x0Hat + Math.sqrt(1 - there - sigma2) * eps + Math.sqrt(sigma2) * z;
        assertClose(stepFrom(step, [xt, eps, z]), printed, { rel: 1e-9, abs: 1e-9, what: `t = ${step.t}` });
      }
});

test("DDIM keeps q's marginals for every η: a point x0 stays √ᾱ_s x0 with variance 1 − ᾱ_s", () => {
  for (const eta of [0, 0.3, 1])
    for (const { t, s, x0Coef, xtCoef, sigmaStd } of ddimPlan(schedule, { eta, steps: [1, 9, 30, 50] })) {
      assertClose(x0Coef + xtCoef * schedule.sqrtAlphaBar[t], schedule.sqrtAlphaBar[s], { rel: 1e-12 });
      assertClose(xtCoef ** 2 * schedule.oneMinusAlphaBar[t] + sigmaStd ** 2, schedule.oneMinusAlphaBar[s], {
        rel: 1e-12,
        abs: 1e-15,
      });
    }
});

test("samples have the plan's variance within Monte Carlo error, whatever the sampler", async () => {
  const count = 4000;
  const plans = [
    ancestralPlan(schedule, { variance: "beta" }),
    ancestralPlan(schedule, { variance: "betaTilde", steps: evenSteps(50, 10), lastStepNoise: true }),
    ddimPlan(schedule, { steps: evenSteps(50, 10) }),
  ];
  for (const [i, plan] of plans.entries()) {
    const x = await sample(model, [count, 1], { rng: rng(i), plan });
    const values = Array.from(x.dataSync());
    x.dispose();
    const mean = values.reduce((sum, value) => sum + value, 0) / count;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count;
    const want = predictedVariance(plan);
    assertClose(mean, 0, { abs: 4 * Math.sqrt(want / count), what: `mean of plan ${i}` });
    assertClose(variance, want, { abs: 4 * want * Math.sqrt(2 / count), what: `variance of plan ${i}` });
  }
});

test("the stream and the sample walk the same path; snapshots at the start, every n-th and the end", async () => {
  const plan = ancestralPlan(schedule, { steps: evenSteps(50, 8) });
  const direct = await sample(model, [3, 2], { rng: rng(5), plan });
  const seen = [];
  for await (const snapshot of sampleStream(model, [3, 2], { rng: rng(5), plan, every: 3 }))
    seen.push(snapshot);
  assert.deepEqual(
    seen.map(({ t }) => t),
    [50, plan[3].t, plan[6].t, 0],
  );
  assert.deepEqual(seen.at(-1)?.xt, direct.dataSync());
  assert.deepEqual(seen.at(-1)?.x0Hat, direct.dataSync());
  assertAllClose(
    seen[0].x0Hat,
    Array.from(seen[0].xt, (x) => schedule.sqrtAlphaBar[50] * x),
    { abs: 1e-4 }, // x0 from ε at t = T multiplies float32 rounding
  );
  direct.dispose();
});

test("clipping bounds every x̂0", async () => {
  const clip = [-0.1, 0.1] as const;
  for await (const { t, x0Hat } of sampleStream(model, [20, 1], { rng: rng(6), clip, every: 10 }))
    if (t > 0) assert.ok(x0Hat.every((x) => Math.abs(x) <= 0.1 + 1e-6));
});

test("sampling gives way to the event loop, reports progress and leaks nothing, also when left early", async () => {
  const plan = ddimPlan(schedule, { steps: [10, 30, 50] });
  const reports: string[] = [];
  let ticks = 0;
  const timer = setInterval(() => ticks++, 0);
  const before = tf.memory().numTensors;
  const onProgress = (done: number, total: number) => {
    reports.push(`${done}/${total}`);
  };
  const x = await sample(model, [2, 1], { rng: rng(7), plan, onProgress });
  assert.equal(tf.memory().numTensors, before + 1);
  x.dispose();
  for await (const { t } of sampleStream(model, [2, 1], { rng: rng(7) })) if (t < 48) break;
  clearInterval(timer);
  assert.ok(ticks > 0, "no timer ran");
  assert.deepEqual(reports, ["1/3", "2/3", "3/3"]);
  assert.equal(tf.memory().numTensors, before);
  const failing: Model = {
    ...model,
    predict: () => {
      throw new Error("no network");
    },
  };
  await assert.rejects(sample(failing, [2, 1], { rng: rng(7) }), /no network/);
  assert.equal(tf.memory().numTensors, before);
});

test("interpolation: the ends are the pure reconstructions, and one noise serves every λ", async () => {
  const [xa, xb] = [tf.tensor2d([[0.5, -1]]), tf.tensor2d([[-0.7, 0.2]])];
  const before = tf.memory().numTensors;
  const options = { t: 20, lambdas: [0, 0.5, 1], sharedNoise: true };
  const mixed = await interpolate(model, xa, xb, { ...options, rng: rng(8) });
  const alone = await interpolate(model, xa, xb, { ...options, lambdas: [0], rng: rng(8) });
  assert.deepEqual(mixed.shape, [3, 2]);
  assertAllClose(mixed.slice([0, 0], [1, 2]).dataSync(), alone.dataSync(), { rel: 1e-5, abs: 1e-6 });
  // The optimal decoder is linear here, so with one noise for all λ the middle is the mean of the ends.
  const [first, middle, last] = (await mixed.array()) as number[][];
  assertAllClose(
    middle,
    first.map((value, i) => (value + last[i]) / 2),
    { rel: 1e-4, abs: 1e-5 },
  );
  tf.dispose([mixed, alone]);
  assert.equal(tf.memory().numTensors - before, 1); // the slice above
  await assert.rejects(
    interpolate(model, xa, xb, { ...options, rng: rng(8), plan: ancestralPlan(schedule) }),
    /interpolate: the plan starts at 50, expected t = 20/,
  );
  await assert.rejects(
    interpolate(model, tf.ones([2, 2]), xb, { ...options, rng: rng(8) }),
    /interpolate: xa has shape \[2,2\] and xb \[1,2\]/,
  );
});

test("mixed latents: with one noise the variance stays 1 − ᾱ_t, with two it falls to half at λ = ½", () => {
  const dims = 40000;
  const [xa, epsA, epsB] = [tf.zeros([1, dims]), rng(1).normal([1, dims]), rng(2).normal([1, dims])];
  const lambdas = [0, 0.25, 0.5, 1];
  for (const shared of [true, false]) {
    const mixed = mixNoised(schedule, xa, xa, { t: 30, lambdas, epsA, epsB: shared ? epsA : epsB });
    const got = mixed.square().mean(1).dataSync();
    lambdas.forEach((lambda, i) => {
      const want = schedule.oneMinusAlphaBar[30] * (shared ? 1 : (1 - lambda) ** 2 + lambda ** 2);
      assertClose(got[i], want, { abs: 4 * want * Math.sqrt(2 / dims), what: `λ = ${lambda}` });
    });
    assertNoLeak(() => mixNoised(schedule, xa, xa, { t: 30, lambdas, epsA, epsB }));
  }
});

test("errors name what is wrong", async () => {
  const random = rng(9);
  const empty = sample(model, [3, 2], { rng: random, plan: [] });
  await assert.rejects(empty, /the plan is empty, expected at least one transition/);
  const between = { t: 5, lambdas: [0, 1], sharedNoise: true, rng: random };
  const [one, other] = [tf.zeros([1, 2]), tf.ones([1, 2])];
  for (const [wrong, says] of [
    [{ t: 0 }, /interpolate: t is 0, expected an integer from 1 to \d+/],
    [{ lambdas: [] }, /interpolate: lambdas is empty/],
    [{ plan: [] }, /interpolate: the plan is empty, expected t = 5/],
  ] as const)
    await assert.rejects(interpolate(model, one, other, { ...between, ...wrong }), says);
  assert.throws(() => ddimPlan(schedule, { eta: 2 }), /ddimPlan: eta is 2, expected a number from 0 to 1/);
  assert.throws(
    () => ancestralPlan(schedule, { variance: "learned" as "beta" }),
    /unknown variance "learned", expected one of beta, betaTilde/,
  );
  assert.throws(
    () => ancestralPlan(schedule, { variance: "learned" as "beta", steps: [50] }),
    /unknown variance "learned"/,
  );
  const before = tf.memory().numTensors;
  const unknown = { ...model, variance: "learned" as "beta" };
  await assert.rejects(sampleFrom(unknown, tf.ones([2, 2]), { rng: random }), /unknown variance "learned"/);
  assert.equal(tf.memory().numTensors, before); // the start is disposed all the same
  assert.throws(
    () => takeStep({ t: 2, s: 1, x0Coef: 1, xtCoef: 0, sigmaStd: 1 }, tf.ones([1, 1]), tf.ones([1, 1])),
    /takeStep: the step 2 → 1 adds noise, but z is missing/,
  );
  await assert.rejects(sample(model, [64], { rng: random }), /sample: shape is \[64\], expected \[B, …\]/);
  await assert.rejects(
    sampleStream(model, [4, 1], { rng: random, every: 0 }).next(),
    /sampleStream: every is 0/,
  );
  const start = tf.ones([2, 1]);
  const end = await sampleFrom(model, start, { rng: random });
  assert.ok(start.isDisposed);
  end.dispose();
});

test("a walk's compiled transitions are takeStep's, also for a network that closes over another number later", async () => {
  let scale = 0.5;
  const scaled: Model = { ...model, predict: (xt) => xt.mul(scale) };
  const plan = ancestralPlan(schedule, { steps: evenSteps(50, 12) });
  const start = rng(3).normal([6, 2]);
  for (const next of [0.5, 0.9]) {
    scale = next;
    const [seed] = rng(4)
      .integers([1], 0, 2 ** 31 - 1)
      .dataSync();
    let want = start.clone();
    for (const [place, step] of plan.entries()) {
      const t = tf.fill([6], step.t, "int32") as tf.Tensor1D;
      const x0Hat = predictX0(scaled, want, t, { clip: [-1, 1] });
      want = takeStep(step, x0Hat, want, step.sigmaStd > 0 ? rng(seed, place).normal([6, 2]) : undefined);
    }
    const got = await sampleFrom(scaled, start.clone(), { rng: rng(4), plan, clip: [-1, 1] });
    assertAllClose(got.dataSync(), want.dataSync(), { rel: 1e-5, abs: 1e-6 });
  }
});

test("a network that reads values back is walked op by op, and its own error comes out", async () => {
  const reading: Model = {
    ...model,
    predict: (xt, t) =>
      tf.tensor(
        Array.from(xt.dataSync(), (x) => x * (t.dataSync()[0] / 50)),
        xt.shape,
      ),
  };
  const want = await sample(
    { ...model, predict: (xt, t) => xt.mul(t.toFloat().div(50).expandDims(1)) },
    [4, 2],
    {
      rng: rng(5),
    },
  );
  const got = await sample(reading, [4, 2], { rng: rng(5) });
  assertAllClose(got.dataSync(), want.dataSync(), { rel: 1e-5, abs: 1e-6 });
  const broken: Model = { ...model, predict: (xt) => xt.matMul(tf.zeros([3, 3])) };
  await assert.rejects(sample(broken, [4, 2], { rng: rng(5) }), /\[4,2\].*\[3,3\]/s);
});
