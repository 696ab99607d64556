/**
 * @file What networks spend their time on, each with its gradient in closed form: swish, biases, dense layers and chains of
 * them, convolutions, GroupNorm, attention, nearest up-sampling.
 *
 * On the CPU's native engine all but biases and single dense layers are, in whole or in part, fused TensorFlow ops of our
 * own (native/ops.cc); elsewhere plain tensor ops, which are also what the fused ones are checked against. Images are
 * [N, H, W, C]. Gradients are first derivatives only; a gradient of a gradient is an error.
 */
import * as tf from "@tensorflow/tfjs";
import { currentRecorder } from "./compile/recorder";
import { graphAddon, nativeBackend, rawOp } from "./native";

export interface GroupNormOptions {
  /** Divides the channels; the mean and the variance are taken over each group of neighbouring channels. */
  groups: number;
  /** Added to the variance. Default 1e-5. */
  epsilon?: number;
  /** Whether swish follows. Default false. */
  swish?: boolean;
  /** [N, C], added to x before the norm: a convolution's bias and a time embedding, without a pass of their own. */
  shift?: tf.Tensor;
}

type Gradients<T> = (dy: tf.Tensor, saved: tf.Tensor[]) => T;
interface Differentiable<T> {
  value: tf.Tensor;
  gradFunc: Gradients<T>;
}

function firstOnly<T>(gradients: Gradients<T>): Gradients<T> {
  return (dy, saved) => {
    if (tf.engine().isTapeOn())
      throw new Error(
        "A gradient inside a gradient: swish, dense layers, convolutions, norms and attention of lib/tensor have first derivatives only. Make the function of plain tfjs ops, such as x.mul(tf.sigmoid(x)).",
      );
    return gradients(dy, saved);
  };
}

/** `tf.customGrad` for functions of one, two, … tensors, with the types that it really takes. */
function withGradient<A extends tf.Tensor[]>(
  fn: (save: (tensors: tf.Tensor[]) => void, ...inputs: A) => Differentiable<tf.Tensor | tf.Tensor[]>,
): (...inputs: A) => tf.Tensor {
  return tf.customGrad((...args) => {
    const save = args[args.length - 1] as (tensors: tf.Tensor[]) => void;
    const { value, gradFunc } = fn(save, ...(args.slice(0, -1) as A));
    return { value, gradFunc: firstOnly(gradFunc) };
  }) as (...inputs: A) => tf.Tensor;
}

const float32 = { type: "float32" } as const;

// ---- swish, biases, dense layers ----

const plainSwishOp = withGradient((save, x: tf.Tensor) => {
  const s = tf.sigmoid(x);
  save([x, s]);
  return { value: x.mul(s), gradFunc: swishGradient };
});

/** d(x s)/dx = s + x s (1 − s) */
function swishGradient(dy: tf.Tensor, [x, s]: tf.Tensor[]): tf.Tensor {
  if (!nativeBackend) return dy.mul(s.add(x.mul(s).mul(tf.sub(1, s))));
  return dy.mul(s).add(rawOp("SigmoidGrad", { T: float32 }, [s, dy.mul(x)])[0]);
}

const fusedSwishOp = withGradient((save, x: tf.Tensor) => {
  save([x]);
  const gradFunc = (dy: tf.Tensor, [x]: tf.Tensor[]) => rawOp("LowerBoundSwishGrad", {}, [dy, x])[0];
  return { value: rawOp("LowerBoundSwish", {}, [x])[0], gradFunc };
});

/** x · sigmoid(x) (Ramachandran et al. 2017), also called SiLU; any shape. */
export const swish = <T extends tf.Tensor>(x: T): T => forms().swish(x) as T;

const nhwc = { T: float32, data_format: "NHWC" };
const nativeAddBias = withGradient((_save, x: tf.Tensor, bias: tf.Tensor) => ({
  value: rawOp("BiasAdd", nhwc, [x, bias])[0],
  gradFunc: (dy: tf.Tensor) => [dy, rawOp("BiasAddGrad", nhwc, [dy])[0]],
}));

/** x [..., C] + bias [C], at least 2 dimensions. */
export function addBias<T extends tf.Tensor>(x: T, bias: tf.Tensor): T {
  return (nativeBackend && x.rank >= 2 ? nativeAddBias(x, bias) : x.add(bias)) as T;
}

const product = (a: tf.Tensor, b: tf.Tensor, transposeA: boolean, transposeB: boolean): tf.Tensor =>
  rawOp("MatMul", { T: float32, transpose_a: transposeA, transpose_b: transposeB }, [a, b])[0];

// tfjs multiplies matrices as a batch of one, which TensorFlow has no fast path for.
const nativeMultiply = withGradient((save, x: tf.Tensor, w: tf.Tensor) => {
  save([x, w]);
  const gradFunc = (dy: tf.Tensor, [x, w]: tf.Tensor[]) => [
    product(dy, w, false, true),
    product(x, dy, true, false),
  ];
  return { value: product(x, w, false, false), gradFunc };
});

/**
 * x [..., I] times w [I, O], plus bias [O] if there is one, then swish if asked: [..., O]. A 1×1 convolution is this
 * too. Throws where the shapes do not fit.
 */
export function dense(
  x: tf.Tensor,
  w: tf.Tensor,
  bias?: tf.Tensor,
  { swish: withSwish = false }: { swish?: boolean } = {},
): tf.Tensor {
  const [inputs, outputs] = w.shape;
  if (w.rank !== 2 || x.shape[x.rank - 1] !== inputs)
    throw new Error(`dense: x has shape [${x.shape}] and w [${w.shape}], expected [..., I] and [I, O].`);
  if (bias && (bias.rank !== 1 || bias.size !== outputs))
    throw new Error(`dense: bias has shape [${bias.shape}], expected [${outputs}].`);
  return tf.tidy(() => {
    const rows = x.rank === 2 ? x : x.reshape([-1, inputs]);
    const product = nativeBackend
      ? nativeMultiply(rows, w)
      : tf.matMul(rows as tf.Tensor2D, w as tf.Tensor2D);
    const sum = bias ? addBias(product, bias) : product;
    const y = withSwish ? swish(sum) : sum;
    return x.rank === 2 ? y : y.reshape([...x.shape.slice(0, -1), outputs!]);
  });
}

/** Whether products are to be rounded (`compile`'s precision), which the fused ops with products of their own do not. */
const roundsProducts = (): boolean => currentRecorder()?.precision === "bfloat16";

// ---- chains of dense layers ----

/** A dense layer's weight [I, O] and bias [O]. */
export interface Affine {
  weight: tf.Tensor;
  bias: tf.Tensor;
}

const plainChain = (x: tf.Tensor, layers: readonly Affine[]): tf.Tensor =>
  layers.reduce((h, { weight, bias }, i) => dense(h, weight, bias, { swish: i < layers.length - 1 }), x);

const fusedChainOp = withGradient((save, x: tf.Tensor, ...parameters: tf.Tensor[]) => {
  const numLayers = parameters.length / 2;
  const attrs = { layers: { int: numLayers } };
  const [y, kept] = rawOp("LowerBoundDenseChainKeep", attrs, [x, ...parameters], 2);
  save([x, kept, ...parameters.slice(0, numLayers)]);
  const gradFunc: Gradients<tf.Tensor[]> = (dy, saved) =>
    rawOp("LowerBoundDenseChainGrad", attrs, [dy, ...saved], 1 + parameters.length);
  return { value: y, gradFunc };
});

/** Weights above this size do not stay in the cache, and TensorFlow's own product, which blocks them, is faster. */
const LARGEST_FUSED = 2 ** 18;

/** What each swish is taken of is kept where a gradient may be asked for. */
function fusedChain(x: tf.Tensor, layers: readonly Affine[]): tf.Tensor {
  if (roundsProducts() || layers.some(({ weight }) => weight.size > LARGEST_FUSED))
    return plainChain(x, layers);
  const parameters = [...layers.map(({ weight }) => weight), ...layers.map(({ bias }) => bias)];
  if (tf.engine().isTapeOn()) return fusedChainOp(x, ...parameters);
  return rawOp("LowerBoundDenseChain", { layers: { int: layers.length } }, [x, ...parameters])[0];
}

/**
 * Dense layers one after another, swish after each but the last: x [rows, I] → [rows, O of the last layer]. Throws where
 * there is none, and where the shapes do not fit.
 */
export function denseChain(x: tf.Tensor, layers: readonly Affine[]): tf.Tensor {
  const refuse = (what: string): never => {
    throw new Error(`denseChain: ${what}, for x of shape [${x.shape}].`);
  };
  if (layers.length === 0) refuse("got no layers, expected at least one");
  if (x.rank !== 2) refuse("expected [rows, I]");
  let inputs = x.shape[1];
  layers.forEach(({ weight, bias }, i) => {
    if (weight.rank !== 2 || weight.shape[0] !== inputs)
      refuse(`weight ${i} has shape [${weight.shape}], expected [${inputs}, O]`);
    const outputs = weight.shape[1] as number;
    if (bias.rank !== 1 || bias.size !== outputs)
      refuse(`bias ${i} has shape [${bias.shape}], expected [${outputs}]`);
    inputs = outputs;
  });
  return tf.tidy(() => forms().denseChain(x, layers));
}

// ---- GroupNorm ----

/** Mean over each image's groups, [N, 1, G, 1], of [N, P, G, S]. */
const groupMean = (x: tf.Tensor): tf.Tensor => tf.mean(x, [1, 3], true);

/** x normalized over its groups, times gamma, plus beta; x [N, P, C]. */
const normalize = (groups: number, epsilon: number) =>
  withGradient((save, x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) => {
    const [n, pixels, channels] = x.shape;
    const grouped = x.reshape([n, pixels, groups, channels / groups]);
    const centered = grouped.sub(groupMean(grouped));
    const rstd = groupMean(centered.square()).add(epsilon).rsqrt();
    const unit = centered.mul(rstd);
    save([unit, rstd, gamma]);
    return {
      value: unit.reshape(x.shape).mul(gamma).add(beta),
      gradFunc: (dy, [unit, rstd, gamma]) => {
        const du = dy.mul(gamma).reshape(unit.shape);
        const along = unit.mul(groupMean(du.mul(unit)));
        const dx = du.sub(groupMean(du)).sub(along).mul(rstd).reshape(dy.shape);
        return [dx, dy.mul(unit.reshape(dy.shape)).sum([0, 1]), dy.sum([0, 1])];
      },
    };
  });

function plainGroupNorm(
  x: tf.Tensor,
  gamma: tf.Tensor,
  beta: tf.Tensor,
  options: GroupNormOptions,
): tf.Tensor {
  const { groups, epsilon = 1e-5, shift } = options;
  const channels = x.shape[x.rank - 1];
  let rows = x.reshape([x.shape[0], -1, channels]);
  if (shift) rows = rows.add(shift.expandDims(1));
  const y = normalize(groups, epsilon)(rows, gamma, beta).reshape(x.shape);
  return options.swish ? swish(y) : y;
}

function fusedGroupNorm(
  x: tf.Tensor,
  gamma: tf.Tensor,
  beta: tf.Tensor,
  options: GroupNormOptions,
): tf.Tensor {
  const { groups, epsilon = 1e-5, swish = false, shift } = options;
  const attrs = { groups: { int: groups }, epsilon, swish };
  const compute = (save: (tensors: tf.Tensor[]) => void, inputs: tf.Tensor[]) => {
    const [y, mean, rstd] = rawOp("LowerBoundGroupNorm", attrs, inputs, 3);
    save([...inputs, mean, rstd]);
    return y;
  };
  const gradients: Gradients<tf.Tensor[]> = (dy, saved) =>
    rawOp("LowerBoundGroupNormGrad", attrs, [dy, ...saved], 4);
  if (shift)
    return withGradient((save, ...inputs: tf.Tensor[]) => ({
      value: compute(save, inputs),
      gradFunc: gradients,
    }))(x, shift, gamma, beta);
  return withGradient((save, x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) => ({
    value: compute(save, [x, tf.tensor1d([], "float32"), gamma, beta]),
    gradFunc: (dy, saved) => {
      const [dx, , dgamma, dbeta] = gradients(dy, saved);
      return [dx, dgamma, dbeta];
    },
  }))(x, gamma, beta);
}

// ---- attention ----

function plainAttention(qkv: tf.Tensor3D): tf.Tensor3D {
  const [q, k, v] = tf.split(qkv, 3, 2);
  const weights = tf.softmax(tf.matMul(q.mul(1 / Math.sqrt(qkv.shape[2] / 3)), k, false, true));
  return tf.matMul(weights, v) as tf.Tensor3D;
}

const fusedAttentionOp = withGradient((save, qkv: tf.Tensor) => {
  save([qkv]);
  const gradFunc = (dy: tf.Tensor, [qkv]: tf.Tensor[]) => rawOp("LowerBoundAttentionGrad", {}, [dy, qkv])[0];
  return { value: rawOp("LowerBoundAttention", {}, [qkv])[0], gradFunc };
});

// ---- up-sampling ----

/** Each pixel's gradient is the sum over its 2 × 2 copies. */
const plainUpsampleOp = withGradient((_save, x: tf.Tensor) => ({
  value: tf.image.resizeNearestNeighbor(x as tf.Tensor4D, [2 * x.shape[1]!, 2 * x.shape[2]!]),
  gradFunc: (dy: tf.Tensor) => tf.avgPool(dy as tf.Tensor4D, 2, 2, "valid").mul(4),
}));

const fusedUpsampleOp = withGradient((_save, x: tf.Tensor) => ({
  value: rawOp("LowerBoundUpsample", {}, [x])[0],
  gradFunc: (dy: tf.Tensor) => rawOp("LowerBoundUpsampleGrad", {}, [dy])[0],
}));

// ---- convolutions ----

const plainConvolve = (x: tf.Tensor4D, filter: tf.Tensor4D): tf.Tensor4D => tf.conv2d(x, filter, 1, "same");

// TensorFlow's own gradient by the filter takes twice as long as the convolution.
const fusedConvolveOp = withGradient((save, x: tf.Tensor4D, filter: tf.Tensor4D) => {
  save([x, filter]);
  const gradFunc: Gradients<tf.Tensor[]> = (dy, [x, filter]) => [
    tf.conv2dTranspose(dy as tf.Tensor4D, filter as tf.Tensor4D, x.shape as tf.Tensor4D["shape"], 1, "same"),
    rawOp("LowerBoundFilterGrad", {}, [x, dy, filter])[0],
  ];
  return { value: plainConvolve(x, filter), gradFunc };
});

/** With half the bits TensorFlow's products are the faster ones. */
const fusedConvolve = (x: tf.Tensor4D, filter: tf.Tensor4D): tf.Tensor4D =>
  roundsProducts() ? plainConvolve(x, filter) : (fusedConvolveOp(x, filter) as tf.Tensor4D);

// ---- which form ----

interface Forms {
  swish(x: tf.Tensor): tf.Tensor;
  denseChain(x: tf.Tensor, layers: readonly Affine[]): tf.Tensor;
  convolve(x: tf.Tensor4D, filter: tf.Tensor4D): tf.Tensor4D;
  groupNorm(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, options: GroupNormOptions): tf.Tensor;
  attention(qkv: tf.Tensor3D): tf.Tensor3D;
  upsample(x: tf.Tensor4D): tf.Tensor4D;
}

/** The forms from plain tensor ops, for any backend. */
export const plainForms: Forms = {
  swish: plainSwishOp,
  denseChain: plainChain,
  convolve: plainConvolve,
  groupNorm: plainGroupNorm,
  attention: plainAttention,
  upsample: (x) => plainUpsampleOp(x) as tf.Tensor4D,
};

const fusedForms: Forms = {
  swish: fusedSwishOp,
  denseChain: fusedChain,
  convolve: fusedConvolve,
  groupNorm: fusedGroupNorm,
  attention: (qkv) => (roundsProducts() ? plainAttention(qkv) : (fusedAttentionOp(qkv) as tf.Tensor3D)),
  upsample: (x) => fusedUpsampleOp(x) as tf.Tensor4D,
};

/** Whether the fused ops can be used here: they have code for the CPU alone, and XLA does not know them. */
export const hasFusedForms = (): boolean =>
  graphAddon?.hasFusedOps === true && !nativeBackend?.isUsingGpuDevice && !currentRecorder()?.xla;

const forms = (): Forms => (hasFusedForms() ? fusedForms : plainForms);

/**
 * A convolution with stride 1, zero-padded to the image's own size: x [N, H, W, I] with `filter` [h, w, I, O], h and w odd,
 * to [N, H, W, O]. Throws where the shapes do not fit.
 */
export function convolve(x: tf.Tensor4D, filter: tf.Tensor4D): tf.Tensor4D {
  const [height, width, inputs] = filter.shape;
  if (x.rank !== 4 || filter.rank !== 4 || x.shape[3] !== inputs || height % 2 === 0 || width % 2 === 0)
    throw new Error(
      `convolve: x has shape [${x.shape}] and filter [${filter.shape}], expected [N, H, W, I] and [odd, odd, I, O].`,
    );
  return tf.tidy(() => forms().convolve(x, filter));
}

/**
 * GroupNorm (Wu & He 2018): x [N, ..., C], and `shift` if given, normalized over the pixels and each of `groups`
 * groups of channels, times gamma [C], plus beta [C]; then swish if asked. Gradients for all of them.
 * Throws where the shapes do not fit.
 */
export function groupNorm<T extends tf.Tensor>(
  x: T,
  gamma: tf.Tensor,
  beta: tf.Tensor,
  options: GroupNormOptions,
): T {
  const { groups, shift } = options;
  const channels = x.shape[x.rank - 1];
  const refuse = (what: string): never => {
    throw new Error(`groupNorm: ${what}, for x of shape [${x.shape}].`);
  };
  if (x.rank < 2) refuse("expected at least 2 dimensions");
  if (!(Number.isInteger(groups) && groups > 0 && channels % groups === 0))
    refuse(`groups is ${groups}, expected a divisor of ${channels}`);
  for (const [name, tensor] of Object.entries({ gamma, beta }))
    if (tensor.rank !== 1 || tensor.size !== channels)
      refuse(`${name} has shape [${tensor.shape}], expected [${channels}]`);
  if (shift && (shift.rank !== 2 || shift.shape[0] !== x.shape[0] || shift.shape[1] !== channels))
    refuse(`shift has shape [${shift.shape}], expected [${x.shape[0]},${channels}]`);
  return tf.tidy(() => forms().groupNorm(x, gamma, beta, options)) as T;
}

/** Attention of one head (Vaswani et al. 2017): qkv [N, n, 3 d] to softmax(q kᵀ / √d) v, [N, n, d]. */
export function attention(qkv: tf.Tensor3D): tf.Tensor3D {
  if (qkv.rank !== 3 || qkv.shape[2] % 3 !== 0)
    throw new Error(`attention: qkv has shape [${qkv.shape}], expected [N, n, 3 d].`);
  return tf.tidy(() => forms().attention(qkv));
}

/** Each pixel of x [N, H, W, C] four times: [N, 2 H, 2 W, C]. */
export function upsample(x: tf.Tensor4D): tf.Tensor4D {
  if (x.rank !== 4) throw new Error(`upsample: x has shape [${x.shape}], expected [N, H, W, C].`);
  return tf.tidy(() => forms().upsample(x));
}
