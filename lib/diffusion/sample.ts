/** @file Sampling: one stepping core that walks a plan, as a stream of plain arrays or straight to the final tensor. */
import { compile, type Rng, rng, tf } from "../tensor";
import { qSample } from "./forward";
import { ancestralPlan, type Plan, type Transition } from "./plan";
import { type Clip, type Model, predictX0 } from "./reverse";
import type { Schedule } from "./schedule";

/** Where normal noise comes from. */
export type NormalSource = Pick<Rng, "normal">;

export interface SampleOptions {
  /** Gives x_T, and the seed from which each transition that adds noise draws its own. */
  rng: Rng;
  /** Default: all steps, ancestral, the model's variance, last step noiseless. */
  plan?: Plan;
  /** Range to clip each x̂_0 to; default none. */
  clip?: Clip;
  /** Called after each transition, once control has been given back to the event loop. */
  onProgress?: (done: number, total: number) => void;
}

/** One moment of a walk: x_t and the x̂_0 it suggests, flat, of shape `shape`. At t = 0 both are the sample. */
export interface Snapshot {
  t: number;
  shape: number[];
  xt: Float32Array;
  x0Hat: Float32Array;
}

/** x_s = x0Coef·x̂_0 + xtCoef·x_t + sigmaStd·z for tensors [B, …]; `z` is not needed where sigmaStd is 0. The caller disposes. */
export function takeStep(step: Transition, x0Hat: tf.Tensor, xt: tf.Tensor, z?: tf.Tensor): tf.Tensor {
  if (step.sigmaStd > 0 && !z)
    throw new Error(
      `takeStep: the step ${step.t} → ${step.s} adds noise, but z is missing. Pass rng.normal(xt.shape).`,
    );
  return tf.tidy(() => combine(step, x0Hat, xt, step.sigmaStd > 0 ? z : undefined));
}

/** As `takeStep`, for coefficients that may be tensors. */
function combine(
  { x0Coef, xtCoef, sigmaStd }: Record<"x0Coef" | "xtCoef" | "sigmaStd", number | tf.Tensor>,
  x0Hat: tf.Tensor,
  xt: tf.Tensor,
  z?: tf.Tensor,
): tf.Tensor {
  const mean = x0Hat.mul(x0Coef).add(xt.mul(xtCoef));
  return z ? mean.add(z.mul(sigmaStd)) : mean;
}

/** Draws `shape` = [B, …] samples of the model (Ho et al. 2020, Algorithm 2, or any plan). The caller disposes the result. */
export async function sample(model: Model, shape: number[], options: SampleOptions): Promise<tf.Tensor> {
  checkShape("sample", shape);
  return sampleFrom(model, options.rng.normal(shape), options);
}

/** As `sample`, from a given start [B, …] at the plan's first t; the start is disposed, also where the walk throws. */
export async function sampleFrom(model: Model, start: tf.Tensor, options: SampleOptions): Promise<tf.Tensor> {
  return lastOf(walk(model, start, options));
}

async function lastOf(moments: AsyncGenerator<Moment>): Promise<tf.Tensor> {
  let last: tf.Tensor | undefined;
  for await (const { t, xt } of moments) if (t === 0) last = xt.clone();
  return last as tf.Tensor;
}

/**
 * The walk as a stream: a snapshot at the start, after every `every` transitions and at the end, in plain arrays.
 * Leaving the loop early frees all tensors. x̂_0 at every t is DDPM's progressive generation (Ho et al. 2020, section 4.3).
 */
export async function* sampleStream(
  model: Model,
  shape: number[],
  { every = 1, ...options }: SampleOptions & { every?: number },
): AsyncGenerator<Snapshot> {
  checkShape("sampleStream", shape);
  if (!(Number.isInteger(every) && every >= 1))
    throw new Error(`sampleStream: every is ${every}, expected an integer of 1 or more.`);
  let taken = 0;
  for await (const { t, xt, x0Hat } of walk(model, options.rng.normal(shape), options)) {
    if (taken++ % every !== 0 && t !== 0) continue;
    yield { t, shape, xt: Float32Array.from(await xt.data()), x0Hat: Float32Array.from(await x0Hat.data()) };
  }
}

export interface InterpolateOptions extends Omit<SampleOptions, "plan"> {
  /** How far the two are noised before they are mixed, 1…T. */
  t: number;
  /** Mixing proportions λ; 0 gives the first, 1 the second. */
  lambdas: readonly number[];
  /** One noise for both (the mixture keeps variance 1 − ᾱ_t) or one each (it falls to half of that at λ = ½). */
  sharedNoise: boolean;
  /** Walk down from `t`; default ancestral through all of t…1 with the model's variance. */
  plan?: Plan;
}

/**
 * Interpolates in noise (Ho et al. 2020, section 4.4): x̄_t = (1−λ)x_t + λx'_t, decoded by the reverse process with the
 * same noise for every λ. xa, xb [1, …] → [λ, …]. The caller disposes the result. Throws on a plan that does not start at t.
 */
export async function interpolate(
  model: Model,
  xa: tf.Tensor,
  xb: tf.Tensor,
  options: InterpolateOptions,
): Promise<tf.Tensor> {
  const { schedule, variance } = model;
  const { t, lambdas, sharedNoise, rng: source } = options;
  if (xa.shape[0] !== 1 || xb.shape[0] !== 1)
    throw new Error(
      `interpolate: xa has shape [${xa.shape}] and xb [${xb.shape}], expected one example each, [1, …]. Use slice.`,
    );
  if (!(Number.isInteger(t) && t >= 1 && t <= schedule.numSteps))
    throw new Error(`interpolate: t is ${t}, expected an integer from 1 to ${schedule.numSteps}.`);
  if (lambdas.length === 0)
    throw new Error("interpolate: lambdas is empty, expected proportions such as [0, 0.5, 1].");
  const steps = Array.from({ length: t }, (_, i) => i + 1);
  const plan = options.plan ?? ancestralPlan(schedule, { variance, steps });
  if (plan[0]?.t !== t)
    throw new Error(
      `interpolate: the plan ${plan.length === 0 ? "is empty" : `starts at ${plan[0].t}`}, expected t = ${t}. Build it with steps up to ${t}.`,
    );
  const mixed = tf.tidy(() => {
    const epsA = source.normal(xa.shape);
    return mixNoised(schedule, xa, xb, {
      t,
      lambdas,
      epsA,
      epsB: sharedNoise ? epsA : source.normal(xa.shape),
    });
  });
  const repeats = [lambdas.length, ...new Array(xa.rank - 1).fill(1)];
  const noise: Noise = (source) => source.normal(xa.shape).tile(repeats);
  return lastOf(walk(model, mixed, { ...options, plan }, noise));
}

/** x̄_t = (1−λ)x_t + λx'_t of two examples noised to t with noise of their own: [1, …] each → [λ, …]. The caller disposes. */
export function mixNoised(
  schedule: Schedule,
  xa: tf.Tensor,
  xb: tf.Tensor,
  { t, lambdas, epsA, epsB }: { t: number; lambdas: readonly number[]; epsA: tf.Tensor; epsB: tf.Tensor },
): tf.Tensor {
  return tf.tidy(() => {
    const step = tf.fill([1], t, "int32") as tf.Tensor1D;
    const [latentA, latentB] = [qSample(schedule, xa, step, epsA), qSample(schedule, xb, step, epsB)];
    return tf.concat(lambdas.map((lambda) => latentA.mul(1 - lambda).add(latentB.mul(lambda))));
  });
}

interface Moment {
  t: number;
  /** Both owned by the walk: clone or read them before asking for the next. */
  xt: tf.Tensor;
  x0Hat: tf.Tensor;
}

/** x̂_0 at x_t, and x_s. */
type Taken = {
  x0Hat: tf.Tensor;
  xs: tf.Tensor;
};

/** A walk of fewer transitions is over before compiling one has paid. */
const WORTH_COMPILING = 8;

/** z of one transition, from randomness of its own. */
type Noise = (source: Rng) => tf.Tensor;

/**
 * The transitions of a plan, each one call of a compiled function. Their coefficients come in as a tensor; the noise is
 * drawn inside, a pure function of `seed` and the transition's place in the walk. It lasts for one walk, so that nothing a
 * network closes over is frozen for longer. A network that cannot be recorded (it reads values back, as an exact one may)
 * runs op by op, with the same noise.
 */
function transitionsOf(model: Model, plan: Plan, seed: number, noise: Noise, clip?: Clip) {
  const noisy = plan.some(({ sigmaStd }) => sigmaStd > 0);
  const take = (xt: tf.Tensor, transition: tf.Tensor1D): Taken => {
    const [place, t, x0Coef, xtCoef, sigmaStd] = tf.unstack(transition);
    const times = t.toInt().reshape([1]).tile([xt.shape[0]]) as tf.Tensor1D;
    const x0Hat = predictX0(model, xt, times, { clip });
    const z = noisy ? noise(rng(seed, place.toInt() as tf.Scalar)) : undefined;
    return { x0Hat, xs: combine({ x0Coef, xtCoef, sigmaStd }, x0Hat, xt, z) };
  };
  const plain: typeof take = (xt, transition) => tf.tidy(() => take(xt, transition));
  let run: typeof take = plan.length < WORTH_COMPILING ? plain : compile(take, { name: "transition" });
  return (xt: tf.Tensor, place: number): Taken => {
    const { t, x0Coef, xtCoef, sigmaStd } = plan[place];
    const transition = tf.tensor1d([place, t, x0Coef, xtCoef, sigmaStd]); // one tensor: each costs 30 µs a call
    try {
      return run(xt, transition);
    } catch (error) {
      if (run === plain) throw error;
      run = plain;
      return run(xt, transition);
    } finally {
      transition.dispose();
    }
  };
}

/** A whole number for `rng`, drawn. */
async function drawSeed(source: Rng): Promise<number> {
  const drawn = source.integers([1], 0, 2 ** 31 - 1);
  const [seed] = await drawn.data();
  drawn.dispose();
  return seed;
}

async function* walk(
  model: Model,
  start: tf.Tensor,
  { rng: source, clip, onProgress, ...options }: SampleOptions,
  noise: Noise = (own) => own.normal(start.shape),
): AsyncGenerator<Moment> {
  let xt = start;
  let taken: Taken | undefined;
  try {
    const plan = options.plan ?? ancestralPlan(model.schedule, { variance: model.variance });
    if (plan.length === 0)
      throw new Error(
        `sample: the plan is empty, expected at least one transition. Use ancestralPlan or ddimPlan.`,
      );
    const take = transitionsOf(model, plan, await drawSeed(source), noise, clip);
    for (const [place, { t }] of plan.entries()) {
      taken = take(xt, place);
      yield { t, xt, x0Hat: taken.x0Hat };
      tf.dispose([xt, taken.x0Hat]);
      xt = taken.xs;
      taken = undefined;
      await tf.nextFrame();
      onProgress?.(place + 1, plan.length);
    }
    yield { t: 0, xt, x0Hat: xt };
  } finally {
    tf.dispose([xt, ...(taken ? [taken.x0Hat, taken.xs] : [])]);
  }
}

function checkShape(caller: string, shape: number[]): void {
  if (shape.length < 2 || !shape.every((size) => Number.isInteger(size) && size > 0))
    throw new Error(
      `${caller}: shape is [${shape}], expected [B, …] with at least 2 positive sizes, such as [64, 2].`,
    );
}
