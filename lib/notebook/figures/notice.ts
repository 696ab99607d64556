/** @file Words in a figure that has values and yet nothing to draw: without them it would look broken. */
import type { Annotations, Layout, PlotData } from "plotly.js";
import { NOTICE } from "../figure";

interface LogAxes {
  logX?: boolean;
  logY?: boolean;
}

/** A layout's notice where none of the values can be drawn; nothing where one can, or where there are none. */
export function noticeIfBlank(
  data: Partial<PlotData>[],
  axes: LogAxes = {},
): Pick<Partial<Layout>, "annotations"> {
  const series = data.filter(({ showlegend }) => showlegend !== false);
  const isDrawn = (value: unknown, log?: boolean) => value !== null && !(log && (value as number) <= 0);
  const isBlank = series.every(({ x, y }) =>
    (y as unknown[]).every(
      (value, i) => !isDrawn(value, axes.logY) || !isDrawn((x as unknown[])[i], axes.logX),
    ),
  );
  if (!isBlank || series.every(({ y }) => (y as unknown[]).length === 0)) return {};
  return { annotations: [notice(reasonOf(axes))] };
}

/** The same for values that are counted or coloured: samples, the cells of a map. */
export const noticeIfNoneFinite = (values: readonly number[]): Pick<Partial<Layout>, "annotations"> =>
  values.length === 0 || values.some(Number.isFinite) ? {} : { annotations: [notice(reasonOf({}))] };

function reasonOf(axes: LogAxes): string {
  const logs = (["logX", "logY"] as const).filter((name) => axes[name]);
  if (logs.length === 0) return "Nothing to draw: all values are NaN or infinite.";
  const remedy = logs.map((name) => `${name}: false`).join(", ");
  return `Nothing to draw: all values<br>are NaN, or not positive on a<br>log axis (draw with ${remedy}).`;
}

/** Placed by its axes, so that it can move into a panel with them. */
function notice(text: string): Partial<Annotations> {
  const middle = { x: 0.5, y: 0.5, xref: "x domain", yref: "y domain", showarrow: false };
  return { name: NOTICE, text, ...middle } as Partial<Annotations>;
}
