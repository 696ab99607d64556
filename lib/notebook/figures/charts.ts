/** @file Charts with one pair of axes: lines, histograms, bars. Pure: numbers in, Plotly JSON out. */
import type { Layout, LayoutAxis, PlotData } from "plotly.js";
import type { Figure } from "../figure";
import { noticeIfBlank, noticeIfNoneFinite } from "./notice";
import { column, extent, isTensorLike, linspace, type Numbers, toNumbers } from "./numbers";
import { axis, baseLayout, colour, type FigureOptions, logAxis, NEUTRAL, paler } from "./style";

/** One line: its values, or its points with the standard error of each; dashes or dots where lines lie on each other. */
export type Series =
  | Numbers
  | { x?: Numbers; y: Numbers; standardError?: Numbers; drawn?: "line" | "dashes" | "dots" };

export interface LineOptions extends FigureOptions {
  logX?: boolean;
  logY?: boolean;
  /** First index to draw where a series has no `x` of its own: 1 leaves out a table's dummy entry 0. */
  from?: number;
  /** Also mark each point. */
  markers?: boolean;
}

/**
 * Lines by name, each in its own colour; a `standardError` becomes a band of ±1 standard error. Values of a log
 * axis that are not positive leave a gap, and where nothing is left the figure says so. A point that has gaps on both
 * sides is marked. Throws when x, y and standardError differ in length.
 */
export function lines(series: Record<string, Series>, options: LineOptions = {}): Figure {
  const data = Object.entries(series).flatMap(([name, one], index) =>
    lineTraces(name, points(name, one, options), colour(index), options),
  );
  const { logX, logY } = options;
  const layout: Partial<Layout> = {
    ...baseLayout(options),
    xaxis: logX ? numberedLogAxis(valuesOf(data, "x"), options.xTitle) : axis(options.xTitle),
    yaxis: logY ? numberedLogAxis(valuesOf(data, "y"), options.yTitle) : axis(options.yTitle),
    showlegend: Object.keys(series).length > 1,
    ...noticeIfBlank(data, options),
  };
  return { data, layout };
}

interface LinePoints {
  x: number[];
  y: number[];
  standardError?: number[];
  drawn?: "line" | "dashes" | "dots";
}

function points(name: string, series: Series, { from = 0 }: LineOptions): LinePoints {
  const what = `lines: series "${name}"`;
  const pairs: Exclude<Series, Numbers> = isPairs(series) ? series : { y: series };
  const y = toNumbers(pairs.y, what);
  const standardError = pairs.standardError && toNumbers(pairs.standardError, what);
  const x = pairs.x ? toNumbers(pairs.x, what) : y.map((_, index) => index);
  for (const [part, list] of Object.entries({ x, standardError }))
    if (list && list.length !== y.length)
      throw new Error(`${what}: ${part} has ${list.length} values, expected ${y.length}, as many as y.`);
  const first = pairs.x ? 0 : from;
  return {
    x: x.slice(first),
    y: y.slice(first),
    standardError: standardError?.slice(first),
    drawn: pairs.drawn,
  };
}

function isPairs(series: Series): series is Exclude<Series, Numbers> {
  return !isTensorLike(series) && "y" in series;
}

function lineTraces(
  name: string,
  { x, y, standardError, drawn }: LinePoints,
  stroke: string,
  { logX, logY, markers }: LineOptions,
): Partial<PlotData>[] {
  const positive = (values: number[], log?: boolean) =>
    column(log ? values.map((value) => (value > 0 ? value : Number.NaN)) : values);
  const drawable = { x: positive(x, logX), y: positive(y, logY) };
  const line: Partial<PlotData> = {
    type: "scatter",
    mode: drawn === "dots" ? "markers" : markers || hasLonePoint(drawable) ? "lines+markers" : "lines",
    name,
    ...drawable,
    line: { color: stroke, width: 2.5, ...(drawn === "dashes" ? { dash: "dash" as const } : {}) },
    marker: { color: stroke, size: 7 },
  };
  return standardError ? [band(x, y, standardError, stroke, logY), line] : [line];
}

/** A point between two gaps has no line to be seen by. */
function hasLonePoint({ x, y }: { x: number[]; y: number[] }): boolean {
  const isDrawn = (i: number) => Number.isFinite(x[i]) && Number.isFinite(y[i]);
  return y.some((_, i) => isDrawn(i) && !isDrawn(i - 1) && !isDrawn(i + 1));
}

/** ±1 standard error as a closed outline; on a log axis its lower edge stops at a hundredth of the value. */
function band(x: number[], y: number[], error: number[], stroke: string, logY?: boolean): Partial<PlotData> {
  const upper = y.map((value, i) => value + error[i]);
  const lower = y.map((value, i) => (logY ? Math.max(value - error[i], value / 100) : value - error[i]));
  return {
    type: "scatter",
    mode: "lines",
    x: column([...x, ...[...x].reverse()]),
    y: column([...upper, ...lower.reverse()]),
    fill: "toself",
    fillcolor: paler(stroke, 0.2),
    line: { width: 0 },
    hoverinfo: "skip",
    showlegend: false,
  };
}

const valuesOf = (data: Partial<PlotData>[], letter: "x" | "y"): number[] =>
  data.flatMap((trace) => trace[letter] as number[]).filter((value) => value > 0);

/** Within two decades, powers of ten alone would be too few ticks: finer ones, written out. */
function numberedLogAxis(values: number[], title?: string): Partial<LayoutAxis> {
  const [low, high] = extent(values);
  if (high / low >= 100) return logAxis(title);
  const tickvals = low < high ? logTicks(low, high) : digitTicks([1, 2, 5], low);
  return logAxis(title, { tickvals, ticktext: tickvals.map(String) });
}

/** The coarsest ticks of which at least two lie between the ends: 1, 2, 5 of each decade, all its digits, or even steps. */
function logTicks(low: number, high: number): number[] {
  const areEnough = (ticks: number[]) => ticks.filter((tick) => tick >= low && tick <= high).length >= 2;
  const byDigit = [[1, 2, 5], linspace(1, 9, 9)].map((digits) => digitTicks(digits, low));
  return byDigit.find(areEnough) ?? evenTicks(low, high);
}

/** These digits of four decades, from the one before `low` on, for an axis reaches a little beyond its values. */
function digitTicks(digits: number[], low: number): number[] {
  const first = Math.floor(Math.log10(low)) - 1;
  return [0, 1, 2, 3].flatMap((more) => digits.map((digit) => Number(`${digit}e${first + more}`)));
}

/** Multiples of 1, 2 or 5 times a power of ten: between two and six of them lie between the ends. */
function evenTicks(low: number, high: number): number[] {
  const atLeast = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(atLeast));
  const step = power * ([1, 2, 5].find((digit) => digit * power >= atLeast) ?? 10);
  const [first, last] = [Math.floor(low / step), Math.ceil(high / step)];
  return linspace(first, last, last - first + 1).map((multiple) => Number((multiple * step).toPrecision(12)));
}

export interface HistogramOptions extends FigureOptions {
  bins?: number;
  range?: [number, number];
  /** The density to compare with, drawn as a line over the range. */
  density?: (x: number) => number;
  /** What the line is called. */
  densityName?: string;
  /** Places to mark by name, each with an upright line. */
  marks?: Record<string, number>;
  /** For peaks of very different height. */
  logY?: boolean;
}

/**
 * Histograms by name, each of area 1, so that a density can be laid over them. Only the heights of the bins go
 * into the figure; values outside `range` count in the area but are not drawn.
 */
export function histogram(
  samples: Numbers | Record<string, Numbers>,
  { bins = 50, density, densityName = "density", marks = {}, logY, ...options }: HistogramOptions = {},
): Figure {
  const named = byName(samples, "samples").map(([name, values]) => ({
    name,
    values: toNumbers(values, `histogram: "${name}"`),
  }));
  const all = named.flatMap(({ values }) => values);
  const range = withLength(options.range ?? extent(all));
  const data = named.map(({ name, values }, index) => ({
    ...bins1d(values, range, bins),
    name,
    marker: { color: paler(colour(index), 0.55), line: { width: 0 } },
  }));
  const curve = density ? [densityCurve(density, range, densityName)] : [];
  const top = Math.max(...data.map(({ y }) => Math.max(...(y as number[]))));
  const uprights = Object.entries(marks).map(([name, at], index) =>
    upright(name, at, top, colour(data.length + index), logY ? top / 1e4 : 0),
  );
  const layout: Partial<Layout> = {
    ...baseLayout(options),
    xaxis: axis(options.xTitle, { range: [...range] }),
    yaxis: logY
      ? numberedLogAxis(valuesOf([...data, ...curve], "y"), options.yTitle ?? "density")
      : axis(options.yTitle ?? "density", { rangemode: "tozero" }),
    barmode: "overlay",
    bargap: 0,
    showlegend: data.length + curve.length + uprights.length > 1,
    ...noticeIfNoneFinite(all, range),
  };
  return { data: [...data, ...curve, ...uprights], layout };
}

/** One value alone would leave its axis without a length. */
const withLength = ([low, high]: [number, number]): [number, number] =>
  low === high ? [low - 0.5, high + 0.5] : [low, high];

function upright(name: string, at: number, top: number, stroke: string, bottom: number): Partial<PlotData> {
  const line = { color: stroke, width: 2.5 };
  return { type: "scatter", mode: "lines", name, x: column([at, at]), y: column([bottom, top]), line };
}

/** A lone thing gets a name, so that one and many are treated alike. */
function byName<Value>(things: Value | Record<string, Value>, name: string): [string, Value][] {
  const isOne = isTensorLike(things) || typeof (things as { length?: number }).length === "number";
  return isOne ? [[name, things as Value]] : Object.entries(things as Record<string, Value>);
}

function bins1d(values: number[], [low, high]: [number, number], bins: number): Partial<PlotData> {
  const width = (high - low) / bins;
  const counts = new Float64Array(bins);
  for (const value of values) {
    const bin = value === high ? bins - 1 : Math.floor((value - low) / width);
    if (bin >= 0 && bin < bins) counts[bin]++;
  }
  const heights = counts.map((count) => count / (values.length * width));
  const centres = Array.from(counts, (_, bin) => low + (bin + 0.5) * width);
  return { type: "bar", x: column(centres), y: column(heights), width: shortWidth(width) };
}

const shortWidth = (width: number): number => Number(width.toPrecision(6));

function densityCurve(
  density: (x: number) => number,
  [low, high]: [number, number],
  name: string,
): Partial<PlotData> {
  const x = linspace(low, high, 201);
  const line = { color: NEUTRAL, width: 2.5 };
  return { type: "scatter", mode: "lines", name, x: column(x), y: column(x.map(density)), line };
}

export interface BarOptions extends FigureOptions {
  logY?: boolean;
  /** Standard errors, in the same shape as the values. */
  standardErrors?: Bars;
  /** Groups on top of one another instead of side by side: parts of a sum. */
  stacked?: boolean;
}

/** Heights by category, or groups of them: `{ eps: { simple: 0.1, vlb: 0.3 }, x0: { … } }`. */
export type Bars = Record<string, number> | Record<string, Record<string, number>>;

/** Bars by category; of groups, each inner name is a colour and each outer name a place on the axis. */
export function bars(values: Bars, options: BarOptions = {}): Figure {
  const places = Object.keys(values);
  const inner = Object.values(values).every((value) => typeof value === "number");
  const names = inner ? [""] : [...new Set(Object.values(values).flatMap((group) => Object.keys(group)))];
  const height = (from: Bars | undefined, place: string, name: string): number => {
    const entry = (from as Record<string, number | Record<string, number>> | undefined)?.[place];
    return (typeof entry === "object" ? entry[name] : entry) ?? Number.NaN;
  };
  const data = names.map((name, index): Partial<PlotData> => {
    const errors = places.map((place) => height(options.standardErrors, place, name));
    return {
      type: "bar",
      name,
      x: places,
      y: column(places.map((place) => height(values, place, name))),
      marker: { color: colour(index) },
      ...(options.standardErrors ? { error_y: { type: "data", array: column(errors), visible: true } } : {}),
    };
  });
  const layout: Partial<Layout> = {
    ...baseLayout(options),
    xaxis: axis(options.xTitle, { type: "category" }),
    yaxis: options.logY
      ? numberedLogAxis(valuesOf(data, "y"), options.yTitle)
      : axis(options.yTitle, { rangemode: "tozero" }),
    barmode: options.stacked ? "stack" : "group",
    showlegend: names.length > 1,
    ...noticeIfBlank(data, options),
  };
  return { data, layout };
}
