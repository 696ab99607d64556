/**
 * @file Bits per dimension of images, image by image: L_T and L_0 of each, and L_{t−1} at one random t in each of m equal
 * parts of 2…T. With m = T − 1 that is every term; with fewer the estimate is still unbiased, and costs less.
 *
 * What is known is the `Moments` of a row per image, so that an evaluation can stop and go on, batch by batch.
 */
import { type Clip, dimsOf, type Model } from "../diffusion";
import { squaredErrorPerDim } from "../elbo/bound";
import { type Decoder, decoderTermFrom, meanResidual, posteriorTermFrom, priorTerm } from "../elbo/terms";
import { bitsPerDim } from "../elbo/units";
import { compile, type Rng, rng, tf } from "../tensor";
import { type Moments, spreadOf, standardErrors } from "./moments";

export interface ImageBitsOptions {
  /** m, parts of t = 2…T from each of which an image sees one t; default T − 1, all of them. */
  parts?: number;
  /** Draws of the noise, and of t within its part, for each image; default 1. */
  draws?: number;
  /** Default the probability of 8-bit data. */
  decoder?: Decoder;
  /** Clip x̂_0, as samplers do: the bound of the model that they draw from. Default none. */
  clip?: Clip;
  /** Images given to the network at once; default 128. */
  rows?: number;
  /** Default 0. */
  seed?: number;
}

/** What evaluates one batch of images after another. */
export interface ImageBits {
  /** The statistics of these images [B, H, W, C], which stay the caller's; `number` numbers the batch's own random draws. */
  batch(x0: tf.Tensor, number: number): Promise<Moments>;
}

/** A row: the whole bound, L_T, L_0 and the squared error at t = 1; then m times (T−1)/m · L_{t−1}; then m squared errors. */
const HEAD = 4;

/** Evaluates a model's bound on images (Ho et al. 2020, eq. 5 and 13). Throws on counts out of range. */
export function imageBits(model: Model, options: ImageBitsOptions = {}): ImageBits {
  const T = model.schedule.numSteps;
  const { parts = T - 1, draws = 1, rows = 128, seed = 0 } = options;
  const { decoder = { kind: "discretized" }, clip } = options;
  for (const [name, value, most] of [
    ["parts", parts, T - 1],
    ["draws", draws, 1e6],
    ["rows", rows, 1e6],
  ] as const)
    if (!(Number.isInteger(value) && value >= 1 && value <= most))
      throw new Error(`imageBits: ${name} is ${value}, expected a whole number from 1 to ${most}.`);

  const terms = compile((x0: tf.Tensor, t: tf.Tensor1D, eps: tf.Tensor) => {
    const residual = meanResidual(model, x0, t, eps, { clip });
    return [posteriorTermFrom(model, residual, t), squaredErrorPerDim(model, residual, t)];
  });
  const first = compile((x0: tf.Tensor, t: tf.Tensor1D, eps: tf.Tensor) => {
    const residual = meanResidual(model, x0, t, eps, { clip });
    return [decoderTermFrom(model, x0, residual, decoder), squaredErrorPerDim(model, residual, t)];
  });

  /** The random t of each image, one a part, [B, m]. */
  const drawSteps = (random: Rng, count: number): Int32Array => {
    const u = tf.tidy(() => random.uniform([count * parts]).dataSync());
    return Int32Array.from(u, (value, i) => 2 + Math.floor((((i % parts) + value) * (T - 1)) / parts));
  };

  /** One draw of every image's numbers: adds them to `sums`, row-major [B, HEAD + 2m]. */
  async function addDraw(x0: tf.Tensor, random: Rng, sums: Float64Array): Promise<void> {
    const [count, dims] = [x0.shape[0], dimsOf(x0)];
    const width = HEAD + 2 * parts;
    const bits = (nats: number) => bitsPerDim(nats, dims) / draws;
    const add = (image: number, at: number, value: number) => {
      sums[image * width + at] += value;
    };
    const addTerm = (image: number, at: number, value: number) => {
      add(image, at, value);
      add(image, 0, value);
    };
    const prior = await read(tf.tidy(() => [priorTerm(model.schedule, x0)]));
    for (let from = 0; from < count; from += rows) {
      const places = range(from, Math.min(count, from + rows));
      const [decoded, squares] = await call(
        first,
        x0,
        places,
        places.map(() => 1),
        random,
      );
      places.forEach((image, i) => {
        addTerm(image, 1, bits(prior[0][image]));
        addTerm(image, 2, bits(decoded[i]));
        add(image, 3, squares[i] / draws);
      });
    }
    const steps = drawSteps(random, count);
    for (let from = 0; from < steps.length; from += rows) {
      const places = range(from, Math.min(steps.length, from + rows));
      const images = places.map((place) => Math.floor(place / parts));
      const [kl, squares] = await call(
        terms,
        x0,
        images,
        places.map((place) => steps[place]),
        random,
      );
      places.forEach((place, i) => {
        addTerm(images[i], HEAD + (place % parts), (bits(kl[i]) * (T - 1)) / parts);
        add(images[i], HEAD + parts + (place % parts), squares[i] / draws);
      });
    }
  }

  return {
    async batch(x0, number) {
      const width = HEAD + 2 * parts;
      const sums = new Float64Array(x0.shape[0] * width);
      const random = rng(seed, number);
      for (let draw = 0; draw < draws; draw++) await addDraw(x0, random, sums);
      const bad = sums.findIndex((value) => !Number.isFinite(value));
      if (bad >= 0)
        throw new Error(
          `imageBits: the bound of image ${Math.floor(bad / width)} of batch ${number} is ${sums[bad]}. Does the network give finite numbers, and are the images in [−1, 1]?`,
        );
      return spreadOf(sums, width);
    },
  };
}

type Evaluate = (x0: tf.Tensor, t: tf.Tensor1D, eps: tf.Tensor) => tf.Tensor[];

/** Calls the network on these images at these t, with fresh noise. */
async function call(evaluate: Evaluate, x0: tf.Tensor, images: number[], steps: number[], random: Rng) {
  const values = tf.tidy(() => {
    const chosen = tf.gather(x0, tf.tensor1d(images, "int32"));
    return evaluate(chosen, tf.tensor1d(steps, "int32"), random.normal(chosen.shape));
  });
  const numbers = await read(values);
  await tf.nextFrame();
  return numbers;
}

async function read(tensors: tf.Tensor[]): Promise<Float32Array[]> {
  const values = await Promise.all(tensors.map((tensor) => tensor.data() as Promise<Float32Array>));
  tf.dispose(tensors);
  return values;
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** A mean over images with its standard error over them. */
export interface Measured {
  mean: number;
  standardError: number;
}

/** One part of t = 2…T. */
export interface BitsPart {
  /** The steps in it, ends included; where parts do not divide T − 1, an end may belong to two. */
  from: number;
  to: number;
  /** Its share of the bound in bits/dim: the sum of L_{t−1} over it. */
  bits: number;
  standardError: number;
  /** Mean squared error of x̂_0 per dimension, data in [−1, 1]. */
  squaredError: number;
}

/** A bound on images, in bits per dimension of the 8-bit data where the decoder was the discretized one. */
export interface BitsSummary {
  images: number;
  bitsPerDim: Measured;
  L_T: Measured;
  L_0: Measured;
  /** L_T + Σ L_{t−1}: bits per dimension sent before the last step (Ho et al. 2020, section 4.3). */
  rate: number;
  /** L_0 in bits per dimension. */
  distortion: number;
  /** Root mean squared error of x̂_0(x_1) on the scale 0…255. */
  rmse: number;
  parts: BitsPart[];
}

/** What batches of images came to, merged. `numSteps` is the schedule's T. */
export function bitsSummary(moments: Moments, numSteps: number): BitsSummary {
  const { count: images, mean } = moments;
  const errors = standardErrors(moments);
  const measured = (at: number): Measured => ({ mean: mean[at], standardError: errors[at] });
  const count = (mean.length - HEAD) / 2;
  const edge = (part: number) => 2 + (part * (numSteps - 1)) / count;
  const parts = Array.from({ length: count }, (_, i) => ({
    from: Math.floor(edge(i)),
    to: Math.ceil(edge(i + 1)) - 1,
    bits: mean[HEAD + i],
    standardError: errors[HEAD + i],
    squaredError: mean[HEAD + count + i],
  }));
  const [total, L_T, L_0] = [measured(0), measured(1), measured(2)];
  const rate = L_T.mean + parts.reduce((sum, { bits }) => sum + bits, 0);
  const rmse = 127.5 * Math.sqrt(mean[3]);
  return { images, bitsPerDim: total, L_T, L_0, rate, distortion: L_0.mean, rmse, parts };
}
