/**
 * @file `npm run train -- cifar10 --data DIR [--config FILE] [--steps N] [--resume]`: trains a U-Net on images.
 *
 * The run's folder (`train/folder.ts`) holds its configuration, the loss of each step, and the last two checkpoints.
 * Interrupted, it writes a checkpoint and ends; `--resume` goes on with the same numbers.
 */
import "./engine";

import { existsSync } from "node:fs";
import { type DownloadProgress, type ImageSet, imageBatches } from "../lib/data";
import { withFolder } from "../lib/data/lock.cjs";
import { parameterCount } from "../lib/nets";
import { engine, type Rng } from "../lib/tensor";
import {
  buildRun,
  checkpointOf,
  type RunConfig,
  resume,
  run,
  saveCheckpoint,
  type Trainer,
  trainer,
} from "../lib/training";
import { thousands } from "./markdown";
import { interruption, runMain, showBar, showLine, showNote, statusOf } from "./progress";
import { addMetric, checkpointPath, openFolder, readMetrics } from "./train/folder";
import { loadImages, markOf } from "./train/images";
import { learningWatch } from "./train/learning";
import { parseArguments, type Request, requestOf, USAGE } from "./train/request";

/** The trainer at its first or next step. */
function prepare({ config, from }: Request, train: ImageSet): Trainer {
  console.log(`${thousands(parameterCount(config.net))} weights, ${describe(config)}`);
  const { net, schedule } = buildRun(config);
  const batches = imageBatches(train);
  const { flip, decaySteps } = config;
  const data = {
    recordable: batches.recordable,
    sample: (source: Rng, count: number) => batches.sample(source, count, { flip }),
    sampleLabelled: (source: Rng, count: number) => batches.sampleLabelled(source, count, { flip }),
  };
  const training = trainer({ ...config, decaySteps: decaySteps ?? undefined, net, schedule, data });
  if (from) resume(training, from);
  return training;
}

const describe = ({ parameterization, weighting, schedule, batchSize, seed }: RunConfig) =>
  `predicting ${parameterization}, weighting ${weighting}, ${schedule} schedule, batch ${batchSize}, seed ${seed}`;

function showDownload({ received, total }: DownloadProgress): void {
  const of = total ? ` of ${(total / 1e6).toFixed(0)}` : "";
  showLine(`downloading: ${(received / 1e6).toFixed(0)}${of} MB`, received === total);
}

/** Mean loss of the last steps, weighed towards the newest. */
function smoothed(): (loss: number) => number {
  let mean = 0;
  let weight = 0;
  return (loss) => {
    mean += 0.02 * (loss - mean);
    weight += 0.02 * (1 - weight);
    return mean / weight;
  };
}

async function trainUntil(training: Trainer, { out, config, checkpointSeconds }: Request): Promise<void> {
  const path = checkpointPath(out);
  const save = () => saveCheckpoint(path, checkpointOf(training, config));
  const signal = interruption("finishing this step and saving");
  const average = smoothed();
  const doubt = learningWatch(readMetrics(out).map(({ loss }) => loss));
  let saved = performance.now();
  let last = saved;
  try {
    for await (const progress of run(training, { until: config.steps, signal })) {
      const { step, loss } = progress;
      const now = performance.now();
      addMetric(out, { step, loss, seconds: (now - last) / 1000 });
      last = now;
      const rate = `${progress.examplesPerSecond.toFixed(1)} images/s`;
      showBar(step, config.steps, `loss ${average(loss).toFixed(4)}  ${rate}`, progress.secondsLeft);
      const doubted = doubt(loss);
      if (doubted) showNote(doubted);
      if (now - saved < 1000 * checkpointSeconds) continue;
      save();
      saved = performance.now();
    }
    save();
  } catch (error) {
    const kept = existsSync(path)
      ? `--resume goes on from the last checkpoint, ${path}.`
      : "No checkpoint was written yet.";
    throw new Error(`${(error as Error).message} ${kept}`, { cause: error });
  }
  console.log(`\n${training.done} steps; checkpoint: ${path}`);
  // Whoever stops a run, a scheduler or the line `train && export`, must not take it for finished.
  if (signal.aborted && training.done < config.steps) process.exitCode = statusOf(signal.reason);
}

async function main(): Promise<void> {
  const asked = parseArguments(process.argv.slice(2));
  if (asked === "help") return console.log(USAGE);
  await withFolder(asked.out, async () => {
    const request = requestOf(asked); // once nobody else writes there
    const { dir, out, from, config } = request;
    if (from && from.step >= config.steps)
      return console.log(`${out} has taken ${from.step} steps already. Ask for more with --steps.`);
    const { train, description } = await loadImages(config, { dir, onProgress: showDownload });
    console.log(`${description}\n${engine.description}`);
    const training = prepare(request, train);
    openFolder(out, config, from?.step ?? 0, markOf(train));
    await trainUntil(training, request);
  });
}

runMain("train", main);
