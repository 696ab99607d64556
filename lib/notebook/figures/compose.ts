/** @file Figures made of figures: panels side by side, frames with a slider. Pure. */
import type { Annotations, Layout, LayoutAxis, PlotData, Slider } from "plotly.js";
import { CONTROLS_HEIGHT, type Figure, NOTICE } from "../figure";
import { baseLayout, type FigureOptions, TEXT_SIZE } from "./style";

export interface PanelOptions extends FigureOptions {
  /** Panels in a row; by default up to four. */
  columns?: number;
  /** Zooming one panel zooms all, and inner tick labels are left out. */
  commonAxes?: boolean;
}

interface Place {
  x: [number, number];
  y: [number, number];
  isLeft: boolean;
  isBottom: boolean;
}

type Axes = Record<string, Partial<LayoutAxis>>;

/**
 * Several figures of one pair of axes each as one figure, under their names, in reading order. A panel's colour
 * bar stays beside it; one legend for all stands below. Throws on no figures, image grids and compositions.
 */
export function panels(figures: Record<string, Figure>, options: PanelOptions = {}): Figure {
  const entries = Object.entries(figures);
  refuseUncomposable(entries);
  const columns = options.columns ?? Math.min(entries.length, 4);
  const places = entries.map(([, figure], index) => place(index, entries.length, columns, figure, options));
  const showlegend = entries.some(([, { layout }]) => layout.showlegend);
  const rowCount = Math.ceil(entries.length / columns);
  const layout: Partial<Layout> = {
    ...baseLayout({ height: rowCount * (columns > 2 ? 280 : 340) + 80, ...options }),
    ...barsAsIn(entries),
    ...Object.assign(
      {},
      ...entries.map(([, figure], index) => panelAxes(figure, index, places[index], options)),
    ),
    annotations: entries.flatMap(([name, figure], index) => [
      panelTitle(name, places[index]),
      ...panelNotices(figure, index, columns > 2 ? TEXT_SIZE - 3 : TEXT_SIZE),
    ]),
    showlegend,
    ...(showlegend ? { legend: { orientation: "h", x: 0, y: -0.12, yanchor: "top" } } : {}),
  };
  const seen = new Set<string>();
  const data = entries.flatMap(([, figure], index) =>
    figure.data.map((trace) => inPanel(trace, index, places[index], !!figure.layout.showlegend, seen)),
  );
  return { data, layout };
}

function refuseUncomposable(entries: [string, Figure][]): void {
  if (entries.length === 0) throw new Error("panels: got no figures, expected at least one.");
  for (const [name, { layout, frames }] of entries)
    if (layout.images || layout.xaxis2 || frames)
      throw new Error(
        `panels: "${name}" is an image grid, an animation or has panels itself, expected a figure of one pair of axes.`,
      );
}

/** Plotly has one way of stacking bars for a whole figure: the first panel that has bars decides. */
function barsAsIn(entries: [string, Figure][]): Partial<Layout> {
  const withBars = entries.find(([, { layout }]) => layout.barmode);
  if (!withBars) return {};
  const { barmode, bargap } = withBars[1].layout;
  return { barmode, ...(bargap === undefined ? {} : { bargap }) };
}

/** Plotly calls the first axis "x" and the second "x2". */
const numbered = (letter: string, index: number): string => (index === 0 ? letter : `${letter}${index + 1}`);

const COLOUR_BAR_ROOM = 0.1; // of the figure's width, taken from the panel that it belongs to

function place(
  index: number,
  count: number,
  columns: number,
  { data }: Figure,
  { commonAxes }: PanelOptions,
): Place {
  const [column, row] = [index % columns, Math.floor(index / columns)];
  const rowCount = Math.ceil(count / columns);
  const gapX = commonAxes ? 0.04 : 0.1;
  const gapY = 0.28 / rowCount;
  const width = (1 - gapX * (columns - 1)) / columns;
  const height = (1 - gapY * (rowCount - 1)) / rowCount;
  const left = column * (width + gapX);
  const bottom = 1 - row * (height + gapY) - height;
  const room = data.some((trace) => trace.colorbar) ? COLOUR_BAR_ROOM : 0;
  const short = (value: number) => Math.min(1, Math.max(0, Number(value.toFixed(4))));
  return {
    x: [short(left), short(left + width - room)],
    y: [short(bottom), short(bottom + height)],
    isLeft: column === 0,
    isBottom: index + columns >= count,
  };
}

function panelAxes(
  { layout }: Figure,
  index: number,
  { x, y, isLeft, isBottom }: Place,
  { commonAxes: common }: PanelOptions,
): Axes {
  const [xName, yName] = [numbered("x", index), numbered("y", index)];
  const linked = (letter: string) =>
    common && index > 0 ? { matches: letter as LayoutAxis["matches"] } : {};
  const inner = (isOuter: boolean): Partial<LayoutAxis> =>
    common && !isOuter ? { showticklabels: false, title: { text: "" } } : {};
  const anchored = layout.yaxis?.scaleanchor ? { scaleanchor: xName as LayoutAxis["scaleanchor"] } : {};
  return {
    [xName.replace("x", "xaxis")]: {
      ...layout.xaxis,
      domain: x,
      anchor: yName as LayoutAxis["anchor"],
      ...linked("x"),
      ...inner(isBottom),
    },
    [yName.replace("y", "yaxis")]: {
      ...layout.yaxis,
      domain: y,
      anchor: xName as LayoutAxis["anchor"],
      ...linked("y"),
      ...anchored,
      ...inner(isLeft),
    },
  };
}

function panelTitle(text: string, { x, y }: Place): Partial<Annotations> {
  const at = { x: (x[0] + x[1]) / 2, y: y[1], xref: "paper", yref: "paper" } as const;
  return {
    text,
    ...at,
    xanchor: "center",
    yanchor: "bottom",
    showarrow: false,
    font: { size: TEXT_SIZE + 1 },
  };
}

const panelNotices = ({ layout }: Figure, index: number, size: number) =>
  (layout.annotations ?? []).map((notice) => ({
    ...notice,
    font: { ...notice.font, size },
    xref: `${numbered("x", index)} domain` as Annotations["xref"],
    yref: `${numbered("y", index)} domain` as Annotations["yref"],
  }));

/** A name that several panels share appears once in the legend and is switched in all of them together. */
function inPanel(
  trace: Partial<PlotData>,
  index: number,
  { x, y }: Place,
  hasLegend: boolean,
  seen: Set<string>,
): Partial<PlotData> {
  const placed = { ...trace, xaxis: numbered("x", index), yaxis: numbered("y", index) };
  if (trace.colorbar) {
    const beside = { x: x[1], xpad: 6, y: (y[0] + y[1]) / 2, len: y[1] - y[0], thickness: 12 };
    return { ...placed, colorbar: { ...trace.colorbar, ...beside } };
  }
  const isListed = hasLegend && !!trace.name && trace.showlegend !== false && !seen.has(trace.name);
  if (isListed) seen.add(String(trace.name));
  return { ...placed, ...(trace.name ? { legendgroup: trace.name } : {}), showlegend: isListed };
}

export interface AnimationOptions {
  /** What the slider runs over, for instance "t". */
  slider?: string;
  /** The frame that the still picture shows, by name; by default the last. */
  shown?: string;
  /** Milliseconds that a frame stays. */
  frameMs?: number;
  title?: string;
}

/**
 * Figures of like make as frames under one slider, by name and in order; axes stay where the shown frame has
 * them. The still picture shows `shown`. Throws on no frames, an unknown `shown`, or unlike numbers of traces.
 */
export function animation(
  frames: Record<string, Figure> | readonly (readonly [name: string | number, figure: Figure])[],
  { slider = "", shown, frameMs = 120, title }: AnimationOptions = {},
): Figure {
  const entries = (Array.isArray(frames) ? frames : Object.entries(frames)).map(
    ([name, figure]) => [String(name), figure as Figure] as const,
  );
  const active = shown === undefined ? entries.length - 1 : entries.findIndex(([name]) => name === shown);
  if (active < 0)
    throw new Error(
      `animation: no frame "${shown ?? ""}", expected one of ${entries.map(([name]) => name).join(", ") || "at least one frame"}.`,
    );
  const [shownName, still] = entries[active];
  for (const [name, { data }] of entries)
    if (data.length !== still.data.length)
      throw new Error(
        `animation: frame "${name}" has ${data.length} traces, expected ${still.data.length} as in "${shownName}".`,
      );
  const layout: Partial<Layout> = {
    ...withoutNotices(still.layout),
    ...(title ? { title: baseLayout({ title }).title } : {}),
    sliders: [
      sliderOver(
        entries.map(([name]) => name),
        active,
        slider,
        frameMs,
      ),
    ],
    updatemenus: [playButton(frameMs)] as Layout["updatemenus"],
    height: (still.layout.height ?? 420) + CONTROLS_HEIGHT,
    margin: { ...still.layout.margin, t: 56, b: (still.layout.margin?.b ?? 56) + CONTROLS_HEIGHT },
  };
  return {
    data: still.data,
    layout,
    frames: entries.map(([name, { data, layout: own }]) => ({
      name,
      data: data.map(movingParts),
      ...(own.images ? { layout: { images: own.images } } : {}),
    })),
  };
}

/** What one frame says of itself would stand over all of them. */
function withoutNotices({ annotations, ...layout }: Partial<Layout>): Partial<Layout> {
  const kept = annotations?.filter((one) => (one as { name?: string }).name !== NOTICE);
  return kept?.length ? { ...layout, annotations: kept } : layout;
}

/** Only what changes from frame to frame; style and axes come from the shown figure. */
function movingParts({ x, y, z, type }: Partial<PlotData>): Partial<PlotData> {
  return { type, ...(x ? { x } : {}), ...(y ? { y } : {}), ...(z ? { z } : {}) };
}

const jump = (frameMs: number) => ({
  mode: "immediate" as const,
  fromcurrent: true,
  frame: { duration: frameMs, redraw: true },
  transition: { duration: 0 },
});

/** Pixels that the two buttons before the slider take. */
const BUTTONS_WIDTH = 100;

function sliderOver(names: string[], active: number, label: string, frameMs: number): Partial<Slider> {
  return {
    active,
    x: 0,
    len: 1,
    pad: { t: 44, b: 0, l: BUTTONS_WIDTH, r: 0 }, // in pixels: the buttons are as wide in a narrow figure
    currentvalue: { visible: true, prefix: label ? `${label} = ` : "", xanchor: "left" },
    steps: names.map((name) => ({
      label: name,
      method: "animate",
      args: [[name], jump(frameMs)],
    })) as Slider["steps"],
  };
}

function playButton(frameMs: number) {
  return {
    type: "buttons",
    direction: "left",
    showactive: false,
    x: 0,
    y: 0,
    xanchor: "left",
    yanchor: "top",
    pad: { t: 56, r: 10 },
    buttons: [
      { label: "▶", method: "animate", args: [null, jump(frameMs)] },
      {
        label: "❚❚",
        method: "animate",
        args: [[null], { ...jump(0), frame: { duration: 0, redraw: false } }],
      },
    ],
  };
}
