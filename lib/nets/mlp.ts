/** @file A multilayer perceptron for points, told the time at its input or by factors of its hidden units. */
import { type Affine, dense, denseChain, swish, tf } from "../tensor";
import { affineParameters, timeEmbedding } from "./layers";
import type { Apply } from "./net";
import { type Parameters, uniform, within } from "./parameters";
import { spectrallyNormalized } from "./spectral";

/** What may follow a hidden layer, and the largest slope of each. */
export const ACTIVATIONS: Record<Activation, { apply(x: tf.Tensor): tf.Tensor; slope: number }> = {
  swish: { apply: swish, slope: 1.0998394 }, // at x ≈ 2.3994
  softplus: { apply: tf.softplus, slope: 1 },
  relu: { apply: tf.relu, slope: 1 },
};

export type Activation = "swish" | "softplus" | "relu";

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
  /**
   * First weights: "glorot", biases and the last layer zero (which a normalized last layer cannot be), or "fanIn", PyTorch's:
   * weights and biases uniform within ±1/√inputs. Default "glorot".
   */
  initial?: "glorot" | "fanIn";
  /** Follows each hidden layer. Default "swish". */
  activation?: Activation;
  /**
   * T. Instead of an embedding at the input, each hidden unit is multiplied by a learned factor γ_t for each t = 1…T, as
   * in Kwon et al.'s code. Default: no factors.
   */
  timeFactors?: number;
  /** Divide each weight matrix by its largest singular value (Miyato et al. 2018). Default false. */
  spectralNorm?: boolean;
  /** Clip every entry of the weight matrices to ±this after each training step. Default: no limit. */
  weightLimit?: number;
  /** The same for the factors of t, which spectral normalization leaves free. Default: no limit. */
  factorLimit?: number;
}

/** The names of the options. */
export const MLP_OPTIONS: readonly (keyof MlpOptions)[] = [
  ...(["inputDim", "hidden", "depth", "timeDim", "inputGain", "initial"] as const),
  ...(["activation", "timeFactors", "spectralNorm", "weightLimit", "factorLimit"] as const),
];

/**
 * The function of an MLP whose weights come from `p`: W x + b, and after each hidden layer the factors of t and the
 * activation.
 */
export function buildMlp(p: Parameters, options: MlpOptions): Apply {
  checkOptions(options);
  const { inputDim = 2, hidden = 128, depth = 3, timeDim = 32, inputGain = 1, timeFactors } = options;
  const { activation = "swish", spectralNorm = false, initial = "glorot" } = options;
  const inputs = timeFactors ? inputDim : inputDim + timeDim;
  const layers = layerNames(depth).map((name, i) => {
    const zero = i === depth && !spectralNorm;
    const sizes = [i === 0 ? inputs : hidden, i === depth ? inputDim : hidden] as const;
    const create = initial === "fanIn" ? fanInParameters : affineParameters;
    const parameters = create(p.scope(name), ...sizes, { zero });
    const factor =
      timeFactors && i < depth ? p.create(`${name}.factor`, [timeFactors, hidden], uniform) : null;
    return { parameters: () => normalized(parameters(), spectralNorm), factor };
  });
  return (xt, t) => {
    if (xt.rank !== 2 || xt.shape[1] !== inputDim)
      throw new Error(`mlp: xt has shape [${xt.shape}], expected [B, ${inputDim}].`);
    const points = inputGain === 1 ? xt : xt.mul(inputGain);
    const input: tf.Tensor = timeFactors
      ? points
      : tf.concat([points as tf.Tensor2D, timeEmbedding(t, timeDim)], 1);
    const affine = layers.map(({ parameters }) => parameters());
    if (activation === "swish" && !timeFactors) return denseChain(input, affine);
    const which = timeFactors && tf.oneHot(t.sub(1).toInt(), timeFactors).toFloat(); // (B, T)
    return affine.reduce((h, { weight, bias }, i) => {
      const sum = dense(h, weight, bias);
      const factor = layers[i].factor;
      const scaled = factor ? sum.mul(tf.matMul(which as tf.Tensor2D, factor() as tf.Tensor2D)) : sum;
      return i < depth ? ACTIVATIONS[activation].apply(scaled) : scaled;
    }, input);
  };
}

/** W and b, uniform within ±1/√inputs (PyTorch's default). */
function fanInParameters(p: Parameters, inputs: number, outputs: number): () => Affine {
  const initializer = within(1 / Math.sqrt(inputs));
  const weight = p.create("weight", [inputs, outputs], initializer);
  const bias = p.create("bias", [outputs], initializer);
  return () => ({ weight: weight(), bias: bias() });
}

/** The places of the weights: "hidden.0", …, "out". */
const layerNames = (depth: number): string[] => [
  ...Array.from({ length: depth }, (_, i) => `hidden.${i}`),
  "out",
];

const normalized = ({ weight, bias }: Affine, spectralNorm: boolean): Affine => ({
  weight: spectralNorm ? spectrallyNormalized(weight as tf.Tensor2D) : weight,
  bias,
});

function checkOptions(options: MlpOptions): void {
  const { inputDim = 2, hidden = 128, depth = 3, timeFactors = 1, timeDim = 32 } = options;
  for (const [name, size] of Object.entries({ inputDim, hidden, depth, timeFactors }))
    if (!(Number.isInteger(size) && size > 0))
      throw new Error(`mlp: ${name} is ${size}, expected a positive integer.`);
  if (!(Number.isInteger(timeDim / 2) && timeDim >= 4))
    throw new Error(`mlp: timeDim is ${timeDim}, expected an even number of at least 4.`);
  const { inputGain = 1, weightLimit = 1, factorLimit = 1, activation = "swish" } = options;
  for (const [name, value] of Object.entries({ inputGain, weightLimit, factorLimit }))
    if (!(value > 0 && Number.isFinite(value)))
      throw new Error(`mlp: ${name} is ${value}, expected a number above 0.`);
  if (!["glorot", "fanIn"].includes(options.initial ?? "glorot"))
    throw new Error(`mlp: unknown initial "${options.initial}", expected one of glorot, fanIn.`);
  if (!(activation in ACTIVATIONS))
    throw new Error(
      `mlp: unknown activation "${activation}", expected one of ${Object.keys(ACTIVATIONS).join(", ")}.`,
    );
  if (options.factorLimit !== undefined && options.timeFactors === undefined)
    throw new Error("mlp: factorLimit is given without timeFactors, expected both. Leave it out.");
}

/** Clips the weights that have a limit to it, in place; undefined where none has. */
export function limiter(
  { weightLimit, factorLimit }: MlpOptions,
  variables: Record<string, tf.Variable>,
): (() => void) | undefined {
  const limitOf = (name: string) =>
    name.endsWith(".weight") ? weightLimit : name.endsWith(".factor") ? factorLimit : undefined;
  const limited = Object.keys(variables).filter((name) => limitOf(name) !== undefined);
  if (limited.length === 0) return undefined;
  return () =>
    tf.tidy(() => {
      for (const name of limited) {
        const limit = limitOf(name) as number;
        variables[name].assign(tf.clipByValue(variables[name], -limit, limit));
      }
    });
}

/** A matrix that x passes on its way through an MLP. */
export interface MlpLayer {
  /** [inputs, outputs], normalized if it is in use; of the first layer only the rows that x meets. */
  weight: tf.Tensor2D;
  /** γ_t of its outputs, [T, outputs]; undefined where there are none. */
  factors?: tf.Tensor2D;
}

/** The layers of the MLP of these options and weights, in order. The caller disposes them. */
export function mlpLayers(options: MlpOptions, variables: Record<string, tf.Variable>): MlpLayer[] {
  const { inputDim = 2, depth = 3, spectralNorm = false } = options;
  return tf.tidy(() =>
    layerNames(depth).map((name, i) => {
      const whole = variables[`${name}.weight`] as tf.Tensor2D;
      const weight = spectralNorm ? spectrallyNormalized(whole) : whole.clone();
      const factors = variables[`${name}.factor`]?.clone() as tf.Tensor2D | undefined;
      return { weight: i === 0 ? weight.slice([0, 0], [inputDim, -1]) : weight, factors };
    }),
  );
}
