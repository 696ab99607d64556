/** @file What the runs of a sweep came to, read from their folders, and whether it can be compared. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Estimate, estimate } from "../../lib/elbo";
import type { Evaluation } from "../../lib/metrics";
import { type RunConfig, runConfig } from "../../lib/training";
import { quantile } from "../bench/measure";
import { inTurn } from "../evaluate/request";
import { differingKey } from "../train/configurations";
import { configPath, type Metric, readMetrics } from "../train/folder";
import { COMPARED, checkAlike, type SweepRun } from "./request";
import { evaluationFolder } from "./sweep";

/** What one run came to. */
export interface SweepRow {
  name: string;
  config: RunConfig;
  /** Time in training; NaN where the run's folder has no times. */
  hours: number;
  /** How the training went, where its folder is at hand. */
  training?: TrainingRow;
  evaluation: Evaluation;
}

/** What the metrics of a run say. */
export interface TrainingRow {
  /** Of the last batches, before any average over weights, and how many images these had. */
  loss: Estimate;
  lossImages: number;
  /** Of the fastest tenth of the steps, which other work on the machine hardly slows down. */
  secondsPerStep: number;
}

/** What a sweep has so far. */
export interface Sweep {
  rows: SweepRow[];
  /** Runs that were not evaluated as asked for: they diverged, wait, or their folders hold another evaluation. */
  missing: SweepRun[];
}

/**
 * The rows of the runs that were evaluated, but for those that have just failed: a report of theirs is of something
 * else. Throws where there is none, and on one that cannot be compared with the first; of `recipes` it is enough that
 * all were evaluated in the same way.
 */
export function collectSweep(
  runs: readonly SweepRun[],
  { failed = [], recipes = false }: { failed?: readonly SweepRun[]; recipes?: boolean } = {},
): Sweep {
  const missing = runs.filter((run) => failed.includes(run) || !existsSync(reportPath(run)));
  if (failed.length === runs.length)
    throw new Error("none of the runs could be trained and evaluated; the reasons stand above.");
  if (missing.length === runs.length)
    throw new Error(
      `${reportPath(runs[0])} is not there, nor another: no run was evaluated after so many steps. Leave --collect out, or run the jobs.`,
    );
  const rows = runs.filter((run) => !missing.includes(run)).map(rowOf);
  return { rows: recipes ? evaluatedAlike(rows) : comparable(rows), missing };
}

/** The rows, if they can be compared. Throws on one of another net, schedule or budget than the first, or evaluated in another way. */
export function comparable(rows: SweepRow[]): SweepRow[] {
  checkAlike(rows, COMPARED);
  return evaluatedAlike(rows, (row) => `${wayOf(row)}; ${row.evaluation.step} steps`);
}

function evaluatedAlike(rows: SweepRow[], way: (row: SweepRow) => string = wayOf): SweepRow[] {
  for (const row of rows) {
    const [own, first] = [way(row), way(rows[0])];
    if (own !== first)
      throw new Error(
        `${row.name} was evaluated as ${own}, ${rows[0].name} as ${first}, expected the same. Evaluate one of them again.`,
      );
  }
  return rows;
}

/** How a row was evaluated; what a net draws that knows no classes is beside what others draw of each as they learned it. */
function wayOf({ evaluation: { samples, sampler, seed, rows, bits } }: SweepRow): string {
  const { images, parts, draws, clip } = bits;
  const asLearned = `, ${inTurn(1)}`;
  return [
    `n = ${samples.n}, ${samples.extractor}, ${samples.reference}, k = ${samples.precisionRecall.samples.k}`,
    `${sampler.endsWith(asLearned) ? sampler.slice(0, -asLearned.length) : sampler}, seed ${seed}`,
    `${images} images, ${rows} at once, of ${parts.length} parts and ${draws} draws, x̂0 ${clip ? "clipped" : "as it is"}`,
  ].join("; ");
}

const reportPath = (run: SweepRun): string => join(evaluationFolder(run), "report.json");

function rowOf(run: SweepRun): SweepRow {
  const path = reportPath(run);
  const known = runConfig(JSON.parse(readFileSync(configPath(run.folder), "utf8")), configPath(run.folder));
  const differs = differingKey(known, run.config);
  if (differs)
    throw new Error(
      `${run.folder} was trained with ${differs} ${JSON.stringify(known[differs])}, ${run.source} has ${JSON.stringify(run.config[differs])}. Give the configuration that it was begun with.`,
    );
  const evaluation = JSON.parse(readFileSync(path, "utf8")) as Evaluation;
  if (evaluation.step !== run.config.steps)
    throw new Error(
      `${path} is of ${evaluation.step} steps, expected ${run.config.steps}. Remove its folder, and evaluate the run when it is done.`,
    );
  if (!evaluation.bits?.perImage)
    throw new Error(`${path} does not say the bound image by image. Evaluate the run again.`);
  const metrics = readMetrics(run.folder).filter(({ step }) => step <= run.config.steps);
  const seconds = metrics.reduce((sum, metric) => sum + metric.seconds, 0);
  return {
    ...{ name: run.name, config: run.config, evaluation },
    hours: seconds > 0 ? seconds / 3600 : Number.NaN,
    training: metrics.length > 0 ? trainingOf(metrics, run.config) : undefined,
  };
}

/** Images whose mean loss is told. */
const LOSS_IMAGES = 6400;

function trainingOf(metrics: readonly Metric[], { batchSize }: RunConfig): TrainingRow {
  const last = metrics.slice(-Math.ceil(LOSS_IMAGES / batchSize));
  return {
    loss: estimate(last.map(({ loss }) => loss)),
    lossImages: last.length * batchSize,
    secondsPerStep: quantile(
      metrics.map(({ seconds }) => seconds),
      0.1,
    ),
  };
}
