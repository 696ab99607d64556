/**
 * @file `npm run evaluate -- --checkpoint FILE --data DIR`: bits per dimension on test images, and how samples compare
 * with real images: a Fréchet distance with its floor, KID, precision and recall, nearest training images.
 *
 * Everything goes batch by batch into a folder; stopped or killed, the same command goes on from there.
 */
import "./engine";

import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { withFolder } from "../lib/data/lock.cjs";
import { bitsSummary, type Evaluation, type Rows, rowsOf } from "../lib/metrics";
import { engine } from "../lib/tensor";
import { classifierPath, imageShape, openModel, type TrainedModel, writeWhole } from "../lib/training";
import { fileMark, mark } from "../lib/training/mark";
import { openExtractor } from "./evaluate/extractor";
import { MEASURES, reportLines, sampleMeasures } from "./evaluate/report";
import { inTurn, parseRequest, type Request, USAGE } from "./evaluate/request";
import {
  findOneByOne,
  measureBits,
  measureFeatures,
  measureSamples,
  Stopped,
  type Watch,
} from "./evaluate/stages";
import { openStore } from "./evaluate/store";
import { interruption, runMain, showBar } from "./progress";
import { planOf, refuseClasses } from "./sample/request";
import { checkTestImages, loadImages, markOf } from "./train/images";

/** Shows each stage's bar, the time left from this start's own pace. */
function watchStages(): Watch {
  const began = new Map<string, { at: number; done: number }>();
  return {
    signal: interruption("finishing this batch; the same command goes on from here"),
    show(stage, done, total) {
      const start = began.get(stage) ?? { at: performance.now(), done };
      began.set(stage, start);
      const pace = (performance.now() - start.at) / 1000 / Math.max(1, done - start.done);
      showBar(done, total, stage, pace * (total - done));
    },
  };
}

/** How far samples are pushed towards their classes; undefined for a model that was told none. */
function guidanceFor({ options }: Request, { net }: TrainedModel): number | undefined {
  if (net.classes) return options.number("guidance", 1);
  refuseClasses(options, ["guidance"]);
  return undefined;
}

/** The model of a checkpoint and the mark of just that file. Throws where a run replaced it meanwhile. */
function openWhole(path: string): { trained: TrainedModel; mark: string } {
  const before = fileMark(path);
  const trained = openModel(path);
  if (fileMark(path) === before) return { trained, mark: before };
  throw new Error(`${path} was replaced while it was read, by a run in training? Start again.`);
}

/** The sampler in words, with what makes it another. */
function samplerName(
  { options }: Request,
  { config }: TrainedModel,
  steps: number,
  guidance?: number,
): string {
  const name = options.text("sampler") ?? "ddim";
  const eta = options.number("eta", 0);
  return [
    `${name}, ${steps} steps`,
    ...(eta > 0 ? [`eta ${eta}`] : []),
    ...(name === "ancestral" ? [`variance ${options.text("variance") ?? config.variance}`] : []),
    ...(guidance === undefined ? [] : [inTurn(guidance)]),
  ].join(", ");
}

async function evaluate(request: Request): Promise<Evaluation> {
  const { options, seed, n, rows, draws, clip } = request;
  const { trained, mark: checkpoint } = openWhole(request.checkpoint);
  const { config, model, step } = trained;
  if (step !== (request.trainedSteps ?? step))
    throw new Error(
      `${request.checkpoint} has ${step} steps of training behind it, expected ${request.trainedSteps}. Train it on with --resume, or give its own number.`,
    );
  const { train, test, description } = await loadImages(config, { dir: request.data });
  checkTestImages({ test }, Math.max(4, request.k + 1));
  const shape = imageShape(config);
  const path = request.classifier ?? classifierPath(config.data);
  const extractor = openExtractor(path, shape);
  const extractorMark = fileMark(path);
  const T = config.numSteps;
  const plan = planOf(options, config, model.schedule);
  const parts = options.wholeNumber("parts", Math.min(50, T - 1), T - 1, Math.min(1, T - 1));
  const images = Math.min(request.bitsImages, test.shape[0]);
  const reference = Math.min(request.reference ?? train.shape[0], train.shape[0]);
  if (request.k >= Math.min(n, reference))
    throw new Error(
      `--k is ${request.k}, expected less than the ${Math.min(n, reference)} images of --n and --reference.`,
    );
  const guidance = guidanceFor(request, trained);
  if (!request.json) console.log(`${description}\n${engine.description}`);

  const imagesMark = markOf(train, test);
  const store = openStore(request.out, {
    checkpoint,
    data: `${config.data}, ${train.shape[0]} and ${test.shape[0]} images of mark ${imagesMark}`,
    plan: mark(JSON.stringify(plan)),
    ...{ n, seed, rows, draws, parts, images, reference, clip },
    ...(guidance !== undefined && { guidance }),
  });
  const watch = watchStages();
  const bits = await measureBits(store, model, test, { images, parts, draws, rows, seed, clip }, watch);
  const samples = await measureSamples(store, trained, { count: n, plan, seed, shape, guidance }, watch);
  const pixelsOf = (set: typeof train) => rowsOf(set.images, set.images.length / set.shape[0]);
  const features = (stage: string, pixels: Rows, count: number, shared?: string) =>
    measureFeatures(store, `${stage}-${extractorMark}`, extractor, pixels, { count, shape, shared }, watch);
  const ofReal = (stage: string, set: typeof train, count: number) => {
    const name = `${stage}-${count}-${extractorMark}-${imagesMark}.bin`;
    return features(stage, pixelsOf(set), count, join(request.features, name));
  };
  const measured = {
    sampleFeatures: await features("sample-features", samples, n),
    referenceFeatures: await ofReal("reference-features", train, reference),
    realFeatures: await ofReal("real-features", test, Math.min(n, test.shape[0])),
    samples,
    train: pixelsOf(train),
    extractor: extractor.name,
    reference: `${config.data} train ${reference}`,
    k: request.k,
    neighbours: request.neighbours,
  };
  const keep = findOneByOne(store, extractorMark, MEASURES, watch);
  return {
    checkpoint: request.checkpoint,
    mark: checkpoint,
    step,
    seed,
    rows,
    sampler: samplerName(request, trained, plan.length, guidance),
    bits: { ...(await bitsSummary(bits, T)), draws, clip, withoutClass: guidance !== undefined },
    samples: await sampleMeasures(measured, keep),
    seconds: store.seconds(),
    peakMemoryMB: (process.resourceUsage().maxRSS * 1024) / 1e6,
  };
}

async function writeReport(request: Request): Promise<void> {
  if (request.report) mkdirSync(dirname(request.report), { recursive: true }); // now, not after hours
  const report = await evaluate(request);
  console.log(request.json ? JSON.stringify(report) : `\n${reportLines(report).join("\n")}`);
  for (const path of [join(request.out, "report.json"), ...(request.report ? [request.report] : [])])
    writeWhole(path, `${JSON.stringify(report, null, 2)}\n`);
}

runMain("evaluate", async () => {
  const request = parseRequest(process.argv.slice(2));
  if (request === "help") return console.log(USAGE);
  try {
    await withFolder(request.out, () => writeReport(request));
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
    console.error(`stopped in ${error.message}; the same command goes on from there`);
    process.exitCode = 130;
  }
});
