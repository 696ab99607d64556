/**
 * @file Training with the loss, the distance and the bound side by side at each checkpoint: experiments E1 and E2, on the
 * authors' ten steps, with a network whose weights may be held in bounds.
 *
 * Other than the authors' code: W2 is exact, not sliced; L_s is found anew for each checkpoint, from Jacobians on a grid
 * (a lower estimate); losses are summed over dimensions. As there, generation starts from noised data, so that the bound
 * has no offset.
 */
import { type Model, qSample, type Schedule, sampleFrom, sigmoidSchedule } from "../../diffusion";
import { antitheticSteps, type Distribution, gaussian, lossWeights, mixture, weightedLoss } from "../../elbo";
import { w2WithFloor } from "../../metrics";
import { type MlpOptions, mlp, type Net } from "../../nets";
import { adam, compile, type Rng, rng, tf } from "../../tensor";
import { type WassersteinBound, wassersteinBoundOfSteps } from "./bound";
import { certifiedScoreLipschitz, mlpLipschitz } from "./certified";
import { estimateScoreLipschitz, squareGrid } from "./lipschitz";
import { conditionalErrors, matchingLoss, type ScoreErrors, scoreErrors, scoreOfModel } from "./matching";

/** The schedule of the authors' code: 10 steps after which 95 % of the signal's power is left. */
export const tenSteps = (): Schedule =>
  sigmoidSchedule({ numSteps: 10, betaStart: 1e-5, betaEnd: 1e-2, allowPriorMismatch: true });

/** Points of the plane, about within [−1, 1]²; with their distribution, where it is known, the true score is too. */
export interface BoundData {
  sample(rng: Rng, count: number): tf.Tensor;
  readonly distribution?: Distribution;
}

export interface BoundTrainingOptions {
  data: BoundData;
  /** Default `tenSteps()`. */
  schedule?: Schedule;
  /** What is other than in `experimentNet`: what holds the weights in bounds, the size. */
  net?: MlpOptions;
  /** Training steps after which to look, increasing; 0 is before the first. */
  checkpoints: readonly number[];
  /** So many steps first go up the loss, as in the authors' code, to begin from a bad network; default 0. */
  ascent?: number;
  /** Default 128. */
  batchSize?: number;
  /** Default 1e-3. */
  learningRate?: number;
  /** Points in each set of W2, which is exact and costs n³; default 256. */
  n?: number;
  /** Draws for J_DSM at each t, whose relative standard error is 0.4/√draws on ten steps; default 5000. */
  draws?: number;
  /** Points along each side of the grid for L_s over [−1, 1]²; default 21. */
  grid?: number;
  /** Default 0. */
  seed?: number;
}

/** How a network stands at a checkpoint. */
export interface BoundCheckpoint {
  step: number;
  /** J_DSM with λ = g², summed over dimensions. */
  J: number;
  /** W2 between generated points and data, and the floor of data against data at the same n. */
  w2: number;
  w2Floor: number;
  /** The lower estimate of L_s over t = 1…T (entry 0 a dummy). */
  scoreLipschitz: Float64Array;
  /** A certified and loose L_s, from the layers' spectral norms. */
  certifiedLipschitz: Float64Array;
  /** The bound of Corollary 3 with `scoreLipschitz`: an estimate, no certificate. */
  bound: WassersteinBound;
  /** What only someone who knows the data's distribution can say. */
  ideal?: {
    /** b_t = E‖∇ln q(x_t) − s_θ‖² over t = 1…T (entry 0 a dummy). */
    scoreError: Float64Array;
    /** J_SM with λ = g². */
    J: number;
    /** Theorem 1 and Corollary 1 with that b. */
    bound: WassersteinBound;
  };
}

/**
 * The network of the authors' experiments: three hidden layers of 64 units, each unit multiplied by a factor for each t,
 * softplus, or ReLU beside spectral normalization, PyTorch's first weights; `options` say what is otherwise.
 */
export const experimentNet = (schedule: Schedule, options: MlpOptions = {}): MlpOptions => ({
  hidden: 64,
  depth: 3,
  timeFactors: schedule.numSteps,
  initial: "fanIn",
  activation: options.spectralNorm ? "relu" : "softplus",
  ...options,
});

/** Trains and looks, checkpoint by checkpoint; leaving the loop frees everything. Throws on checkpoints that do not increase and options out of range. */
export async function* boundTraining(options: BoundTrainingOptions): AsyncGenerator<BoundCheckpoint> {
  const { schedule = tenSteps(), checkpoints, ascent = 0, seed = 0 } = options;
  checkpoints.forEach((step, i) => {
    if (!(Number.isInteger(step) && step >= 0 && (i === 0 || step > checkpoints[i - 1])))
      throw new Error(`boundTraining: checkpoints[${i}] is ${step}, expected whole numbers that increase.`);
  });
  const net = mlp({ ...experimentNet(schedule, options.net), seed });
  const model: Model = { schedule, predict: net.apply, parameterization: "eps", variance: "beta" };
  const training = stepOf(net, model, options);
  let done = 0;
  try {
    for (const checkpoint of checkpoints) {
      for (; done < checkpoint; done++) {
        training.step(done, done < ascent ? -1 : 1);
        if (done % 50 === 0) await tf.nextFrame();
      }
      yield await lookAt(net, model, done, options);
    }
  } finally {
    training.dispose();
    net.dispose();
  }
}

/** One training step: λ = g² on the score, that is β_t/(1−ᾱ_t) on the noise, up or down. AdamW as in the authors' code. */
function stepOf(net: Net, model: Model, options: BoundTrainingOptions) {
  const { data, batchSize = 128, learningRate = 1e-3, seed = 0 } = options;
  const { schedule } = model;
  const optimizer = adam(net.variables, { learningRate, weightDecay: 0.01, clipNorm: 1 });
  const drawSteps = antitheticSteps(schedule.numSteps);
  const update = compile((x0: tf.Tensor, draw: tf.Scalar, sign: tf.Scalar) => {
    const random = rng(2 * seed + 1, draw);
    const loss = optimizer.minimize(() => {
      const { t } = drawSteps(x0.shape[0], random);
      const eps = random.normal(x0.shape);
      return weightedLoss(model, x0, t, eps, gradientWeights(schedule)).mean().div(2).mul(sign) as tf.Scalar;
    });
    net.constrain?.();
    return loss;
  });
  return {
    step: (number: number, sign: 1 | -1) =>
      tf.tidy(() => {
        const x0 = data.sample(rng(2 * seed, number), batchSize);
        update(x0, tf.scalar(number, "int32"), tf.scalar(sign));
      }),
    dispose: optimizer.dispose,
  };
}

/** λ = g² on the score is β_t/(1−ᾱ_t) on the noise. */
const gradientWeights = (schedule: Schedule): Float64Array =>
  lossWeights(schedule, {
    parameterization: "eps",
    weighting: (t) => schedule.betaVar[t] / schedule.oneMinusAlphaBar[t],
  });

async function lookAt(
  net: Net,
  model: Model,
  step: number,
  options: BoundTrainingOptions,
): Promise<BoundCheckpoint> {
  const { data, n = 256, grid = 21, seed = 0 } = options;
  const { schedule } = model;
  const points = squareGrid(-1, 1, grid);
  const scoreLipschitz = estimateScoreLipschitz(scoreOfModel(model), schedule.numSteps, points);
  points.dispose();
  const boundOf = (scoreError: Float64Array) =>
    wassersteinBoundOfSteps({ schedule, scoreLipschitz, scoreError });
  const { conditional, marginal } = errorsOf(model, options);
  const generated = await generate(model, options, n);
  const { w2, floor } = w2WithFloor(generated, (count, draw) => data.sample(rng(seed + 17, draw), count), {
    repeats: 2,
  });
  generated.dispose();
  return {
    step,
    J: matchingLoss(schedule, conditional),
    w2,
    w2Floor: floor,
    scoreLipschitz,
    certifiedLipschitz: certifiedScoreLipschitz(
      mlpLipschitz(net, experimentNet(schedule, options.net), schedule.numSteps),
      schedule,
    ),
    bound: boundOf(conditional),
    ideal: marginal && {
      scoreError: marginal,
      J: matchingLoss(schedule, marginal),
      bound: boundOf(marginal),
    },
  };
}

/** The score's error from the conditional score, and from the true one where that is known. */
function errorsOf(
  model: Model,
  { data, draws = 5000, seed = 0 }: BoundTrainingOptions,
): Pick<ScoreErrors, "conditional"> & Partial<Pick<ScoreErrors, "marginal">> {
  if (data.distribution) return scoreErrors(model, data.distribution, { draws, seed });
  const draw = (random: Rng, count: number) => data.sample(random, count);
  return { conditional: conditionalErrors(model, draw, { draws, seed }) };
}

/** n points from the reverse process, begun at noised data: q_T = p_T. */
function generate(model: Model, { data, seed = 0 }: BoundTrainingOptions, n: number): Promise<tf.Tensor> {
  const { schedule } = model;
  const random = rng(seed + 31);
  const start = tf.tidy(() => {
    const x0 = data.sample(random, n);
    const last = tf.fill([n], schedule.numSteps, "int32") as tf.Tensor1D;
    return qSample(schedule, x0, last, random.normal(x0.shape));
  });
  return sampleFrom(model, start, { rng: random });
}

/**
 * The two data sets of the authors' experiments: N(0, 0.1 I), and four clusters at (±½, ±½) with standard deviation `std`,
 * each of which gets its quarter of the points, as there: shares drawn by chance would cost more W2 than the model's errors.
 */
export const experimentData = {
  gaussian: {
    distribution: gaussian({ mean: [0, 0], std: Math.sqrt(0.1) }),
    sample: (random: Rng, count: number) => tf.tidy(() => random.normal([count, 2]).mul(Math.sqrt(0.1))),
  },
  clusters: (std = 0.1) => ({
    distribution: mixture({
      weights: [0.25, 0.25, 0.25, 0.25],
      means: [-0.5, 0.5].flatMap((x) => [-0.5, 0.5].map((y) => [x, y])),
      stds: [std, std, std, std],
    }),
    sample: (random: Rng, count: number) =>
      tf.tidy(() => {
        const cluster = tf.range(0, count).add(random.integers([1], 0, 4).toFloat());
        const corner = tf.stack([cluster.mod(2), cluster.div(2).floor().mod(2)], 1).sub(0.5);
        return corner.add(random.normal([count, 2]).mul(std));
      }),
  }),
};

/** Pearson's correlation of two lists of as many numbers. Throws on fewer than two, or lists of unequal length. */
export function correlation(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length || a.length < 2)
    throw new Error(`correlation: got ${a.length} and ${b.length} numbers, expected as many, at least two.`);
  const centred = (values: ArrayLike<number>) => {
    const mean = Array.from(values).reduce((sum, x) => sum + x, 0) / values.length;
    return Array.from(values, (x) => x - mean);
  };
  const [u, v] = [centred(a), centred(b)];
  const dot = (x: number[], y: number[]) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  return dot(u, v) / Math.sqrt(dot(u, u) * dot(v, v));
}
