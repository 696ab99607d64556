/**
 * @file What a comparison of recipes came to, for people: runs that may differ in anything but the data, each with what
 * sets it apart from the first, how long it took, its loss where that is the same quantity, and its measures. Pure.
 */
import { parameterCount } from "../../lib/nets";
import { bars, type Figure, panels } from "../../lib/notebook";
import type { RunConfig } from "../../lib/training";
import { markdown, plusMinus, thousands } from "../markdown";
import type { Sweep, SweepRow } from "./rows";
import { measuredAs, missingLine, type SweepReport } from "./sweep-report";

/** In what a recipe differs from another, but for its steps: `patch 1, channels 32`; "" where it does not. */
export function differences(recipe: RunConfig, from: RunConfig): string {
  const [own, others] = [settings(recipe), settings(from)];
  return Object.keys({ ...others, ...own })
    .filter((key) => own[key] !== others[key])
    .map((key) => `${key} ${own[key] ?? "left out"}`)
    .join(", ");
}

/** Each setting of a configuration and of its net as text, but for the steps. */
function settings({ net, steps: _, ...others }: RunConfig): Record<string, string> {
  const all = Object.entries({ ...net, ...others });
  return Object.fromEntries(all.map(([key, value]) => [key, asText(value)]));
}

const asText = (value: unknown): string => (Array.isArray(value) ? `[${value.join(", ")}]` : String(value));

/** Whether the losses of two recipes are of the same quantity: of one target, weighed in one way at each t. */
const sameLoss = (a: RunConfig, b: RunConfig): boolean =>
  (["parameterization", "weighting", "schedule", "numSteps"] as const).every((key) => a[key] === b[key]) &&
  (a.weighting !== "vlb" || a.variance === b.variance); // the bound weighs by 1/(2σ_t²)

/** Time in training at the pace of the fastest tenth of the steps; NaN where it is not known. */
const minutesOf = ({ config, training }: SweepRow): number =>
  training ? (training.secondsPerStep * config.steps) / 60 : Number.NaN;

const known = (value: number, digits: number): string =>
  Number.isFinite(value) ? value.toFixed(digits) : "";

/** The table, a line for each run in order of FID. */
export function recipeColumns(rows: readonly SweepRow[]): Record<string, string>[] {
  const base = rows[0].config;
  return byFid(rows).map((row) => {
    const { name, config, training, evaluation } = row;
    const { bits, samples } = evaluation;
    return {
      recipe: name,
      "differs in": differences(config, base),
      weights: thousands(parameterCount(config.net)),
      steps: thousands(config.steps),
      "ms / step": known(1000 * (training?.secondsPerStep ?? Number.NaN), 0),
      minutes: known(minutesOf(row), 1),
      loss: training && sameLoss(config, base) ? plusMinus(training.loss, 4) : "",
      "bits/dim": plusMinus(bits.bitsPerDim, 3),
      FID: samples.fid.samples.toFixed(2),
      KID: plusMinus(samples.kid.samples, 4),
      precision: samples.precisionRecall.samples.precision.toFixed(2),
      recall: samples.precisionRecall.samples.recall.toFixed(2),
    };
  });
}

const byFid = (rows: readonly SweepRow[]): SweepRow[] =>
  [...rows].sort((a, b) => a.evaluation.samples.fid.samples - b.evaluation.samples.fid.samples);

/** What all rows have in common, in one line. */
export const recipesTitle = ([{ training, evaluation }]: readonly SweepRow[]): string =>
  `${measuredAs(evaluation)}, ± over images; FID of real images ${evaluation.samples.fid.floor.toFixed(2)}${training ? `; loss of the last ${thousands(training.lossImages)} images, before any average over weights` : ""}`;

/** What such a comparison says, and what it does not. */
export const RECIPES_READING = [
  "Minutes are steps times what the fastest tenth of them took, so that other work on the machine does not count. A loss stands where it is the same quantity as that of the first recipe.",
  "Recipes are compared as wholes: where two differ in several settings, none of them can be made answerable.",
  "What is ahead after minutes learns fast, and need not be ahead after hours: small nets lead at first; one seed has no spread.",
].join(" ");

/** The two measures that decide, in the table's order. */
function recipesFigure(rows: readonly SweepRow[]): Figure {
  const ordered = byFid(rows);
  const bar = (value: (row: SweepRow) => number) =>
    Object.fromEntries(ordered.map((row) => [row.name, value(row)]));
  const floor = rows[0].evaluation.samples.fid.floor.toFixed(2);
  const figure = panels({
    [`FID of samples (of real images ${floor})`]: bars(
      bar(({ evaluation }) => evaluation.samples.fid.samples),
      { yTitle: "FID" },
    ),
    "bits/dim": bars(
      bar(({ evaluation }) => evaluation.bits.bitsPerDim.mean),
      { yTitle: "bits/dim" },
    ),
  });
  const margin = { ...figure.layout.margin, b: 110 }; // for long names
  return { ...figure, layout: { ...figure.layout, margin, height: 450 } };
}

/** The comparison for people, as `sweepReport` has it of twins. */
export function recipesReport({ rows, missing }: Sweep): SweepReport {
  const [columns, title] = [recipeColumns(rows), recipesTitle(rows)];
  const words = [...missingLine(missing), RECIPES_READING];
  return {
    page: [title, markdown(columns), ...words].join("\n\n"),
    figure: recipesFigure(rows),
    tables: [{ columns, title }],
    words,
    published: [],
  };
}
