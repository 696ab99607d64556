/**
 * @file The one place that knows the kernel's display. Outside a kernel, an output's `text/plain` goes to the console.
 *
 * The kernel puts an object under `globalThis[Symbol.for("jupyter.kernel")]`; the library imports no kernel.
 */

/** An output by MIME type, as Jupyter's `display_data` has it. */
export type Bundle = Record<string, unknown>;

/** What the kernel gives. */
export interface KernelDisplay {
  display(bundle: Bundle, options?: { displayId?: string; update?: boolean; metadata?: object }): void;
  clearOutput(wait?: boolean): void;
  /** Runs what must outlive its cell out of reach of Stop; a kernel without it runs everything in the cell. */
  detached?<T>(work: () => T): T;
}

/** An output that can be replaced where it stands. */
export interface Output {
  /** Shows `bundle` at this place: at first as a new output, afterwards instead of the last one. */
  send(bundle: Bundle, metadata?: object): void;
}

const KERNEL = Symbol.for("jupyter.kernel");
let outputs = 0;

function kernel(): KernelDisplay | undefined {
  return (globalThis as unknown as Record<symbol, KernelDisplay | undefined>)[KERNEL];
}

/** Whether a notebook's kernel is listening. */
export function inKernel(): boolean {
  return kernel() !== undefined;
}

/** Runs `work`, and what it starts, so that stopping the cell which began it does not break it off. */
export function detached<T>(work: () => T): T {
  const listener = kernel();
  return listener?.detached ? listener.detached(work) : work();
}

/** One output, shown once. */
export function display(bundle: Bundle, metadata?: object): void {
  const listener = kernel();
  if (listener) listener.display(bundle, { metadata });
  else print(bundle);
}

/** A place for one output that changes; nothing is shown before its first `send`. */
export function output(): Output {
  const displayId = `lower-bound-${process.pid}-${++outputs}`;
  let update = false;
  return {
    send(bundle, metadata) {
      const listener = kernel();
      if (listener) listener.display(bundle, { displayId, update, metadata });
      else print(bundle);
      update = true;
    },
  };
}

function print(bundle: Bundle): void {
  const text = bundle["text/plain"];
  if (typeof text === "string" && text !== "") console.log(text);
}
