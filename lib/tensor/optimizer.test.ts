import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { assertAllClose, assertClose, assertNoLeak } from "../testing";
import { type AdamOptions, adam, compile, engine, tf } from ".";

const native = { skip: engine.native ? false : "the engine is not native" };
const values = (tensor: tf.Tensor): number[] => Array.from(tensor.dataSync());

// Least squares in 3 unknowns, 8 equations; its gradient in plain numbers is exact to float64.
const rows = Array.from({ length: 8 }, (_, i) => [Math.sin(i + 1), Math.cos(2 * i), 0.3 * (i - 4)]);
const targets = rows.map((_, i) => Math.cos(i) - 0.5);
const start = [0.5, -1, 2];

function gradientOf(w: number[]): number[] {
  const off = rows.map((row, i) => row.reduce((sum, x, j) => sum + x * w[j], 0) - targets[i]);
  return w.map((_, j) => (2 / rows.length) * rows.reduce((sum, row, i) => sum + off[i] * row[j], 0));
}

/** The loop of PyTorch's documentation of `torch.optim.AdamW` with `clip_grad_norm_`, in float64. */
function reference(o: AdamOptions, steps: number) {
  const { learningRate, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0, warmupSteps = 0 } = o;
  const w = [...start];
  const average = [...start];
  const m = w.map(() => 0);
  const v = w.map(() => 0);
  for (let n = 1; n <= steps; n++) {
    const rate = learningRate * (warmupSteps ? Math.min(1, n / warmupSteps) : 1);
    const g = gradientOf(w);
    const clip = o.clipNorm ? Math.min(1, o.clipNorm / (Math.hypot(...g) + 1e-6)) : 1;
    for (const j of w.keys()) {
      m[j] = beta1 * m[j] + (1 - beta1) * clip * g[j];
      v[j] = beta2 * v[j] + (1 - beta2) * (clip * g[j]) ** 2;
      w[j] *= 1 - rate * weightDecay;
      w[j] -= (rate * m[j]) / (1 - beta1 ** n) / (Math.sqrt(v[j] / (1 - beta2 ** n)) + epsilon);
      average[j] += (1 - (o.emaDecay ?? 1)) * (w[j] - average[j]);
    }
  }
  return { w, average };
}

/** The same with our optimizer; the three unknowns are spread over two variables. */
function trained(options: AdamOptions, steps: number, use: typeof compile) {
  const variables = {
    a: tf.variable(tf.tensor2d([start.slice(0, 2)])),
    b: tf.variable(tf.tensor1d(start.slice(2))),
  };
  const optimizer = adam(variables, options);
  const x = tf.tensor2d(rows);
  const y = tf.tensor1d(targets);
  const loss = () =>
    tf
      .matMul(x, tf.concat([variables.a.flatten(), variables.b]).expandDims(1))
      .flatten()
      .sub(y)
      .square()
      .mean();
  const step = use(() => optimizer.minimize(loss as () => tf.Scalar));
  for (let n = 0; n < steps; n++) step().dispose();
  const flat = ({ a, b }: { a: tf.Tensor; b: tf.Tensor }) => [...values(a), ...values(b)];
  return {
    w: flat(variables),
    average: optimizer.averages && flat(optimizer.averages),
    optimizer,
    step,
    variables,
  };
}

const asIs = (<F>(f: F) => f) as unknown as typeof compile;
const cases: Record<string, AdamOptions> = {
  Adam: { learningRate: 0.01 },
  "other betas and a large epsilon": { learningRate: 0.01, beta1: 0.5, beta2: 0.99, epsilon: 1e-2 },
  clipping: { learningRate: 0.01, clipNorm: 0.7 },
  "AdamW with warm-up and an average": {
    learningRate: 0.02,
    weightDecay: 0.1,
    warmupSteps: 30,
    emaDecay: 0.95,
  },
  everything: { learningRate: 0.02, weightDecay: 0.05, warmupSteps: 150, emaDecay: 0.99, clipNorm: 1 },
};
for (const [name, options] of Object.entries(cases))
  for (const [mode, use] of Object.entries({ eager: asIs, compiled: compile }))
    test(`${name}, ${mode}: 100 steps equal PyTorch's formula in float64`, () => {
      const want = reference(options, 100);
      const got = trained(options, 100, use);
      assertAllClose(got.w, want.w, { abs: 2e-6, what: "weight" });
      if (got.average) assertAllClose(got.average, want.average, { abs: 2e-6, what: "average" });
      assert.ok(Math.abs(want.w[2] - start[2]) > 0.1, "the weights must have moved");
    });

test("100 steps equal tfjs's own Adam", () => {
  const w = tf.variable(tf.tensor1d(start));
  const optimizer = tf.train.adam(0.01, 0.9, 0.999, 1e-8);
  const loss = () =>
    tf.matMul(tf.tensor2d(rows), w.expandDims(1)).flatten().sub(tf.tensor1d(targets)).square().mean();
  for (let n = 0; n < 100; n++) optimizer.minimize(loss as () => tf.Scalar);
  // tfjs keeps 1 − beta^n in float32 powers, which costs it a digit.
  assertAllClose(trained({ learningRate: 0.01 }, 100, asIs).w, values(w), { abs: 2e-5 });
});

test("compiled and eager take the very same steps", native, () => {
  const options = cases.everything;
  assert.deepEqual(trained(options, 20, compile).optimizer.state.step.dataSync()[0], 20);
  assertAllClose(trained(options, 20, compile).w, trained(options, 20, asIs).w, { abs: 3e-7 });
});

test("a large network's weights, which take an op each, move as a small one's", native, () => {
  const size = 2 ** 20 + 8;
  const options: AdamOptions = { ...cases.everything, clipNorm: undefined };
  const large = { w: tf.variable(tf.zeros([size])) };
  const small = { w: tf.variable(tf.zeros([8])) };
  const optimizers = [adam(large, options), adam(small, options)];
  for (let n = 0; n < 20; n++)
    tf.tidy(() => {
      const g = tf.sin(tf.range(0, size).mul(0.7).add(n));
      optimizers[0].apply({ w: g });
      optimizers[1].apply({ w: g.slice([size - 8], [8]) });
    });
  const last = (variable: tf.Variable) => values(variable.slice([size - 8], [8]));
  assertAllClose(last(large.w), values(small.w), { rel: 1e-5, abs: 1e-7 });
  assertAllClose(last(optimizers[0].averages!.w), values(optimizers[1].averages!.w), {
    rel: 1e-5,
    abs: 1e-7,
  });
  for (const optimizer of optimizers) optimizer.dispose();
  tf.dispose([large, small]);
});

test("a run resumed from its state goes on as the uninterrupted one", () => {
  const weights = { w: tf.variable(tf.tensor1d(start)) };
  const run = (variables: typeof weights, optimizer: ReturnType<typeof adam>, steps: number) => {
    const step = compile(() => optimizer.minimize(() => variables.w.square().mean() as tf.Scalar));
    for (let n = 0; n < steps; n++) step().dispose();
  };
  const options = { learningRate: 0.05, warmupSteps: 8, emaDecay: 0.9 };
  const whole = adam(weights, options);
  run(weights, whole, 5);
  const saved = Object.entries({ ...whole.state, w: weights.w, average: whole.averages!.w }).map(
    ([key, variable]) => [key, values(variable), variable.shape] as const,
  );
  run(weights, whole, 5);

  const again = { w: tf.variable(tf.zeros([3]) as tf.Tensor1D) };
  const resumed = adam(again, options);
  const places: Record<string, tf.Variable> = { ...resumed.state, w: again.w, average: resumed.averages!.w };
  for (const [key, data, shape] of saved) places[key].assign(tf.tensor(data, shape));
  run(again, resumed, 5);
  assert.deepEqual(values(again.w), values(weights.w));
  assert.deepEqual(values(resumed.averages!.w), values(whole.averages!.w));
});

test("the learning rate can be changed without compiling anew", () => {
  const { optimizer, step, variables: weights } = trained({ learningRate: 0.01 }, 1, compile);
  const graphs = step.graphs.length;
  const setRate = (rate: number) => tf.tidy(() => optimizer.state.learningRate.assign(tf.scalar(rate)));
  setRate(0);
  const [before, moments] = [values(weights.b), values(optimizer.state["m/b"])];
  step().dispose();
  assert.notDeepEqual(values(optimizer.state["m/b"]), moments, "the moments go on");
  assert.deepEqual(values(weights.b), before, "at the rate 0 nothing moves");
  setRate(0.02);
  step().dispose();
  assert.notDeepEqual(values(weights.b), before);
  assert.equal(step.graphs.length, graphs);
});

test("variables without a gradient stay, and nothing leaks", () => {
  const variables = { used: tf.variable(tf.scalar(1)), unused: tf.variable(tf.scalar(1)) };
  const optimizer = adam(variables, { learningRate: 0.1, weightDecay: 0.5, clipNorm: 1, emaDecay: 0.9 });
  const loss = () => variables.used.square() as tf.Scalar;
  const first = optimizer.minimize(loss);
  assertClose(values(first)[0], 1);
  assert.equal(values(variables.unused)[0], 1);
  assert.ok(values(variables.used)[0] < 1);
  assertNoLeak(() => optimizer.minimize(loss));
  const before = tf.memory().numTensors;
  optimizer.dispose();
  assert.equal(tf.memory().numTensors, before - 2 - 4 - 2);
});

test("options out of range name themselves", () => {
  const variables = { w: tf.variable(tf.scalar(1)) };
  assert.throws(() => adam(variables, { learningRate: -1 }), /adam: learningRate is -1, expected/);
  assert.throws(() => adam(variables, { learningRate: 1, beta2: 1 }), /adam: beta2 is 1, expected/);
  assert.throws(() => adam(variables, { learningRate: 1, clipNorm: 0 }), /adam: clipNorm is 0, expected/);
  const mixed = { w: variables.w, n: tf.variable(tf.scalar(1, "int32")) };
  const tensors = tf.memory().numTensors;
  assert.throws(() => adam(mixed, { learningRate: 1 }), /"n" is of type int32/);
  assert.equal(tf.memory().numTensors, tensors, "nothing was made");
  const optimizer = adam({ w: tf.variable(tf.zeros([2, 3])) }, { learningRate: 0.1, beta1: 0, clipNorm: 1 });
  assert.throws(
    () => optimizer.apply({ w: tf.zeros([3, 2]) }),
    /adam: the gradient of "w" has shape \[3,2\], expected \[2,3\]/,
  );
  optimizer.apply({}); // of none, nothing moves
  optimizer.apply({ w: tf.fill([2, 3], 0.01) });
  assertAllClose(values(optimizer.state["m/w"]), new Array(6).fill(0.01), { rel: 1e-6 });
});

test("the plain form on another backend takes the same steps", () => {
  const program = `
    const { adam, tf } = require("./lib/tensor");
    const w = tf.variable(tf.tensor1d([0.5, -1, 2]));
    const optimizer = adam({ w }, { learningRate: 0.02, weightDecay: 0.05, warmupSteps: 15, emaDecay: 0.9, clipNorm: 1 });
    for (let n = 0; n < 20; n++) optimizer.minimize(() => w.square().sum());
    console.log(JSON.stringify([[...w.dataSync()], [...optimizer.averages.w.dataSync()]]));`;
  const run = (engineName: string): number[][] => {
    const env = { ...process.env, LOWER_BOUND_ENGINE: engineName };
    const out = execFileSync(process.execPath, ["--import", "tsx", "-e", program], {
      env,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    return JSON.parse(out.trim().split("\n").pop()!);
  };
  const [plain, here] = [run("js"), run(engine.name)];
  assertAllClose(plain.flat(), here.flat(), { abs: 1e-6 });
});
