/**
 * @file Inception-v3 (Szegedy et al. 2016) as FID is defined by: the 2048 features before its last layer, of the net that
 * Heusel et al. 2017 took from TensorFlow's models of 2015-12-05, with weights that the user supplies. Unlike the
 * published net, average pools leave the padding out of their means, and the last block pools by maximum.
 *
 * Layers and tensors have the names of the PyTorch port of those weights, "Mixed_5b.branch1x1.conv.weight" and so on.
 */
import { tf } from "../tensor";
import type { Layer } from "./layers";

/** Numbers with their shape, as a file has them. */
interface Numbers {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** The net as an extractor of features. */
export interface Inception {
  /** Features [B, 2048] of images [B, H, W, 1 or 3] in [−1, 1], which are resized to 299 × 299. The caller disposes. */
  features(images: tf.Tensor): tf.Tensor2D;
  /** Disposes the weights. */
  dispose(): void;
}

export const INCEPTION_FEATURES = 2048;
const SIDE = 299;
/** Added to the variance in batch normalization. */
const EPSILON = 1e-3;

type Size = readonly [height: number, width: number];
/** How a convolution goes over its input: stride 1 with padding, or valid, at stride 1 or 2. */
type Way = "same" | "valid" | "halve";

/** Makes a convolution without bias, followed by batch normalization and ReLU. */
type Convolutions = (name: string, inputs: number, outputs: number, size: Size, way?: Way) => Layer;

/** Shapes of the tensors of one convolution in PyTorch's order, by the ends of their names. */
const shapesOf = (inputs: number, outputs: number, [height, width]: Size): Record<string, number[]> => ({
  "conv.weight": [outputs, inputs, height, width],
  "bn.weight": [outputs],
  "bn.bias": [outputs],
  "bn.running_mean": [outputs],
  "bn.running_var": [outputs],
});

/** Every tensor that the net needs, by name, with its shape. */
export function inceptionTensors(): Record<string, number[]> {
  const found: Record<string, number[]> = {};
  build((name, inputs, outputs, size) => {
    for (const [end, shape] of Object.entries(shapesOf(inputs, outputs, size)))
      found[`${name}.${end}`] = shape;
    return (x) => x;
  });
  return found;
}

/** The net with these weights; tensors of other names are left alone. Throws on one that is missing or of another shape. The caller disposes it. */
export function inception(tensors: Readonly<Record<string, Numbers>>): Inception {
  const weights: tf.Tensor[] = [];
  const keep = <T extends tf.Tensor>(tensor: T): T => {
    weights.push(tf.keep(tensor));
    return tensor;
  };
  const read = (name: string, shape: number[]): Float32Array => {
    const got = tensors[name];
    if (!got)
      throw new Error(`inception: "${name}" is missing. Expected the weights pt_inception-2015-12-05.`);
    if (`${got.shape}` !== `${shape}`)
      throw new Error(`inception: "${name}" has shape [${got.shape}], expected [${shape}].`);
    return got.data;
  };
  try {
    const layers = build((name, inputs, outputs, size, way = "same") => {
      const entries = Object.entries(shapesOf(inputs, outputs, size));
      const [kernel, ...norm] = entries.map(([end, shape]) => read(`${name}.${end}`, shape));
      const { kernel: scaled, bias } = folded(kernel, norm, [outputs, inputs, ...size]);
      return convolution(keep(scaled), keep(bias), way);
    });
    return {
      features: (images) => tf.tidy(() => layers(resized(images)).mean([1, 2])) as tf.Tensor2D,
      dispose: () => tf.dispose(weights),
    };
  } catch (error) {
    tf.dispose(weights);
    throw error;
  }
}

/**
 * A kernel [O, I, H, W] as [H, W, I, O] and a bias that together do what it does with batch normalization behind it:
 * γ(y − mean)/√(var + 0.001) + β. `norm` is γ, β, mean, var.
 */
export function folded(
  kernel: Float32Array,
  [gamma, beta, mean, variance]: readonly Float32Array[],
  shape: readonly number[],
): { kernel: tf.Tensor4D; bias: tf.Tensor1D } {
  const scale = Float32Array.from(gamma, (g, i) => g / Math.sqrt(variance[i] + EPSILON));
  const bias = Float32Array.from(beta, (b, i) => b - mean[i] * scale[i]);
  return tf.tidy(() => ({
    kernel: tf
      .tensor(kernel, [...shape])
      .transpose([2, 3, 1, 0])
      .mul(tf.tensor1d(scale)) as tf.Tensor4D,
    bias: tf.tensor1d(bias),
  }));
}

/** A convolution with bias and ReLU. */
export const convolution =
  (kernel: tf.Tensor4D, bias: tf.Tensor1D, way: Way): Layer =>
  (x) =>
    tf
      .conv2d(x as tf.Tensor4D, kernel, way === "halve" ? 2 : 1, way === "same" ? "same" : "valid")
      .add(bias)
      .relu();

/** Means of 3 × 3 places, those beyond the edge not counted. */
export const averagePool: Layer = (x) => tf.avgPool(x as tf.Tensor4D, 3, 1, "same");
const maximumPool: Layer = (x) => tf.maxPool(x as tf.Tensor4D, 3, 1, "same");
const halvingPool: Layer = (x) => tf.maxPool(x as tf.Tensor4D, 3, 2, "valid");

/** Images of any size as [B, 299, 299, 3], bilinear between the pixels' centres; grey ones three times over. */
export function resized(images: tf.Tensor): tf.Tensor4D {
  const coloured = images.shape[3] === 1 ? images.tile([1, 1, 1, 3]) : images;
  return tf.image.resizeBilinear(coloured as tf.Tensor4D, [SIDE, SIDE], false, true);
}

/** One layer after another. */
const chain =
  (...layers: Layer[]): Layer =>
  (x) =>
    layers.reduce((h, layer) => layer(h), x);

/** The same input through each branch, side by side in channels. */
const branches =
  (...each: Layer[]): Layer =>
  (x) =>
    tf.concat(
      each.map((branch) => branch(x)),
      3,
    );

function build(conv: Convolutions): Layer {
  const block =
    (name: string): Convolutions =>
    (end, ...sizes) =>
      conv(`${name}.${end}`, ...sizes);
  return chain(
    conv("Conv2d_1a_3x3", 3, 32, [3, 3], "halve"),
    conv("Conv2d_2a_3x3", 32, 32, [3, 3], "valid"),
    conv("Conv2d_2b_3x3", 32, 64, [3, 3]),
    halvingPool,
    conv("Conv2d_3b_1x1", 64, 80, [1, 1], "valid"),
    conv("Conv2d_4a_3x3", 80, 192, [3, 3], "valid"),
    halvingPool,
    squares(block("Mixed_5b"), 192, 32),
    squares(block("Mixed_5c"), 256, 64),
    squares(block("Mixed_5d"), 288, 64),
    firstHalving(block("Mixed_6a"), 288),
    strips(block("Mixed_6b"), 128),
    strips(block("Mixed_6c"), 160),
    strips(block("Mixed_6d"), 160),
    strips(block("Mixed_6e"), 192),
    secondHalving(block("Mixed_7a"), 768),
    fans(block("Mixed_7b"), 1280, averagePool),
    fans(block("Mixed_7c"), 2048, maximumPool),
  );
}

/** The paper's figure 5: squares of 5 and of twice 3. */
const squares = (conv: Convolutions, inputs: number, pooled: number): Layer =>
  branches(
    conv("branch1x1", inputs, 64, [1, 1]),
    chain(conv("branch5x5_1", inputs, 48, [1, 1]), conv("branch5x5_2", 48, 64, [5, 5])),
    chain(
      conv("branch3x3dbl_1", inputs, 64, [1, 1]),
      conv("branch3x3dbl_2", 64, 96, [3, 3]),
      conv("branch3x3dbl_3", 96, 96, [3, 3]),
    ),
    chain(averagePool, conv("branch_pool", inputs, pooled, [1, 1])),
  );

const firstHalving = (conv: Convolutions, inputs: number): Layer =>
  branches(
    conv("branch3x3", inputs, 384, [3, 3], "halve"),
    chain(
      conv("branch3x3dbl_1", inputs, 64, [1, 1]),
      conv("branch3x3dbl_2", 64, 96, [3, 3]),
      conv("branch3x3dbl_3", 96, 96, [3, 3], "halve"),
    ),
    halvingPool,
  );

/** The paper's figure 6: rows of 7 and columns of 7, `width` channels between them. */
const strips = (conv: Convolutions, width: number): Layer =>
  branches(
    conv("branch1x1", 768, 192, [1, 1]),
    chain(
      conv("branch7x7_1", 768, width, [1, 1]),
      conv("branch7x7_2", width, width, [1, 7]),
      conv("branch7x7_3", width, 192, [7, 1]),
    ),
    chain(
      conv("branch7x7dbl_1", 768, width, [1, 1]),
      conv("branch7x7dbl_2", width, width, [7, 1]),
      conv("branch7x7dbl_3", width, width, [1, 7]),
      conv("branch7x7dbl_4", width, width, [7, 1]),
      conv("branch7x7dbl_5", width, 192, [1, 7]),
    ),
    chain(averagePool, conv("branch_pool", 768, 192, [1, 1])),
  );

const secondHalving = (conv: Convolutions, inputs: number): Layer =>
  branches(
    chain(conv("branch3x3_1", inputs, 192, [1, 1]), conv("branch3x3_2", 192, 320, [3, 3], "halve")),
    chain(
      conv("branch7x7x3_1", inputs, 192, [1, 1]),
      conv("branch7x7x3_2", 192, 192, [1, 7]),
      conv("branch7x7x3_3", 192, 192, [7, 1]),
      conv("branch7x7x3_4", 192, 192, [3, 3], "halve"),
    ),
    halvingPool,
  );

/** The paper's figure 7: rows of 3 and columns of 3 side by side. */
const fans = (conv: Convolutions, inputs: number, pool: Layer): Layer =>
  branches(
    conv("branch1x1", inputs, 320, [1, 1]),
    chain(
      conv("branch3x3_1", inputs, 384, [1, 1]),
      branches(conv("branch3x3_2a", 384, 384, [1, 3]), conv("branch3x3_2b", 384, 384, [3, 1])),
    ),
    chain(
      conv("branch3x3dbl_1", inputs, 448, [1, 1]),
      conv("branch3x3dbl_2", 448, 384, [3, 3]),
      branches(conv("branch3x3dbl_3a", 384, 384, [1, 3]), conv("branch3x3dbl_3b", 384, 384, [3, 1])),
    ),
    chain(pool, conv("branch_pool", inputs, 192, [1, 1])),
  );
