/** @file The figures of a comparison, from its results: bounds, distances, samples, losses, terms over t. Pure. */
import { bars, type Figure, lines, scatter } from "../../lib/notebook";
import type { ComparisonResult, ComparisonSummary } from "../../lib/training/comparison";

export interface ComparisonFigures {
  /** One line for each parameterization and weighting. */
  summaries: readonly ComparisonSummary[];
  results: readonly ComparisonResult[];
  /** The name of the data set. */
  data: string;
  /** Data to set beside the samples, row-major [n, 2]. */
  reference: ArrayLike<number>;
  /** What the bounds are set against, in words. */
  referenceName: string;
}

/** All figures by file name. */
export function comparisonFigures(comparison: ComparisonFigures): Record<string, Figure> {
  return {
    bound: boundFigure(comparison),
    w2: distanceFigure(comparison),
    samples: samplesFigure(comparison),
    loss: lossFigure(comparison),
    terms: termsFigure(comparison),
  };
}

type Groups = Record<string, Record<string, number>>;

/** Bars by parameterization, a colour for each weighting. */
function grouped(
  summaries: readonly ComparisonSummary[],
  value: (summary: ComparisonSummary) => number,
): Groups {
  const groups: Groups = {};
  for (const summary of summaries) {
    groups[summary.parameterization] ??= {};
    groups[summary.parameterization][summary.weighting] = value(summary);
  }
  return groups;
}

function boundFigure({ summaries, data, referenceName }: ComparisonFigures): Figure {
  return bars(
    grouped(summaries, ({ excess }) => (excess > 0 ? excess : Number.NaN)), // the reference itself has no bar
    {
      title: `Bound on ${data}, above ${referenceName}`,
      xTitle: "the network predicts",
      yTitle: "nats per dimension",
      logY: true,
    },
  );
}

function distanceFigure({ summaries, data }: ComparisonFigures): Figure {
  const figure = bars(
    grouped(summaries, ({ w2 }) => w2),
    { title: `Exact W2 of the samples from ${data}`, xTitle: "the network predicts", yTitle: "W2" },
  );
  const floors = grouped(summaries, ({ w2Floor }) => w2Floor);
  const floor = Object.values(floors).map((group) => Object.values(group)[0]);
  figure.data.push({
    type: "scatter",
    mode: "lines",
    name: "floor: data and data",
    x: Object.keys(floors),
    y: floor,
    line: { color: "#222222", dash: "dash" },
  });
  figure.layout.showlegend = true;
  return figure;
}

const labelOf = ({ parameterization, weighting }: ComparisonResult): string =>
  `${parameterization}, ${weighting}`;

const firstSeed = ({ results }: ComparisonFigures): ComparisonResult[] => {
  const seed = Math.min(...results.map((result) => result.seed));
  return results.filter((result) => result.seed === seed);
};

function samplesFigure(comparison: ComparisonFigures): Figure {
  const drawn = firstSeed(comparison).filter(({ samples }) => samples.length > 0);
  const sets = Object.fromEntries(drawn.map((result) => [labelOf(result), result.samples]));
  const columns = Math.min(4, new Set(drawn.map(({ parameterization }) => parameterization)).size || 1);
  const rows = Math.ceil((drawn.length + 1) / columns);
  const reach = 1.1 * Array.from(comparison.reference).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  return scatter(
    { ...sets, [`data: ${comparison.data}`]: comparison.reference },
    { title: "Samples", columns, size: 3, range: [-reach, reach], height: 100 + 200 * rows },
  );
}

function lossFigure(comparison: ComparisonFigures): Figure {
  const curves = firstSeed(comparison).map((result) => [labelOf(result), smoothed(result.curve)] as const);
  return lines(Object.fromEntries(curves), {
    title: "Loss in training (means over windows)",
    xTitle: "step",
    yTitle: "loss / loss before training",
    logY: true,
  });
}

/** Means over at most a hundred windows. */
function smoothed({ step, loss }: ComparisonResult["curve"]): { x: number[]; y: number[] } {
  const window = Math.max(1, Math.ceil(step.length / 100));
  const count = Math.floor(step.length / window);
  const meanOver = (values: number[], k: number) =>
    values.slice(k * window, (k + 1) * window).reduce((sum, value) => sum + value, 0) / window;
  const windows = Array.from({ length: count }, (_, k) => k);
  return { x: windows.map((k) => meanOver(step, k)), y: windows.map((k) => meanOver(loss, k)) };
}

function termsFigure(comparison: ComparisonFigures): Figure {
  const curves = firstSeed(comparison).map((result) => {
    const terms = result.terms.slice(1, -1); // L_1 … L_{T−1}
    return [labelOf(result), { x: terms.map((_, i) => i + 2), y: terms }] as const;
  });
  return lines(Object.fromEntries(curves), {
    title: "The terms of the bound",
    xTitle: "t",
    yTitle: "L_{t−1} (nats per dimension)",
    logX: true,
    logY: true,
  });
}
