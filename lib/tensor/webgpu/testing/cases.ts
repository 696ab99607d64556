/**
 * @file What the WebGPU engine computes beside another engine: kernels with their gradients on random inputs, the
 * library's own ops, random numbers, optimizer steps. Run as a program it prints
 * what the engine at hand computes, and the names of cases that it computed otherwise the second time.
 */
import { adam, addBias, attention, dense, denseChain, groupNorm, rng, swish, tf, upsample } from "../..";

/** Numbers of [−1, 1), the same on every engine (a linear congruential generator, Knuth's MMIX constants). */
export function numbers(seed: number, shape: number[]): tf.Tensor {
  let state = BigInt(seed) + 1n;
  const values = Float32Array.from({ length: tf.util.sizeFromShape(shape) }, () => {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    return Number(state >> 40n) / 2 ** 23 - 1;
  });
  return tf.tensor(values, shape);
}

type Op = (...inputs: tf.Tensor[]) => tf.Tensor;
type Case = () => tf.Tensor[];

/** An op's value on random inputs. */
const value =
  (op: Op, ...shapes: number[][]): Case =>
  () => [op(...shapes.map((shape, i) => numbers(i, shape)))];

/** Its value, and its gradients weighed by random numbers. */
const both =
  (op: Op, ...shapes: number[][]): Case =>
  () => {
    const inputs = shapes.map((shape, i) => numbers(i, shape));
    const y = op(...inputs);
    const weight = numbers(99, y.shape);
    const loss = (...at: tf.Tensor[]) =>
      op(...at)
        .mul(weight)
        .sum();
    return [y, ...tf.grads(loss)(inputs)];
  };

const positive = (x: tf.Tensor): tf.Tensor => x.abs().add(0.01);
const image = [2, 9, 6, 5];
const indices = tf.tensor1d([3, 0, 2, 2, 1], "int32");

const unary = {
  exp: tf.exp,
  expm1: tf.expm1,
  log: (x: tf.Tensor) => positive(x).log(),
  log1p: (x: tf.Tensor) => x.mul(0.99).log1p(),
  sqrt: (x: tf.Tensor) => positive(x).sqrt(),
  rsqrt: (x: tf.Tensor) => positive(x).rsqrt(),
  square: tf.square,
  reciprocal: (x: tf.Tensor) => positive(x).reciprocal(),
  sigmoid: (x: tf.Tensor) => x.mul(8).sigmoid(),
  tanh: (x: tf.Tensor) => x.mul(4).tanh(),
  softplus: (x: tf.Tensor) => x.mul(8).softplus(),
  relu: tf.relu,
  abs: tf.abs,
  neg: tf.neg,
  sin: (x: tf.Tensor) => x.mul(4).sin(),
  cos: (x: tf.Tensor) => x.mul(4).cos(),
  erf: (x: tf.Tensor) => x.mul(2).erf(),
  clip: (x: tf.Tensor) => x.clipByValue(-0.5, 0.25),
};
const plain = {
  floor: (x: tf.Tensor) => x.mul(10).floor(),
  round: (x: tf.Tensor) => x.mul(10).round(),
  sign: tf.sign,
  toInt: (x: tf.Tensor) => x.mul(10).toInt(),
  mod: (x: tf.Tensor) => x.mul(10).floor().mod(3),
};
const binary = {
  add: tf.add,
  sub: tf.sub,
  mul: tf.mul,
  div: (x: tf.Tensor, y: tf.Tensor) => x.div(positive(y)),
  pow: (x: tf.Tensor, y: tf.Tensor) => positive(x).pow(y),
};
const extremes = { maximum: tf.maximum, minimum: tf.minimum };
const comparisons = {
  less: tf.less,
  greaterEqual: tf.greaterEqual,
  equal: (x: tf.Tensor, y: tf.Tensor) => x.mul(2).round().equal(y.mul(2).round()),
  logicalAnd: (x: tf.Tensor, y: tf.Tensor) => tf.logicalAnd(x.greater(0), y.greater(0)),
};
const reductions = {
  sum: (x: tf.Tensor) => x.sum([0, 2]),
  "sum of all": (x: tf.Tensor) => x.sum(),
  mean: (x: tf.Tensor) => x.mean(1, true),
  max: (x: tf.Tensor) => x.max(2),
  min: (x: tf.Tensor) => x.min(0),
  softmax: (x: tf.Tensor) => tf.softmax(x.mul(5)),
  logSoftmax: (x: tf.Tensor) => tf.logSoftmax(x.mul(5)),
  norm: (x: tf.Tensor) => x.norm(),
};
const shapes = {
  transpose: (x: tf.Tensor) => x.transpose([2, 0, 1]),
  slice: (x: tf.Tensor) => x.slice([1, 2, 0], [3, 5, 6]),
  pad: (x: tf.Tensor) =>
    x.pad(
      [
        [0, 1],
        [2, 0],
        [1, 1],
      ],
      0.5,
    ),
  tile: (x: tf.Tensor) => x.tile([1, 2, 3]),
  reverse: (x: tf.Tensor) => x.reverse([0, 2]),
  concat: (x: tf.Tensor) => tf.concat([x, x.mul(2), x], 1),
  stack: (x: tf.Tensor) => tf.stack([x, x.mul(2)], 1),
  split: (x: tf.Tensor) => tf.split(x, 3, 2)[1],
  gather: (x: tf.Tensor) => x.gather(indices),
  where: (x: tf.Tensor) => tf.where(numbers(7, x.shape).greater(0.2), x.mul(3), x),
};
const convolution =
  (stride: number, pad: "same" | "valid" = "same"): Op =>
  (x, w) =>
    tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, stride, pad);

const group = (op: Record<string, Op>, make: (op: Op) => Case): Record<string, Case> =>
  Object.fromEntries(Object.entries(op).map(([name, one]) => [name, make(one)]));

/** Kernels of the backend: each compared within float32's rounding. */
export const KERNELS: Record<string, Case> = {
  ...group(unary, (op) => both(op, [5, 7, 6])),
  ...group(plain, (op) => value(op, [5, 7, 6])),
  ...group(binary, (op) => both(op, [5, 7, 6], [7, 1])),
  ...group(extremes, (op) => both(op, [5, 7, 6], [5, 7, 6])),
  ...group(comparisons, (op) => value(op, [5, 7, 6], [7, 1])),
  ...group(reductions, (op) => both(op, [4, 300, 6])),
  argMax: value((x) => x.argMax(1), [4, 300, 6]),
  cumsum: value((x) => x.cumsum(1), [4, 300, 6]),
  logSumExp: value((x) => x.mul(5).logSumExp(1), [4, 300, 6]),
  ...group(shapes, (op) => both(op, [5, 7, 6])),
  addN: () => [tf.addN(Array.from({ length: 30 }, (_, i) => numbers(i, [3, 5])))],
  "matMul of a long sum": both((a, b) => tf.matMul(a, b, true), [4099, 21], [4099, 9]),
  oneHot: () => [tf.oneHot(indices, 5)],
  matMul: both((a, b) => tf.matMul(a, b), [37, 19], [19, 23]),
  "matMul of multiples of 4": both((a, b) => tf.matMul(a, b), [64, 128], [128, 32]),
  "matMul transposed": both((a, b) => tf.matMul(a, b, true, true), [19, 37], [23, 19]),
  "matMul in batches": both((a, b) => tf.matMul(a, b, false, true), [3, 33, 20], [3, 17, 20]),
  "conv2d 3×3": both(convolution(1), image, [3, 3, 5, 7]),
  "conv2d 3×3 of multiples of 4": both(convolution(1), [2, 8, 8, 16], [3, 3, 16, 32]),
  "conv2d 3×3 of 3 channels": both(convolution(1), [2, 8, 8, 3], [3, 3, 3, 16]),
  "conv2d 3×3 stride 2": both(convolution(2), [2, 8, 8, 8], [3, 3, 8, 8]),
  "conv2d 3×3 valid": both(convolution(1, "valid"), image, [3, 3, 5, 4]),
  "conv2d 1×1": both(convolution(1), image, [1, 1, 5, 6]),
  avgPool: both((x) => tf.avgPool(x as tf.Tensor4D, 2, 2, "valid"), [2, 8, 6, 5]),
  maxPool: both((x) => tf.maxPool(x as tf.Tensor4D, 2, 2, "valid"), [2, 8, 6, 5]),
  depthToSpace: value((x) => tf.depthToSpace(x as tf.Tensor4D, 2), [2, 4, 3, 8]),
  resizeNearestNeighbor: both((x) => tf.image.resizeNearestNeighbor(x as tf.Tensor4D, [18, 12]), image),
};

const affine = (from: number, seed: number) => ({
  weight: numbers(seed, [from, 8]),
  bias: numbers(seed + 1, [8]),
});

/** The library's ops, which are fused on the native engine. */
export const OPS: Record<string, Case> = {
  swish: both((x) => swish(x.mul(6)), image),
  addBias: both((x, b) => addBias(x, b), image, [5]),
  dense: both((x, w, b) => dense(x, w, b, { swish: true }), [6, 4, 5], [5, 8], [8]),
  denseChain: both((x) => denseChain(x as tf.Tensor2D, [affine(5, 1), affine(8, 3), affine(8, 5)]), [33, 5]),
  groupNorm: both(
    (x, gamma, beta, shift) => groupNorm(x, gamma, beta, { groups: 4, swish: true, shift }),
    [2, 4, 4, 16],
    [16],
    [16],
    [2, 16],
  ),
  attention: both((qkv) => attention(qkv as tf.Tensor3D), [2, 16, 24]),
  upsample: both((x) => upsample(x as tf.Tensor4D), [2, 4, 3, 5]),
};

/** Integers and uniform numbers, which TensorFlow draws bit for bit the same. */
export const DRAWS: Record<string, Case> = {
  uniform: () => [rng(7, 3).uniform([5, 7]), rng(-1, 2 ** 31 - 1).uniform([1]), rng(0).uniform([1001])],
  integers: () => [
    rng(2 ** 40, 16_777_217).integers([1001], -3, 1000),
    rng(4).integers([50], -(2 ** 31), 2 ** 31 - 1),
  ],
  "a stream of draws": () => {
    const source = rng(5, tf.scalar(9, "int32"));
    return [source.integers([], 0, 10), source.uniform([3]), source.integers([4], 0, 2)];
  },
};

/** Those that go through sine, cosine and logarithm. */
export const NORMAL: Record<string, Case> = {
  normal: () => [rng(7, 3).normal([5, 7]), rng(8).normal([20_001]), rng(8).normal([])],
};

/** A network's weights and their averages after some steps of all that the optimizer can do. */
export const TRAINING: Record<string, Case> = {
  "optimizer steps": () => {
    const weights = {
      w1: tf.variable(numbers(1, [2, 16])),
      b1: tf.variable(numbers(2, [16])),
      w2: tf.variable(numbers(3, [16, 1])),
    };
    const optimizer = adam(weights, {
      learningRate: 0.01,
      weightDecay: 0.1,
      clipNorm: 0.5,
      warmupSteps: 5,
      emaDecay: 0.9,
    });
    const losses = Array.from({ length: 12 }, (_, step) =>
      optimizer.minimize(() => {
        const x = rng(3, step).normal([64, 2]);
        const y = dense(dense(x, weights.w1, weights.b1, { swish: true }), weights.w2);
        return y.sub(x.sum(1, true).sin()).square().mean();
      }),
    );
    return [tf.stack(losses), ...Object.values(weights), ...Object.values<tf.Tensor>(optimizer.averages!)];
  },
};

const around0 = Array.from({ length: 60 }, (_, i) => (-1) ** i * 0.7 * 0.8 ** i);
const angles = Array.from({ length: 400 }, (_, i) => 2.5003 * i); // as the embedding of time has them
/** Functions that the backend computes with programs of ours, where the npm package's lose digits. */
export const SMALL = {
  "expm1 about 0": { of: Math.expm1, at: around0 },
  "log1p about 0": { of: Math.log1p, at: around0 },
  "sine of large angles": { of: Math.sin, at: angles },
  "cosine of large angles": { of: Math.cos, at: angles },
};
const small: Record<string, Case> = {
  "expm1 about 0": () => [tf.tensor1d(around0).expm1()],
  "log1p about 0": () => [tf.tensor1d(around0).log1p()],
  "sine of large angles": () => [tf.tensor1d(angles).sin()],
  "cosine of large angles": () => [tf.tensor1d(angles).cos()],
};

export const ALL: Record<string, Case> = { ...KERNELS, ...OPS, ...DRAWS, ...NORMAL, ...TRAINING, ...small };

/** What an engine computed, as plain numbers. */
export interface Result {
  dtype: string;
  shape: number[];
  values: number[];
}

/** All results by the cases' names; a case that fails has its message. */
export const results = (): Record<string, Result[] | string> =>
  Object.fromEntries(
    Object.entries(ALL).map(([name, run]) => {
      try {
        const read = (tensor: tf.Tensor): Result => {
          const { dtype, shape } = tensor;
          return { dtype, shape, values: Array.from(tensor.dataSync(), Number) };
        };
        return [name, tf.tidy(run).map(read)];
      } catch (error) {
        return [name, (error as Error).message];
      }
    }),
  );

if (require.main === module) {
  const first = results();
  const again = results();
  const changed = Object.keys(first).filter(
    (name) => JSON.stringify(first[name]) !== JSON.stringify(again[name]),
  );
  console.log(JSON.stringify({ results: first, changed }));
}
