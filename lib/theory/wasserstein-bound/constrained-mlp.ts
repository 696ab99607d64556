/**
 * @file The network of Kwon, Fan and Lee's experiments with its two brakes as options: four linear layers, the hidden
 * ones multiplied by an embedding of t, and weights that are divided by their spectral norm (Miyato et al. 2018) or
 * clipped. And what its Lipschitz constant can be at most.
 */
import type { Schedule } from "../../diffusion";
import { symmetricEigen } from "../../elbo";
import { type Net, trainableParameters } from "../../nets";
import { dense, rng, tf } from "../../tensor";

export interface ConstrainedMlpOptions {
  /** T, the number of embeddings; at least 2. */
  numSteps: number;
  /** D; default 2. */
  inputDim?: number;
  /** Units of each of the three hidden layers; default 64. */
  hidden?: number;
  /** Default "softplus", or "relu" with spectral normalization, as the authors' code has them. Both are 1-Lipschitz. */
  activation?: "softplus" | "relu";
  /** Divide each weight matrix by an estimate of its largest singular value; default false. */
  spectralNorm?: boolean;
  /** Keep every weight of the matrices within ±this; default: no limit. */
  weightLimit?: number;
  /**
   * Keep every entry of the embeddings of t within ±this; default: no limit. They multiply what spectral normalization
   * divides: without it the normalized net can grow as steep as a free one, only more slowly.
   */
  embeddingLimit?: number;
  /** Default 0. */
  seed?: number;
}

/** A net with what keeps its weights in bounds. */
export interface ConstrainedMlp extends Net {
  /** Clips the weights and takes one step of power iteration, where asked for; call it after each training step, inside what is compiled. */
  constrain(): void;
  /** An upper bound on the Lipschitz constant of x ↦ apply(x, t) over t = 1…T (entry 0 a dummy): certified, and loose. */
  lipschitzBound(): Float64Array;
}

const LAYERS = 4;
/** Steps of power iteration before training, so that the first estimate is a good one. */
const WARM_UP = 20;

/**
 * x ↦ W_4 h(γ_3,t ⊙ (W_3 h(γ_2,t ⊙ …))) for points [B, D], weights drawn from `seed`. Throws on sizes and limits that are
 * not positive. The caller disposes it.
 */
export function constrainedMlp(options: ConstrainedMlpOptions): ConstrainedMlp {
  const { numSteps, inputDim = 2, hidden = 64, spectralNorm = false, seed = 0 } = options;
  const { weightLimit, embeddingLimit } = options;
  const { activation = spectralNorm ? "relu" : "softplus" } = options;
  for (const [name, size] of Object.entries({ numSteps, inputDim, hidden }))
    if (!(Number.isInteger(size) && size > 0))
      throw new Error(`constrainedMlp: ${name} is ${size}, expected a positive integer.`);
  if (numSteps < 2) throw new Error("constrainedMlp: numSteps is 1, expected at least 2.");
  for (const [name, limit] of Object.entries({ weightLimit, embeddingLimit }))
    if (limit !== undefined && !(limit > 0))
      throw new Error(`constrainedMlp: ${name} is ${limit}, expected a positive number.`);
  const parameters = trainableParameters(seed);
  const { variables } = parameters;
  const layers = Array.from({ length: LAYERS }, (_, i) => {
    const [inputs, outputs] = [i === 0 ? inputDim : hidden, i === LAYERS - 1 ? inputDim : hidden];
    const uniform = within(1 / Math.sqrt(inputs));
    parameters.create(`linear.${i}.weight`, [inputs, outputs], uniform);
    parameters.create(`linear.${i}.bias`, [outputs], uniform);
    if (i < LAYERS - 1)
      parameters.create(`time.${i}`, [numSteps, outputs], (shape, draws) => draws.uniform(shape));
    return {
      weight: variables[`linear.${i}.weight`] as tf.Variable<tf.Rank.R2>,
      bias: variables[`linear.${i}.bias`],
      time: variables[`time.${i}`] as tf.Variable<tf.Rank.R2> | undefined,
    };
  });
  const norms = spectralNorm ? layers.map(({ weight }, i) => spectralEstimate(weight, seed + i)) : null;
  const activate = activation === "relu" ? tf.relu : tf.softplus;

  const apply = (xt: tf.Tensor, t: tf.Tensor1D) =>
    tf.tidy(() => {
      if (xt.rank !== 2 || xt.shape[1] !== inputDim)
        throw new Error(`constrainedMlp: xt has shape [${xt.shape}], expected [B, ${inputDim}].`);
      const which = tf.oneHot(tf.sub(t, 1).toInt() as tf.Tensor1D, numSteps).toFloat();
      return layers.reduce((h: tf.Tensor, { weight, bias, time }, i) => {
        const next = dense(h, norms ? tf.div(weight, norms[i].value()) : weight, bias);
        return time ? activate(next.mul(which.matMul(time))) : next;
      }, xt);
    });

  return {
    variables,
    apply,
    constrain() {
      for (const { weight, time } of layers) {
        clip(weight, weightLimit);
        clip(time, embeddingLimit);
      }
      for (const norm of norms ?? []) norm.iterate();
    },
    lipschitzBound() {
      const bound = new Float64Array(numSteps + 1).fill(1);
      layers.forEach(({ weight, time }, i) => {
        const estimate = norms ? tf.tidy(() => norms[i].value().dataSync()[0]) : 1;
        const factor = spectralNormOf(weight) / estimate;
        const times = time ? largestPerRow(time) : undefined;
        for (let t = 1; t <= numSteps; t++) bound[t] *= factor * (times ? times[t - 1] : 1);
      });
      bound[0] = 0;
      return bound;
    },
    dispose() {
      tf.dispose(variables);
      for (const norm of norms ?? []) norm.dispose();
    },
  };
}

/** Clips a weight in place to ±limit, where there are both. */
function clip(weight: tf.Variable | undefined, limit: number | undefined): void {
  if (weight && limit !== undefined) tf.tidy(() => weight.assign(tf.clipByValue(weight, -limit, limit)));
}

/** Uniform on ±limit. */
const within =
  (limit: number) =>
  (shape: number[], draws: ReturnType<typeof rng>): tf.Tensor =>
    draws
      .uniform(shape)
      .mul(2 * limit)
      .sub(limit);

/** σ(W) = uᵀWv by power iteration on a u that is kept between steps; the gradient flows through W alone. */
function spectralEstimate(weight: tf.Variable<tf.Rank.R2>, seed: number) {
  const u = tf.tidy(() =>
    tf.variable(unit(rng(seed).normal([weight.shape[0], 1])), false),
  ) as tf.Variable<tf.Rank.R2>;
  const right = () => unit(tf.matMul(weight, u, true, false)) as tf.Tensor2D;
  const iterate = () => tf.tidy(() => u.assign(unit(tf.matMul(weight, right())) as tf.Tensor2D));
  for (let i = 0; i < WARM_UP; i++) iterate();
  return {
    iterate,
    value: () => {
      const [left, v] = [constant(u), constant(right())];
      return tf.matMul(tf.matMul(left as tf.Tensor2D, weight, true, false), v as tf.Tensor2D).asScalar();
    },
    dispose: () => u.dispose(),
  };
}

const unit = (x: tf.Tensor): tf.Tensor => x.div(x.norm().add(1e-12));

/** The same numbers, through which no gradient flows. */
const constant = tf.customGrad((x) => ({
  value: (x as tf.Tensor).clone(),
  gradFunc: (dy) => tf.zerosLike(dy as tf.Tensor),
}));

/** The largest singular value of a matrix, in float64: the root of the largest eigenvalue of the smaller of WWᵀ and WᵀW. */
export function spectralNormOf(weight: tf.Tensor2D): number {
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

function largestPerRow(table: tf.Tensor2D): Float32Array {
  return tf.tidy(() => table.abs().max(1).dataSync() as Float32Array);
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
