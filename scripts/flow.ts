/**
 * @file `npm run flow -- --data DIR --out digits.png`: MNIST as a flow of particles. Noise images follow the score
 * difference to the digits, with no network and no training; then how far they are from digits that they did not see, and
 * how near to single ones that they did.
 */
import "./engine";

import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { type ImageSet, imageBatches, mnist, toPixels } from "../lib/data";
import { nearest, rowsOf, w2 } from "../lib/metrics";
import { packImages } from "../lib/notebook/figures";
import { encodePng } from "../lib/notebook/render/png.cjs";
import { engine, rng, tf } from "../lib/tensor";
import { annealing, particleFlow } from "../lib/theory";
import { writeWhole } from "../lib/training";
import { readOptions } from "./options";
import { runMain, showBar } from "./progress";

const VALUES = ["data", "out", "count", "steps", "batch", "from", "to", "seed"] as const;

const USAGE = `npm run flow -- --data DIR [options]

  --data DIR     the folder with MNIST's four files; without it they are downloaded, once (12 MB)
  --out FILE     the PNG (digits.png)
  --count N      particles, that is images (100)
  --steps N      steps of the flow (60)
  --batch N      digits that a step looks at, drawn anew for each (6000)
  --from S       noise level of the first step, in units of pixels in [−1, 1] (20)
  --to S         noise level of the last (2)
  --seed N       of all that is drawn (0)
  --engine NAME  what computes: cuda, webgpu, cpu or js (the first that is there)`;

interface Settings {
  count: number;
  steps: number;
  batch: number;
  from: number;
  to: number;
  seed: number;
}

/** The particles' pixels 0…255 at the end, flat [count, 784]. */
async function flow(train: ImageSet, settings: Settings): Promise<Uint8Array> {
  const { count, steps, batch, seed } = settings;
  const dims = train.images.length / train.shape[0];
  const digits = imageBatches(train);
  const start = rng(seed).normal([count, dims]) as tf.Tensor2D;
  const started = performance.now();
  let pixels: Uint8Array = new Uint8Array();
  const target = {
    sample: (random: ReturnType<typeof rng>, n: number) =>
      tf.tidy(() => digits.sample(random, n).reshape([n, dims])),
  };
  const sigmas = annealing({ ...settings, steps });
  for await (const { step, particles } of particleFlow({
    start,
    target,
    sigmas,
    batchSize: batch,
    seed: seed + 1,
  })) {
    if (step === 0) continue;
    showBar(step, steps, "steps", ((performance.now() - started) / 1000 / step) * (steps - step));
    if (step === steps) pixels = toPixels(particles);
  }
  start.dispose();
  return pixels;
}

/** Root of the mean square over pixels, in grey levels: an image's distance divided by √784. */
async function report(
  pixels: Uint8Array,
  { train, test }: { train: ImageSet; test: ImageSet },
): Promise<string> {
  const dims = train.images.length / train.shape[0];
  const n = Math.min(pixels.length / dims, test.shape[0], train.shape[0]);
  const perPixel = (distance: number) => (distance / Math.sqrt(dims)).toFixed(1);
  const first = (images: Uint8Array) => ({ data: images.subarray(0, n * dims), dims });
  const [toUnseen, floor] = [first(pixels), first(train.images)].map((set) => w2(set, first(test.images)));
  const references = rowsOf(train.images, dims);
  const toNearest = async (images: Uint8Array) => {
    const { distances } = await nearest(rowsOf(first(images).data, dims), references);
    return perPixel([...distances].sort((a, b) => a - b)[Math.floor(n / 2)]);
  };
  return [
    `W2 to ${n} test digits ${perPixel(toUnseen)} grey levels per pixel; of ${n} training digits ${perPixel(floor)}`,
    `median distance to the nearest training digit ${await toNearest(pixels)}; of test digits ${await toNearest(test.images)}`,
  ].join("\n");
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2), { values: VALUES, flags: ["help"] as const });
  if (options.flag("help")) return console.log(USAGE);
  const settings: Settings = {
    count: options.wholeNumber("count", 100),
    steps: options.wholeNumber("steps", 60),
    batch: options.wholeNumber("batch", 6000),
    from: options.number("from", 20),
    to: options.number("to", 2),
    seed: options.wholeNumber("seed", 0, 2 ** 31, 0),
  };
  const digits = await mnist({ dir: options.text("data") });
  console.log(`${engine.description}; ${digits.description}`);
  const started = performance.now();
  const pixels = await flow(digits.train, settings);
  const seconds = (performance.now() - started) / 1000;
  const [, height, width, channels] = digits.train.shape;
  const picture = packImages({ shape: [settings.count, height, width, channels], data: pixels });
  const out = options.text("out") ?? "digits.png";
  mkdirSync(dirname(out), { recursive: true });
  writeWhole(out, encodePng(picture.width, picture.height, picture.rgba));
  console.log(`${out}: ${settings.count} particles, ${settings.steps} steps in ${seconds.toFixed(1)} s`);
  console.log(await report(pixels, digits));
}

runMain("flow", main);
