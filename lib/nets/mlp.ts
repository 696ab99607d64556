/** @file A multilayer perceptron for points, told the time at its input. */
import { denseChain, tf } from "../tensor";
import { affineParameters, timeEmbedding } from "./layers";
import type { Apply } from "./net";
import type { Parameters } from "./parameters";

export interface MlpOptions {
  /** D, the size of a point. Default 2. */
  inputDim?: number;
  /** Units of each hidden layer. Default 128. */
  hidden?: number;
  /** Number of hidden layers. Default 3. */
  depth?: number;
  /** Size of the time embedding, even. Default 32. */
  timeDim?: number;
  /**
   * x_t is multiplied by this at the input. Weights begin so small that points of size 1 leave the first layer nearly
   * linear; 4 makes it see a bend, without which data that look alike in all directions are learned late. Default 1.
   */
  inputGain?: number;
}

/** The names of the options. */
export const MLP_OPTIONS: readonly (keyof MlpOptions)[] = [
  ...(["inputDim", "hidden", "depth", "timeDim", "inputGain"] as const),
];

/** The function of an MLP whose weights come from `p`: swish after each hidden layer, last layer zero at first. */
export function buildMlp(p: Parameters, options: MlpOptions): Apply {
  const { inputDim = 2, hidden = 128, depth = 3, timeDim = 32, inputGain = 1 } = options;
  for (const [name, size] of Object.entries({ inputDim, hidden, depth }))
    if (!(Number.isInteger(size) && size > 0))
      throw new Error(`mlp: ${name} is ${size}, expected a positive integer.`);
  if (!(inputGain > 0 && Number.isFinite(inputGain)))
    throw new Error(`mlp: inputGain is ${inputGain}, expected a number above 0.`);
  const layers = Array.from({ length: depth }, (_, i) =>
    affineParameters(p.scope(`hidden.${i}`), i === 0 ? inputDim + timeDim : hidden, hidden),
  );
  layers.push(affineParameters(p.scope("out"), hidden, inputDim, { zero: true }));
  return (xt, t) => {
    if (xt.rank !== 2 || xt.shape[1] !== inputDim)
      throw new Error(`mlp: xt has shape [${xt.shape}], expected [B, ${inputDim}].`);
    const points = inputGain === 1 ? xt : xt.mul(inputGain);
    const input: tf.Tensor = tf.concat([points as tf.Tensor2D, timeEmbedding(t, timeDim)], 1);
    return denseChain(
      input,
      layers.map((parameters) => parameters()),
    );
  };
}
