/**
 * @file The experiment of lesson 04 and of `npm run compare`: what a network predicts × how its loss is weighted × seed,
 * on data in the plane. The cells of a seed see the same data, t and noise, start from the same weights and are judged
 * on the same points: what differs is the cell's own doing.
 *
 * In some coordinates the bound's weights span ten orders of magnitude. What makes every cell train all the same, and
 * leaves the optimum of its loss where it is:
 * - the network's input is scaled, so that its first layer is not linear at the beginning (`INPUT_GAIN`);
 * - the network's output is nowhere much larger than 1: the mean and the score are read in units of their own (`readOut`);
 * - half of the t are uniform, half follow β_t/(1−ᾱ_t), the shape of the bound's weight on ε, each value corrected for
 *   its t's probability: the corrected weight on ε is then nowhere much above twice its mean (`comparisonSteps`);
 * - the loss is divided by the untrained network's, and its gradient clipped at norm 1;
 * - the learning rate falls to 0 along a cosine, and the average of the weights is what is judged.
 */
import { TOYS, type Toy, type ToyName, toy } from "../data";
import {
  linearSchedule,
  type Model,
  PARAMETERIZATIONS,
  type Parameterization,
  type Predict,
  type Schedule,
  sample,
} from "../diffusion";
import {
  type BoundEstimate,
  estimate,
  evaluateBound,
  importanceSteps,
  lossWeights,
  mixture,
  optimalPredict,
  type StepSampler,
  WEIGHTINGS,
  type WeightingName,
  weightedLoss,
} from "../elbo";
import { type W2WithFloor, w2WithFloor } from "../metrics";
import { mlp } from "../nets";
import { compile, rng, tf } from "../tensor";
import { readOut } from "./readout";
import { type Trainer, trainer } from "./trainer";

/** One training of the grid. */
export interface ComparisonCell {
  parameterization: Parameterization;
  weighting: WeightingName;
  seed: number;
}

export interface ComparisonSettings {
  data: ToyName;
  /** Steps of training. */
  steps: number;
  /** Points in each batch; default 256. */
  batch?: number;
  /** Units in each of the network's three hidden layers; default 128. */
  hidden?: number;
  /** At the first step; it falls to 0. Default 0.01. */
  learningRate?: number;
  /** Points that the bound is averaged over, and in each set of the exact W2; default 1000. */
  points?: number;
}

/** A row of the comparison's table: a cell and what it came to. Numbers are NaN where training diverged. */
export interface ComparisonRow extends ComparisonCell {
  steps: number;
  /** Nats per dimension, mean over `points` examples that were not trained on. */
  bound: number;
  /** Over examples; the cells of a seed share the examples, so that their differences are known better than this. */
  boundStandardError: number;
  /** Exact W2 between as many samples as data. */
  w2: number;
  /** The same between data and data. */
  w2Floor: number;
  /** Training and judging. */
  seconds: number;
}

/** The training loss at some of the steps, in units of the untrained network's. */
export interface LossCurve {
  step: number[];
  loss: number[];
}

/** A row with what its figures are drawn from. */
export interface ComparisonResult extends ComparisonRow {
  curve: LossCurve;
  /** The terms of the bound in nats per dimension: entry 0 is L_0, entry t is L_t, the last one L_T. */
  terms: number[];
  /** Row-major [points, 2]. */
  samples: number[];
}

/** The schedule and the variance of every cell. */
const SCHEDULE: Schedule = linearSchedule();
const VARIANCE = "beta";
const EMA_DECAY = 0.99;
/** Without it the v of data that have no direction of their own, which has no linear part to start from, is learned late or not at all. */
const INPUT_GAIN = 4;
/** The loss is noted, and control given back to the event loop, once in so many steps. */
const READ_EVERY = 10;

/** Independent streams of random numbers of one seed; far above the seeds that a trainer makes of its own, 2s and 2s + 1. */
const STREAMS = ["weights", "untrained", "data", "noise", "samples", "distance"] as const;
const streamSeed = (seed: number, stream: (typeof STREAMS)[number]): number =>
  2 ** 40 + seed * STREAMS.length + STREAMS.indexOf(stream);

/** The grid's cells, seeds 0…seeds−1 outermost, so that an interrupted comparison is one of fewer seeds. Throws on an unknown name. */
export function comparisonCells(grid: {
  parameterizations: readonly Parameterization[];
  weightings: readonly WeightingName[];
  seeds: number;
}): ComparisonCell[] {
  const { parameterizations, weightings, seeds } = grid;
  checkNames("parameterization", parameterizations, PARAMETERIZATIONS);
  checkNames("weighting", weightings, WEIGHTINGS);
  checkCount("comparisonCells", "seeds", seeds);
  return Array.from({ length: seeds }, (_, seed) =>
    weightings.flatMap((weighting) =>
      parameterizations.map((parameterization) => ({ parameterization, weighting, seed })),
    ),
  ).flat();
}

/** t as every cell draws it: with equal chances uniform on 1…T, or with probability ∝ β_t/(1−ᾱ_t). */
export function comparisonSteps({ numSteps, betaVar, oneMinusAlphaBar }: Schedule): StepSampler {
  const shape = betaVar.map((beta, t) => (t === 0 ? 0 : beta / oneMinusAlphaBar[t]));
  const sum = shape.reduce((total, value) => total + value, 0);
  return importanceSteps(shape.map((value, t) => (t === 0 ? 0 : 0.5 / numSteps + (0.5 * value) / sum)));
}

/** A trained network with its loss. */
export interface TrainedCell {
  /** Its average weights. */
  model: Model;
  curve: LossCurve;
  /** The step at which the loss was no longer finite. */
  divergedAt?: number;
  dispose(): void;
}

/** Trains one cell; `onStep` hears of the loss, in units of the untrained network's, once in ten steps. The caller disposes. */
export async function trainCell(
  cell: ComparisonCell,
  settings: ComparisonSettings,
  onStep?: (step: number, loss: number) => void,
): Promise<TrainedCell> {
  checkSettings("trainCell", settings);
  const training = trainerOf(cell, settings);
  const curve: LossCurve = { step: [], loss: [] };
  let divergedAt: number | undefined;
  while (training.done < settings.steps && divergedAt === undefined) {
    const loss = await training.step();
    const step = training.done;
    if (!Number.isFinite(loss)) divergedAt = step;
    if (step % READ_EVERY !== 0 && step !== settings.steps) continue;
    curve.step.push(step);
    curve.loss.push(loss);
    onStep?.(step, loss);
    await tf.nextFrame();
  }
  training.keepAverages();
  training.dispose();
  return { model: training.model, curve, divergedAt, dispose: training.net.dispose };
}

function trainerOf(cell: ComparisonCell, settings: ComparisonSettings): Trainer {
  const { parameterization, weighting, seed } = cell;
  const { data, steps, batch, hidden = 128, learningRate = 0.01 } = settings;
  const net = mlp({ hidden, inputGain: INPUT_GAIN, seed: streamSeed(seed, "weights") });
  const apply = readOut({ schedule: SCHEDULE, parameterization, variance: VARIANCE }, net.apply);
  const weights = lossWeights(SCHEDULE, { parameterization, weighting, variance: VARIANCE });
  const untrained = untrainedLoss(modelOf(apply, parameterization), weights, data, seed);
  return trainer({
    net: { ...net, apply },
    schedule: SCHEDULE,
    data: toy(data),
    parameterization,
    weighting: (t) => weights[t] / untrained,
    variance: VARIANCE,
    drawSteps: comparisonSteps(SCHEDULE),
    batchSize: batch,
    learningRate,
    decaySteps: steps,
    emaDecay: EMA_DECAY,
    seed,
  });
}

function modelOf(predict: Predict, parameterization: Parameterization): Model {
  return { schedule: SCHEDULE, predict, parameterization, variance: VARIANCE };
}

/** The loss per dimension before any training. */
function untrainedLoss(model: Model, weights: Float64Array, data: ToyName, seed: number): number {
  const loss = tf.tidy(() => {
    const random = rng(streamSeed(seed, "untrained"));
    const x0 = toy(data).sample(random, 8192);
    const { t, correction } = comparisonSteps(SCHEDULE)(8192, random);
    return weightedLoss(model, x0, t, random.normal(x0.shape), weights).mul(correction).mean().dataSync()[0];
  });
  return loss / 2;
}

/** How good a model is. */
export interface Judgement {
  bound: BoundEstimate;
  /** Row-major [points, 2]. */
  samples: Float32Array;
  distance: W2WithFloor;
}

/**
 * The bound and exact W2 of a model on fresh data of a seed. For sampling, each x̂_0 is clipped to the data's range as
 * DDPM's authors do: away from the data a network is not trained, a walker may leave for good, and a distance between
 * finite sets is then that one walker. The bound is not clipped. The same seed judges every model by the same numbers.
 */
export async function judge(
  model: Model,
  { data, points = 1000 }: Pick<ComparisonSettings, "data" | "points">,
  seed: number,
): Promise<Judgement> {
  checkCount("judge", "points", points);
  const source = toy(data);
  const predict = compile((xt: tf.Tensor, t: tf.Tensor1D) => model.predict(xt, t)) as Predict;
  const compiled = { ...model, predict };
  const x0 = source.sample(rng(streamSeed(seed, "data")), points);
  const reach = Math.max(...x0.dataSync().map(Math.abs));
  const bound = await evaluateBound(compiled, x0, {
    rng: rng(streamSeed(seed, "noise")),
    rowsPerCall: 16384,
  });
  const drawn = await sample(compiled, [points, 2], {
    rng: rng(streamSeed(seed, "samples")),
    clip: [-reach, reach],
  });
  const samples = Float32Array.from(await drawn.data());
  tf.dispose([x0, drawn]);
  const distanceSeed = streamSeed(seed, "distance");
  const drawData = (count: number, draw: number) => source.sample(rng(distanceSeed, draw), count);
  return { bound, samples, distance: w2WithFloor({ data: samples, dims: 2 }, drawData, { repeats: 2 }) };
}

/** Trains and judges one cell. */
export async function compareCell(
  cell: ComparisonCell,
  settings: ComparisonSettings,
  onStep?: (step: number, loss: number) => void,
): Promise<ComparisonResult> {
  const start = performance.now();
  const { model, curve, divergedAt, dispose } = await trainCell(cell, settings, onStep);
  const found = divergedAt === undefined ? resultOf(await judge(model, settings, cell.seed)) : DIVERGED;
  dispose();
  const seconds = (performance.now() - start) / 1000;
  return { ...cell, steps: settings.steps, ...found, seconds, curve };
}

type Found = Omit<ComparisonResult, keyof ComparisonCell | "steps" | "seconds" | "curve">;

const DIVERGED: Found = {
  bound: Number.NaN,
  boundStandardError: Number.NaN,
  w2: Number.NaN,
  w2Floor: Number.NaN,
  terms: [],
  samples: [],
};

function resultOf({ bound, samples, distance }: Judgement): Found {
  return {
    bound: bound.total,
    boundStandardError: bound.standardError,
    w2: distance.w2,
    w2Floor: distance.floor,
    terms: [bound.L_0, ...bound.L_t, bound.L_T],
    samples: Array.from(samples),
  };
}

/** The best that any network can do on this data, as a model; undefined where the optimum is not known. */
export function optimalModel(data: ToyName): Model | undefined {
  const { mixture: parts }: Toy = toy(data);
  if (!parts) return undefined;
  const distribution = mixture({
    weights: parts.means.map(() => 1 / parts.means.length),
    means: parts.means,
    stds: parts.means.map(() => parts.std),
  });
  return modelOf(optimalPredict(distribution, SCHEDULE, "eps"), "eps");
}

/** One line of the summary: a parameterization with a weighting, over its seeds. Standard errors are NaN for one seed. */
export interface ComparisonSummary {
  parameterization: Parameterization;
  weighting: WeightingName;
  seeds: number;
  bound: number;
  /** How much the bound is above `reference` (a bound for each seed), seed by seed on the same numbers. */
  excess: number;
  excessStandardError: number;
  w2: number;
  w2Floor: number;
  /** Mean of w2 / w2Floor. */
  ratio: number;
  /** The largest of w2 / w2Floor. */
  worstRatio: number;
  seconds: number;
}

/**
 * Means over seeds, in the order of the rows. Bounds are set against `reference[seed]`: by default those of the
 * combination with the lowest mean.
 */
export function summarize(
  rows: readonly ComparisonRow[],
  reference?: Readonly<Record<number, number>>,
): ComparisonSummary[] {
  const groups = new Map<string, ComparisonRow[]>();
  for (const row of rows) {
    const key = `${row.parameterization} ${row.weighting}`;
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  const best = reference ?? lowest([...groups.values()]);
  return [...groups.values()].map((group) => summaryOf(group, best));
}

const meanOf = (rows: readonly ComparisonRow[], value: (row: ComparisonRow) => number): number =>
  estimate(rows.map(value)).mean;

function lowest(groups: readonly ComparisonRow[][]): Record<number, number> {
  const finite = groups.filter((group) => group.every(({ bound }) => Number.isFinite(bound)));
  const means = finite.map((group) => meanOf(group, ({ bound }) => bound));
  const best = finite[means.indexOf(Math.min(...means))] ?? [];
  return Object.fromEntries(best.map(({ seed, bound }) => [seed, bound]));
}

function summaryOf(
  rows: readonly ComparisonRow[],
  reference: Readonly<Record<number, number>>,
): ComparisonSummary {
  const [{ parameterization, weighting }] = rows;
  const excess = estimate(rows.map(({ bound, seed }) => bound - (reference[seed] ?? Number.NaN)));
  const ratios = rows.map(({ w2, w2Floor }) => w2 / w2Floor);
  return {
    parameterization,
    weighting,
    seeds: rows.length,
    bound: meanOf(rows, ({ bound }) => bound),
    excess: excess.mean,
    excessStandardError: excess.standardError,
    w2: meanOf(rows, ({ w2 }) => w2),
    w2Floor: meanOf(rows, ({ w2Floor }) => w2Floor),
    ratio: estimate(ratios).mean,
    worstRatio: Math.max(...ratios),
    seconds: rows.reduce((sum, { seconds }) => sum + seconds, 0),
  };
}

function checkSettings(caller: string, settings: ComparisonSettings): void {
  checkNames("data set", [settings.data], TOYS);
  const { steps, batch = 256, hidden = 128, learningRate = 0.01 } = settings;
  for (const [name, count] of Object.entries({ steps, batch, hidden })) checkCount(caller, name, count);
  if (!(learningRate > 0 && Number.isFinite(learningRate)))
    throw new Error(`${caller}: learningRate is ${learningRate}, expected a number above 0, such as 0.01.`);
}

function checkNames(what: string, names: readonly string[], choices: readonly string[]): void {
  if (names.length === 0)
    throw new Error(`compare: no ${what}, expected at least one of ${choices.join(", ")}.`);
  for (const name of names)
    if (!choices.includes(name))
      throw new Error(`compare: unknown ${what} "${name}", expected one of ${choices.join(", ")}.`);
}

function checkCount(caller: string, name: string, count: number): void {
  if (!(Number.isInteger(count) && count >= 1))
    throw new Error(`${caller}: ${name} is ${count}, expected an integer of 1 or more.`);
}
