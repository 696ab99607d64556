/**
 * @file `npm run classifier -- [cifar10|mnist] --data DIR [--resume]`: trains the classifier whose features
 * `npm run evaluate` uses, and says how many test images it tells right. `--export FILE` writes its weights in half precision.
 *
 * The run's folder holds the last two checkpoints, and in `metrics.jsonl` the loss of each step and the accuracy after
 * every epoch.
 */
import "./engine";

import { existsSync } from "node:fs";
import { cifar10, type ImageSet, mnist } from "../lib/data";
import { withFolder } from "../lib/data/lock.cjs";
import { type Classifier, classifier, classifierParameterCount } from "../lib/nets";
import { engine } from "../lib/tensor";
import {
  accuracy,
  CLASSIFIER_RUNS,
  type ClassifierConfig,
  type ClassifierTrainer,
  checkpointOf,
  classifierConfig,
  classifierTrainer,
  IMAGE_DATA,
  type ImageData,
  loadCheckpoint,
  resume,
  run,
  saveCheckpoint,
  saveClassifier,
} from "../lib/training";
import { thousands } from "./markdown";
import { type Options, readOptions } from "./options";
import { interruption, runMain, showBar, statusOf } from "./progress";
import { addLine, checkpointPath, keepLines, metricsPath } from "./train/folder";
import { checkTestImages } from "./train/images";

const VALUES = ["data", "epochs", "out", "export", "checkpoint-every"] as const;
const FLAGS = ["resume", "help"] as const;
/** The bar shows the mean loss of so many steps. */
const SHOWN_STEPS = 100;

const USAGE = `npm run classifier -- [${IMAGE_DATA.join("|")}] [options]

  --data DIR            the folder of the data set (cifar10 unless named); without it the set is downloaded once
  --epochs N            passes over the training set (${IMAGE_DATA.map((name) => CLASSIFIER_RUNS[name].epochs).join(", ")}); with --resume, more than the run began with
                        stretch what is left of the fall of the learning rate
  --out DIR             the run's folder (runs/classifier, runs/mnist-classifier)
  --checkpoint-every N  seconds between checkpoints (120)
  --resume              go on from the folder's last checkpoint
  --engine NAME         what computes: cuda, webgpu, cpu or js (the first that is there)
  --export FILE         at the end, write the weights in half precision, with their accuracy`;

type Given = Options<(typeof VALUES)[number], (typeof FLAGS)[number]>;

/** A run with what it writes into. */
interface Run {
  config: ClassifierConfig;
  net: Classifier;
  training: ClassifierTrainer;
  test: ImageSet;
  out: string;
}

const folderOf = (options: Given, data: ImageData): string =>
  options.text("out") ?? `runs/${data === "cifar10" ? "" : `${data}-`}classifier`;

async function prepare(options: Given, data: ImageData, out: string): Promise<Run> {
  const path = checkpointPath(out);
  if (options.flag("resume") && !existsSync(path))
    throw new Error(
      `${out} holds no checkpoint to go on from. Leave --resume out, or name the run's folder with --out.`,
    );
  const from = options.flag("resume") ? loadCheckpoint(path) : null;
  if (!from && existsSync(path))
    throw new Error(`${out} holds a run already. Go on with --resume, or choose another --out.`);
  const began = from ? classifierConfig(from.config, path) : CLASSIFIER_RUNS[data];
  if (began.data !== data)
    throw new Error(`${out} is a run on ${began.data}. Write: npm run classifier -- ${began.data} …`);
  const epochs = options.wholeNumber("epochs", began.epochs);
  if (from && epochs < began.epochs)
    throw new Error(`${out} is a run of ${began.epochs} epochs. Ask for as many with --epochs, or for more.`);
  const config = { ...began, epochs };
  const load = data === "mnist" ? mnist : cifar10;
  const { train, test, description } = await load({ dir: options.text("data") });
  checkTestImages({ test }, 1);
  const net = classifier(config.net, config.seed);
  const training = classifierTrainer({ ...config, net, data: train });
  if (from) resume(training, from);
  console.log(`${description}\n${engine.description}`);
  console.log(`${thousands(classifierParameterCount(config.net))} weights, ${training.steps} steps`);
  return { config, net, training, test, out };
}

/** Trains to the end, or until it is interrupted, which it returns. */
async function train(
  { config, net, training, test, out }: Run,
  saveSeconds: number,
): Promise<NodeJS.Signals | undefined> {
  const note = (line: { step: number; [name: string]: number }) => addLine(metricsPath(out), line);
  keepLines(metricsPath(out), training.done);
  const save = () => saveCheckpoint(checkpointPath(out), checkpointOf(training, config));
  const signal = interruption("finishing this step and saving");
  const stepsPerEpoch = training.steps / config.epochs;
  let saved = performance.now();
  let losses: number[] = [];
  let shown = 0;
  for await (const { step, loss, secondsLeft } of run(training, { until: training.steps, signal })) {
    note({ step, loss });
    losses.push(loss);
    if (step % SHOWN_STEPS === 0) {
      shown = losses.reduce((sum, value) => sum + value, 0) / losses.length;
      losses = [];
    }
    showBar(step, training.steps, `loss ${shown.toFixed(3)}`, secondsLeft);
    if (step % stepsPerEpoch === 0)
      note({ step, epoch: step / stepsPerEpoch, accuracy: await accuracy(net, test) });
    if (performance.now() - saved < 1000 * saveSeconds) continue;
    save();
    saved = performance.now();
  }
  save();
  return training.done < training.steps ? signal.reason : undefined;
}

runMain("classifier", async () => {
  const [first, ...rest] = process.argv.slice(2);
  const named = IMAGE_DATA.find((name) => name === first);
  const options = readOptions(named ? rest : process.argv.slice(2), { values: VALUES, flags: FLAGS });
  if (options.flag("help")) return console.log(USAGE);
  const data = named ?? "cifar10";
  const out = folderOf(options, data);
  await withFolder(out, async () => {
    const prepared = await prepare(options, data, out);
    const { net, training, test, config } = prepared;
    const stopped = await train(prepared, options.wholeNumber("checkpoint-every", 120));
    if (stopped) {
      console.log(`stopped after ${training.done} of ${training.steps} steps; --resume goes on`);
      process.exitCode = statusOf(stopped);
      return;
    }
    const right = await accuracy(net, test);
    console.log(
      `${training.done} steps; of ${test.shape[0]} test images ${(100 * right).toFixed(2)} % right`,
    );
    const path = options.text("export");
    if (path)
      console.log(`${path}: ${await saveClassifier(path, net, { config, step: training.done, test })}`);
  });
});
