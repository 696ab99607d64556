/**
 * @file Particles that follow the score difference from any source to any target, under noise that is annealed from wide
 * to narrow; and what their end is worth: modes covered, points near a mode, evenness.
 */
import { type Rng, rng, tf } from "../../tensor";
import { checkSets, scoreDifferenceStep } from "./samples";

export interface AnnealingOptions {
  /** The first, largest noise level: a third or more of the distances to be seen, or modes are lost. */
  from: number;
  /** The last: one to two times the target's narrowest standard deviation. */
  to: number;
  steps: number;
  /** How σ falls; default "geometric". */
  shape?: "geometric" | "cosine" | "constant";
}

/** Noise levels σ_1 ≥ … ≥ σ_K, standard deviations. "constant" stays at `to`: no annealing. Throws unless from ≥ to > 0. */
export function annealing({ from, to, steps, shape = "geometric" }: AnnealingOptions): Float64Array {
  if (!(to > 0 && from >= to && Number.isFinite(from)))
    throw new Error(
      `annealing: goes from ${from} to ${to}, expected standard deviations with from ≥ to > 0.`,
    );
  if (!(Number.isInteger(steps) && steps >= 1))
    throw new Error(`annealing: steps is ${steps}, expected a whole number of at least 1.`);
  const forms = {
    geometric: (u: number) => from * (to / from) ** u,
    cosine: (u: number) => to + ((from - to) * (1 + Math.cos(Math.PI * u))) / 2,
    constant: () => to,
  };
  const form = forms[shape];
  if (!form)
    throw new Error(`annealing: unknown shape "${shape}", expected one of ${Object.keys(forms).join(", ")}.`);
  return Float64Array.from({ length: steps }, (_, k) => form(steps === 1 ? 1 : k / (steps - 1)));
}

export interface ParticleFlowOptions {
  /** Where the particles begin, [N, D]: any prior. Stays the caller's. */
  start: tf.Tensor2D;
  /** `count` fresh target samples; disposed here. A toy data set is such. */
  target: { sample(rng: Rng, count: number): tf.Tensor };
  /** Noise level of each step, from `annealing`. */
  sigmas: ArrayLike<number>;
  /** Target samples in a step; default 512. */
  batchSize?: number;
  /** The part of D_P − D_Q taken; default 1. */
  eta?: number;
  /** Noise on the particle where Δ_σ is evaluated, which makes the step a gradient of KL(q_σ‖p_σ) and lets particles explore; default true. */
  noise?: boolean;
  /** Default 0. */
  seed?: number;
}

/** The particles after a step, flat row-major [N, D]. */
export interface ParticleStep {
  /** 0 for the start, then 1…K. */
  step: number;
  /** The noise level of the step; of the first step for the start. */
  sigma: number;
  shape: [count: number, dims: number];
  particles: Float32Array;
}

/**
 * x_i ← x_i + η (D_P(y_i) − D_X(y_i)) with y_i = x_i + σ_k ε_i, all i at once, for σ_1…σ_K. Yields the start and every
 * `every`-th step and the last, and gives the event loop a turn after each step. Throws on σ ≤ 0, η outside (0, 2), empty
 * sets, dimensions that differ, and particles that are no longer finite.
 */
export async function* particleFlow({
  every = 1,
  ...options
}: ParticleFlowOptions & { every?: number }): AsyncGenerator<ParticleStep> {
  const { start, sigmas, eta = 1 } = options;
  if (!(eta > 0 && eta < 2))
    throw new Error(`particleFlow: eta is ${eta}, expected more than 0 and less than 2.`);
  if (!(Number.isInteger(every) && every >= 1))
    throw new Error(`particleFlow: every is ${every}, expected a whole number of at least 1.`);
  if (sigmas.length === 0)
    throw new Error("particleFlow: there are no noise levels, expected one for each step.");
  checkSets("particleFlow", { start });
  let x = start.clone();
  try {
    yield snapshot(x, 0, sigmas[0]);
    for (let k = 0; k < sigmas.length; k++) {
      const next = moved(x, k, options);
      x.dispose();
      x = next;
      if ((k + 1) % every === 0 || k + 1 === sigmas.length) yield snapshot(x, k + 1, sigmas[k]);
      await tf.nextFrame();
    }
  } finally {
    x.dispose();
  }
}

function moved(x: tf.Tensor2D, k: number, options: ParticleFlowOptions): tf.Tensor2D {
  const { target, sigmas, batchSize = 512, eta = 1, noise = true, seed = 0 } = options;
  const sigma = sigmas[k];
  return tf.tidy(() => {
    const random = rng(seed, k);
    const batch = target.sample(random, batchSize) as tf.Tensor2D;
    const y = noise ? x.add<tf.Tensor2D>(random.normal(x.shape).mul(sigma)) : x;
    return x.add(scoreDifferenceStep(y, { target: batch, source: x, sigma }).mul(eta));
  });
}

function snapshot(x: tf.Tensor2D, step: number, sigma: number): ParticleStep {
  const particles = x.dataSync() as Float32Array;
  const bad = particles.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0)
    throw new Error(
      `particleFlow: particle ${Math.floor(bad / x.shape[1])} is ${particles[bad]} after step ${step}, expected finite numbers. Look at the start and the target for NaN.`,
    );
  return { step, sigma, shape: x.shape, particles: Float32Array.from(particles) };
}

/** The last moment of a flow, without those between. */
export async function runParticleFlow(options: ParticleFlowOptions): Promise<ParticleStep> {
  let last: ParticleStep | undefined;
  for await (const moment of particleFlow({ ...options, every: Math.max(1, options.sigmas.length) }))
    last = moment;
  return last as ParticleStep;
}

/** How well points stand for a mixture of equally likely, equally narrow modes. */
export interface ModeCoverage {
  /** Modes that hold at least a fifth of their fair share of all points. */
  modes: number;
  of: number;
  /** The share of points within the radius of a mode. */
  nearMode: number;
  /** KL(histogram over modes ‖ uniform) of the points near a mode, nats: 0 is even, ln of all modes for all in one, NaN for none near one. */
  klModes: number;
}

/** Counts points [n, 2] (flat) by their nearest mode, if it is within `radius` standard deviations; default 3. Throws on no modes, and on no points. */
export function modeCoverage(
  particles: ArrayLike<number>,
  { means, std }: { means: readonly (readonly number[])[]; std: number },
  radius = 3,
): ModeCoverage {
  if (means.length === 0) throw new Error("modeCoverage: there are no modes, expected at least one.");
  const dims = means[0].length;
  const count = particles.length / dims;
  if (!(Number.isInteger(count) && count > 0))
    throw new Error(
      `modeCoverage: got ${particles.length} numbers, expected points of ${dims} each, at least one.`,
    );
  const histogram = new Float64Array(means.length);
  for (let i = 0; i < count; i++) {
    const distances = means.map((mean) => Math.hypot(...mean.map((m, d) => m - particles[i * dims + d])));
    const least = Math.min(...distances);
    if (least <= radius * std) histogram[distances.indexOf(least)]++;
  }
  const near = histogram.reduce((sum, n) => sum + n, 0);
  const share = (n: number) => n / near;
  return {
    modes: histogram.filter((n) => n > 0 && n >= (0.2 * count) / means.length).length,
    of: means.length,
    nearMode: near / count,
    klModes: histogram.reduce(
      (sum, n) => (n > 0 ? sum + share(n) * Math.log(share(n) * means.length) : sum),
      near > 0 ? 0 : Number.NaN,
    ),
  };
}

/** Places that a flow may start from; all reach the target where σ begins wide enough. In units of a toy's coordinates. */
export const PRIORS = {
  normal: (random: Rng, count: number) => random.normal([count, 2]),
  narrow: (random: Rng, count: number) => random.normal([count, 2]).mul(0.35),
  point: (random: Rng, count: number) => random.normal([count, 2]).mul(0.035),
  far: (random: Rng, count: number) => random.normal([count, 2]).mul(0.35).add(2.8),
  ring: (random: Rng, count: number) => {
    const angle = random.uniform([count]).mul(2 * Math.PI);
    return tf.stack([angle.cos(), angle.sin()], 1).mul(2.1);
  },
} satisfies Record<string, (random: Rng, count: number) => tf.Tensor>;

export type PriorName = keyof typeof PRIORS;

/** `count` points [count, 2] of a named prior. The caller disposes. Throws, listing the choices, on an unknown name. */
export function drawPrior(name: PriorName, random: Rng, count: number): tf.Tensor2D {
  const draw = PRIORS[name];
  if (!draw)
    throw new Error(`drawPrior: unknown prior "${name}", expected one of ${Object.keys(PRIORS).join(", ")}.`);
  return tf.tidy(() => draw(random, count) as tf.Tensor2D);
}
