/** @file What the reader's code sends out: text, displays, questions. Each output goes under the cell that began it. */
import type { AsyncLocalStorage } from "node:async_hooks";
import { StringDecoder } from "node:string_decoder";
import type { MessagePort } from "node:worker_threads";
import type { Origin } from "./interrupt";
import { tell } from "./link";
import type { Bundle, CommMessage, OutputApi } from "./messages";
import { betweenCharacters, displayed, toJson } from "./show";
import { addPending, type Signals } from "./signals";

export interface DisplayOptions {
  displayId?: string;
  update?: boolean;
  metadata?: object;
}

/** The kernel's side of the display contract, `globalThis[Symbol.for("jupyter.kernel")]`. */
export interface KernelDisplay {
  /** Shows a bundle, or what has one of its own. */
  display(shown: Bundle | { toMimeBundle(): Bundle }, options?: DisplayOptions): void;
  clearOutput(wait?: boolean): void;
  /** Runs what must outlive its cell out of reach of Stop. */
  detached<T>(work: () => T): T;
}

export interface Output extends Omit<KernelDisplay, "detached"> {
  print(name: "stdout" | "stderr", text: string): void;
  comm(message: CommMessage): void;
  /** Asks the front end for a line; `answer` brings it. */
  prompt(question?: string, options?: { password?: boolean }): Promise<string>;
  answer(line: string): void;
  /** The request whose outputs these are when nothing tells where code comes from. */
  latest: string;
  allowStdin: boolean;
  /** The request whose cell runs now, the only one that the front end lets ask. */
  running: string | undefined;
}

type Send = <K extends keyof OutputApi>(method: K, ...args: Parameters<OutputApi[K]>) => void;

/** A message holds at most so much text; longer ones are cut, between characters. */
const MAX_TEXT = 4 << 20;

function* pieces(text: string): Generator<string> {
  for (let at = 0; at < text.length; ) {
    const end = betweenCharacters(text, Math.min(text.length, at + MAX_TEXT));
    yield text.slice(at, end);
    at = end;
  }
}

export function createOutput(
  port: Pick<MessagePort, "postMessage">,
  signals: Signals,
  origins: AsyncLocalStorage<Origin>,
): Output {
  const send: Send = (method, ...args) => tell(port, method, ...args);
  let asked: { request: string; answer: (line: string) => void } | undefined;
  const origin = () => origins.getStore()?.request ?? output.latest;

  const output: Output = {
    latest: "",
    allowStdin: false,
    running: undefined,
    print(name, text) {
      for (const piece of pieces(text)) {
        send("stream", origin(), name, piece);
        addPending(signals, piece.length);
      }
    },
    display(shown, { displayId, update = false, metadata = {} } = {}) {
      if (update && !displayId) throw new Error("display: an update needs the displayId of what it replaces");
      const transient = displayId ? { display_id: displayId } : {};
      // A front end forgets `transient` when it saves; in the metadata a page that is loaded anew can find it.
      const content = toJson({
        data: displayed(shown),
        metadata: { ...metadata, ...transient },
        transient,
      });
      send("display", origin(), content, update, []);
      addPending(signals, content.length);
    },
    clearOutput(wait = false) {
      send("clearOutput", origin(), wait);
    },
    comm(message) {
      send("comm", origin(), message);
    },
    prompt(question = "", { password = false } = {}) {
      if (!output.allowStdin)
        return Promise.reject(new Error("prompt: this front end takes no input (it runs cells unattended)"));
      const request = origin();
      if (request !== output.running)
        return Promise.reject(new Error("prompt: its cell has ended; ask while it runs"));
      if (asked?.request === request)
        return Promise.reject(new Error("prompt: an earlier question waits for its answer; await it first"));
      send("askInput", request, question, password);
      return new Promise((answer) => {
        asked = { request, answer };
      });
    },
    answer(line) {
      asked?.answer(line);
      asked = undefined;
    },
  };
  return output;
}

type Write = NodeJS.WriteStream["write"];

/** Sends what is written to the process's streams to the notebook instead. */
export function redirectStreams(output: Output): void {
  for (const name of ["stdout", "stderr"] as const) {
    const decoder = new StringDecoder("utf8");
    const write = (chunk: string | Uint8Array, encoding?: unknown, callback?: unknown) => {
      const text = typeof chunk === "string" ? chunk : decoder.write(Buffer.from(chunk));
      if (text) output.print(name, text);
      const done = typeof encoding === "function" ? encoding : callback;
      if (typeof done === "function") queueMicrotask(() => done());
      return true;
    };
    process[name].write = write as Write;
    keepBlocking(process[name]);
  }
}

/**
 * Node makes a pipe that it inherits non-blocking, and with it the end of whoever started the kernel, whose own lines are
 * then lost where the reader is slow.
 */
function keepBlocking(stream: object): void {
  const { _handle: handle } = stream as { _handle?: { setBlocking?(on: boolean): void } };
  handle?.setBlocking?.(true);
}
