/**
 * @file Our side of the bench, run as a process of its own: `ours.ts '<work as JSON>' compiled|eager`.
 *
 * The step is the one that a lesson writes: a draw of t and ε, the noised batch, the loss, one step of Adam.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { linearSchedule, type Model, type Plan, qSample, sample } from "../../lib/diffusion";
import { createNet } from "../../lib/nets";
import { adam, compile, rng, tf } from "../../lib/tensor";
import { type OpTime, profile } from "../../lib/tensor/profile";
import { ANSWER, type Question } from "./contender";
import { LEARNING_RATE, NUM_STEPS, type Work } from "./works";

const work = JSON.parse(process.argv[2]) as Work;
/** Without compile, where that is asked for. */
const eager = ((fn: (...inputs: never[]) => tf.TensorContainer) =>
  (...inputs: never[]) =>
    tf.tidy(() => fn(...inputs))) as unknown as typeof compile;
const use = process.argv[3] === "eager" ? eager : compile;

const schedule = linearSchedule({ numSteps: NUM_STEPS });
const net = createNet(work.net, 1);
const optimizer = adam(net.variables, { learningRate: LEARNING_RATE });
const batchShape = [work.batch, ...work.shape];
const x0 = rng(2).uniform(batchShape).mul(2).sub(1);

const lossAt = (x0: tf.Tensor, t: tf.Tensor1D, eps: tf.Tensor): tf.Scalar =>
  net
    .apply(qSample(schedule, x0, t, eps), t)
    .sub(eps)
    .square()
    .mean();

const trainingStep = (x0: tf.Tensor, n: tf.Scalar): tf.Scalar => {
  const source = rng(3, n);
  const t = source.integers([work.batch], 1, NUM_STEPS + 1) as tf.Tensor1D;
  const eps = source.normal(x0.shape);
  return optimizer.minimize(() => lossAt(x0, t, eps));
};
const trainStep = use(trainingStep, { name: "train" });

let step = 0;
function trainOnce(train = trainStep): number {
  const n = tf.scalar(step++, "int32");
  const start = performance.now();
  const loss = train(x0, n);
  loss.dataSync();
  const ms = performance.now() - start;
  tf.dispose([loss, n]);
  return ms;
}

const model: Model = { schedule, predict: net.apply, parameterization: "eps", variance: "beta" };

/** The first `only` transitions of a walk. */
async function sampleOnce(plan: Plan, only: number): Promise<number> {
  const start = performance.now();
  const x0 = await sample(model, [work.sample.count, ...work.shape], {
    rng: rng(4),
    plan: plan.slice(0, only),
  });
  x0.dataSync();
  x0.dispose();
  return performance.now() - start;
}

async function timed(run: () => number[] | Promise<number[]>): Promise<{ ms: number[]; cpuMs: number }> {
  const before = process.cpuUsage();
  const ms = await run();
  const { user, system } = process.cpuUsage(before);
  return { ms, cpuMs: (user + system) / 1e3 };
}

/** Weights and one batch as raw float32, with a list of what is where, for the twin. */
function exportTo(folder: string): { loss: number } {
  const source = rng(6);
  // Many weights begin at zero, which would hide whatever a twin does differently before them.
  for (const w of Object.values(net.variables)) w.assign(w.add(source.normal(w.shape).mul(0.05)));
  const t = source.integers([work.batch], 1, NUM_STEPS + 1) as tf.Tensor1D;
  const eps = source.normal(batchShape);
  const tensors: Record<string, tf.Tensor> = {
    ...net.variables,
    "batch:x0": x0,
    "batch:t": t,
    "batch:eps": eps,
  };
  const list = Object.entries(tensors).map(([name, { shape }]) => ({ name, shape }));
  const data = Object.values(tensors).map((tensor) =>
    Buffer.from(Float32Array.from(tensor.dataSync()).buffer),
  );
  writeFileSync(join(folder, "tensors.json"), JSON.stringify(list));
  writeFileSync(join(folder, "tensors.bin"), Buffer.concat(data));
  const loss = use(lossAt)(x0, t, eps);
  return { loss: loss.dataSync()[0] };
}

let firstMs: number | null = null;
async function train(steps: number) {
  const timings = await timed(() => Array.from({ length: steps }, () => trainOnce()));
  firstMs ??= timings.ms[0];
  return timings;
}

/** A table of time by op and step. */
function profileTo(file: string, steps: number): { wallMs: number } {
  const train = use(trainingStep, { name: "train", sequential: false });
  trainOnce(train);
  let wallMs = 0;
  const times = profile(() => {
    for (let i = 0; i < steps; i++) wallMs += trainOnce(train) / steps;
  });
  const ops = times.filter(({ op }) => !op.startsWith("train_"));
  const total = ops.reduce((sum, { ms }) => sum + ms, 0);
  const line = ({ op, ms, count }: OpTime) =>
    `${op.padEnd(40)} ${(ms / steps).toFixed(2).padStart(9)} ms ${(count / steps).toFixed(0).padStart(6)} ${((100 * ms) / total).toFixed(1).padStart(6)} %`;
  const head = `A step: ${wallMs.toFixed(1)} ms; its ops, summed over threads: ${(total / steps).toFixed(1)} ms`;
  writeFileSync(file, `${[head, "", ...ops.slice(0, 30).map(line)].join("\n")}\n`);
  return { wallMs };
}

function about() {
  const later = trainOnce();
  const { version } = JSON.parse(readFileSync(require.resolve("@tensorflow/tfjs/package.json"), "utf8"));
  const parameters = Object.values(net.variables).reduce((sum, { size }) => sum + size, 0);
  const compileMs = use === compile && firstMs !== null ? firstMs - later : null;
  return { version, parameters, peakBytes: process.resourceUsage().maxRSS * 1024, compileMs };
}

function answer(question: Question): unknown | Promise<unknown> {
  switch (question.ask) {
    case "train":
      return train(question.steps);
    case "sample":
      return timed(async () => [await sampleOnce(question.plan, question.only ?? question.plan.length)]);
    case "export":
      return exportTo(question.folder);
    case "profile":
      return profileTo(question.file, question.steps);
    case "about":
      return about();
    default:
      throw new Error(`ours: cannot answer "${question.ask}"`);
  }
}

createInterface({ input: process.stdin }).on("line", async (line) => {
  let reply: unknown;
  try {
    reply = await answer(JSON.parse(line));
  } catch (error) {
    reply = { error: (error as Error).stack };
  }
  process.stdout.write(`${ANSWER}${JSON.stringify(reply)}\n`);
});
