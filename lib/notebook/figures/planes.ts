/** @file Figures of the plane: point sets side by side, densities as heat maps or contours. Pure. */
import type { Layout, PlotData } from "plotly.js";
import type { Figure } from "../figure";
import { panels } from "./compose";
import { noticeIfBlank, noticeIfNoneFinite } from "./notice";
import {
  column,
  extent,
  isTensorLike,
  linspace,
  type Numbers,
  type Points,
  toCoordinates,
  toNumbers,
} from "./numbers";
import { axis, baseLayout, colour, DIVERGING, type FigureOptions, SEQUENTIAL } from "./style";

type Range = [number, number];

export interface ScatterOptions extends FigureOptions {
  /** All sets in one panel, instead of side by side. */
  overlay?: boolean;
  /** The square window that every panel shows; by default the smallest that holds all points. */
  range?: Range;
  /** Diameter of a point in pixels. */
  size?: number;
  /** Place in the palette of each set's colour, repeated from its start; by default 0, 1, 2, … `[0]` draws all alike. */
  colours?: readonly number[];
  /** Panels in a row. */
  columns?: number;
}

/**
 * Sets of 2-D points by name, side by side in panels with common axes, one unit as long on both. Points are
 * `[n, 2]`: rows, a flat array or a tensor. Throws on other shapes.
 */
export function scatter(sets: Points | Record<string, Points>, options: ScatterOptions = {}): Figure {
  const named = setsByName(sets).map(([name, points]) => ({
    name,
    ...toCoordinates(points, `scatter: "${name}"`),
  }));
  const range = options.range ?? squareRange(named.flatMap(({ x, y }) => [extent(x), extent(y)]).flat());
  const { colours = named.map((_, index) => index), size } = options;
  const traces = named.map(({ name, x, y }, index) =>
    pointTrace(name, x, y, colour(colours[index % colours.length]), size),
  );
  if (options.overlay || traces.length === 1) return planeFigure(traces, range, options);
  const single = { xTitle: options.xTitle, yTitle: options.yTitle };
  const figures = Object.fromEntries(
    traces.map((trace) => [trace.name, planeFigure([trace], range, single)]),
  );
  return panels(figures, { ...options, commonAxes: true });
}

function setsByName(sets: Points | Record<string, Points>): [string, Points][] {
  const isOne = isTensorLike(sets) || typeof (sets as { length?: number }).length === "number";
  return isOne ? [["points", sets as Points]] : Object.entries(sets as Record<string, Points>);
}

function pointTrace(name: string, x: number[], y: number[], fill: string, size?: number): Partial<PlotData> {
  const pixels = size ?? (x.length > 2000 ? 3 : x.length > 500 ? 4 : 6);
  const marker = { color: fill, size: pixels, opacity: 0.6 };
  return { type: "scatter", mode: "markers", name, x: column(x), y: column(y), marker };
}

function squareRange(values: number[]): Range {
  const [low, high] = extent(values);
  const margin = 0.05 * (high - low || 1);
  return [low - margin, high + margin];
}

/** One panel with equal units on both axes. */
function planeFigure(data: Partial<PlotData>[], range: Range, options: FigureOptions): Figure {
  const fixed = { range: [...range], zeroline: false, constrain: "domain" as const };
  const layout: Partial<Layout> = {
    ...baseLayout({ height: 460, ...options }),
    xaxis: axis(options.xTitle, fixed),
    yaxis: axis(options.yTitle, { ...fixed, scaleanchor: "x", constraintoward: "top" }),
    showlegend: data.length > 1,
    ...noticeIfBlank(data, { range }),
  };
  return { data, layout };
}

/** Values on a grid: rows from low y to high y, or a function of the plane. */
export type Field = readonly Numbers[] | ((x: number, y: number) => number);

export interface FieldOptions extends FigureOptions {
  /** Where the grid lies, ends included. */
  xRange?: Range;
  yRange?: Range;
  /** Points along each side where the field is a function. */
  resolution?: number;
  /** Contour lines instead of cells. */
  contours?: boolean;
  /** Blue below zero, orange above. */
  diverging?: boolean;
  /** What the colour bar measures, with its unit. */
  zTitle?: string;
  /** Equal units on both axes; right for densities of the plane. */
  equalAxes?: boolean;
}

/** A heat map, or contours, of a function of the plane or of rows of values. Throws when rows differ in length. */
export function heatmap(field: Field, options: FieldOptions = {}): Figure {
  const { xRange, yRange, resolution = 81, contours, diverging, zTitle, equalAxes } = options;
  const rows =
    typeof field === "function"
      ? sampled(field, xRange ?? [-2, 2], yRange ?? [-2, 2], resolution)
      : field.map((row, index) => toNumbers(row, `heatmap: row ${index}`));
  const width = rows[0]?.length ?? 0;
  const ragged = rows.findIndex((row) => row.length !== width);
  if (width === 0 || ragged >= 0)
    throw new Error(
      `heatmap: row ${Math.max(ragged, 0)} has ${rows[ragged]?.length ?? 0} values, expected ${width || "at least 1"}.`,
    );
  const functionRange: Range | undefined = typeof field === "function" ? [-2, 2] : undefined;
  const trace: Partial<PlotData> = {
    type: contours ? "contour" : "heatmap",
    z: rows.map((row) => column(row, 4)), // a colour has no more digits

    x: column(gridOf(xRange ?? functionRange, width)),
    y: column(gridOf(yRange ?? functionRange, rows.length)),
    colorscale: diverging ? DIVERGING : SEQUENTIAL,
    ...(diverging ? symmetric(rows) : {}),
    colorbar: { ...(zTitle ? { title: { text: zTitle } } : {}), outlinewidth: 0 } as PlotData["colorbar"],
  };
  const equal = equalAxes ? { scaleanchor: "x" as const, constrain: "domain" as const } : {};
  const layout: Partial<Layout> = {
    ...baseLayout(options),
    xaxis: axis(options.xTitle, { showgrid: false, ...(equalAxes ? { constrain: "domain" } : {}) }),
    yaxis: axis(options.yTitle, { showgrid: false, ...equal }),
    ...noticeIfNoneFinite(rows.flat()),
  };
  return { data: [trace], layout };
}

const gridOf = (range: Range | undefined, count: number): number[] =>
  range ? linspace(...range, count) : linspace(0, count - 1, count);

function sampled(
  field: (x: number, y: number) => number,
  xRange: Range,
  yRange: Range,
  resolution: number,
): number[][] {
  const xs = linspace(...xRange, resolution);
  return linspace(...yRange, resolution).map((y) => xs.map((x) => field(x, y)));
}

function symmetric(rows: number[][]): { zmin: number; zmax: number } {
  const [low, high] = extent(rows.flat());
  const reach = Math.max(Math.abs(low), Math.abs(high));
  return { zmin: -reach, zmax: reach };
}
