/**
 * @file How steep an MLP can be at most, from the largest singular values of its layers: certified, and loose, since it
 * supposes that each layer's steepest direction meets the next one's.
 */
import type { Schedule } from "../../diffusion";
import { symmetricEigen } from "../../elbo";
import { ACTIVATIONS, type MlpOptions, mlpLayers, type Net } from "../../nets";
import { tf } from "../../tensor";

/**
 * A Lipschitz constant of x ↦ net.apply(x, t) for t = 1…numSteps (entry 0 a dummy), for the MLP of these options: the
 * product of its layers' norms, the largest factor of t after each, the largest slope of the activation, the input's gain. Throws where the net has factors of
 * fewer t.
 */
export function mlpLipschitz(
  net: Pick<Net, "variables">,
  options: MlpOptions,
  numSteps: number,
): Float64Array {
  const { inputGain = 1, depth = 3, activation = "swish" } = options;
  const bound = new Float64Array(numSteps + 1).fill(inputGain * ACTIVATIONS[activation].slope ** depth);
  tf.tidy(() => {
    for (const { weight, factors } of mlpLayers(options, net.variables)) {
      const norm = largestSingularValue(weight);
      if (factors && factors.shape[0] < numSteps)
        throw new Error(
          `mlpLipschitz: numSteps is ${numSteps}, expected at most ${factors.shape[0]}, the timeFactors of the net.`,
        );
      const largest = factors?.abs().max(1).dataSync();
      for (let t = 1; t <= numSteps; t++) bound[t] *= norm * (largest ? largest[t - 1] : 1);
    }
  });
  bound[0] = 0;
  return bound;
}

/** The largest singular value of a matrix, in float64: the root of the largest eigenvalue of the smaller of WWᵀ and WᵀW. */
export function largestSingularValue(weight: tf.Tensor2D): number {
  const [rows, columns] = weight.shape;
  const values = weight.dataSync();
  const [n, inner] = rows <= columns ? [rows, columns] : [columns, rows];
  const at = (i: number, k: number) => (rows <= columns ? values[i * columns + k] : values[k * columns + i]);
  const gram = Array.from({ length: n }, () => new Array<number>(n).fill(0));
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      for (let k = 0; k < inner; k++) sum += at(i, k) * at(j, k);
      gram[i][j] = sum;
      gram[j][i] = sum;
    }
  return Math.sqrt(Math.max(0, ...symmetricEigen(gram).values));
}

/**
 * L_s(t) ≤ K_t/√(1−ᾱ_t) for the score −ε_θ/√(1−ᾱ_t) of a noise network with Lipschitz constants K_t: certified, hence
 * usable in the bound, and loose. Throws on a table of another length.
 */
export function certifiedScoreLipschitz(bound: Float64Array, schedule: Schedule): Float64Array {
  if (bound.length !== schedule.numSteps + 1)
    throw new Error(
      `certifiedScoreLipschitz: bound has ${bound.length} entries, expected ${schedule.numSteps + 1}.`,
    );
  return bound.map((value, t) => (t === 0 ? 0 : value / schedule.sqrtOneMinusAlphaBar[t]));
}
