/**
 * @file A small residual network that tells classes of images apart; what it sees before its last layer are the features
 * that images are compared by. GroupNorm in place of batch normalization: an image's features depend on no other image.
 */
import { swish, tf } from "../tensor";
import { conv3, dense, type Layer, norm } from "./layers";
import { countParameters, glorotUniform, type Parameters, trainableParameters } from "./parameters";

export interface ClassifierOptions {
  /** Height and width of the images, a multiple of 2 to the number of `widths`. Default 32. */
  imageSize?: number;
  /** Channels of the images. Default 3. */
  imageChannels?: number;
  /** Filters of the first layer, each used with both signs; at most the 4 · 4 · imageChannels values that it sees. Default 32. */
  filters?: number;
  /** Channels of each stage, the first at half the images' resolution, each later one at half of that before; the last is the number of features. Default [48, 96, 192]. */
  widths?: readonly number[];
  /** Default 10. */
  numClasses?: number;
}

/** A classifier of images [B, H, W, C] in [−1, 1]; the caller disposes what its functions return. */
export interface Classifier {
  readonly variables: Record<string, tf.Variable>;
  readonly options: Required<ClassifierOptions>;
  /** Features [B, F], F the last of `widths`: means over all places, all of them seen by the last layer. */
  features(images: tf.Tensor): tf.Tensor2D;
  /** Logits [B, numClasses]. */
  logits(images: tf.Tensor): tf.Tensor2D;
  /** Disposes the weights. */
  dispose(): void;
}

/** The classifier with these options, its weights drawn from `seed`. Throws on sizes that do not fit. The caller disposes it. */
export function classifier(options: ClassifierOptions = {}, seed = 0): Classifier {
  const full = checked(options);
  const parameters = trainableParameters(seed);
  const { features, head } = build(parameters, full);
  const { imageSize, imageChannels } = full;
  const seen = (images: tf.Tensor) => {
    if (images.rank !== 4 || `${images.shape.slice(1)}` !== `${[imageSize, imageSize, imageChannels]}`)
      throw new Error(
        `classifier: images have shape [${images.shape}], expected [B, ${imageSize}, ${imageSize}, ${imageChannels}].`,
      );
    return features(images);
  };
  return {
    variables: parameters.variables,
    options: full,
    features: (images) => tf.tidy(() => seen(images)) as tf.Tensor2D,
    logits: (images) => tf.tidy(() => head(seen(images))) as tf.Tensor2D,
    dispose: () => tf.dispose(parameters.variables),
  };
}

/** How many weights the classifier with these options has; makes none of them. */
export const classifierParameterCount = (options: ClassifierOptions = {}): number =>
  countParameters((parameters) => build(parameters, checked(options)));

function checked(options: ClassifierOptions): Required<ClassifierOptions> {
  const full = {
    imageSize: 32,
    imageChannels: 3,
    filters: 32,
    widths: [48, 96, 192],
    numClasses: 10,
    ...options,
  };
  const { widths, ...numbers } = full;
  const sizes = [...Object.entries(numbers), ...widths.map((width, i) => [`widths[${i}]`, width] as const)];
  for (const [name, value] of sizes)
    if (!(Number.isInteger(value) && value > 0))
      throw new Error(`classifier: ${name} is ${value}, expected a positive integer.`);
  const unit = 2 ** widths.length;
  if (widths.length === 0 || full.imageSize % unit !== 0)
    throw new Error(
      `classifier: imageSize is ${full.imageSize}, expected a multiple of ${unit} for ${widths.length} stages.`,
    );
  const most = FILTER_SIZE ** 2 * full.imageChannels;
  if (full.filters > most)
    throw new Error(
      `classifier: filters is ${full.filters}, expected at most ${most}, the values that each sees.`,
    );
  return full;
}

/** Side of the squares of pixels that the first layer sees, two pixels apart. */
export const FILTER_SIZE = 4;

function build(p: Parameters, { imageChannels, filters, widths, numClasses }: Required<ClassifierOptions>) {
  const first = bothSigns(p.scope("stem"), imageChannels, filters);
  const stages = widths.map((width, i) =>
    stage(p.scope(`stage.${i}`), i === 0 ? 2 * filters : widths[i - 1], width, i === 0 ? 1 : 2),
  );
  const head = dense(p.scope("head"), widths[widths.length - 1], numClasses);
  const features: Layer = (images) => stages.reduce((h, layer) => layer(h), first(images)).mean([1, 2]); // (B, F)
  return { features, head };
}

/** Filters of 4×4 pixels, and their negatives: [B, H, W, C] → [B, H/2, W/2, 2·filters]. */
function bothSigns(p: Parameters, channels: number, filters: number): Layer {
  const kernel = p.create("kernel", [FILTER_SIZE, FILTER_SIZE, channels, filters], glorotUniform);
  return (x) => {
    const y = tf.conv2d(x as tf.Tensor4D, kernel() as tf.Tensor4D, 2, "same");
    return swish(tf.concat([y, y.neg()], 3));
  };
}

/** A convolution, at half the resolution if `stride` is 2, then a residual block of one (He et al. 2016). */
function stage(p: Parameters, inputs: number, outputs: number, stride: number): Layer {
  const begin = convNorm(p.scope("begin"), inputs, outputs, stride);
  const residual = convNorm(p.scope("residual"), outputs, outputs);
  return (x) => {
    const h = begin(x);
    return tf.add(h, residual(h));
  };
}

/** A 3×3 convolution, GroupNorm, swish. */
function convNorm(p: Parameters, inputs: number, outputs: number, stride = 1): Layer {
  const convolve = conv3(p.scope("conv"), inputs, outputs, { stride });
  const normalize = norm(p.scope("norm"), outputs, { swish: true });
  return (x) => normalize(convolve(x));
}
