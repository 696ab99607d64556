/** @file What the kernel's threads say to each other. */
import type { MessagePort } from "node:worker_threads";
import type { BlockingPort } from "./link";
import type { Signals } from "./signals";

/** An error as Jupyter shows it. */
export interface Failure {
  name: string;
  message: string;
  trace: string[];
}

export type Bundle = Record<string, unknown>;

/** One name that a cell imports: `name` here is `exported` there; `*` is the whole module. */
export interface ImportedName {
  name: string;
  exported: string;
}

/** A module that a cell imports, in the order of its import statements. */
export interface ImportedModule {
  specifier: string;
  names: ImportedName[];
}

/** A cell that passed the type check, as JavaScript. */
export interface CompiledCell {
  /** Body of a function of `$cells`, `$import` and the interrupt check. */
  code: string;
  sourceMap: string;
  source: string;
  imports: ImportedModule[];
  /** Names whose values the cell declares, in `$cells` once it ran. */
  values: string[];
  async: boolean;
}

export type Compilation = { ok: true; cell: CompiledCell } | { ok: false; failure: Failure };

/** A completion as JupyterLab shows it. */
export interface Completion {
  start: number;
  end: number;
  matches: string[];
  types: { start: number; end: number; text: string; type: string; signature?: string }[];
}

export type Completeness =
  | { status: "complete" | "invalid" | "unknown" }
  | { status: "incomplete"; indent: string };

/** Served by the language thread. */
export interface LanguageApi {
  /** `name` is what error messages call the code. */
  compile(source: string, name: string): Compilation;
  /** Makes the names of the last compiled cell known to the next ones, but for the values that it did not reach. */
  commit(missing: string[]): void;
  complete(source: string, cursor: number): Completion;
  inspect(source: string, cursor: number, detail: number): Bundle | undefined;
  isComplete(source: string): Completeness;
}

/** Served by the language thread to the runner, which waits for the answer. */
export type ModuleApi = {
  /** A project file as CommonJS JavaScript with its source map inlined. Throws on a syntax error. */
  transform(file: string): string;
  /** Where tsconfig (`paths`, extensions) finds this specifier, if it does. */
  resolve(specifier: string, from: string): string | undefined;
};

/** How a cell ended. */
export interface Outcome {
  failure?: Failure;
  /** What the cell's last expression shows as. */
  result?: Bundle;
  /** Declared names that have no value, for the cell failed before them. */
  missing: string[];
}

export interface CommMessage {
  type: "comm_open" | "comm_msg" | "comm_close";
  id: string;
  target?: string;
  data: unknown;
  metadata?: Record<string, unknown>;
  buffers: Uint8Array[];
}

/** Served by the runner. `request` is the id of the request whose outputs these will be. */
export interface RunnerApi {
  run(cell: CompiledCell, name: string, request: string, allowStdin: boolean): Outcome;
  comm(message: CommMessage, request: string): void;
  /** Stop was pressed; the INTERRUPT word is already set. */
  interrupt(): void;
  input(value: string): void;
}

/** Served by the protocol thread: what the reader's code sends out. */
export interface OutputApi {
  stream(request: string, name: "stdout" | "stderr", text: string): void;
  display(request: string, content: string, update: boolean, buffers: Uint8Array[]): void;
  clearOutput(request: string, wait: boolean): void;
  comm(request: string, message: CommMessage): void;
  askInput(request: string, prompt: string, password: boolean): void;
}

/** What the protocol and language threads are started with. */
export interface ProtocolData {
  connectionFile: string;
  signals: Signals;
  language: MessagePort;
}
export interface LanguageData {
  project: string;
  modules: BlockingPort;
  protocol: MessagePort;
}
