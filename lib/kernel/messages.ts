/** @file What the kernel's threads say to each other. */
import type { BlockingPort } from "./link";
import type { Declaration } from "./scope";
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
  /** Body of a function that knows `$_cells`, the other names of `names.ts` and what Node gives a module. */
  code: string;
  sourceMap: string;
  source: string;
  imports: ImportedModule[];
  /** Names whose values the cell declares, in `$_cells` once it ran. */
  values: string[];
  /** Those of them that are only said to be there, globally: `declare const gpu: GPU`. */
  ambient: string[];
  async: boolean;
}

export type Compilation =
  | { ok: true; cell: CompiledCell; declared: Declaration[] }
  | { ok: false; failure: Failure };

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

/** Whose cells they are. */
export interface Notebook {
  folder: string;
  /** When the kernel started, in ms since 1970: type errors in project files edited since then are shown. */
  started: number;
}

/**
 * Served by the language server, which keeps nothing of a kernel between two calls: `known` is what the cell can use
 * of earlier ones.
 */
export interface LanguageApi extends ModuleApi {
  /** A kernel starts here: the tsconfig and the packages are looked at anew, and the library's types read. */
  open(notebook: Notebook): void;
  /** `name` is what error messages call the code. */
  compile(notebook: Notebook, source: string, name: string, known: Declaration[]): Compilation;
  complete(notebook: Notebook, source: string, cursor: number, known: Declaration[]): Completion;
  inspect(notebook: Notebook, source: string, cursor: number, known: Declaration[]): Bundle | undefined;
  isComplete(source: string): Completeness;
}

/** What the runner asks while a module waits to be loaded. */
export interface ModuleApi {
  /** A project file as CommonJS JavaScript with its source map inlined. Throws on a syntax error. */
  transform(file: string): string;
  /** Where the tsconfig of the notebook in `folder` (`paths`, extensions) finds this specifier, if it does. */
  resolve(folder: string, specifier: string, from: string): string | undefined;
}

/** How a cell ended. */
export interface Outcome {
  failure?: Failure;
  /** What the cell's last expression shows as, a bundle in JSON. */
  result?: string;
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
  /** Stop was pressed, while a cell ran or none did; the INTERRUPT word is already set. */
  interrupt(isIdle: boolean): void;
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

/** What the protocol's thread is started with. */
export interface ProtocolData {
  connectionFile: string;
  project: string;
  signals: Signals;
  modules: BlockingPort;
  /** Whether this kernel has just started the language server. */
  languageStarted: boolean;
}
