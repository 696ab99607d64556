/**
 * @file The score difference Δ = ∇ln p − ∇ln q where both laws are known: its flow between Gaussians in closed form, laws
 * blurred by noise (proxies), and what it has to do with discriminators and with denoising diffusion (Weber 2023,
 * arXiv 2304.12906, whose abstract alone was at hand; the formulas are derived and tested here).
 */
import {
  type Distribution,
  diffused,
  excessKl,
  logDensityOf,
  type NumberOrVector,
  posteriorMean,
  scoreOf,
} from "../../elbo";

/** Δ(x) = ∇ln p(x) − ∇ln q(x), the direction in which moving q's mass lowers KL(q‖p) fastest. Throws unless p and q share their dimension. */
export function scoreDifference(p: Distribution, q: Distribution): (x: NumberOrVector) => number[] {
  checkDims("scoreDifference", p, q);
  return (x) => {
    const own = scoreOf(q, x);
    return scoreOf(p, x).map((s, i) => s - own[i]);
  };
}

/** p_σ = p * N(0, sigmaStd² I): the law of a point of p with noise on it. Throws unless sigmaStd > 0. */
export function blurred(distribution: Distribution, sigmaStd: number): Distribution {
  checkSigma("blurred", sigmaStd);
  return diffused(distribution, { signal: 1, noise2: sigmaStd ** 2 });
}

/**
 * D(y) = E[x | x + σε = y] = y + σ² ∇ln p_σ(y) (Tweedie): the denoiser, by which Δ_σ = (D_p − D_q)/σ². Throws unless sigmaStd > 0.
 */
export function denoiser(distribution: Distribution, sigmaStd: number): (y: NumberOrVector) => number[] {
  const mean = posteriorMean(distribution, blurred(distribution, sigmaStd), 1);
  return (y) => mean(pointOf(y));
}

const pointOf = (y: NumberOrVector): readonly number[] => (typeof y === "number" ? [y] : y);

/** Mean and standard deviation of a Gaussian on the line. */
export interface Normal {
  mean: number;
  std: number;
}

/** Where the flow between two Gaussians stands at a time. */
export interface FlowState {
  mean: number;
  variance: number;
  /** KL(q_τ ‖ p), nats. */
  kl: number;
  /** E_q Δ², the Fisher divergence: −d kl/dτ. */
  fisher: number;
}

/** The flow dx/dτ = Δ(x) from q to p after a time τ, exactly: an Ornstein–Uhlenbeck law without its noise. Throws unless both stds are positive and τ ≥ 0. */
export function gaussianFlow(q: Normal, p: Normal, tau: number): FlowState {
  for (const { mean, std } of [q, p]) {
    checkSigma("gaussianFlow", std);
    if (!Number.isFinite(mean)) throw new Error(`gaussianFlow: a mean is ${mean}, expected a finite number.`);
  }
  if (!(tau >= 0)) throw new Error(`gaussianFlow: tau is ${tau}, expected a time of at least 0.`);
  const target = p.std ** 2;
  const left = Math.exp((-2 * tau) / target);
  const variance = q.std ** 2 * left - target * Math.expm1((-2 * tau) / target);
  const offset = (q.mean - p.mean) * Math.exp(-tau / target); // these two fall to 0, and are lost in mean and variance
  const excess = ((q.std ** 2 - target) * left) / target;
  return {
    mean: p.mean + offset,
    variance,
    kl: offset ** 2 / (2 * target) + excessKl(excess, variance / target),
    fisher: (offset / target) ** 2 + excess ** 2 / variance,
  };
}

/** The optimal discriminator and the directions in which losses of a GAN push a generated point x. */
export interface GanDirections {
  /** D*(x) = p/(p + q). */
  discriminator: number;
  /** Δ(x). */
  scoreDifference: number[];
  /** Down −ln D: (1 − D*) Δ. */
  nonSaturating: number[];
  /** Down ln(1 − D): D* Δ. */
  saturating: number[];
  /** Down −ln(D/(1 − D)): Δ itself. */
  logit: number[];
}

/** What gradient descent of a GAN's loss does to a sample x when the discriminator is optimal (Goodfellow et al. 2014, prop. 1). In the log domain. */
export function ganDirections(p: Distribution, q: Distribution, x: NumberOrVector): GanDirections {
  const delta = scoreDifference(p, q)(x);
  const logit = logDensityOf(p, x) - logDensityOf(q, x);
  const probability = sigmoid(logit);
  const times = (factor: number) => delta.map((value) => factor * value);
  return {
    discriminator: probability,
    scoreDifference: delta,
    nonSaturating: times(sigmoid(-logit)),
    saturating: times(probability),
    logit: delta,
  };
}

const sigmoid = (logit: number) =>
  logit >= 0 ? 1 / (1 + Math.exp(-logit)) : Math.exp(logit) / (1 + Math.exp(logit));

/** What follows from a denoised point D when the noise level falls from σ to σ'. Variances are per dimension. */
export interface DiffusionMoves {
  denoised: number[];
  /** Euler's step of the probability-flow ODE in σ, DDIM's step: y + (1 − σ'/σ)(D − y). */
  ode: number[];
  /** Mean and variance of the ancestral (DDPM) step, q(x_σ' | x_σ = y, x_0 = D). */
  ancestralMean: number[];
  ancestralVariance: number;
  /** Noise afresh: mean D, variance σ'². */
  renoisedMean: number[];
  renoisedVariance: number;
}

/**
 * The three steps of variance-exploding diffusion from y at level `sigma` to `sigmaNext`, from the score difference of
 * p_σ and a source of one single particle at y: there D_q(y) = y, so σ²Δ = D_p(y) − y. Throws unless 0 ≤ sigmaNext < sigma.
 */
export function diffusionMoves(
  p: Distribution,
  y: NumberOrVector,
  { sigma, sigmaNext }: { sigma: number; sigmaNext: number },
): DiffusionMoves {
  if (!(sigmaNext >= 0 && sigmaNext < sigma))
    throw new Error(
      `diffusionMoves: sigmaNext is ${sigmaNext}, expected from 0 to less than sigma = ${sigma}.`,
    );
  const point = pointOf(y);
  const denoised = denoiser(p, sigma)(point);
  const keeping = (share: number) => denoised.map((d, i) => (1 - share) * d + share * point[i]); // y + (1 − share) σ²Δ
  const ratio = sigmaNext / sigma;
  return {
    denoised,
    ode: keeping(ratio),
    ancestralMean: keeping(ratio ** 2),
    ancestralVariance: sigmaNext ** 2 * (1 - ratio ** 2),
    renoisedMean: denoised,
    renoisedVariance: sigmaNext ** 2,
  };
}

/** Throws unless this noise level is a positive number. */
export function checkSigma(caller: string, sigmaStd: number): void {
  if (!(sigmaStd > 0 && Number.isFinite(sigmaStd)))
    throw new Error(`${caller}: sigma is ${sigmaStd}, expected a standard deviation above 0.`);
}

/** Throws unless both laws have the same number of dimensions. */
export function checkDims(caller: string, p: Distribution, q: Distribution): void {
  if (p.dims !== q.dims)
    throw new Error(`${caller}: p has ${p.dims} dimensions and q ${q.dims}, expected the same.`);
}
