/**
 * @file The forward process in continuous time, dx = f(x, t) dt + g(t) dw, for the two families in use, and its marginals.
 *
 * Both have a linear drift f(x, t) = −a(t) x, so x_t given x_0 is N(signal·x_0, noise2·I) in closed form. The reverse
 * process runs from T down to 0 with the drift f − g²·score (Anderson 1982; Song et al. 2021, eq. 6).
 */
import { type Distribution, diffused } from "../../elbo";
import { type Rng, tf } from "../../tensor";

/** A forward process on [0, T] with a drift that is linear in x. Functions of one time, float64. */
export interface Sde {
  readonly name: string;
  /** The end of time. */
  readonly T: number;
  /** a(t) in f(x, t) = −a(t) x. */
  driftRate(t: number): number;
  /** g(t)², the variance added per unit of time. */
  g2(t: number): number;
  /** The factor of x_0 in x_t. */
  signal(t: number): number;
  /** Var(x_t | x_0), per dimension. */
  noise2(t: number): number;
}

/**
 * Variance preserving: f = −β(t)x/2, g² = β(t), β rising linearly over [0, T] (Song et al. 2021, eq. 11). Equal ends
 * make β constant. Throws unless β and T are positive.
 */
export function vpSde({ betaStart = 0.1, betaEnd = 20, T = 1 } = {}): Sde {
  checkPositive("vpSde", { betaStart, betaEnd, T });
  const beta = (t: number) => betaStart + ((betaEnd - betaStart) * t) / T;
  const integral = (t: number) => t * betaStart + ((betaEnd - betaStart) * t * t) / (2 * T);
  return {
    name: "VP",
    T,
    driftRate: (t) => beta(t) / 2,
    g2: beta,
    signal: (t) => Math.exp(-integral(t) / 2),
    noise2: (t) => -Math.expm1(-integral(t)),
  };
}

/**
 * Variance exploding: f = 0, g² = dσ²/dt with σ(t) = sigmaMin·(sigmaMax/sigmaMin)^(t/T) (Song et al. 2021, eq. 9 and
 * appendix C); noise2(t) = σ(t)² − σ(0)², so that p_0 is the data. Throws unless 0 < sigmaMin < sigmaMax and T > 0.
 */
export function veSde({ sigmaMin = 0.01, sigmaMax = 50, T = 1 } = {}): Sde {
  checkPositive("veSde", { sigmaMin, sigmaMax, T });
  const rate = Math.log(sigmaMax / sigmaMin) / T;
  if (!(rate > 0))
    throw new Error(`veSde: sigmaMax is ${sigmaMax}, expected more than sigmaMin = ${sigmaMin}.`);
  return {
    name: "VE",
    T,
    driftRate: () => 0,
    g2: (t) => 2 * rate * sigmaMin ** 2 * Math.exp(2 * rate * t),
    signal: () => 1,
    noise2: (t) => sigmaMin ** 2 * Math.expm1(2 * rate * t),
  };
}

/** p_t of this data: each component N(signal·m, signal²·variance + noise2). Throws on t outside [0, T]. */
export function marginalAt(data: Distribution, sde: Sde, t: number): Distribution {
  if (!(t >= 0 && t <= sde.T)) throw new Error(`marginalAt: t is ${t}, expected a time from 0 to ${sde.T}.`);
  return diffused(data, { signal: sde.signal(t), noise2: sde.noise2(t) });
}

/** A score on tensors at one time: x [B, D] → [B, D]. */
export type ScoreAt = (x: tf.Tensor2D, t: number) => tf.Tensor;

/**
 * Runs the reverse process dx = (f − g²·score) dt + g dw̄ from `start` [B, D] at T down to `end`, in equal steps by
 * Euler and Maruyama. Its error in law is of the order of a step. The caller disposes the result; `start` stays theirs.
 */
export function simulateReverse(
  sde: Sde,
  score: ScoreAt,
  start: tf.Tensor2D,
  { steps, rng, end = 0 }: { steps: number; rng: Pick<Rng, "normal">; end?: number },
): tf.Tensor2D {
  if (!(Number.isInteger(steps) && steps >= 1))
    throw new Error(`simulateReverse: steps is ${steps}, expected a whole number of at least 1.`);
  if (!(end >= 0 && end <= sde.T))
    throw new Error(`simulateReverse: end is ${end}, expected a time from 0 to ${sde.T}.`);
  const h = (sde.T - end) / steps;
  let x = start.clone();
  const step = (from: tf.Tensor2D, t: number) =>
    tf.tidy(() => {
      const gained = from.mul(h * sde.driftRate(t)).add(score(from, t).mul(h * sde.g2(t)));
      return from.add(gained).add(rng.normal(from.shape).mul(Math.sqrt(h * sde.g2(t)))) as tf.Tensor2D;
    });
  for (let i = 0; i < steps; i++) {
    const from = x;
    try {
      x = step(from, sde.T - i * h);
    } finally {
      from.dispose();
    }
  }
  return x;
}

/** Throws, naming the option, unless each of these is a positive number. */
export function checkPositive(caller: string, options: Record<string, number>): void {
  for (const [name, value] of Object.entries(options))
    if (!(value > 0 && Number.isFinite(value)))
      throw new Error(`${caller}: ${name} is ${value}, expected a positive number.`);
}
