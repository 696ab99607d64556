/**
 * @file Stack traces in the reader's terms: lines of cells and of the project's TypeScript, no frames of the kernel.
 */
import { SourceMap } from "node:module";
import { relative } from "node:path";
import type { Failure } from "./messages";
import { CELLS, CHECK_NAMES } from "./names";

interface Source {
  map: SourceMap;
  name: string;
  text?: string;
}

const sources = new Map<string, Source>();

/** Makes the lines of `file` appear as those of its TypeScript. Cells pass their text, which a trace then quotes. */
export function registerSource(file: string, sourceMap: string, name: string, text?: string): void {
  sources.set(file, { map: new SourceMap(JSON.parse(sourceMap)), name, text });
}

interface Place {
  file: string;
  line: number;
  column: number;
}

function originalPlace(site: NodeJS.CallSite): Place | undefined {
  const file = site.getFileName()?.replace(/^file:\/\//, "");
  const [line, column] = [site.getLineNumber(), site.getColumnNumber()];
  if (!file || line === null || column === null) return undefined;
  const source = sources.get(file);
  if (!source) return { file, line, column };
  const entry = source.map.findEntry(line - 1, column - 1);
  if (!("originalLine" in entry)) return undefined; // what TypeScript put before the code, for `using` or decorators
  return { file: source.name, line: entry.originalLine + 1, column: entry.originalColumn + 1 };
}

const isOfKernel = (file: string | null | undefined) =>
  file === null || file === undefined || file.startsWith(__dirname) || file.startsWith("node:");

function functionName(site: NodeJS.CallSite): string {
  const name = named(site.getFunctionName() ?? "");
  const type = site.isToplevel() || site.isConstructor() ? undefined : site.getTypeName();
  const prefix = `${site.isAsync() ? "async " : ""}${site.isConstructor() ? "new " : ""}`;
  if (!name) return prefix;
  return (
    prefix +
    (type && type !== "Object" && type !== "global" && !name.includes(".") ? `${type}.${name}` : name)
  );
}

function frame(site: NodeJS.CallSite): string | undefined {
  if (isOfKernel(site.getFileName())) return undefined;
  const place = originalPlace(site);
  if (!place) return undefined;
  const file = place.file.startsWith("/") ? relative(process.cwd(), place.file) || place.file : place.file;
  const at = `${file}:${place.line}:${place.column}`;
  const name = functionName(site).trim();
  if (name === "" || name === "async") return `    at ${[name, at].join(" ").trim()}`;
  return `    at ${name} (${at})`;
}

const CELLS_DOT = `${CELLS.replaceAll("$", "\\$")}\\.`;
const IN_CELLS = new RegExp(
  `\\(0 , ${CELLS_DOT}([\\p{ID_Continue}$]+)\\)|${CELLS_DOT}(?=[\\p{ID_Start}$_])`,
  "gu",
);

/** A message, or a function's name, with variables named as the reader does: V8 quotes compiled code, `(0 , $_cells.f)` for `f`. */
const named = (message: string): string =>
  message
    .replaceAll(`${CHECK_NAMES.resumed}(...)`, "(intermediate value)")
    .replace(IN_CELLS, (_, name = "") => name);

function headline(error: Error): string {
  const name = error.name ?? "Error";
  return error.message ? `${name}: ${named(String(error.message))}` : String(name);
}

/** From now on every `error.stack` of this thread is in the reader's terms. */
export function installTraces(): void {
  Error.stackTraceLimit = 20;
  Error.prepareStackTrace = (error, sites) => {
    const frames = sites.map(frame).filter((line) => line !== undefined);
    return [headline(error), ...frames].join("\n");
  };
}

const QUOTED_AROUND = 2;

/** The lines of a cell around the first frame that lies in one. */
function quote(stack: string): string[] {
  const match = /\(?((?:Cell \[\d+\])|(?:Code \d+)):(\d+):\d+\)?$/m.exec(stack);
  const text = match && sources.get(match[1])?.text?.trimEnd();
  if (!match || !text) return [];
  const at = Number(match[2]);
  const lines = text.split("\n");
  const width = String(at + QUOTED_AROUND).length;
  const quoted = lines.map((line, index) => {
    const number = index + 1;
    return `${number === at ? ">" : " "} ${String(number).padStart(width)} ${line}`;
  });
  return ["", `${match[1]}:`, ...quoted.slice(Math.max(0, at - 1 - QUOTED_AROUND), at + QUOTED_AROUND)];
}

type Describe = (value: unknown) => string;

/** The errors that an error holds, each with what it is to it. */
function inner(error: Error): [how: string, error: unknown][] {
  // Of `using`: the error of a disposal, and the one that it would have hidden. Node 20 has no class for it.
  const { error: disposal, suppressed } = error as { error?: unknown; suppressed?: unknown };
  if (error.name === "SuppressedError")
    return [
      ["of the disposal:", disposal],
      ["before it:", suppressed],
    ];
  const errors =
    error instanceof AggregateError ? error.errors : error.cause === undefined ? [] : [error.cause];
  return errors.map((cause) => ["caused by:", cause]);
}

/** The lines of the errors that an error holds; one that comes round again is not told twice. */
const causes = (error: Error, describe: Describe, told: Set<unknown>): string[] =>
  inner(error).flatMap(([how, cause]) => [
    "",
    how,
    ...(told.has(cause) ? ["an error above"] : described(cause, describe, told).trace),
  ]);

const isError = (value: unknown): value is Error =>
  value instanceof Error || Object.prototype.toString.call(value) === "[object Error]";

const thrownValue = (message: string): Failure => ({
  name: "Thrown",
  message,
  trace: [`Thrown: ${message}`],
});

function described(thrown: unknown, describe: Describe, told: Set<unknown>): Failure {
  if (!isError(thrown)) return thrownValue(describe(thrown));
  told.add(thrown);
  const name = String(thrown.name);
  const message = named(String(thrown.message));
  const stack = typeof thrown.stack === "string" ? thrown.stack : headline(thrown);
  return { name, message, trace: [...stack.split("\n"), ...quote(stack), ...causes(thrown, describe, told)] };
}

/** Whatever was thrown, as Jupyter's error. Never throws itself, whatever the value's own code does when it is looked at. */
export function failureOf(thrown: unknown, describe: Describe): Failure {
  try {
    return described(thrown, describe, new Set());
  } catch {
    return thrownValue("a value that cannot be shown");
  }
}
