/**
 * @file Figures as PNG without a browser: Plotly in jsdom, its SVG drawn by resvg, both in a worker thread.
 *
 * The thread starts with the first figure (or with `warmUp`), never blocks the caller's thread and never keeps
 * the process alive on its own. WebGL traces cannot be drawn there: they are refused with their name.
 */
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { detached } from "../display";
import { type Figure, plain, stillOf } from "../figure";

/** Traces that Plotly draws as SVG, or on the plain canvas that the render thread has. */
export const DRAWABLE_TRACES = [
  "scatter",
  "bar",
  "histogram",
  "histogram2d",
  "histogram2dcontour",
  "heatmap",
  "contour",
  "box",
  "violin",
] as const;

/** Width, height in CSS pixels; `scale` device pixels for each of them. */
export interface RenderSize {
  width?: number;
  height?: number;
  scale?: number;
}

interface Job {
  resolve: (png: Uint8Array) => void;
  reject: (error: Error) => void;
  timer: NodeJS.Timeout;
}

const TIME_LIMIT_MS = 60_000; // generous: a machine of thirty notebooks is slow to start a thread
const DEFAULT_SIZE = { width: 720, height: 420, scale: 1.5 };

let thread: Worker | undefined;
let nextId = 0;
const jobs = new Map<number, Job>();

/** Starts the render thread in the background, so that the first figure need not wait for it. */
export function warmUp(): void {
  thread ??= detached(startThread); // it serves all cells, whichever started it
}

/**
 * PNG bytes of a figure, the same bytes for the same figure. `width` and `height` default to the layout's own.
 * Rejects with the reason when the figure cannot be drawn: a WebGL trace, a broken figure, a lost thread.
 */
export async function render(figure: Figure, size: RenderSize = {}): Promise<Uint8Array> {
  refuseUndrawable(figure);
  const still = stillOf(figure);
  warmUp();
  return new Promise<Uint8Array>((resolve, reject) => {
    const id = nextId++;
    const timer = setTimeout(
      () => abandonThread(`took longer than ${TIME_LIMIT_MS / 1000} s`),
      TIME_LIMIT_MS,
    );
    timer.unref();
    jobs.set(id, { resolve, reject, timer });
    thread?.ref(); // while a figure is being drawn the process must wait for it
    thread?.postMessage({ id, figure: plain(still), ...sizeOf(still, size) });
  });
}

function sizeOf({ layout }: Figure, { width, height, scale }: RenderSize): Required<RenderSize> {
  return {
    width: width ?? layout.width ?? DEFAULT_SIZE.width,
    height: height ?? layout.height ?? DEFAULT_SIZE.height,
    scale: scale ?? DEFAULT_SIZE.scale,
  };
}

function refuseUndrawable({ data }: Figure): void {
  for (const { type = "scatter" } of data)
    if (!(DRAWABLE_TRACES as readonly string[]).includes(type))
      throw new Error(
        `render: got a trace of type "${type}", expected one of ${DRAWABLE_TRACES.join(", ")}. WebGL and maps need a browser.`,
      );
}

function startThread(): Worker {
  const started = new Worker(join(__dirname, "thread.cjs"), { execArgv: [], stdout: true, stderr: true });
  started.on("message", ({ id, png, failure }: { id: number; png?: Uint8Array; failure?: string }) =>
    settle(id, png ?? new Error(`render: ${failure}`)),
  );
  started.on("error", (error) => abandonThread(error.message, started));
  started.on("exit", () => abandonThread("the render thread ended", started));
  started.unref();
  return started;
}

function settle(id: number, result: Uint8Array | Error): void {
  const job = jobs.get(id);
  if (!job) return;
  jobs.delete(id);
  clearTimeout(job.timer);
  if (jobs.size === 0) thread?.unref();
  if (result instanceof Error) job.reject(result);
  else job.resolve(result);
}

/** Fails what waits on the thread; the next figure starts a new one. */
function abandonThread(reason: string, abandoned = thread): void {
  if (abandoned !== thread) return; // an old thread's last words
  thread = undefined;
  void abandoned?.terminate();
  for (const id of [...jobs.keys()]) settle(id, new Error(`render: ${reason}`));
}
