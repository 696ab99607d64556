/** @file The complementary error function and its logarithm in float64, accurate in the far tails where 1 − erf is 0. */

const SQRT_PI = Math.sqrt(Math.PI);

/** e^{x²} erfc(x) for x ≥ 0, to about 1e-13 relative: it falls like 1/(x√π) where erfc underflows. Throws on x < 0. */
export function erfcx(x: number): number {
  if (!(x >= 0)) throw new Error(`erfcx: x is ${x}, expected 0 or more. Use erfc for negative arguments.`);
  return x < 2 ? Math.exp(x * x) - erfSeries(x) : tailFraction(x);
}

/** erfc(x) = 2/√π ∫_x^∞ e^{−u²} du for any real x. */
export function erfc(x: number): number {
  if (Number.isNaN(x)) return x;
  return x >= 0 ? erfcx(x) * Math.exp(-x * x) : 2 - erfc(-x);
}

/** erf(x) = 1 − erfc(x) for any real x, without cancellation at small x. */
export function erf(x: number): number {
  if (x < 0) return -erf(-x);
  return x < 2 ? Math.exp(-x * x) * erfSeries(x) : 1 - erfc(x);
}

/** ln erfc(x) for any real x, finite as far as x² is. */
export function logErfc(x: number): number {
  return x < 0.5 ? Math.log1p(-erf(x)) : Math.log(erfcx(x)) - x * x;
}

/** ln Q(z), Q the upper tail of the standard normal, precise also where Q is next to 1; ln Φ(z) is `logUpperTail(-z)`. */
export function logUpperTail(z: number): number {
  return z < 0 ? Math.log1p(-erfc(-z / Math.SQRT2) / 2) : logErfc(z / Math.SQRT2) - Math.LN2;
}

/** ln(1 − e^{x}) for x < 0 without cancellation at either end. */
export function log1mExp(x: number): number {
  return x > -Math.LN2 ? Math.log(-Math.expm1(x)) : Math.log1p(-Math.exp(x));
}

/** ln Σ e^{x_i}; −∞ for all −∞. */
export function logSumExp(values: ArrayLike<number>): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, values[i]);
  if (!Number.isFinite(largest)) return largest;
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += Math.exp(values[i] - largest);
  return largest + Math.log(sum);
}

/** Nodes and weights of the n-point Gauss–Legendre rule on [−1, 1], by Newton's method on the Legendre polynomial. */
export function gaussLegendre(n: number): { nodes: Float64Array; weights: Float64Array } {
  const nodes = new Float64Array(n);
  const weights = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    let x = Math.cos((Math.PI * (i + 0.75)) / (n + 0.5));
    for (let pass = 0; pass < 8; pass++) x -= legendre(n, x).value / legendre(n, x).slope;
    nodes[i] = x;
    weights[i] = 2 / ((1 - x * x) * legendre(n, x).slope ** 2);
  }
  return { nodes, weights };
}

function legendre(n: number, x: number): { value: number; slope: number } {
  let [previous, value] = [1, x];
  for (let k = 2; k <= n; k++)
    [previous, value] = [value, ((2 * k - 1) * x * value - (k - 1) * previous) / k];
  return { value, slope: (n * (x * value - previous)) / (x * x - 1) };
}

/** e^{x²} erf(x) = 2/√π Σ 2^n x^{2n+1} / (2n+1)!!, all terms positive. */
function erfSeries(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; term > 1e-17 * sum; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / SQRT_PI) * sum;
}

/** Laplace's continued fraction x + (1/2)/(x + (2/2)/(x + (3/2)/(x + …))), from the inside out. */
function tailFraction(x: number): number {
  const depth = 20 + Math.ceil(320 / (x * x));
  let value = x;
  for (let n = depth; n >= 1; n--) value = x + n / 2 / value;
  return 1 / (SQRT_PI * value);
}
