/** @file What a figure is here (Plotly's data, layout and frames), and how one is put into words. */
import type { Frame, Layout, PlotData } from "plotly.js";

/** Plotly's figure; typed arrays in it become lists where it leaves as `application/vnd.plotly.v1+json`. */
export interface Figure {
  data: Partial<PlotData>[];
  layout: Partial<Layout>;
  frames?: Partial<Frame>[];
}

/** The name of an annotation that says why nothing is drawn. */
export const NOTICE = "notice";

/** Whether `value` has the shape of a figure. */
export function isFigure(value: unknown): value is Figure {
  const candidate = value as Figure | null;
  return (
    typeof candidate === "object" && candidate !== null && Array.isArray(candidate.data) && !!candidate.layout
  );
}

/** The figure as the notebook's JSON will hold it: a copy, in plain data. */
export function plain({ data, layout, frames }: Figure): Figure {
  return JSON.parse(JSON.stringify({ data, layout, frames }, asList));
}

const asList = (_key: string, value: unknown): unknown =>
  ArrayBuffer.isView(value) && !(value instanceof DataView) ? Array.from(value as Uint8Array) : value;

/** The figure's title without markup, or "figure". */
export function titleOf({ layout }: Figure): string {
  const { title } = layout;
  const text = typeof title === "string" ? title : title?.text;
  return withoutMarkup(text ?? "") || "figure";
}

/** One line for readers without the picture: title, kinds of marks, names, counts, axes, why nothing is drawn. */
export function describe(figure: Figure): string {
  const visible = figure.data.filter((trace) => trace.name || trace.showlegend !== false);
  const kinds = [...new Set(visible.map(kindOf))].filter(Boolean).join(", ");
  const names = [...new Set(visible.map((trace) => trace.name).filter(Boolean))].map((name) =>
    withoutMarkup(String(name)),
  );
  const parts = [kinds, names.length ? names.join(", ") : "", axesOf(figure)].filter(Boolean);
  const frames = figure.frames?.length ? [`${figure.frames.length} frames`] : [];
  return `[${titleOf(figure)}] ${[...parts, ...frames, ...noticesOf(figure)].join("; ")}`.trimEnd();
}

function noticesOf({ layout }: Figure): string[] {
  const notices = (layout.annotations ?? []).filter((one) => (one as { name?: string }).name === NOTICE);
  return [...new Set(notices.map(({ text }) => withoutMarkup(text?.replaceAll("<br>", " ") ?? "")))];
}

const withoutMarkup = (text: string): string => text.replace(/<br\s*\/?>/g, " · ").replace(/<[^>]*>/g, "");

function kindOf(trace: Partial<PlotData>): string {
  if (trace.visible === false) return "";
  const type = trace.type ?? "scatter";
  if (type !== "scatter") return type;
  return trace.mode?.includes("lines") ? "lines" : "points";
}

function axesOf({ layout }: Figure): string {
  const label = (axis: Partial<Layout>["xaxis"]): string => {
    const title = axis?.title;
    return withoutMarkup((typeof title === "string" ? title : title?.text) ?? "");
  };
  const [x, y] = [label(layout.xaxis), label(layout.yaxis)];
  if (x && y) return `${y} against ${x}`;
  return x || y;
}

/** Pixels that an animation keeps below its axes for its slider and buttons. */
export const CONTROLS_HEIGHT = 90;

/** The figure as a still picture: the shown frame's name goes into the title, the controls go. */
export function stillOf({ data, layout }: Figure): Figure {
  const { sliders, updatemenus, ...rest } = layout;
  const slider = sliders?.[0];
  if (!slider) return { data, layout: updatemenus ? rest : layout };
  const label = `${slider.currentvalue?.prefix ?? ""}${slider.steps?.[slider.active ?? 0]?.label ?? ""}`;
  const title = typeof rest.title === "object" ? rest.title : { text: rest.title };
  const text = [title.text, label].filter(Boolean).join(" · ");
  const margin = { ...rest.margin, b: (rest.margin?.b ?? 0) - CONTROLS_HEIGHT };
  return {
    data,
    layout: { ...rest, title: { ...title, text }, height: (rest.height ?? 0) - CONTROLS_HEIGHT, margin },
  };
}
