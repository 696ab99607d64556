/**
 * @file The discretized Gaussian decoder (Ho et al. 2020, eq. 13): the probability that N(mean, σ²) gives to a bin of
 * quantized data x = 2k/(levels−1) − 1, the first and last bin open-ended. In log space throughout, so that a bin far
 * in the tail has a finite log-probability and a gradient; with the tanh approximation of the authors' code for parity.
 */
import { sumDims } from "../diffusion";
import { tf } from "../tensor";
import { erfcx, gaussLegendre, log1mExp, logUpperTail } from "./special";
import { checkLevels } from "./units";

/** "exact" integrates the Gaussian; "tanh" is the DDPM code's approximation of Φ, floored at 1e-12. */
export type DecoderForm = "exact" | "tanh";

function checkForm(caller: string, form: DecoderForm): void {
  if (form !== "exact" && form !== "tanh")
    throw new Error(`${caller}: form is "${form}", expected "exact" or "tanh".`);
}

export interface BinOptions {
  /** Number of values k = 0…levels−1 of the data; default 256. */
  levels?: number;
  form?: DecoderForm;
}

/**
 * Bins narrower than this (half width h, centre z, in standard deviations) are integrated by Gauss–Legendre; wider
 * ones as differences of tails, which then do not cancel.
 */
const NARROW = { halfWidth: 0.5, tilt: 2 };
const RULE = gaussLegendre(12);
const LOG_SQRT_2PI = 0.5 * Math.log(2 * Math.PI);

/** ln of the mass of N(0, 1) on [low, high], low ≤ high, either end may be infinite; to about 1e-12 relative, far tails included. */
export function logNormalMass(low: number, high: number): number {
  if (high === Number.POSITIVE_INFINITY) return logUpperTail(low);
  if (low === Number.NEGATIVE_INFINITY) return logUpperTail(-high);
  if (low + high < 0) return logNormalMass(-high, -low);
  const [centre, half] = [(low + high) / 2, (high - low) / 2];
  if (half < NARROW.halfWidth && half * centre < NARROW.tilt) {
    let sum = 0;
    RULE.nodes.forEach((u, i) => {
      sum += RULE.weights[i] * Math.exp(-half * u * (centre + (half * u) / 2));
    });
    return Math.log(half * sum) - (centre * centre) / 2 - LOG_SQRT_2PI;
  }
  if (low < 0) return Math.log1p(-Math.exp(logUpperTail(-low)) - Math.exp(logUpperTail(high)));
  const scaled = (z: number) => erfcx(z / Math.SQRT2);
  return logUpperTail(low) + log1mExp(Math.log(scaled(high) / scaled(low)) - 2 * half * centre);
}

/**
 * ln P(x) of one quantized value x in [−1, 1] under N(mean, sigmaStd²), in nats. Throws unless sigmaStd > 0, the mean is
 * finite, x in range and levels at least 2, and on an unknown form.
 */
export function logBinProbability(
  x: number,
  mean: number,
  sigmaStd: number,
  { levels = 256, form = "exact" }: BinOptions = {},
): number {
  if (!(sigmaStd > 0))
    throw new Error(`logBinProbability: sigmaStd is ${sigmaStd}, expected a standard deviation above 0.`);
  checkLevels("logBinProbability", levels);
  checkForm("logBinProbability", form);
  if (!(Math.abs(x) <= 1 + 1e-6))
    throw new Error(`logBinProbability: x is ${x}, expected a quantized value from −1 to 1.`);
  if (!Number.isFinite(mean))
    throw new Error(`logBinProbability: mean is ${mean}, expected a finite number.`);
  const halfBin = 1 / (levels - 1);
  const low = x < -1 + halfBin ? Number.NEGATIVE_INFINITY : (x - halfBin - mean) / sigmaStd;
  const high = x > 1 - halfBin ? Number.POSITIVE_INFINITY : (x + halfBin - mean) / sigmaStd;
  if (form === "exact") return logNormalMass(low, high);
  return Math.log(Math.max(tanhCdf(high) - tanhCdf(low), LEAST_TANH_MASS));
}

/** Below it the DDPM code takes this. */
const LEAST_TANH_MASS = 1e-12;

/** Φ(z) ≈ ½(1 + tanh(√(2/π)(z + 0.044715 z³))), as in the DDPM code. */
function tanhCdf(z: number): number {
  if (!Number.isFinite(z)) return z > 0 ? 1 : 0;
  return 0.5 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (z + 0.044715 * z ** 3)));
}

/**
 * ln P(x) summed over dimensions: quantized x and mean [B, …], variance broadcastable to them → [B], in nats, float32.
 * Differentiable in mean and variance, also far in the tails. The caller disposes.
 */
export function discretizedLogLikelihood(
  x: tf.Tensor,
  mean: tf.Tensor,
  variance: tf.Tensor,
  { levels = 256, form = "exact" }: BinOptions = {},
): tf.Tensor1D {
  checkLevels("discretizedLogLikelihood", levels);
  checkForm("discretizedLogLikelihood", form);
  return tf.tidy(() => {
    const halfBin = 1 / (levels - 1);
    const sigmaStd = variance.sqrt();
    const centre = x.sub(mean).div(sigmaStd);
    const half = tf.onesLike(x).mul(halfBin).div(sigmaStd);
    const [first, last] = [x.less(-1 + halfBin), x.greater(1 - halfBin)];
    const logP =
      form === "tanh" ? tanhLogMass(centre, half, first, last) : exactLogMass(centre, half, first, last);
    return sumDims(logP);
  });
}

function exactLogMass(centre: tf.Tensor, half: tf.Tensor, first: tf.Tensor, last: tf.Tensor): tf.Tensor {
  const open = tf.where(first, centre.add(half).neg(), centre.sub(half)); // P = Q(open) in an end bin
  const inside = logMassBetween(centre.abs(), half);
  return tf.where(tf.logicalOr(first, last), logUpperTailTensor(open), inside);
}

/** As `logNormalMass` for [z − h, z + h], z ≥ 0. Each branch sees harmless values where it is not chosen: `where` passes on NaN gradients. */
function logMassBetween(z: tf.Tensor, h: tf.Tensor): tf.Tensor {
  const narrow = mask(() => tf.logicalAnd(h.less(NARROW.halfWidth), h.mul(z).less(NARROW.tilt)), z, h);
  const astride = mask(() => tf.logicalAnd(z.less(h), tf.logicalNot(narrow)), z, h);
  const beyond = mask(() => tf.logicalNot(tf.logicalOr(narrow, astride)), z, h);
  const only = (region: tf.Tensor, value: tf.Tensor, safe: number) =>
    tf.where(region, value, tf.fill(value.shape, safe));

  const zn = only(narrow, z, 0);
  const hn = only(narrow, h, 0.1);
  const inNarrow = narrowSum(zn, hn).mul(hn).log().sub(zn.square().div(2)).sub(LOG_SQRT_2PI);

  const za = only(astride, z, 0);
  const ha = only(astride, h, 1);
  const outside = upperTail(ha.sub(za)).add(upperTail(ha.add(za)));
  const inAstride = outside.neg().log1p();

  const zb = only(beyond, z, 2);
  const hb = only(beyond, h, 1);
  const [near, far] = [zb.sub(hb), zb.add(hb)];
  const drop = logErfcxHalf(far).sub(logErfcxHalf(near)).sub(zb.mul(hb).mul(2)); // ln Q(far) − ln Q(near) ≤ −1/2
  const inBeyond = logErfcxHalf(near).sub(near.square().div(2)).sub(Math.LN2).add(drop.exp().neg().log1p());

  return tf.where(narrow, inNarrow, tf.where(astride, inAstride, inBeyond));
}

function narrowSum(z: tf.Tensor, h: tf.Tensor): tf.Tensor {
  const { nodes, weights } = NARROW_RULE;
  return Array.from(nodes, (u, i) => {
    const step = h.mul(u);
    return step
      .mul(z.add(step.div(2)))
      .neg()
      .exp()
      .mul(weights[i]);
  }).reduce((sum, term) => sum.add(term));
}

/** Enough nodes for float32 where NARROW holds. */
const NARROW_RULE = gaussLegendre(7);

/** ln Q(z) for any z. */
function logUpperTailTensor(z: tf.Tensor): tf.Tensor {
  const negative = mask(() => z.less(0), z);
  const size = tf.where(negative, z.neg(), z); // the gradient of z.abs() at 0 would be of the wrong sign
  const positive = logErfcxHalf(size).sub(z.square().div(2)).sub(Math.LN2);
  const small = tf.where(negative, size, tf.zerosLike(size));
  return tf.where(negative, upperTail(small).neg().log1p(), positive);
}

/** A region as a constant: tfjs would look for the gradient of a comparison of `inputs`, and there is none. */
function mask(region: () => tf.Tensor, ...inputs: tf.Tensor[]): tf.Tensor {
  const shapes = inputs.map((x) => x.shape); // the inputs themselves may be gone when the gradient is asked for
  const constant = tf.customGrad(() => ({
    value: region(),
    gradFunc: () => shapes.map((shape) => tf.zeros(shape)),
  }));
  return constant(...inputs);
}

/** Q(z) for z ≥ 0. */
function upperTail(z: tf.Tensor): tf.Tensor {
  return logErfcxHalf(z).sub(z.square().div(2)).exp().mul(0.5);
}

const DEGREE = 14;

/** Chebyshev coefficients of ln[erfcx(x)/r] in s = 2r − 1, r = 1/(1 + x/2) in (0, 1]: smooth there, good to float32. */
const LOG_ERFCX = chebyshev(DEGREE, (s) => {
  const r = (s + 1) / 2;
  return Math.log(erfcx(2 / r - 2) / r);
});

/** ln erfcx(z/√2) for z ≥ 0, by Clenshaw's recurrence. */
function logErfcxHalf(z: tf.Tensor): tf.Tensor {
  const r = z
    .mul(Math.SQRT1_2 / 2)
    .add(1)
    .reciprocal();
  const s = r.mul(2).sub(1);
  let [next, current] = [tf.zerosLike(s), tf.zerosLike(s)];
  for (let k = DEGREE; k >= 1; k--)
    [next, current] = [current, s.mul(current).mul(2).sub(next).add(LOG_ERFCX[k])];
  return s.mul(current).sub(next).add(LOG_ERFCX[0]).add(r.log());
}

/** f on [−1, 1] as Σ c_k T_k, by interpolation at the Chebyshev points. */
function chebyshev(degree: number, f: (s: number) => number): Float64Array {
  const count = degree + 1;
  const angles = Array.from({ length: count }, (_, j) => (Math.PI * (j + 0.5)) / count);
  const values = angles.map((angle) => f(Math.cos(angle)));
  return Float64Array.from({ length: count }, (_, k) => {
    const sum = values.reduce((total, value, j) => total + value * Math.cos(k * angles[j]), 0);
    return (sum * (k === 0 ? 1 : 2)) / count;
  });
}

/** ln of `tanhCdf`'s mass of [z − h, z + h]: with ½(1 + tanh y) = σ(2y) it is σ(a)σ(−b)(1 − e^{b−a}), where nothing cancels. */
function tanhLogMass(centre: tf.Tensor, half: tf.Tensor, first: tf.Tensor, last: tf.Tensor): tf.Tensor {
  const scale = 2 * Math.sqrt(2 / Math.PI);
  const twiceY = (z: tf.Tensor) => z.square().mul(0.044715).add(1).mul(z).mul(scale);
  const [a, b] = [twiceY(centre.add(half)), twiceY(centre.sub(half))];
  const cubes = centre.square().mul(3).add(half.square()).mul(0.044715).add(1); // (a − b) / (2h·scale)
  const inside = cubes
    .mul(half)
    .mul(-2 * scale)
    .expm1()
    .neg();
  const mass = a.sigmoid().mul(b.neg().sigmoid()).mul(inside);
  const open = tf.where(first, a.sigmoid(), tf.where(last, b.neg().sigmoid(), mass));
  return open.maximum(LEAST_TANH_MASS).log();
}
