/** @file What a sweep came to, for people: one table, one figure, and published figures beside them. Pure. */
import { type Estimate, estimate } from "../../lib/elbo";
import {
  DDPM_TABLE_2,
  DISTILLATION_TABLE_1,
  type Evaluation,
  fidName,
  type PublishedRow,
} from "../../lib/metrics";
import { bars, type Figure, lines, panels } from "../../lib/notebook";
import { markdown, plusMinus, thousands } from "../markdown";
import type { SweepRun } from "./request";
import type { Sweep, SweepRow } from "./rows";

/** A comparison for people: as a page of Markdown, and in pieces. */
export interface SweepReport {
  page: string;
  figure: Figure;
  tables: { columns: Record<string, string>[]; title: string }[];
  /** What stands below the tables. */
  words: string[];
  /** Published rows beside it. */
  published: readonly PublishedRow[];
}

/** One configuration, over its seeds. */
export interface SweepSummary {
  predicts: string;
  weighting: string;
  rows: readonly SweepRow[];
}

/** Rows of one parameterization and weighting together, in order of first appearance. */
export function summarizeSweep(rows: readonly SweepRow[]): SweepSummary[] {
  const groups = new Map<string, SweepRow[]>();
  for (const row of rows) {
    const key = labelOf(row);
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  return [...groups.values()].map((group) => ({
    predicts: group[0].config.parameterization,
    weighting: group[0].config.weighting,
    rows: group,
  }));
}

const labelOf = ({ config }: Pick<SweepRow, "config">): string =>
  `${config.parameterization}, ${config.weighting}`;
const nameOf = ({ predicts, weighting }: SweepSummary): string => `${predicts}, ${weighting}`;

/**
 * The mean over seeds of what is known image by image. Runs of all seeds are judged on the same images, so that the
 * images' share of the error does not fall with more of them: the standard error is that over images, of their means
 * over seeds, and with several seeds that over seeds beside it, as the root of both squares.
 */
function overImages(perImage: readonly (readonly number[])[]): Estimate {
  const seeds = estimate(perImage.map((values) => estimate(values).mean));
  const ofImages = perImage[0].map((_, i) => estimate(perImage.map((values) => values[i])).mean);
  const images = estimate(ofImages).standardError;
  return {
    ...seeds,
    standardError: perImage.length > 1 ? Math.hypot(images, seeds.standardError) : images,
  };
}

/**
 * A mean over seeds, and its standard error: over seeds where there are several, and beside it, as the root of both squares,
 * the runs' `own`, which does not fall with more of them: all are drawn from the same noise and judged on the same images.
 */
function overSeeds(
  rows: readonly SweepRow[],
  value: (evaluation: Evaluation) => number,
  own?: (evaluation: Evaluation) => number,
): { mean: number; standardError: number } {
  const { mean, standardError } = estimate(rows.map((row) => value(row.evaluation)));
  const one = own ? estimate(rows.map((row) => own(row.evaluation))).mean : Number.NaN;
  if (rows.length === 1) return { mean, standardError: one };
  return { mean, standardError: own ? Math.hypot(one, standardError) : standardError };
}

/** How much higher a bound is than another one, on the same images with the same t and noise, over the seeds of both. */
function above(rows: readonly SweepRow[], others: readonly SweepRow[]): Estimate | undefined {
  const differences = rows.flatMap(({ config, evaluation: { bits } }) => {
    const other = others.find((row) => row.config.seed === config.seed)?.evaluation.bits;
    return other ? [bits.perImage.map((value, i) => value - other.perImage[i])] : [];
  });
  return differences.length > 0 ? overImages(differences) : undefined;
}

/** The summary whose mean bound is lowest. */
function lowest(summaries: readonly SweepSummary[]): SweepSummary {
  const bound = ({ rows }: SweepSummary) => overSeeds(rows, ({ bits }) => bits.bitsPerDim.mean).mean;
  return summaries.reduce((best, summary) => (bound(summary) < bound(best) ? summary : best));
}

/** Whether some of the rows were trained at another learning rate. */
const ratesDiffer = (rows: readonly SweepRow[]): boolean =>
  rows.some(({ config }) => config.learningRate !== rows[0].config.learningRate);

/** The table's columns as people read them. */
export function sweepColumns(summaries: readonly SweepSummary[]): Record<string, string>[] {
  const best = lowest(summaries);
  const rates = ratesDiffer(summaries.flatMap(({ rows }) => rows));
  return summaries.map(({ predicts, weighting, rows }) => {
    const of = (value: (evaluation: Evaluation) => number) => overSeeds(rows, value);
    const excess = rows === best.rows ? undefined : above(rows, best.rows);
    return {
      predicts,
      weighting,
      ...(rates && { "learning rate": String(rows[0].config.learningRate) }),
      seeds: String(rows.length),
      "bits/dim": plusMinus(overImages(rows.map((row) => row.evaluation.bits.perImage)), 3),
      "above the lowest": excess ? plusMinus(excess, 3) : "",
      rate: of(({ bits }) => bits.rate).mean.toFixed(3),
      L_0: of(({ bits }) => bits.L_0.mean).mean.toFixed(3),
      RMSE: of(({ bits }) => bits.rmse).mean.toFixed(2),
      FID: plusMinus(
        of(({ samples }) => samples.fid.samples),
        2,
      ),
      "its floor": of(({ samples }) => samples.fid.floor).mean.toFixed(2),
      KID: plusMinus(
        overSeeds(
          rows,
          ({ samples }) => samples.kid.samples.mean,
          ({ samples }) => samples.kid.samples.standardError,
        ),
        4,
      ),
      precision: of(({ samples }) => samples.precisionRecall.samples.precision).mean.toFixed(2),
      recall: of(({ samples }) => samples.precisionRecall.samples.recall).mean.toFixed(2),
      hours: (rows.reduce((sum, { hours }) => sum + hours, 0) / rows.length).toFixed(2),
    };
  });
}

/** What all rows have in common, in one line. */
export function sweepTitle(rows: readonly SweepRow[]): string {
  const [{ config, evaluation }] = rows;
  const seeds = new Set(rows.map((row) => row.config.seed)).size;
  return `${thousands(evaluation.step)} steps of ${config.batchSize} images each; ${measuredAs(evaluation)}, ± over ${seeds > 1 ? "images and seeds, of KID over samples and seeds, of FID over seeds" : "images"}`;
}

/** How a model was measured, its floor with it, in one line. */
export function measuredAs({ samples, bits, sampler }: Evaluation): string {
  return [
    `${fidName(samples)}, ${sampler}, floor at n = ${thousands(samples.floorN)}`,
    `KID by ${thousands(samples.kid.samples.reference)} images of the reference, precision and recall by as many as samples`,
    `bits/dim on ${thousands(bits.images)} test images${bits.withoutClass ? ", without a class" : ""}`,
  ].join("; ");
}

/** The published rows that stand beside the sweep. */
export const PUBLISHED: readonly PublishedRow[] = [...DDPM_TABLE_2, ...DISTILLATION_TABLE_1];

/** The published tables' columns. */
export const publishedColumns = (): Record<string, string>[] =>
  PUBLISHED.map(({ source, predicts, trainedOn, sampler, fid, inceptionScore }) => ({
    source,
    predicts,
    "trained on": trainedOn,
    sampler,
    FID: fid?.toFixed(2) ?? "unstable",
    IS: inceptionScore?.toFixed(2) ?? "",
  }));

/** Whether a FID is of the kind that is published. */
const isPublishedKind = ({ extractor, n }: Evaluation["samples"]): boolean =>
  extractor === "Inception-v3" && n >= 50_000;

/** What such a comparison says, and what it does not. */
export const sweepReading = (rows: readonly SweepRow[]): string =>
  [
    `Runs of a sweep share net, schedule, budget and, seed by seed, first weights, data, t and noise: what differs is what the network predicts and how its loss is weighted${ratesDiffer(rows) ? "; the learning rate differs as well, so part of what the table shows may be due to that" : ""}.`,
    "They tell which choices train at all, where over t each pays its bits, and how far each has come after this budget.",
    `They do not rank the choices for a training to the end, since early differences are differences of speed; one seed has no spread; ${isPublishedKind(rows[0].evaluation.samples) ? "and the published nets are many times as large" : "and no FID here can be set against a published one, which is of Inception-v3 and 50,000 samples of nets many times as large"}.`,
  ].join(" ");

/** The title of the published tables. */
export const PUBLISHED_TITLE = "Published, of other nets and budgets; FID by Inception-v3 of 50,000 samples:";

/** The runs that have no result, in one line; none where all have one. */
export const missingLine = (missing: readonly SweepRun[]): string[] =>
  missing.length === 0
    ? []
    : [
        `Without a result, diverged or not run: ${missing.map((run) => `${run.name} (${labelOf(run)})`).join("; ")}.`,
      ];

/** The whole comparison as a page: the table, what it says, `picture` if there is one, and the published table. */
export function sweepPage(
  rows: readonly SweepRow[],
  { missing = [], picture = [] }: { missing?: readonly SweepRun[]; picture?: readonly string[] } = {},
): string {
  const columns = sweepColumns(summarizeSweep(rows));
  return [
    ...[sweepTitle(rows), markdown(columns), ...missingLine(missing), sweepReading(rows), ...picture],
    ...[PUBLISHED_TITLE, markdown(publishedColumns())],
  ].join("\n\n");
}

/** One figure: the bound, the samples' distance, where the bits are spent, and what others published. */
export function sweepFigure(summaries: readonly SweepSummary[]): Figure {
  const figure = panels(
    {
      "bits/dim": bars(
        byName(summaries, ({ bits }) => bits.bitsPerDim.mean),
        { yTitle: "bits/dim" },
      ),
      "FID of samples, and of real images": bars(
        Object.fromEntries(
          summaries.map((summary) => [
            nameOf(summary),
            {
              samples: overSeeds(summary.rows, ({ samples }) => samples.fid.samples).mean,
              "real images": overSeeds(summary.rows, ({ samples }) => samples.fid.floor).mean,
            },
          ]),
        ),
        { yTitle: "FID", logY: true },
      ),
      "L_{t−1}, the bits of one step": termsFigure(summaries),
      "Published: FID of 50,000, Inception-v3": publishedFigure(),
    },
    { columns: 2, height: 1000, width: 1100 },
  );
  figure.layout.legend = { ...figure.layout.legend, y: -0.28 }; // below the published names, which stand upright
  return figure;
}

const byName = (summaries: readonly SweepSummary[], value: (evaluation: Evaluation) => number) =>
  Object.fromEntries(summaries.map((summary) => [nameOf(summary), overSeeds(summary.rows, value).mean]));

function termsFigure(summaries: readonly SweepSummary[]): Figure {
  const series = summaries.map((summary) => {
    const { parts } = summary.rows[0].evaluation.bits;
    const y = parts.map(({ from, to }, i) => {
      const { mean } = overSeeds(summary.rows, ({ bits }) => bits.parts[i].bits);
      return mean / (to - from + 1);
    });
    return [nameOf(summary), { x: parts.map(({ from, to }) => (from + to) / 2), y }] as const;
  });
  return lines(Object.fromEntries(series), {
    ...{ logX: true, logY: true, markers: true },
    xTitle: "t",
    yTitle: "bits/dim",
  });
}

/** What a published net was trained on, in the few letters that a bar has room for. */
const shortened = (trainedOn: string): string =>
  trainedOn
    .replace(/^‖.*\((.*)\)$/, "$1")
    .replace(", fixed isotropic Σ", "")
    .replace(", learned diagonal Σ", ", Σ too")
    .replace("truncated", "trunc.");

/** A bar for each published row that has a number; the stochastic sampler's where there are two. */
function publishedFigure(): Figure {
  const rows = PUBLISHED.filter(({ fid, sampler }) => fid !== null && sampler !== "ddim");
  const group = (source: string) => source.replace(/ \d{4}.*/, "");
  const values: Record<string, Record<string, number>> = {};
  for (const { source, predicts, trainedOn, fid } of rows)
    values[`${predicts}, ${shortened(trainedOn)}`] = { [group(source)]: fid as number };
  return bars(values, { yTitle: "FID", logY: true });
}

/** The comparison of twins for people. */
export function sweepReport({ rows, missing }: Sweep): SweepReport {
  const summaries = summarizeSweep(rows);
  return {
    page: sweepPage(rows, { missing }),
    figure: sweepFigure(summaries),
    tables: [
      { columns: sweepColumns(summaries), title: sweepTitle(rows) },
      { columns: publishedColumns(), title: PUBLISHED_TITLE },
    ],
    words: [...missingLine(missing), sweepReading(rows)],
    published: PUBLISHED,
  };
}
