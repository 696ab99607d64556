/**
 * @file How far a long loop has come and how long it will take: one line that rewrites itself.
 *
 * In a notebook the line is an output that changes in place, in a terminal it is rewritten on standard error, and
 * into a file or a pipe only its last state is written.
 */
import { inKernel, output } from "./display";

export interface ProgressOptions<Item = unknown> {
  /** How many items will come; without it there is no time left to tell. */
  total?: number;
  /** What is being done: "training". */
  label?: string;
  /** What counts: "steps", "images". */
  unit?: string;
  /** More to say beside the count, for instance the loss of the last item. */
  note?: (item: Item) => string;
}

/** A line that a loop moves on by hand. */
export interface ProgressLine {
  /** So many items are done in all, with a few words beside the count. */
  update(done: number, note?: string): void;
  /** The last state, which stays. A loop that broke off says so by its count. */
  done(): void;
}

const REDRAW_MS = 250;
const BAR_WIDTH = 24;

/**
 * Goes through anything that can be looped over and says how far it is, whether the loop ends, breaks or throws:
 * `for await (const { step, loss } of progress(train(…), { total: 1000, label: "training" })) …`
 */
export async function* progress<Item>(
  items: Iterable<Item> | AsyncIterable<Item>,
  options: ProgressOptions<Item> = {},
): AsyncGenerator<Item, void, undefined> {
  const line = progressLine({ total: lengthOf(items), ...options });
  let count = 0;
  line.update(count); // the first item may take long
  try {
    for await (const item of items) {
      yield item;
      line.update(++count, options.note?.(item));
    }
  } finally {
    line.done();
  }
}

function lengthOf(items: object): number | undefined {
  const { length, size } = items as { length?: unknown; size?: unknown };
  return [length, size].find((count): count is number => typeof count === "number");
}

/** A line for loops that cannot hand over their items, such as a download: `update` as it goes, `done` at its end. */
export function progressLine({
  total,
  label = "",
  unit = "",
}: Omit<ProgressOptions, "note"> = {}): ProgressLine {
  const start = Date.now();
  const write = writer();
  let lastDrawn = -Infinity;
  let state = { count: 0, note: "" };
  let isDone = false;
  const text = (now: number) =>
    describeProgress({ ...state, total, label, unit, seconds: (now - start) / 1000, isDone });
  return {
    update(count, note = "") {
      state = { count, note };
      const now = Date.now();
      if (now - lastDrawn < REDRAW_MS) return;
      lastDrawn = now;
      write(text(now), false);
    },
    done() {
      if (isDone) return;
      isDone = true;
      write(text(Date.now()), true);
    },
  };
}

type Writer = (line: string, isLast: boolean) => void;

function writer(): Writer {
  if (inKernel()) {
    const place = output();
    return (line) => place.send({ "text/plain": line });
  }
  const { stderr } = process;
  if (stderr.isTTY) return (line, isLast) => stderr.write(`\r${line}\u001b[K${isLast ? "\n" : ""}`);
  return (line, isLast) => isLast && stderr.write(`${line}\n`);
}

/** What a progress line says. */
export interface ProgressState {
  count: number;
  total?: number;
  label: string;
  unit: string;
  seconds: number;
  note: string;
  isDone: boolean;
}

/** "training ██████░░░░ 250/1000 steps · 41.2 steps/s · 18 s left · loss 0.31"; at the end, the time that it took. */
export function describeProgress(state: ProgressState): string {
  const { count, total, label, unit, seconds, note } = state;
  const rate = seconds > 0 ? count / seconds : 0;
  const counted = [`${count}${total === undefined ? "" : `/${total}`}`, unit].filter(Boolean).join(" ");
  const start = [label, total === undefined ? "" : bar(count / Math.max(total, 1)), counted].filter(Boolean);
  const speed =
    rate > 0 ? `${rate >= 100 ? Math.round(rate) : Number(rate.toPrecision(3))}${unit && ` ${unit}`}/s` : "";
  return [start.join(" "), speed, timeOf(state, rate), note].filter(Boolean).join(" · ");
}

function timeOf({ count, total, seconds, isDone }: ProgressState, rate: number): string {
  if (count === 0 && seconds < 1) return ""; // it has just begun
  const isShort = total !== undefined && count < total;
  if (isDone && isShort) return `stopped after ${duration(seconds)}`;
  return isShort && rate > 0 ? `${duration((total - count) / rate)} left` : duration(seconds);
}

function bar(fraction: number): string {
  const filled = Math.round(BAR_WIDTH * Math.min(1, Math.max(0, fraction)));
  return "█".repeat(filled) + "░".repeat(BAR_WIDTH - filled);
}

/** "0.4 s", "18 s", "3 min 20 s", "2 h 05 min". */
export function duration(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (value: number) => String(value).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}
