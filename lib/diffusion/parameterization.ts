/**
 * @file What a network predicts, and how one prediction is turned into another: the only place these formulas are.
 *
 * Given t, everything lives in the plane spanned by x_0 and ε: each quantity is p·x_0 + q·ε. Hence, with x_t known,
 * any quantity is an affine function of any other, to = scale·from + shift·x_t, and Cramer's rule gives both
 * factors. Loss weights follow: an error of 1 in the prediction is an error of `scale` in what it is turned into.
 */
import { tf } from "../tensor";
import { posteriorTables } from "./forward";
import { oncePerSchedule, type Schedule, tableOver } from "./schedule";
import { checkSameShape, checkT, mix } from "./tables";

/** What a network may predict: posterior mean μ̃, x_0, noise ε, velocity v = √ᾱ ε − √(1−ᾱ) x_0, score −ε/√(1−ᾱ). */
export const PARAMETERIZATIONS = ["mean", "x0", "eps", "v", "score"] as const;
export type Parameterization = (typeof PARAMETERIZATIONS)[number];

/**
 * A network as the diffusion code sees it: x_t [B, …] and t int32 [B] → prediction [B, …]. Samplers and bounds call it
 * hundreds of times with the same shapes: `compile((xt, t) => net.apply(xt, t))` is one, and faster.
 */
export type Predict = (xt: tf.Tensor, t: tf.Tensor1D) => tf.Tensor;

/** to_t = scale_t · from_t + shift_t · x_t; float64 tables with a dummy entry 0. */
export interface Conversion {
  readonly scale: Float64Array;
  readonly shift: Float64Array;
}

/** A quantity as p·x_0 + q·ε; cross = p√(1−ᾱ) − q√ᾱ is the part of it that x_t does not already tell. Tables over t. */
interface InPlane {
  readonly p: Float64Array;
  readonly q: Float64Array;
  readonly cross: Float64Array;
}

const planeOf: (schedule: Schedule) => Record<Parameterization, InPlane> = oncePerSchedule((schedule) => {
  const { numSteps, sqrtAlphaBar: signal, sqrtOneMinusAlphaBar: noise } = schedule;
  const { c0, ct } = posteriorTables(schedule);
  const table = (entry: (t: number) => number) => tableOver(numSteps, 0, entry);
  const [zero, one] = [table(() => 0), table(() => 1)];
  const [minusNoise, minusSignal] = [table((t) => -noise[t]), table((t) => -signal[t])];
  // `cross` is written out, not computed: each difference would cancel at one end of the schedule.
  return {
    mean: {
      p: table((t) => signal[t - 1]),
      q: table((t) => ct[t] * noise[t]),
      cross: table((t) => c0[t] * noise[t]),
    },
    x0: { p: one, q: zero, cross: noise },
    eps: { p: zero, q: one, cross: minusSignal },
    v: { p: minusNoise, q: signal, cross: table(() => -1) },
    score: { p: zero, q: table((t) => -1 / noise[t]), cross: table((t) => signal[t] / noise[t]) },
  };
});

const conversionsOf: (schedule: Schedule) => Map<string, Conversion> = oncePerSchedule(() => new Map());

/** How to turn `from` into `to` given x_t (Ho et al. 2020, section 3.2; Salimans & Ho 2022, appendix D). Throws on an unknown name. */
export function conversion(schedule: Schedule, from: Parameterization, to: Parameterization): Conversion {
  checkParameterization("conversion", from);
  checkParameterization("conversion", to);
  const known = conversionsOf(schedule);
  const name = `${from} to ${to}`;
  if (!known.has(name))
    known.set(name, solve(schedule.numSteps, planeOf(schedule)[from], planeOf(schedule)[to]));
  return known.get(name) as Conversion;
}

const LARGEST_FLOAT32 = (2 - 2 ** -23) * 2 ** 127;

/** Throws where the factors of a conversion are too large for tensors, which would be NaN without a word. */
function checkFloat32(scale: Float64Array, from: Parameterization, to: Parameterization): void {
  const tooLarge = scale.findIndex((factor) => !(Math.abs(factor) <= LARGEST_FLOAT32));
  if (tooLarge >= 0)
    throw new Error(
      `convert: ${to} from ${from} is multiplied by ${scale[tooLarge].toPrecision(3)} at t = ${tooLarge}, more than float32 holds: the schedule leaves no signal there. Use smaller betas or fewer steps, or predict x0 or v.`,
    );
}

/** Cramer's rule for to = scale·from + shift·x_t in the plane. */
function solve(numSteps: number, from: InPlane, to: InPlane): Conversion {
  return {
    scale: tableOver(numSteps, 0, (t) => to.cross[t] / from.cross[t]),
    shift: tableOver(numSteps, 0, (t) => (from.p[t] * to.q[t] - from.q[t] * to.p[t]) / from.cross[t]),
  };
}

/** `value` [B, …], a prediction of kind `from` at x_t [B, …] and t int32 [B], as one of kind `to`. The caller disposes. */
export function convert(
  schedule: Schedule,
  value: tf.Tensor,
  from: Parameterization,
  to: Parameterization,
  xt: tf.Tensor,
  t: tf.Tensor1D,
): tf.Tensor {
  checkT("convert", t, xt, "xt");
  checkSameShape("convert", value, `the ${from} prediction`, xt, "xt");
  if (from === to) return value.clone();
  const { scale, shift } = conversion(schedule, from, to);
  checkFloat32(scale, from, to);
  return mix(t, [scale, value], [shift, xt]);
}

/** p and q of the target p·x_0 + q·ε of a network of this kind: float64 tables over t = 1…T. Throws on an unknown name. */
export function targetTables(schedule: Schedule, kind: Parameterization): Pick<InPlane, "p" | "q"> {
  checkParameterization("targetTables", kind);
  return planeOf(schedule)[kind];
}

/** The regression target p·x_0 + q·ε [B, …] of a network of this kind; x0, eps [B, …], t int32 [B]. The caller disposes. */
export function target(
  schedule: Schedule,
  kind: Parameterization,
  x0: tf.Tensor,
  eps: tf.Tensor,
  t: tf.Tensor1D,
): tf.Tensor {
  checkParameterization("target", kind);
  checkT("target", t, x0);
  checkSameShape("target", eps, "eps", x0, "x0");
  const { p, q } = planeOf(schedule)[kind];
  return mix(t, [p, x0], [q, eps]);
}

/** One prediction in all its forms, each [B, …], by name. The caller disposes each (`tf.dispose(predictions)`). */
export function predictions(
  schedule: Schedule,
  output: tf.Tensor,
  kind: Parameterization,
  xt: tf.Tensor,
  t: tf.Tensor1D,
): Record<Parameterization, tf.Tensor> {
  return tf.tidy(() => {
    const entries = PARAMETERIZATIONS.map((to) => [to, convert(schedule, output, kind, to, xt, t)]);
    return Object.fromEntries(entries) as Record<Parameterization, tf.Tensor>;
  });
}

/** Throws, listing the choices, unless `name` is a parameterization. */
export function checkParameterization(caller: string, name: string): asserts name is Parameterization {
  if (!(PARAMETERIZATIONS as readonly string[]).includes(name))
    throw new Error(
      `${caller}: unknown parameterization "${name}", expected one of ${PARAMETERIZATIONS.join(", ")}.`,
    );
}
