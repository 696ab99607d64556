/**
 * @file Explicit randomness: draws that are a pure function of a seed, a step and the order of calls.
 *
 * On the native engine the draws are TensorFlow's stateless ops, whose counter-based generator (Philox, Salmon et
 * al. 2011) has no state to save: a resumed run that asks for the same seed and step gets the same numbers, eager or
 * compiled. A GPU without CUDA draws the same ones by programs of our own (webgpu/random.ts). The pure JavaScript engine
 * has other numbers, with the same contract.
 */
import * as tf from "@tensorflow/tfjs";
import { currentRecorder } from "./compile/recorder";
import { engine } from "./engine";
import { nativeBackend, rawOp } from "./native";
import { type Distribution, type Draw, drawStateless } from "./webgpu/random";

/** A source of independent draws; each call gives new ones. The caller disposes them. */
export interface Rng {
  /** N(0, 1), float32. */
  normal(shape: number[]): tf.Tensor;
  /** Uniform on [0, 1), float32. */
  uniform(shape: number[]): tf.Tensor;
  /** Uniform integers of [low, high), int32; throws where the limits are no such integers with low < high. */
  integers(shape: number[], low: number, high: number): tf.Tensor;
}

/** A bijection of 32-bit integers whose output bits each depend on all input bits (MurmurHash3's finalizer). */
function scramble(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** One int32 of a seed and a call's number; for one seed no two calls share it. */
const keyOf = (seed: number, call: number): number =>
  scramble(scramble(scramble(seed % 2 ** 32) ^ Math.floor(seed / 2 ** 32)) + call);

const int32 = { type: "int32" } as const;
const float32 = { type: "float32" } as const;

const OPS = {
  normal: ["StatelessRandomNormal", float32],
  uniform: ["StatelessRandomUniform", float32],
  integers: ["StatelessRandomUniformInt", int32],
} as const;

/** A draw by TensorFlow's stateless op; its 64-bit seed is the call's key and the step. */
const drawByOp: Draw = (distribution, shape, key, step, low, high) => {
  const [op, dtype] = OPS[distribution];
  const seed = tf.stack([tf.scalar(key, "int32"), step]);
  const limits = distribution === "integers" ? [low, high].map((limit) => tf.scalar(limit, "int32")) : [];
  return rawOp(op, { dtype, T: int32, Tseed: int32 }, [tf.tensor1d(shape, "int32"), seed, ...limits])[0];
};

/** A step of a run: a number, or an int32 scalar where a compiled function takes it as an input. */
export type Step = number | tf.Scalar;

/** Refuses a source that a compiled function did not make from a step of its own: each call would draw the same. */
function checkFresh(step: Step, madeIn: ReturnType<typeof currentRecorder>): void {
  const recorder = currentRecorder();
  if (!recorder || step instanceof tf.Variable) return;
  if (typeof step === "number")
    throw new Error(
      `rng: step is the number ${step} inside a compiled function, where each call would draw the same. Pass it as an input: tf.scalar(step, "int32").`,
    );
  if (madeIn !== recorder)
    throw new Error(
      "rng: a source that was made outside of a compiled function is drawn from inside, where each call would draw the same. Make it inside, rng(seed, step), of a step that the function takes.",
    );
}

function statelessRng(draw: Draw, seed: number, step: Step): Rng {
  const madeIn = currentRecorder();
  let calls = 0;
  const next = (distribution: Distribution, shape: number[], low = 0, high = 1) =>
    tf.tidy(() => {
      checkFresh(step, madeIn);
      const at = typeof step === "number" ? tf.scalar(step, "int32") : step;
      return draw(distribution, shape, keyOf(seed, calls++), at, low, high);
    });
  return {
    normal: (shape) => next("normal", shape),
    uniform: (shape) => next("uniform", shape),
    integers(shape, low, high) {
      checkRange(low, high);
      return next("integers", shape, low, high);
    },
  };
}

function plainRng(seed: number, step: Step): Rng {
  let calls = 0;
  const next = () => {
    const number = typeof step === "number" ? step : step.dataSync()[0];
    const key = keyOf(seed, calls++);
    // 32 bits that no two steps of a key share and 20 of the key; tfjs takes 0 for no seed.
    return (scramble(number ^ key) >>> 0) * 2 ** 20 + (key & 0xfffff) + 1;
  };
  return {
    normal: (shape) => tf.randomNormal(shape, 0, 1, "float32", next()),
    // What float32 would round up to 1 becomes the largest number below it.
    uniform: (shape) => tf.tidy(() => tf.randomUniform(shape, 0, 1, "float32", next()).minimum(1 - 2 ** -24)),
    integers: (shape, low, high) => {
      checkRange(low, high);
      // From 2^31 on int32 wraps what is drawn, and wraps it back when low is added.
      return tf.tidy(() =>
        tf.randomUniform(shape, 0, high - low, "int32", next()).add(tf.scalar(low, "int32")),
      );
    },
  };
}

function checkRange(low: number, high: number): void {
  if (!(Number.isInteger(low) && Number.isInteger(high) && low < high))
    throw new Error(`integers: the range is [${low}, ${high}), expected integers with low < high.`);
  if (low < -(2 ** 31) || high >= 2 ** 31)
    throw new Error(`integers: the range is [${low}, ${high}), expected limits from -2^31 to 2^31 - 1.`);
}

/**
 * Randomness for one step of a run: the same `seed` (any safe integer), `step` (0…2³¹−1) and order of calls give the
 * same numbers on one engine, others independent ones. Inside a compiled function `step` must be a tensor that it
 * takes, or every call would draw the same: a number is refused there, and a source that was made outside. Throws on a
 * seed or step that is no such integer.
 */
export function rng(seed: number, step: Step = 0): Rng {
  if (!Number.isSafeInteger(seed)) throw new Error(`rng: seed is ${seed}, expected a whole number.`);
  if (typeof step === "number" && !(Number.isInteger(step) && step >= 0 && step < 2 ** 31))
    throw new Error(`rng: step is ${step}, expected a whole number from 0 to 2^31 - 1.`);
  if (typeof step !== "number" && (step.dtype !== "int32" || step.rank !== 0))
    throw new Error(`rng: step is a ${step.dtype} of shape [${step.shape}], expected an int32 scalar.`);
  if (typeof step === "number") checkFresh(step, null);
  if (nativeBackend) return statelessRng(drawByOp, seed, step);
  return engine.name === "webgpu" ? statelessRng(drawStateless, seed, step) : plainRng(seed, step);
}
