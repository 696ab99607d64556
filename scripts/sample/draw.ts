/** @file What `npm run sample` draws: samples, the walks towards them, interpolations, each as pictures in rows. */
import { imageBatches } from "../../lib/data";
import { interpolate, type Model, type Plan, sample, sampleStream } from "../../lib/diffusion";
import { type Picture, packImages } from "../../lib/notebook/figures";
import { encodePng } from "../../lib/notebook/render/png.cjs";
import { rng, tf } from "../../lib/tensor";
import { imageShape, type TrainedModel } from "../../lib/training";
import { loadImages } from "../train/images";
import { COLUMNS, guidanceOf, planOf, type Request } from "./request";

/** Pictures in reading order, values in [−1, 1]. */
export interface Sheet {
  /** [N, H, W, C]. */
  shape: number[];
  data: Float32Array;
  /** Pictures in a row; default the squarest grid. */
  columns?: number;
}

/** A sheet's pixels. */
export const packed = ({ columns, ...images }: Sheet): Picture => packImages(images, { columns });

/** A sheet as the bytes of a PNG. */
export const still = (sheet: Sheet): Buffer => {
  const { width, height, rgba } = packed(sheet);
  return encodePng(width, height, rgba);
};

/** Told after each step of a walk. */
type Progress = (done: number, total: number) => void;

const CLIP = [-1, 1] as const; // as DDPM's authors' code does

/** The p_θ for `count` images at once, guided towards the classes that were asked for. */
const modelFor = (trained: TrainedModel, request: Request, count: number): Model =>
  modelsFor(trained, request)(0, count);

/** The p_θ for images from..to−1 of many. It is compiled anew only where their classes are not those of the images before. */
function modelsFor(trained: TrainedModel, request: Request): (from: number, to: number) => Model {
  let last: { classes: string; model: Model } | undefined;
  return (from, to) => {
    const guidance = guidanceOf(request, trained.net.classes ?? 0, to);
    if (!guidance) return trained.model;
    const labels = guidance.labels.slice(from);
    const classes = String(labels);
    if (last?.classes !== classes) last = { classes, model: trained.guidedModel({ ...guidance, labels }) };
    return last.model;
  };
}

/** The values of images that are then disposed. */
function valuesOf(images: tf.Tensor): Float32Array {
  const values = Float32Array.from(images.dataSync());
  images.dispose();
  return values;
}

/** Samples drawn at once: more need more memory, not less time. */
const BATCH = 100;

/** `count` samples, batch after batch, each with random numbers of its own. */
export async function drawSamples(
  trained: TrainedModel,
  request: Request,
  onProgress: Progress,
): Promise<Sheet> {
  const { options, count, seed } = request;
  const plan = planOf(options, trained.config, trained.model.schedule);
  const image = imageShape(trained.config);
  const size = image[0] * image[1] * image[2];
  const data = new Float32Array(count * size);
  const steps = Math.ceil(count / BATCH) * plan.length;
  const models = modelsFor(trained, request);
  for (let first = 0, batch = 0; first < count; first += BATCH, batch++) {
    const rows = Math.min(BATCH, count - first);
    const images = await sample(models(first, first + rows), [rows, ...image], {
      rng: rng(seed, batch),
      plan,
      clip: CLIP,
      onProgress: (done) => onProgress(batch * plan.length + done, steps),
    });
    data.set(valuesOf(images), first * size);
  }
  return { shape: [count, ...image], data, columns: request.columns ?? columnsFor(trained, request) };
}

/** A column for each of the classes that samples are asked for in turn; undefined for one or none. */
function columnsFor({ net: { classes = 0 } }: TrainedModel, request: Request): number | undefined {
  if (!guidanceOf(request, classes, request.count)) return undefined;
  const inTurn = request.options.numbers("class")?.length ?? classes;
  return inTurn > 1 ? inTurn : undefined;
}

/** The moments of `count` walks, `moments` of them, or all, from noise to sample: x_t, or the x̂_0 that it suggests. */
export async function drawWalk(
  trained: TrainedModel,
  request: Request,
  moments: number,
  onProgress: Progress,
): Promise<Sheet[]> {
  const { options, count, seed, show } = request;
  const plan = planOf(options, trained.config, trained.model.schedule);
  const shape = [count, ...imageShape(trained.config)];
  const walk = { rng: rng(seed), plan, clip: CLIP, onProgress };
  const last = Math.min(moments - 1, plan.length);
  const places = new Set(
    Array.from({ length: last + 1 }, (_, i) => Math.round((i * plan.length) / Math.max(1, last))),
  );
  const seen: Sheet[] = [];
  let place = 0;
  for await (const { xt, x0Hat } of sampleStream(modelFor(trained, request, count), shape, walk))
    if (places.has(place++)) seen.push({ shape, data: show === "xt" ? xt : x0Hat });
  return seen;
}

/** Sheets of as many pictures each as columns of one sheet: a row for each picture, a column for each sheet. */
export function sideBySide(sheets: readonly Sheet[]): Sheet {
  const [count, ...image] = sheets[0].shape;
  const size = image.reduce((product, n) => product * n, 1);
  const data = new Float32Array(count * sheets.length * size);
  for (let row = 0; row < count; row++)
    sheets.forEach((sheet, column) => {
      data.set(sheet.data.subarray(row * size, (row + 1) * size), (row * sheets.length + column) * size);
    });
  return { shape: [count * sheets.length, ...image], data, columns: sheets.length };
}

/** Rows of: an image, `columns` mixtures in noise from it to the next, that next image. */
export async function drawInterpolation(
  trained: TrainedModel,
  request: Request,
  onProgress: Progress,
): Promise<Sheet> {
  const { options, columns = COLUMNS, seed } = request;
  const { schedule } = trained.model;
  const t = options.wholeNumber("t", Math.ceil(schedule.numSteps / 2), schedule.numSteps);
  const plan: Plan = planOf(options, trained.config, schedule, t);
  const lambdas = Array.from({ length: columns }, (_, i) => i / (columns - 1));
  const ends = await endsOf(trained, request);
  const model = modelFor(trained, request, columns);
  const rows = ends.shape[0] / 2;
  const pieces: tf.Tensor[] = [];
  for (let row = 0; row < rows; row++) {
    const [a, b] = tf.tidy(() => tf.split(ends.slice([2 * row], [2]), 2));
    const mixed = await interpolate(model, a, b, {
      rng: rng(seed, row),
      t,
      lambdas,
      sharedNoise: true,
      plan,
      clip: CLIP,
      onProgress: (done, total) => onProgress(row * total + done, rows * total),
    });
    pieces.push(a, mixed, b);
  }
  const all = tf.concat(pieces);
  tf.dispose([...pieces, ends]);
  return { shape: all.shape, data: valuesOf(all), columns: columns + 2 };
}

/** The images between which to interpolate, two for each row [2 rows, H, W, C]: of the data set's test part, or samples. */
async function endsOf(trained: TrainedModel, request: Request): Promise<tf.Tensor> {
  const { options, count, seed } = request;
  const places = options.numbers("between");
  const dir = options.text("data");
  if (places && places.length % 2 !== 0)
    throw new Error(`--between has ${places.length} places, expected two for each row, such as 0,1,2,3.`);
  if (places && dir === undefined)
    throw new Error("--between names test images, but --data is missing. Give the data set's folder.");
  if (dir !== undefined) {
    const { test } = await loadImages(trained.config, { dir });
    return imageBatches(test).at(places ?? Array.from({ length: 2 * count }, (_, i) => i));
  }
  const shape = [2 * count, ...imageShape(trained.config)];
  const plan = planOf(options, trained.config, trained.model.schedule);
  return sample(modelFor(trained, request, 2 * count), shape, { rng: rng(seed, 1000), plan, clip: CLIP });
}
