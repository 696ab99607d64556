/**
 * @file Layers: each takes a place for its weights and its sizes, and returns the function that applies it. What they
 * return is tidied by the net that they make up.
 */
import {
  type Affine,
  addBias,
  dense as affine,
  attention as attend,
  convolve,
  groupNorm,
  type Rng,
  tf,
} from "../tensor";
import { glorotUniform, normal, ones, type Parameters, zeros } from "./parameters";

export type Layer = (x: tf.Tensor) => tf.Tensor;

/**
 * Sinusoids of the step, as DDPM's authors' code has them: [sin(τ f), cos(τ f)] with τ = t − 1 and
 * f_i = 10000^(−i/(dim/2−1)). t int32 [B] of 1…T → [B, dim]. Throws unless `dim` is even and at least 4. The caller disposes.
 */
export function timeEmbedding(t: tf.Tensor1D, dim: number): tf.Tensor2D {
  const half = dim / 2;
  if (!(Number.isInteger(half) && half >= 2))
    throw new Error(`timeEmbedding: dim is ${dim}, expected an even number of at least 4.`);
  return tf.tidy(() => {
    const frequencies = Array.from({ length: half }, (_, i) => Math.exp((-Math.log(1e4) * i) / (half - 1)));
    const angles = tf.mul(tf.sub(t, 1).toFloat().expandDims(1), tf.tensor1d(frequencies)); // [B, dim/2]
    return tf.concat([tf.sin(angles), tf.cos(angles)], 1) as tf.Tensor2D;
  });
}

export interface LayerOptions {
  /** Begin with weights of zero, so that the layer's block begins as the identity. */
  zero?: boolean;
}

/** The weight and the bias of x W + b: Glorot-uniform or zero, and zero. */
export function affineParameters(
  p: Parameters,
  inputs: number,
  outputs: number,
  { zero = false }: LayerOptions = {},
): () => Affine {
  const weight = p.create("weight", [inputs, outputs], zero ? zeros : glorotUniform);
  const bias = p.create("bias", [outputs], zeros);
  return () => ({ weight: weight(), bias: bias() });
}

/** x W + b over the last axis, then swish if asked: [B, …, inputs] → [B, …, outputs]; on images a 1×1 convolution. */
export function dense(
  p: Parameters,
  inputs: number,
  outputs: number,
  { swish = false, ...options }: LayerOptions & { swish?: boolean } = {},
): Layer {
  const parameters = affineParameters(p, inputs, outputs, options);
  return (x) => {
    const { weight, bias } = parameters();
    return affine(x, weight, bias, { swish });
  };
}

/** A convolution without its bias, and the bias apart, for who adds it elsewhere. */
function conv3Parts(
  p: Parameters,
  inputs: number,
  outputs: number,
  { stride = 1, zero = false }: LayerOptions & { stride?: number },
): { convolve: Layer; bias: () => tf.Tensor } {
  const kernel = p.create("kernel", [3, 3, inputs, outputs], zero ? zeros : glorotUniform);
  const bias = p.create("bias", [outputs], zeros);
  const convolution: typeof convolve =
    stride === 1 ? convolve : (x, filter) => tf.conv2d(x, filter, stride, "same");
  return { convolve: (x) => convolution(x as tf.Tensor4D, kernel() as tf.Tensor4D), bias };
}

/** A 3×3 convolution with bias, zero-padded: [B, H, W, inputs] → [B, H/stride, W/stride, outputs]. */
export function conv3(
  p: Parameters,
  inputs: number,
  outputs: number,
  options: LayerOptions & { stride?: number } = {},
): Layer {
  const { convolve, bias } = conv3Parts(p, inputs, outputs, options);
  return (x) => addBias(convolve(x), bias());
}

/** The groups that `norm` makes of this many channels: the largest divisor that is at most 32 and leaves groups of 4 or more. */
export function groupsOf(channels: number): number {
  for (let groups = Math.min(32, Math.floor(channels / 4)); groups > 1; groups--)
    if (channels % groups === 0) return groups;
  return 1;
}

/**
 * Group normalization with learned scale and offset, then swish if asked; 32 groups from 128 channels on
 * where 32 divides them, as in DDPM. A `shift` [B, C] is added to each pixel before.
 */
export function norm(
  p: Parameters,
  channels: number,
  { swish = false } = {},
): (x: tf.Tensor, shift?: tf.Tensor) => tf.Tensor {
  const scale = p.create("scale", [channels], ones);
  const offset = p.create("offset", [channels], zeros);
  const groups = groupsOf(channels);
  return (x, shift) => groupNorm(x, scale(), offset(), { groups, epsilon: 1e-6, swish, shift });
}

/**
 * Each value 0 with probability `rate`, the others divided by 1 − rate, so that the mean stays (Srivastava et al. 2014):
 * a pure function of x and the next draw of `source`. Throws unless 0 ≤ rate < 1.
 */
export function dropout(x: tf.Tensor, rate: number, source: Pick<Rng, "uniform">): tf.Tensor {
  if (!(rate >= 0 && rate < 1))
    throw new Error(`dropout: rate is ${rate}, expected a number from 0 to below 1.`);
  const kept = tf.greaterEqual(source.uniform(x.shape), rate);
  return tf.mul(x, tf.div(tf.cast(kept, "float32"), 1 - rate));
}

/**
 * A learned vector for each class: labels int32 [B] of 0…count−1 → [B, outputs]. Normal at first: beginning at zero, the
 * vectors would have to grow before the layers after them could tell one class from another.
 */
export function embedding(p: Parameters, count: number, outputs: number): (labels: tf.Tensor1D) => tf.Tensor {
  const table = p.create("table", [count, outputs], normal);
  return (labels) => tf.matMul(tf.cast(tf.oneHot(labels, count), "float32"), table());
}

export interface ResidualSizes {
  /** Channels that come in. */
  inputs: number;
  /** Channels that go out. */
  outputs: number;
  /** Numbers that tell the time. */
  timeSize: number;
  /** Rate of the dropout before the last convolution; default 0. */
  dropout?: number;
}

/** A residual block applied: x [B, H, W, inputs], time [B, timeSize] → [B, H, W, outputs]; dropout only where it gets draws. */
export type ResidualBlock = (x: tf.Tensor, time: tf.Tensor, draws?: Rng) => tf.Tensor;

/** Two convolutions with the time between them, added to the input (Ho et al. 2020, appendix B). */
export function residualBlock(p: Parameters, sizes: ResidualSizes): ResidualBlock {
  const { inputs, outputs, timeSize, dropout: rate = 0 } = sizes;
  const norm1 = norm(p.scope("norm1"), inputs, { swish: true });
  const conv1 = conv3Parts(p.scope("conv1"), inputs, outputs, {});
  const fromTime = dense(p.scope("time"), timeSize, outputs);
  const norm2 = norm(p.scope("norm2"), outputs, { swish: true });
  const conv2 = conv3(p.scope("conv2"), outputs, outputs, { zero: true });
  const shortcut = inputs === outputs ? null : dense(p.scope("shortcut"), inputs, outputs);
  return (x, time, draws) => {
    const shift = tf.add(fromTime(time), conv1.bias());
    const hidden = norm2(conv1.convolve(norm1(x)), shift);
    const kept = draws && rate > 0 ? dropout(hidden, rate, draws) : hidden;
    return tf.add(shortcut ? shortcut(x) : x, conv2(kept));
  };
}

/** Self-attention over all positions, one head, added to the input (Vaswani et al. 2017, eq. 1): [B, H, W, C] → the same. */
export function attention(p: Parameters, channels: number): Layer {
  const normalize = norm(p.scope("norm"), channels);
  const toQkv = dense(p.scope("qkv"), channels, 3 * channels);
  const out = dense(p.scope("out"), channels, channels, { zero: true });
  return (x) => {
    const [batch, height, width] = x.shape;
    const tokens = tf.reshape(normalize(x), [batch, height * width, channels]); // (B, HW, C)
    const mixed = attend(toQkv(tokens) as tf.Tensor3D);
    return tf.add(x, tf.reshape(out(mixed), x.shape));
  };
}
