/**
 * @file `npm run sample -- --checkpoint FILE --count 64 --out grid.png`: draws images from a trained checkpoint, with
 * its averaged weights, as one PNG.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { toPixels } from "../lib/data";
import { ancestralPlan, ddimPlan, evenSteps, type Model, type Plan, sample } from "../lib/diffusion";
import { imageGrid } from "../lib/notebook/figures";
import { compile, engine, rng, type tf } from "../lib/tensor";
import { loadCheckpoint, loadWeights } from "../lib/training";
import { type Options, readOptions } from "./options";
import { build, checkedConfig, wholeFrom0 } from "./train/config";

const VALUES = ["checkpoint", "count", "out", "steps", "sampler", "seed"] as const;
const SAMPLERS = ["ddim", "ancestral"] as const;

const USAGE = `npm run sample -- --checkpoint FILE [options]

  --count N      images (64)
  --out FILE     the PNG (samples.png)
  --sampler S    ${SAMPLERS.join(", ")} (ddim)
  --steps N      steps of the sampler, 1…T (50)
  --seed N       of the noise (0)`;

/** The images, [N, H, W, C] in [−1, 1]. The caller disposes. */
async function draw(options: Options<(typeof VALUES)[number], "help">, path: string): Promise<tf.Tensor4D> {
  const checkpoint = loadCheckpoint(path);
  const config = checkedConfig(checkpoint.config, path);
  const { schedule, net } = build(config);
  loadWeights(net.variables, checkpoint);
  if (config.net.kind !== "unet") throw new Error(`${path} is of a net for points, expected one for images.`);
  const { imageSize = 32, imageChannels = 3 } = config.net;
  const count = options.wholeNumber("count", 64);
  const numSteps = options.wholeNumber("steps", Math.min(50, schedule.numSteps), schedule.numSteps);
  const steps = evenSteps(schedule.numSteps, numSteps);
  const plan: Plan =
    options.oneOf("sampler", SAMPLERS, "ddim") === "ddim"
      ? ddimPlan(schedule, { steps })
      : ancestralPlan(schedule, { steps });
  const model: Model = {
    schedule,
    predict: compile(net.apply),
    parameterization: config.parameterization,
    variance: "beta",
  };
  console.log(`${engine.description}; ${path}: step ${checkpoint.step}, ${count} images, ${numSteps} steps`);
  const images = await sample(model, [count, imageSize, imageSize, imageChannels], {
    rng: rng(wholeFrom0("seed", options.text("seed"))),
    plan,
    clip: [-1, 1],
    onProgress: (done, total) => process.stderr.write(`\r${done}/${total}`),
  });
  process.stderr.write("\n");
  net.dispose();
  return images as tf.Tensor4D;
}

/** A grid of images [N, H, W, C] as the bytes of a PNG. */
function gridPng(images: tf.Tensor4D): Buffer {
  const { layout } = imageGrid({ shape: images.shape, data: toPixels(images) });
  const source = String(layout.images?.[0].source); // the figure is one PNG under empty axes
  return Buffer.from(source.slice(source.indexOf(",") + 1), "base64");
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2), { values: VALUES, flags: ["help"] as const });
  if (options.flag("help")) return console.log(USAGE);
  const path = options.text("checkpoint");
  if (!path) throw new Error("--checkpoint is missing, expected a file that npm run train wrote.");
  const out = options.text("out") ?? "samples.png";
  const start = performance.now();
  const images = await draw(options, path);
  const png = gridPng(images);
  mkdirSync(dirname(out), { recursive: true });
  writeFileSync(out, png);
  console.log(`${out} in ${((performance.now() - start) / 1000).toFixed(1)} s`);
}

main().catch((error: Error) => {
  process.stderr.write(`sample: ${error.message}\n`);
  process.exitCode = 1;
});
