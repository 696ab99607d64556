/**
 * @file `npm run export -- --run DIR --out FOLDER`: of a training run, what is shipped: the averaged weights in half
 * precision (`model.safetensors`), the configuration (`config.json`), the loss over the steps (`curve.json`), and how
 * it was made (`about.json`).
 */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { parameterCount } from "../lib/nets";
import {
  type AboutModel,
  type Checkpoint,
  type Curve,
  loadCheckpoint,
  type RunConfig,
  runConfig,
  saveAverages,
  writeWhole,
} from "../lib/training";
import { fileMark } from "../lib/training/mark";
import { thousands } from "./markdown";
import { readOptions } from "./options";
import { runMain } from "./progress";
import { checkpointPath, type Metric, readMetrics, readStarts } from "./train/folder";

const USAGE = `npm run export -- --run DIR --out FOLDER [options]

  --run DIR       the folder of npm run train
  --out FOLDER    gets model.safetensors, config.json, curve.json and about.json
  --points N      points of the curve (200)`;

/** At most `points` points of a run's metrics. Throws where there are none. */
export function curveOf(metrics: readonly Metric[], points: number): Curve {
  if (metrics.length === 0) throw new Error("curveOf: got no metrics, expected a line for each step.");
  const curve: Curve = { step: [], loss: [], hours: [] };
  const size = Math.ceil(metrics.length / points);
  let hours = 0;
  for (let from = 0; from < metrics.length; from += size) {
    const part = metrics.slice(from, from + size);
    hours += part.reduce((sum, { seconds }) => sum + seconds, 0) / 3600;
    curve.step.push(part[part.length - 1].step);
    curve.loss.push(rounded(part.reduce((sum, { loss }) => sum + loss, 0) / part.length));
    curve.hours.push(rounded(hours));
  }
  return curve;
}

const rounded = (value: number): number => Number(value.toPrecision(5));

/** How a checkpoint was made, for people and for the lessons. */
function aboutOf(
  run: string,
  config: RunConfig,
  { step }: Checkpoint,
  curve: Curve,
  path: string,
): AboutModel {
  return {
    command: `npm run train -- ${config.data} --config config.json --steps ${step}`,
    steps: step,
    hours: curve.hours[curve.hours.length - 1],
    images: step * config.batchSize,
    weights: parameterCount(config.net),
    bytes: statSync(path).size,
    mark: fileMark(path),
    loss: curve.loss[curve.loss.length - 1],
    starts: readStarts(run).filter((start) => start.step < step), // a later one is of none of these weights
  };
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2), {
    values: ["run", "out", "points"] as const,
    flags: ["help"] as const,
  });
  if (options.flag("help")) return console.log(USAGE);
  const [run, out] = [options.text("run"), options.text("out")];
  if (!run || !existsSync(checkpointPath(run)))
    throw new Error(`--run is "${run}", expected a folder that npm run train wrote a checkpoint into.`);
  if (!out) throw new Error("--out is missing, expected a folder, such as assets/mnist.");
  const checkpoint = loadCheckpoint(checkpointPath(run));
  const config = runConfig(checkpoint.config, run);
  const metrics = readMetrics(run).filter(({ step }) => step <= checkpoint.step);
  const curve = curveOf(metrics, options.wholeNumber("points", 200));
  const path = join(out, "model.safetensors");
  saveAverages(path, { ...checkpoint, config: { ...config, steps: checkpoint.step } });
  const about = aboutOf(run, config, checkpoint, curve, path);
  writeWhole(join(out, "config.json"), `${JSON.stringify({ ...config, steps: checkpoint.step }, null, 2)}\n`);
  writeWhole(join(out, "curve.json"), `${JSON.stringify(curve)}\n`);
  writeWhole(join(out, "about.json"), `${JSON.stringify(about, null, 2)}\n`); // the last: what names the weights
  console.log(
    `${out}: ${step(checkpoint)}, ${(about.bytes / 1e6).toFixed(2)} MB, ${about.hours} hours of training`,
  );
}

const step = (checkpoint: Checkpoint) => `${thousands(checkpoint.step)} steps`;

if (require.main === module) runMain("export", main);
