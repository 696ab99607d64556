/**
 * @file The look of every figure: one palette, one type size for a projector, one kind of axis.
 *
 * Colours of paper, text and axes are in the template: white paper in the PNG and in print, and JupyterLab's renderer
 * puts those of its theme in their place.
 */
import type { Layout, LayoutAxis } from "plotly.js";

/** Okabe and Ito's colours for all kinds of colour vision, without their yellow, which white paper swallows. */
export const PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#767676"] as const;

/** For what is no series of its own, such as a density to compare with: seen on white paper and on a dark page. */
export const NEUTRAL = "#767676";

/** For amounts from little to much. */
export const SEQUENTIAL = "Viridis";

/** For amounts on either side of zero: blue below, orange above. */
export const DIVERGING: [number, string][] = [
  [0, "#0072B2"],
  [0.5, "#F7F7F7"],
  [1, "#D55E00"],
];

export const INK = "#222222";
export const PAPER = "#FFFFFF";
const GRID_LINE = "#E3E3E3";
const AXIS_COLOURS = { gridcolor: GRID_LINE, linecolor: INK, tickcolor: INK };
const TEMPLATE: Layout["template"] = {
  layout: {
    font: { color: INK },
    paper_bgcolor: PAPER,
    plot_bgcolor: PAPER,
    xaxis: AXIS_COLOURS,
    yaxis: AXIS_COLOURS,
  },
};
/** DejaVu is what the PNG is set in; Verdana has its proportions where it is not installed. */
const FONT_FAMILY = "DejaVu Sans, Verdana, sans-serif";
export const TITLE_SIZE = 18;
export const TEXT_SIZE = 14;

/** What every figure may be told. Titles name the unit: "loss (nats per dimension)". */
export interface FigureOptions {
  title?: string;
  xTitle?: string;
  yTitle?: string;
  /** Height in pixels; the width is the page's, 720 in the PNG. */
  height?: number;
  width?: number;
}

/** The colour of the n-th series; the palette repeats after its end. */
export function colour(index: number): string {
  return PALETTE[index % PALETTE.length];
}

/** The same colour, see-through: for bands. */
export function paler(hex: string, opacity: number): string {
  const [r, g, b] = [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
  return `rgba(${r},${g},${b},${opacity})`;
}

/** An axis in the house style. */
export function axis(title?: string, more: Partial<LayoutAxis> = {}): Partial<LayoutAxis> {
  return {
    ...(title ? { title: { text: title, standoff: 8 } } : {}),
    zeroline: false,
    ticks: "outside",
    automargin: true,
    ...more,
  };
}

/** A logarithmic axis: ticks at powers of ten only, which a projector can show. */
export function logAxis(title?: string, more: Partial<LayoutAxis> = {}): Partial<LayoutAxis> {
  return axis(title, { type: "log", dtick: 1, exponentformat: "power", ...more });
}

/** The layout that all figures share. */
export function baseLayout({ title, height = 420, width }: FigureOptions): Partial<Layout> {
  return {
    ...(title ? { title: { text: title, x: 0.02, xanchor: "left", font: { size: TITLE_SIZE } } } : {}),
    font: { family: FONT_FAMILY, size: TEXT_SIZE },
    template: TEMPLATE,
    margin: { l: 64, r: 24, t: title ? 56 : 24, b: 56 },
    height,
    ...(width ? { width } : {}),
    colorway: [...PALETTE],
    hovermode: "closest",
    showlegend: false,
  };
}
