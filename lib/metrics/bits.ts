/**
 * @file Bits per dimension of images, image by image: L_T and L_0 of each, and L_{t−1} at one random t in each of m parts
 * of 2…T. With m = T − 1 that is every term; with fewer the estimate is still unbiased, and costs less. Parts are narrow
 * at small t, where terms are large and differ, and wider beyond.
 *
 * What comes of an image is a row of numbers, so that an evaluation can stop and go on, batch by batch, and so that two
 * models' bounds can be compared image by image.
 */
import { type Clip, dimsOf, type Model } from "../diffusion";
import { squaredErrorPerDim } from "../elbo/bound";
import { type Estimate, estimate } from "../elbo/statistics";
import { type Decoder, decoderTermFrom, meanResidual, posteriorTermFrom, priorTerm } from "../elbo/terms";
import { bitsPerDim } from "../elbo/units";
import { compile, type Rng, rng, tf } from "../tensor";
import { standardErrors } from "./moments";
import { type Rows, spreadOfRows } from "./rows";

export interface ImageBitsOptions {
  /** m, parts of t = 2…T from each of which an image sees one t; default T − 1, all of them. With T = 1 there are none. */
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
  /** Numbers in a row. */
  readonly dims: number;
  /** A row for each of these images [B, H, W, C], which stay the caller's; `number` numbers the batch's own random draws. */
  batch(x0: tf.Tensor, number: number): Promise<Float32Array>;
}

/** A row: L_T, L_0 and the squared error at t = 1; then for each part its number of steps times L_{t−1}; then m squared errors. */
const HEAD = 3;

/**
 * Where the m parts of 2…T begin, and T + 1: half of them equal in log t, half in t itself, whole steps, none empty.
 */
function partEdges(numSteps: number, parts: number): number[] {
  const place = (t: number) => Math.log(t / 2) / Math.log((numSteps + 1) / 2) + (t - 2) / (numSteps - 1);
  const edges = [2];
  for (let i = 1; i <= parts; i++) {
    const most = numSteps + 1 - (parts - i); // leaves a step for each part that follows
    let edge = edges[i - 1] + 1;
    while (edge < most && place(edge) < (2 * i) / parts) edge++;
    edges.push(edge);
  }
  return edges;
}

/** Evaluates a model's bound on images (Ho et al. 2020, eq. 5 and 13). Throws on counts out of range. */
export function imageBits(model: Model, options: ImageBitsOptions = {}): ImageBits {
  const T = model.schedule.numSteps;
  const { parts = T - 1, draws = 1, rows = 128, seed = 0 } = options;
  const { decoder = { kind: "discretized" }, clip } = options;
  for (const [name, value, least, most] of [
    ["parts", parts, Math.min(1, T - 1), T - 1],
    ["draws", draws, 1, 1e6],
    ["rows", rows, 1, 1e6],
  ] as const)
    if (!(Number.isInteger(value) && value >= least && value <= most))
      throw new Error(`imageBits: ${name} is ${value}, expected a whole number from ${least} to ${most}.`);

  const edges = partEdges(T, parts);
  const dims = HEAD + 2 * parts;

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
    return Int32Array.from(u, (value, i) => {
      const [from, until] = [edges[i % parts], edges[(i % parts) + 1]];
      return from + Math.floor(value * (until - from));
    });
  };

  /** One draw of every image's numbers: adds them to `sums`, a row each. */
  async function addDraw(x0: tf.Tensor, random: Rng, sums: Float64Array): Promise<void> {
    const count = x0.shape[0];
    const bits = (nats: number) => bitsPerDim(nats, dimsOf(x0)) / draws;
    const add = (image: number, at: number, value: number) => {
      sums[image * dims + at] += value;
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
        add(image, 0, bits(prior[0][image]));
        add(image, 1, bits(decoded[i]));
        add(image, 2, squares[i] / draws);
      });
    }
    if (parts === 0) return;
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
        const part = place % parts;
        add(images[i], HEAD + part, bits(kl[i]) * (edges[part + 1] - edges[part]));
        add(images[i], HEAD + parts + part, squares[i] / draws);
      });
    }
  }

  return {
    dims,
    async batch(x0, number) {
      const sums = new Float64Array(x0.shape[0] * dims);
      const random = rng(seed, number);
      for (let draw = 0; draw < draws; draw++) await addDraw(x0, random, sums);
      const values = Float32Array.from(sums);
      const bad = values.findIndex((value) => !Number.isFinite(value));
      if (bad >= 0)
        throw new Error(
          `imageBits: the bound of image ${Math.floor(bad / dims)} of batch ${number} is ${values[bad]}. Does the network give finite numbers, and are the images in [−1, 1]?`,
        );
      return values;
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

/** One part of t = 2…T. */
export interface BitsPart {
  /** The steps in it, ends included. */
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
  bitsPerDim: Estimate;
  L_T: Estimate;
  L_0: Estimate;
  /** L_T + Σ L_{t−1}: bits per dimension sent before the last step (Ho et al. 2020, section 4.3). */
  rate: number;
  /** L_0 in bits per dimension. */
  distortion: number;
  /** Root mean squared error of x̂_0(x_1) on the scale 0…255. */
  rmse: number;
  parts: BitsPart[];
  /** The bound of each image, in order: of two models on the same images what differs is known better than either. */
  perImage: number[];
}

/** What the rows of all images come to. `numSteps` is the schedule's T. Throws on no rows. */
export async function bitsSummary(rows: Rows, numSteps: number): Promise<BitsSummary> {
  const moments = await spreadOfRows(rows);
  const { count: images, mean } = moments;
  const errors = standardErrors(moments);
  const measured = (at: number): Estimate => ({ mean: mean[at], standardError: errors[at], count: images });
  const count = (rows.dims - HEAD) / 2;
  const edges = partEdges(numSteps, count);
  const parts = Array.from({ length: count }, (_, i) => ({
    from: edges[i],
    to: edges[i + 1] - 1,
    bits: mean[HEAD + i],
    standardError: errors[HEAD + i],
    squaredError: mean[HEAD + count + i],
  }));
  const perImage = Array.from({ length: images }, (_, image) => boundOf(rows.slice(image, image + 1), count));
  const [L_T, L_0] = [measured(0), measured(1)];
  const rate = L_T.mean + parts.reduce((sum, { bits }) => sum + bits, 0);
  const rmse = 127.5 * Math.sqrt(mean[2]);
  const bitsPerDim = estimate(perImage);
  return { images, bitsPerDim, L_T, L_0, rate, distortion: L_0.mean, rmse, parts, perImage };
}

/** L_T + L_0 + Σ L_{t−1} of one row. */
const boundOf = (row: Float32Array, parts: number): number =>
  row.subarray(HEAD, HEAD + parts).reduce((sum, bits) => sum + bits, row[0] + row[1]);
