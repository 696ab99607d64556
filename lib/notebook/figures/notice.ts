/** @file Words in a figure that has nothing to draw: without them it would look broken. */
import type { Annotations, Layout, PlotData } from "plotly.js";
import { NOTICE } from "../figure";

/** What of a plane is drawn: positive values on a log axis, and where there is a range, what lies in it. */
interface Window {
  logX?: boolean;
  logY?: boolean;
  range?: readonly [number, number];
}

type Notices = Pick<Partial<Layout>, "annotations">;

const NO_VALUES = "there are no<br>values yet.";

/** A layout's notice where none of the points can be seen; nothing where one can. */
export function noticeIfBlank(data: Partial<PlotData>[], { logX, logY, range }: Window = {}): Notices {
  const series = data.filter(({ showlegend }) => showlegend !== false);
  const points = series.flatMap(({ x, y }) =>
    (y as unknown[]).map((value, i) => [(x as unknown[])[i], value] as const),
  );
  if (points.length === 0) return notice(NO_VALUES);
  const isDrawn = (value: unknown, log?: boolean) => value !== null && !(log && (value as number) <= 0);
  const drawable = points.filter(([x, y]) => isDrawn(x, logX) && isDrawn(y, logY));
  if (drawable.length === 0) return notice(notDrawable({ logX, logY }));
  if (!range || drawable.some((point) => point.every((value) => isWithin(value as number, range)))) return {};
  return notice(outside(drawable.length, "point", range));
}

/** The same for values that are counted or coloured: samples, the cells of a map, pixels. */
export function noticeIfNoneFinite(values: ArrayLike<number>, range?: readonly [number, number]): Notices {
  if (values.length === 0) return notice(NO_VALUES);
  const isAny = (holds: (value: number) => boolean) => Array.prototype.some.call(values, holds); // ends at the first
  if (!isAny(Number.isFinite)) return notice(notDrawable({}));
  if (!range || isAny((value) => isWithin(value, range))) return {};
  return notice(outside(Array.from(values).filter(Number.isFinite).length, "value", range));
}

const isWithin = (value: number, [low, high]: readonly [number, number]): boolean =>
  value >= Math.min(low, high) && value <= Math.max(low, high);

function notDrawable(axes: Window): string {
  const logs = (["logX", "logY"] as const).filter((name) => axes[name]);
  if (logs.length === 0) return "all values are<br>NaN or infinite.";
  const remedy = logs.map((name) => `${name}: false`).join(", ");
  return `all values are NaN,<br>or not positive on<br>a log axis (draw<br>with ${remedy}).`;
}

function outside(count: number, kind: string, range: readonly [number, number]): string {
  const all = count === 1 ? `the only ${kind}<br>lies` : `all ${count} ${kind}s<br>lie`;
  return `${all} outside the<br>range [${range.join(", ")}].`;
}

/** Placed by its axes, so that it can move into a panel with them, and in lines that are as short as a panel may be narrow. */
function notice(reason: string): Notices {
  const middle = { x: 0.5, y: 0.5, xref: "x domain", yref: "y domain", showarrow: false };
  return {
    annotations: [{ name: NOTICE, text: `Nothing to draw:<br>${reason}`, ...middle } as Partial<Annotations>],
  };
}
