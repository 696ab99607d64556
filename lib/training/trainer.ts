/**
 * @file The training step and its loop: draw x_0, t and ε, jump to x_t, compare, take one step of Adam (Ho et al. 2020,
 * Algorithm 1, for any parameterization and weighting).
 *
 * The loop is a generator: the notebook or the command line owns plotting and stopping. Every random number is a pure
 * function of the seed and the step, so a resumed run draws what an uninterrupted one would have. Saving is
 * `checkpoint.ts`; how good a model is, `lib/elbo` and `lib/metrics` say.
 */
import type { Model, Parameterization, Schedule, Variance } from "../diffusion";
import { dimsOf } from "../diffusion";
import { lossWeights, type StepSampler, uniformSteps, type Weighting, weightedLoss } from "../elbo";
import type { Net } from "../nets";
import { adam, compile, type ProductPrecision, type Rng, rng, tf } from "../tensor";

/** Where training data come from; a `Toy` and `imageBatches(…)` are such. */
export interface DataSource {
  /** Whether the draws are tensor operations alone, so that they may stand inside the compiled step; default false. */
  readonly recordable?: boolean;
  /** `count` examples [count, …], which the trainer disposes. */
  sample(rng: Rng, count: number): tf.Tensor;
  /** The same with the class of each, int32 [count]; nets with classes need it. */
  sampleLabelled?(rng: Rng, count: number): { images: tf.Tensor; labels: tf.Tensor1D };
}

export interface TrainerOptions {
  net: Net;
  schedule: Schedule;
  data: DataSource;
  /** What the network predicts; default "eps". */
  parameterization?: Parameterization;
  /** Default "simple". */
  weighting?: Weighting;
  /** The bound's σ_t², which the weighting "vlb" needs; default "beta". */
  variance?: Variance;
  /** How t is drawn; default uniform on 1…T. */
  drawSteps?: StepSampler;
  /** Examples in a step; default 256. */
  batchSize?: number;
  /** Default 1e-3. */
  learningRate?: number;
  /** The learning rate grows linearly over so many steps; default 0. */
  warmupSteps?: number;
  /** The learning rate falls along half a cosine and is 0 from this step on (Loshchilov & Hutter 2017); default: it stays. */
  decaySteps?: number;
  /** The gradient's norm is limited to this; default 1. */
  clipNorm?: number;
  /** Decay of the exponential moving average of the weights; default 0.999. */
  emaDecay?: number;
  /**
   * Each example's class is hidden from a net with classes with this probability, so that it learns the unconditional
   * model too (Ho & Salimans 2022, Algorithm 1); default 0.1.
   */
  labelDropout?: number;
  /** What products and convolutions are computed in; see `compile`. Default "float32". */
  precision?: ProductPrecision;
  /** Default 0. */
  seed?: number;
}

/** What a training run is made of. */
export interface Trainer {
  readonly net: Net;
  /** Examples in a step. */
  readonly batchSize: number;
  /** The network as a p_θ; its weights are the ones being trained, or their averages within `withAverages`. */
  readonly model: Model;
  /** Steps taken so far. */
  readonly done: number;
  /** One step; resolves to the batch's loss before it, the weighted squared error per dimension. */
  step(): Promise<number>;
  /** The t = 1…T that the last step drew, and each example's weighted squared error, summed over dimensions. */
  lastTerms(): { t: Int32Array; loss: Float32Array };
  /** Calls `use` with the averaged weights (EMA) in the network, and puts the trained ones back. */
  withAverages<Result>(use: () => Promise<Result>): Promise<Result>;
  /** Puts the averaged weights in the place of the trained ones for good. */
  keepAverages(): void;
  /** All tensors that a resumed run needs, by name; `restore` takes their values back. */
  tensors(): Record<string, tf.Variable>;
  /** Continues from `done` steps with these values, which stay the caller's. Throws where names or shapes differ. */
  restore(done: number, values: Record<string, tf.Tensor>): void;
  /** Disposes the optimizer's state, not the net. */
  dispose(): void;
}

/** What a checkpoint holds and gives back, of this trainer or of another. */
export type Resumable = Pick<Trainer, "done" | "tensors" | "restore">;

/** What `run` runs. */
export type Stepping = Pick<Trainer, "done" | "step" | "batchSize"> & Partial<Pick<Trainer, "lastTerms">>;

/** Examples, and where the net has classes the class of each. */
type Batch = { x0: tf.Tensor; labels?: tf.Tensor1D };

/** A trainer at step 0. Throws on options out of range. The caller disposes it, and the net. */
export function trainer(options: TrainerOptions): Trainer {
  const { net, schedule, data, seed = 0, batchSize = 256, labelDropout = 0.1 } = options;
  const { parameterization = "eps", weighting = "simple", variance = "beta" } = options;
  if (!(Number.isInteger(batchSize) && batchSize > 0))
    throw new Error(`trainer: batchSize is ${batchSize}, expected a positive integer.`);
  if (!(labelDropout >= 0 && labelDropout <= 1))
    throw new Error(`trainer: labelDropout is ${labelDropout}, expected a probability.`);
  const { classes = 0 } = net;
  if (classes > 0 && !data.sampleLabelled)
    throw new Error("trainer: the net has classes, the data have none. Give data with sampleLabelled.");
  const { decaySteps } = options;
  if (decaySteps !== undefined && !(decaySteps >= 1))
    throw new Error(`trainer: decaySteps is ${decaySteps}, expected the number of steps to train for.`);
  const model: Model = { schedule, predict: net.apply, parameterization, variance };
  const weights = lossWeights(schedule, { parameterization, weighting, variance });
  const { drawSteps = uniformSteps(schedule.numSteps) } = options;
  const { learningRate = 1e-3, warmupSteps = 0, clipNorm = 1, emaDecay = 0.999 } = options;
  const optimizer = adam(net.variables, { learningRate, warmupSteps, clipNorm, emaDecay });

  const terms = tf.tidy(() => tf.variable(tf.zeros([2, batchSize]), false)); // t and loss of the last batch

  /** The model while it is trained: told classes, some hidden, and with dropout. */
  const inTraining = (labels: tf.Tensor1D | undefined, random: Rng): Model => {
    const shown = labels && hideSome(labels, { classes, rate: labelDropout, random });
    return { ...model, predict: (xt, t) => net.apply(xt, t, { labels: shown, draws: random }) };
  };

  const batchOf = (source: Rng): Batch => {
    if (classes === 0 || !data.sampleLabelled) return { x0: data.sample(source, batchSize) };
    const { images: x0, labels } = data.sampleLabelled(source, batchSize);
    return { x0, labels };
  };

  /** Algorithm 1: the loss of one batch, and a step down its gradient. `draw` numbers the step. */
  const update = compile(
    (draw: tf.Scalar, given: Batch | undefined) => {
      const { x0, labels } = given ?? batchOf(rng(dataSeed(seed), draw));
      const random = rng(noiseSeed(seed), draw);
      if (decaySteps) optimizer.state.learningRate.assign(cosineRate(learningRate, draw, decaySteps));
      const meanLoss = optimizer.minimize(() => {
        const { t, correction } = drawSteps(x0.shape[0], random);
        const eps = random.normal(x0.shape);
        const loss = weightedLoss(inTraining(labels, random), x0, t, eps, weights);
        terms.assign(tf.stack([t.toFloat(), loss]));
        return loss.mul(correction).mean().div(dimsOf(x0)) as tf.Scalar;
      });
      net.constrain?.();
      return meanLoss;
    },
    { name: "update", precision: options.precision },
  );

  let done = 0;
  const averages = optimizer.averages as Record<string, tf.Variable>;
  const tensors = () => ({
    ...prefixed("net/", net.variables),
    ...prefixed("ema/", averages),
    ...prefixed("optimizer/", optimizer.state),
  });

  return {
    net,
    batchSize,
    model,
    get done() {
      return done;
    },
    async step() {
      const loss = tf.tidy(() =>
        update(tf.scalar(done, "int32"), data.recordable ? undefined : batchOf(rng(dataSeed(seed), done))),
      );
      const [value] = await loss.data();
      loss.dispose();
      done++;
      return value;
    },
    lastTerms() {
      const values = terms.dataSync();
      return {
        t: Int32Array.from(values.subarray(0, batchSize)),
        loss: Float32Array.from(values.subarray(batchSize)),
      };
    },
    async withAverages(use) {
      swap(net.variables, averages);
      try {
        return await use();
      } finally {
        swap(net.variables, averages);
      }
    },
    keepAverages() {
      for (const [name, variable] of Object.entries(net.variables)) variable.assign(averages[name]);
      net.constrain?.(); // what was averaged were the weights before they were constrained
    },
    tensors,
    restore(steps, values) {
      assignAll(tensors(), values);
      done = steps;
    },
    dispose() {
      optimizer.dispose();
      terms.dispose();
    },
  };
}

/** The labels, each with this probability replaced by `classes`, "of no known class". */
function hideSome(
  labels: tf.Tensor1D,
  { classes, rate, random }: { classes: number; rate: number; random: Rng },
): tf.Tensor1D {
  const hidden = tf.less(random.uniform(labels.shape), rate);
  return tf.where(hidden, tf.fill(labels.shape, classes, "int32"), labels);
}

/** Data and noise come from streams of their own, so that another data source leaves the noise as it was. */
const dataSeed = (seed: number) => 2 * seed;
const noiseSeed = (seed: number) => 2 * seed + 1;

/** The learning rate at a step: rate·(1 + cos(π step/steps))/2, 0 after `steps`. */
export const cosineRate = (rate: number, step: tf.Scalar, steps: number): tf.Tensor =>
  tf
    .minimum(step.toFloat().div(steps), 1)
    .mul(Math.PI)
    .cos()
    .add(1)
    .mul(rate / 2);

export function prefixed(
  prefix: string,
  variables: Record<string, tf.Variable>,
): Record<string, tf.Variable> {
  return Object.fromEntries(Object.entries(variables).map(([name, variable]) => [prefix + name, variable]));
}

function swap(a: Record<string, tf.Variable>, b: Record<string, tf.Variable>): void {
  tf.tidy(() => {
    for (const name of Object.keys(a)) {
      const kept = a[name].clone();
      a[name].assign(b[name]);
      b[name].assign(kept);
    }
  });
}

export function assignAll(variables: Record<string, tf.Variable>, values: Record<string, tf.Tensor>): void {
  for (const [name, variable] of Object.entries(variables)) {
    const value = values[name];
    if (!value) throw new Error(`restore: "${name}" is missing. This is the checkpoint of another net.`);
    if (String(value.shape) !== String(variable.shape))
      throw new Error(
        `restore: "${name}" has shape [${value.shape}], expected [${variable.shape}]. This is the checkpoint of another net.`,
      );
  }
  for (const [name, variable] of Object.entries(variables)) variable.assign(values[name] as tf.Tensor);
}

/** How a run stands after a step. */
export interface TrainingProgress {
  /** Steps taken, from 1. */
  step: number;
  /** The batch's loss before the step: weighted squared error per dimension. */
  loss: number;
  examplesPerSecond: number;
  secondsLeft: number;
}

export interface RunOptions {
  /** Steps to have taken in the end, those before a resume counted in. */
  until: number;
  /** Ends the run after the step in hand. */
  signal?: AbortSignal;
}

/**
 * Runs a trainer and tells of every step, giving the event loop a turn after each, so that figures arrive and a stop is
 * heard. Throws when the loss is no longer a number, naming the step and the term; the trainer is then of no more use.
 */
export async function* run(
  training: Stepping,
  { until, signal }: RunOptions,
): AsyncGenerator<TrainingProgress> {
  const started = performance.now();
  const first = training.done;
  while (training.done < until && !signal?.aborted) {
    const loss = await training.step();
    const step = training.done;
    if (!Number.isFinite(loss))
      throw new Error(
        `train: the loss is ${loss} at step ${step}${culprit(training.lastTerms?.())}. Lower the learning rate, or go back to the last checkpoint.`,
      );
    const secondsPerStep = (performance.now() - started) / 1000 / (step - first);
    yield {
      step,
      loss,
      examplesPerSecond: training.batchSize / secondsPerStep,
      secondsLeft: (until - step) * secondsPerStep,
    };
    await tf.nextFrame();
  }
}

/** In which terms of the bound the last step's loss was not finite, as the end of a sentence; "" where nothing is known. */
function culprit(last: ReturnType<Trainer["lastTerms"]> | undefined): string {
  if (!last) return "";
  const steps = Array.from(last.t).filter((_, i) => !Number.isFinite(last.loss[i]));
  const all = last.t.length;
  if (steps.length === 0) return ", though the term of each example is finite: their sum is too large";
  if (steps.length === all && all > 1)
    return `, in the terms L_{t−1} of all ${all} examples: the weights or the data are not finite`;
  const list = steps.slice(0, 5).map((t) => `L_${t - 1} (t = ${t})`);
  return `, in ${list.join(", ")}${steps.length > 5 ? ", …" : ""}: ${steps.length} of ${all} examples`;
}

/**
 * Trains a net for so many steps, for a lesson's loop: `for await (const { step, loss } of train({ net, … }))`. At the
 * end, also after a `break`, the net holds the averaged weights (EMA), the ones to sample from; by default the average
 * reaches back over about a tenth of the run.
 */
export async function* train({
  steps,
  emaDecay = Math.max(0.5, 1 - 10 / steps),
  ...options
}: TrainerOptions & { steps: number }): AsyncGenerator<TrainingProgress> {
  if (!(Number.isInteger(steps) && steps > 0))
    throw new Error(`train: steps is ${steps}, expected a positive integer.`);
  const training = trainer({ ...options, emaDecay });
  try {
    yield* run(training, { until: steps });
  } finally {
    training.keepAverages();
    training.dispose();
  }
}
