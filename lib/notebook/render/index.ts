/**
 * @file Figures as PNG without a browser: Plotly in jsdom, its SVG drawn by resvg, both in a process of their own, for a
 * resvg that breaks down takes its whole process with it.
 *
 * The renderer starts with the first figure (or with `warmUp`), never blocks the caller and never keeps its process
 * alive. WebGL traces cannot be drawn there: they are refused with their name.
 */
import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import { detached } from "../display";
import { type Figure, plain, stillOf } from "../figure";

/** Traces that Plotly draws as SVG, or on the plain canvas that the renderer has. */
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

const TIME_LIMIT_MS = 60_000; // generous: a machine of thirty notebooks is slow to start a process
const DEFAULT_SIZE = { width: 720, height: 420, scale: 1.5 };

let renderer: ChildProcess | undefined;
let nextId = 0;
const jobs = new Map<number, Job>();

/** Starts the renderer in the background, so that the first figure need not wait for it. */
export function warmUp(): void {
  renderer ??= detached(startRenderer); // it serves all cells, whichever started it
}

/**
 * PNG bytes of a figure, the same bytes for the same figure. `width` and `height` default to the layout's own.
 * Rejects with the reason when the figure cannot be drawn: a WebGL trace, a broken figure, a renderer that broke down.
 */
export async function render(figure: Figure, size: RenderSize = {}): Promise<Uint8Array> {
  refuseUndrawable(figure);
  const still = stillOf(figure);
  warmUp();
  return new Promise<Uint8Array>((resolve, reject) => {
    const id = nextId++;
    const timer = setTimeout(() => abandon(`took longer than ${TIME_LIMIT_MS / 1000} s`), TIME_LIMIT_MS);
    timer.unref();
    jobs.set(id, { resolve, reject, timer });
    hold(renderer, true); // while a figure is being drawn the process must wait for it
    renderer?.send({ id, figure: plain(still), ...sizeOf(still, size) });
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

function startRenderer(): ChildProcess {
  const started = fork(join(__dirname, "renderer.cjs"), {
    execArgv: [],
    serialization: "advanced",
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  started.on("message", ({ id, png, failure }: { id: number; png?: Uint8Array; failure?: string }) =>
    settle(id, png ?? new Error(`render: ${failure}`)),
  );
  started.on("error", (error) => abandon(error.message, started));
  started.on("exit", (code, signal) => abandon(`the renderer broke down (${signal ?? code})`, started));
  hold(started, false);
  return started;
}

/** Whether this process waits for the renderer's, which alone would keep it alive. */
function hold(one: ChildProcess | undefined, isHeld: boolean): void {
  const change = isHeld ? "ref" : "unref";
  one?.[change]();
  one?.channel?.[change]();
}

function settle(id: number, result: Uint8Array | Error): void {
  const job = jobs.get(id);
  if (!job) return;
  jobs.delete(id);
  clearTimeout(job.timer);
  if (jobs.size === 0) hold(renderer, false);
  if (result instanceof Error) job.reject(result);
  else job.resolve(result);
}

/** Fails what waits on the renderer; the next figure starts a new one. */
function abandon(reason: string, abandoned = renderer): void {
  if (abandoned !== renderer) return; // an old renderer's last words
  renderer = undefined;
  abandoned?.kill("SIGKILL");
  for (const id of [...jobs.keys()]) settle(id, new Error(`render: ${reason}`));
}
