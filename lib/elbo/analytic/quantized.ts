/**
 * @file Data rounded to 2k/(levels−1) − 1 in each coordinate: the exact probability of each cell, and with it the exact
 * entropy, the least bits/dim that any model of such data can reach.
 */
import { logNormalMass } from "../discretized";
import { bitsPerDim, checkLevels } from "../units";
import type { Distribution } from "./distribution";

/**
 * The probability that a point of the mixture, rounded, falls into each cell; values beyond [−1, 1] fall into the outermost
 * ones. Float64 [levels^dims], the last coordinate's k running fastest. One or two dimensions, each component along
 * the coordinate axes; throws on others, and on levels below 2.
 */
export function cellProbabilities(
  { dims, components }: Distribution,
  { levels = 256 }: { levels?: number } = {},
): Float64Array {
  if (dims > 2)
    throw new Error(
      `cellProbabilities: the data have ${dims} dimensions, expected 1 or 2: ${levels}^${dims} cells.`,
    );
  if (components.some(({ axes }) => axes))
    throw new Error("cellProbabilities: a component has tilted axes, expected stds along the coordinates.");
  checkLevels("cellProbabilities", levels);
  const cells = new Float64Array(levels ** dims);
  for (const { weight, mean, variances } of components) {
    const [first, second = ONE] = mean.map((m, i) => binMasses(m, Math.sqrt(variances[i]), levels));
    for (let i = 0, at = 0; i < first.length; i++)
      for (let j = 0; j < second.length; j++, at++) cells[at] += weight * first[i] * second[j];
  }
  return cells;
}

const ONE = Float64Array.of(1);

/** What N(mean, std²) gives to each bin [2k−1, 2k+1]/(levels−1) − 1; the first and the last are open-ended. */
function binMasses(mean: number, std: number, levels: number): Float64Array {
  const edge = (k: number) => {
    if (k === 0) return Number.NEGATIVE_INFINITY;
    return k === levels ? Number.POSITIVE_INFINITY : (2 * k - 1) / (levels - 1) - 1;
  };
  return Float64Array.from({ length: levels }, (_, k) => {
    const [low, high] = [edge(k), edge(k + 1)];
    if (std === 0) return low <= mean && mean < high ? 1 : 0; // a point
    return Math.exp(logNormalMass((low - mean) / std, (high - mean) / std));
  });
}

/** −Σ p ln p of a discrete distribution, in nats. Throws unless none is negative and they sum to 1 within 1e-9. */
export function discreteEntropy(probabilities: ArrayLike<number>): number {
  let total = 0;
  let entropy = 0;
  for (let i = 0; i < probabilities.length; i++) {
    const p = probabilities[i];
    if (!(p >= 0))
      throw new Error(`discreteEntropy: probabilities[${i}] is ${p}, expected a number of at least 0.`);
    total += p;
    if (p > 0) entropy -= p * Math.log(p);
  }
  if (!(Math.abs(total - 1) < 1e-9))
    throw new Error(`discreteEntropy: the probabilities sum to ${total}, expected 1.`);
  return entropy;
}

/** The entropy of the rounded data, in bits per dimension: what no model's bits/dim can fall below. */
export function quantizedBitsPerDim(distribution: Distribution, options: { levels?: number } = {}): number {
  return bitsPerDim(discreteEntropy(cellProbabilities(distribution, options)), distribution.dims);
}
