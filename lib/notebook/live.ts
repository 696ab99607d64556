/**
 * @file A figure that changes while a cell runs: `live` for any figure, `liveCurve` for a loss.
 *
 * A learner's loop may end, throw or be stopped at any point: the last state is always sent, with its PNG, even
 * when nobody calls `done`.
 */
import { type Bundle, detached, inKernel, output } from "./display";
import type { Figure } from "./figure";
import { lines } from "./figures/charts";
import type { FigureOptions } from "./figures/style";
import { complete, interactive } from "./show";

/** A figure on the page that can be replaced. */
export interface Live<Arguments extends unknown[]> {
  /** Draws anew, at most a few times a second; the last call is always drawn. */
  update(...state: Arguments): void;
  /** Sends the last state with its PNG. `await` it at the end of a cell; a loop that broke off is finished without it. */
  done(): Promise<void>;
}

const UPDATES_PER_SECOND = 4;
const IDLE_MS = 2000; // a loop that has been silent for so long has ended, or draws rarely enough to afford a PNG

/**
 * A figure that changes in place: from an initial figure (`update(nextFigure)`), or from a function of the state
 * (`update(state)`), which is called only as often as something is drawn.
 *
 * `const picture = live((points: number[][]) => scatter(points)); … picture.update(points); … await picture.done();`
 */
export function live(initial: Figure): Live<[figure: Figure]>;
export function live<Arguments extends unknown[]>(draw: (...state: Arguments) => Figure): Live<Arguments>;
export function live<Arguments extends unknown[]>(
  source: Figure | ((...state: Arguments) => Figure),
): Live<Arguments> {
  const draw = typeof source === "function" ? source : (...state: Arguments) => state[0] as Figure;
  const painter = throttledPainter();
  if (typeof source !== "function") painter.paint(() => source);
  return {
    update: (...state) => painter.paint(() => draw(...state)),
    done: painter.finish,
  };
}

/** Draws the latest of what it is given, not too often, and completes it with a PNG after a silence. */
function throttledPainter() {
  const place = output();
  let waiting: (() => Figure) | undefined;
  let drawn: Figure | undefined;
  let lastTime = -Infinity;
  let trailing: NodeJS.Timeout | undefined;
  let idle: NodeJS.Timeout | undefined;
  let completing: Promise<void> = Promise.resolve();

  function flush(): void {
    clearTimeout(trailing);
    trailing = undefined;
    if (!waiting) return;
    const draw = waiting;
    waiting = undefined;
    drawn = draw();
    lastTime = Date.now();
    if (inKernel()) place.send(interactive(drawn));
  }

  /** From a timer there is no cell to throw into: the reason goes into the output, and what was drawn stays. */
  function flushLater(): void {
    try {
      flush();
    } catch (error) {
      place.send(broken(error, drawn));
    }
  }

  async function finish(): Promise<void> {
    clearTimeout(idle);
    try {
      flush();
    } finally {
      await completeDrawn();
    }
  }

  function completeDrawn(): Promise<void> {
    if (drawn) completing = completeWith(drawn);
    drawn = undefined; // finished: a second `done` has nothing to add, but waits for what is under way
    return completing;
  }

  async function completeWith(figure: Figure): Promise<void> {
    const isLatest = () => !waiting && !drawn; // while the PNG was made, the loop may have gone on
    if (inKernel()) await complete({ send: (bundle) => isLatest() && place.send(bundle) }, figure);
    else place.send(interactive(figure));
  }

  function finishLater(): void {
    const figure = drawn;
    finish().catch((error) => place.send(broken(error, figure)));
  }

  function paint(draw: () => Figure): void {
    waiting = draw;
    const wait = lastTime + 1000 / UPDATES_PER_SECOND - Date.now();
    if (wait <= 0) flush();
    clearTimeout(idle);
    detached(() => {
      if (waiting) trailing ??= setTimeout(flushLater, wait);
      idle = setTimeout(finishLater, IDLE_MS);
    });
  }

  return { paint, finish };
}

function broken(error: unknown, drawn: Figure | undefined): Bundle {
  const text = `(The figure could not be drawn: ${error instanceof Error ? error.message : String(error)})`;
  return drawn ? { ...interactive(drawn), "text/plain": text } : { "text/plain": text };
}

export interface CurveOptions extends FigureOptions {
  logX?: boolean;
  /** Losses are best seen on a log axis, which is the default; `false` where values may be negative. */
  logY?: boolean;
}

/** A curve that grows. */
export interface LiveCurve {
  /** A point of the curve, or of several by name: `add(step, loss)`, `add(step, { loss, bound })`. */
  add(x: number, y: number | Record<string, number>): void;
  /** Sends the whole curve with its PNG. */
  done(): Promise<void>;
}

/**
 * Draws a training's curve while it runs:
 *
 * `const curve = liveCurve({ title: "loss" }); for await (const { step, loss } of train(…)) curve.add(step, loss); await curve.done();`
 *
 * Long curves are drawn as means over neighbouring steps, and their name says so.
 */
export function liveCurve({
  logY = true,
  xTitle = "step",
  yTitle = "loss",
  ...options
}: CurveOptions = {}): LiveCurve {
  const series = new Map<string, ThinnedSeries>();
  const drawing = live(() => {
    const named = [...series].map(([name, thinned]) => [thinned.nameOf(name), thinned.points()] as const);
    return lines(Object.fromEntries(named), { ...options, logY, xTitle, yTitle });
  });
  return {
    add(x, y) {
      for (const [name, value] of Object.entries(typeof y === "number" ? { [yTitle]: y } : y)) {
        const thinned = series.get(name) ?? thinnedSeries();
        series.set(name, thinned);
        thinned.add(x, value);
      }
      drawing.update();
    },
    done: drawing.done,
  };
}

type ThinnedSeries = ReturnType<typeof thinnedSeries>;

const MOST_POINTS = 1000;

/** Keeps at most `MOST_POINTS` points: when full, neighbours merge into their mean, and later points too. */
function thinnedSeries() {
  let [xs, ys]: [number[], number[]] = [[], []];
  let merged = 1;
  let [sumX, sumY, pending] = [0, 0, 0];

  function halve(): void {
    const half = (values: number[]) =>
      Array.from({ length: values.length / 2 }, (_, i) => (values[2 * i] + values[2 * i + 1]) / 2);
    [xs, ys, merged] = [half(xs), half(ys), 2 * merged];
  }

  return {
    add(x: number, y: number): void {
      [sumX, sumY, pending] = [sumX + x, sumY + y, pending + 1];
      if (pending < merged) return;
      xs.push(sumX / merged);
      ys.push(sumY / merged);
      [sumX, sumY, pending] = [0, 0, 0];
      if (xs.length === MOST_POINTS) halve();
    },
    points: () => ({ x: xs, y: ys }),
    nameOf: (name: string) => (merged === 1 ? name : `${name} (mean of ${merged} steps)`),
  };
}
