/**
 * @file `npm run train -- cifar10 --data DIR [--steps N] [--resume]`: trains a U-Net on images.
 *
 * The run's folder holds its configuration, the loss of each step as JSON lines, and the last two checkpoints.
 * Interrupted, it writes a checkpoint and ends; `--resume` goes on with the same numbers.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cifar10, imageBatches } from "../lib/data";
import { parameterCount } from "../lib/nets";
import { engine } from "../lib/tensor";
import {
  checkpointOf,
  resume,
  run,
  saveCheckpoint,
  type Trainer,
  type TrainingProgress,
  trainer,
} from "../lib/training";
import { build, type RunConfig } from "./train/config";
import { checkpointPath, parseRequest, type Request, USAGE } from "./train/request";

/** Resolves to the trainer at its first or next step. */
async function prepare({ dir, config, from }: Request): Promise<Trainer> {
  const { train, description } = await cifar10({ dir, onProgress: showDownload });
  console.log(`${description}\n${engine.description}`);
  console.log(`${parameterCount(config.net).toLocaleString("en")} weights, ${describe(config)}`);
  const { net, schedule } = build(config);
  const batches = imageBatches(train);
  const { flip } = config;
  const data = {
    sample: (source: Parameters<typeof batches.sample>[0], count: number) =>
      batches.sample(source, count, { flip }),
  };
  const training = trainer({ ...config, net, schedule, data });
  if (from) resume(training, from);
  return training;
}

const describe = ({ parameterization, weighting, schedule, batchSize, seed }: RunConfig) =>
  `predicting ${parameterization}, weighting ${weighting}, ${schedule} schedule, batch ${batchSize}, seed ${seed}`;

const isTerminal = process.stderr.isTTY === true;

/** Writes over the present line of a terminal; elsewhere a line now and then. */
const showLine = (() => {
  let shown = 0;
  return (text: string, last = false) => {
    if (isTerminal) process.stderr.write(`\r\x1b[K${text}${last ? "\n" : ""}`);
    else if (last || performance.now() - shown > 30_000) {
      shown = performance.now();
      process.stderr.write(`${text}\n`);
    }
  };
})();

function showDownload({ received, total }: { received: number; total?: number | null }): void {
  const of = total ? ` of ${(total / 1e6).toFixed(0)}` : "";
  showLine(`downloading: ${(received / 1e6).toFixed(0)}${of} MB`, received === total);
}

function showProgress({ step, loss, examplesPerSecond, secondsLeft }: TrainingProgress, steps: number): void {
  const minutes = Math.floor(secondsLeft / 60);
  const left = `${minutes}:${String(Math.floor(secondsLeft % 60)).padStart(2, "0")}`;
  const done = "█".repeat(Math.round((20 * step) / steps)).padEnd(20, "·");
  showLine(
    `${done} ${step}/${steps}  loss ${loss.toFixed(4)}  ${examplesPerSecond.toFixed(1)} images/s  ${left} left`,
    step === steps,
  );
}

/** Aborts at the first interruption; a second one ends the program at once. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  const stop = (signal: NodeJS.Signals) => {
    if (controller.signal.aborted) process.exit(signal === "SIGINT" ? 130 : 143);
    process.stderr.write("\nfinishing this step and saving; once more to quit at once\n");
    controller.abort();
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  return controller.signal;
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

async function trainUntil(training: Trainer, request: Request): Promise<void> {
  const { out, steps, config, checkpointSeconds } = request;
  const path = checkpointPath(out);
  const save = () => saveCheckpoint(path, checkpointOf(training, config));
  const signal = interruption();
  const average = smoothed();
  let saved = performance.now();
  try {
    for await (const progress of run(training, { until: steps, signal })) {
      const { step, loss, examplesPerSecond } = progress;
      const line = { step, loss, seconds: config.batchSize / examplesPerSecond };
      appendFileSync(join(out, "metrics.jsonl"), `${JSON.stringify(line)}\n`);
      showProgress({ ...progress, loss: average(loss) }, steps);
      if (performance.now() - saved < 1000 * checkpointSeconds) continue;
      save();
      saved = performance.now();
    }
  } catch (error) {
    const last = existsSync(path) ? `The last checkpoint is ${path}.` : "No checkpoint was written yet.";
    throw new Error(`${(error as Error).message} ${last}`, { cause: error });
  }
  save();
  console.log(`\n${training.done} steps; checkpoint: ${path}`);
}

/** Leaves out the steps after the checkpoint, which are taken again. */
function cutMetrics(out: string, step: number): void {
  const path = join(out, "metrics.jsonl");
  if (!existsSync(path)) return;
  const lines = readFileSync(path, "utf8").split("\n");
  const isKept = (line: string) => {
    try {
      return JSON.parse(line).step <= step;
    } catch {
      return false; // a line cut short when the run was killed
    }
  };
  const kept = lines.filter(isKept);
  writeFileSync(path, kept.map((line) => `${line}\n`).join(""));
}

async function main(): Promise<void> {
  const request = parseRequest(process.argv.slice(2));
  if (request === "help") return console.log(USAGE);
  const { out, from, config } = request;
  const training = await prepare(request);
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, "config.json"), `${JSON.stringify(config, null, 2)}\n`);
  cutMetrics(out, from?.step ?? 0);
  await trainUntil(training, request);
}

main().catch((error: Error) => {
  process.stderr.write(`train: ${error.message.replace(/^train: /, "")}\n`);
  process.exitCode = 1;
});
