/**
 * @file Networks in the place of particles: a generator that follows the score difference (one smooth map z ↦ x, which
 * cannot part the modes of a grid), and a discriminator whose logit's slope is the score difference when it is optimal.
 */
import { createNet, type Net } from "../../nets";
import { adam, compile, type Optimizer, type Rng, rng, tf } from "../../tensor";
import { checkSigma } from "./densities";
import { scoreDifferenceStep } from "./samples";

/** A map of points without a time, [N, D] → [N, D']. */
export interface PointMap {
  apply(x: tf.Tensor2D): tf.Tensor2D;
  readonly variables: Net["variables"];
  /** Disposes the weights. */
  dispose(): void;
}

/** An MLP of the library as a map of points: its time is held at 1. Its last layer begins at 0. */
function pointMap(seed: number, hidden: number, last?: number): PointMap {
  const net = createNet({ kind: "mlp", inputDim: 2, hidden, depth: 3, timeDim: 4, inputGain: 4 }, seed);
  const apply = (x: tf.Tensor2D) =>
    tf.tidy(() => {
      const out = net.apply(x, tf.ones([x.shape[0]], "int32") as tf.Tensor1D) as tf.Tensor2D;
      return last ? out.slice([0, 0], [-1, last]) : out;
    });
  return { apply, variables: net.variables, dispose: net.dispose };
}

interface Training {
  net: PointMap;
  optimizer: Pick<Optimizer, "dispose">;
  /** Step k = 0…steps−1. */
  step(k: number): void;
  steps: number;
  onStep?(done: number): void;
}

/** Takes the steps, gives the event loop a turn now and then, and disposes the optimizer, and where a step fails the net. */
async function train({ net, optimizer, step, steps, onStep }: Training): Promise<void> {
  try {
    for (let k = 0; k < steps; k++) {
      step(k);
      onStep?.(k + 1);
      if (k % 25 === 0) await tf.nextFrame();
    }
  } catch (error) {
    net.dispose();
    throw error;
  } finally {
    optimizer.dispose();
  }
}

export interface GeneratorOptions {
  /** Target samples [count, 2]. */
  target: { sample(rng: Rng, count: number): tf.Tensor };
  /** Noise level of each training step, from `annealing`. */
  sigmas: ArrayLike<number>;
  /** Points in each of the three batches of a step; default 256. */
  batchSize?: number;
  /** Default 64. */
  hidden?: number;
  /** Default 2e-3: with more the modes' shares keep wandering. */
  learningRate?: number;
  /** The part of D_P − D_Q aimed at; default 1. */
  eta?: number;
  /** Default 0. */
  seed?: number;
  /** Told after each step how many are done. */
  onStep?(done: number): void;
}

/** A generator of points of the plane from normal noise. */
export interface Generator {
  /** `count` points [count, 2]. The caller disposes. */
  sample(rng: Rng, count: number): tf.Tensor2D;
  /** Disposes the weights. */
  dispose(): void;
}

/**
 * Regression onto moved samples: x = g(z), x' = x + η(D_P(x) − D_Q(x)) held fixed, one step of Adam down ‖g(z) − x'‖²,
 * whose gradient is −2ησ²·E[Jᵀ Δ_σ]. D_Q comes from a batch of its own, since x in it would pull x to itself. g begins as
 * z ↦ z. Gives the event loop a turn now and then. Throws on a σ ≤ 0. The caller disposes the generator.
 */
export async function trainGenerator(options: GeneratorOptions): Promise<Generator> {
  const { target, sigmas, batchSize = 256, hidden = 64, learningRate = 2e-3, eta = 1, seed = 0 } = options;
  if (sigmas.length === 0)
    throw new Error("trainGenerator: there are no noise levels, expected one for each step.");
  for (let k = 0; k < sigmas.length; k++) checkSigma("trainGenerator", sigmas[k]);
  const net = pointMap(seed, hidden);
  const generate = (z: tf.Tensor2D) => tf.tidy(() => z.add<tf.Tensor2D>(net.apply(z)));
  const optimizer = adam(net.variables, { learningRate });
  const update = compile((z: tf.Tensor2D, aim: tf.Tensor2D) =>
    optimizer.minimize(() => generate(z).sub(aim).square().sum(1).mean() as tf.Scalar),
  );
  const forward = compile(generate);
  const step = (k: number) =>
    tf.tidy(() => {
      const random = rng(seed, k);
      const [z, other] = [random.normal([batchSize, 2]), random.normal([batchSize, 2])] as tf.Tensor2D[];
      const points = target.sample(random, batchSize) as tf.Tensor2D;
      const x = forward(z);
      const move = scoreDifferenceStep(x, { target: points, source: forward(other), sigma: sigmas[k] });
      update(z, x.add(move.mul(eta)));
    });
  await train({ net, optimizer, step, steps: sigmas.length, onStep: options.onStep });
  return {
    sample: (random, count) => tf.tidy(() => generate(random.normal([count, 2]) as tf.Tensor2D)),
    dispose: net.dispose,
  };
}

/** Losses of a generated point by the logit ℓ = ln D/(1 − D) of a discriminator, which a generator descends. */
export const GAN_LOSSES = {
  /** −ln D. */
  nonSaturating: (logit: tf.Tensor) => tf.softplus(logit.neg()),
  /** ln(1 − D). */
  saturating: (logit: tf.Tensor) => tf.softplus(logit).neg(),
  /** −ln D/(1 − D). */
  logit: (logit: tf.Tensor) => logit.neg(),
} satisfies Record<string, (logit: tf.Tensor) => tf.Tensor>;

export type GanLoss = keyof typeof GAN_LOSSES;

export interface DiscriminatorOptions {
  /** Draws of p, and of q, [count, 2]. */
  p: { sample(rng: Rng, count: number): tf.Tensor };
  q: { sample(rng: Rng, count: number): tf.Tensor };
  steps: number;
  /** Points of each in a step; default 256. */
  batchSize?: number;
  /** Default 64. */
  hidden?: number;
  /** Default 5e-3. */
  learningRate?: number;
  /** Default 0. */
  seed?: number;
  /** Told after each step how many are done. */
  onStep?(done: number): void;
}

/** A trained discriminator of points of the plane. */
export interface Discriminator {
  /** ln D/(1 − D) [N], an estimate of ln p/q. The caller disposes. */
  logit(x: tf.Tensor2D): tf.Tensor1D;
  /**
   * Where gradient descent of a loss moves a generated point, −∇_x loss [N, 2]: for "logit" (default) an estimate of the
   * score difference itself, for the others of it times 1 − D or D. The caller disposes.
   */
  direction(x: tf.Tensor2D, loss?: GanLoss): tf.Tensor2D;
  /** Disposes the weights. */
  dispose(): void;
}

/**
 * Trains a discriminator between p and q by logistic loss (Goodfellow et al. 2014). Its logit tends to ln p/q, so the
 * slope of the logit to the score difference, where both have samples. Throws on steps < 1. The caller disposes it.
 */
export async function trainDiscriminator(options: DiscriminatorOptions): Promise<Discriminator> {
  const { p, q, steps, batchSize = 256, hidden = 64, learningRate = 5e-3, seed = 0 } = options;
  if (!(Number.isInteger(steps) && steps >= 1))
    throw new Error(`trainDiscriminator: steps is ${steps}, expected a whole number of at least 1.`);
  const net = pointMap(seed, hidden, 1);
  const logit = (x: tf.Tensor2D) => tf.tidy(() => net.apply(x).as1D());
  const optimizer = adam(net.variables, { learningRate });
  const update = compile((real: tf.Tensor2D, made: tf.Tensor2D) =>
    optimizer.minimize(() => {
      const [missed, fooled] = [tf.softplus(logit(real).neg()), tf.softplus(logit(made))];
      return missed.mean().add(fooled.mean()) as tf.Scalar;
    }),
  );
  const step = (k: number) =>
    tf.tidy(() => {
      const random = rng(seed, k);
      update(p.sample(random, batchSize) as tf.Tensor2D, q.sample(random, batchSize) as tf.Tensor2D);
    });
  await train({ net, optimizer, step, steps, onStep: options.onStep });
  const direction = (x: tf.Tensor2D, loss: GanLoss = "logit") => {
    const lossOf = GAN_LOSSES[loss];
    if (!lossOf)
      throw new Error(
        `direction: unknown loss "${loss}", expected one of ${Object.keys(GAN_LOSSES).join(", ")}.`,
      );
    const total = (inner: tf.Tensor) => lossOf(logit(inner as tf.Tensor2D)).sum();
    return tf.tidy(() => tf.grad(total)(x).neg() as tf.Tensor2D);
  };
  return { logit, direction, dispose: net.dispose };
}
