/** @file A value as an output: its own bundle if it has one, else text that is short and says what it is. */
import { inspect } from "node:util";
import type { Bundle } from "./messages";
import { failureOf } from "./trace";

const DISPLAY = Symbol.for("Jupyter.display");

const INSPECT_OPTIONS = {
  depth: 4,
  maxArrayLength: 20,
  maxStringLength: 10_000,
  breakLength: 100,
  numericSeparator: false,
} as const;

/** What Node notes on promises and timers while it follows the asynchronous context, of which Stop makes use. */
const NOTES = new Set(["kResourceStore", "async_id_symbol", "trigger_async_id_symbol"]);

/** Leaves Node's notes out of what promises, the timers of `setTimeout` and those of `setImmediate` show as. */
export function hideNotes(): void {
  const [timeout, immediate] = [setTimeout(() => {}), setImmediate(() => {})];
  clearTimeout(timeout);
  clearImmediate(immediate);
  for (const shown of [Promise.resolve(), timeout, immediate]) {
    const prototype = Object.getPrototypeOf(shown);
    const usual: unknown = prototype[inspect.custom];
    const value = function (this: object, ...args: unknown[]): unknown {
      for (const symbol of Object.getOwnPropertySymbols(this))
        if (NOTES.has(symbol.description ?? "")) Object.defineProperty(this, symbol, { enumerable: false });
      return typeof usual === "function" ? usual.apply(this, args) : this; // itself: inspect goes on as usual
    };
    Object.defineProperty(prototype, inspect.custom, { value, configurable: true, writable: true });
  }
}

interface TensorLike {
  shape: number[];
  dtype: string;
  size: number;
  isDisposed: boolean;
  arraySync(): unknown;
  toString(): string;
}

function isTensor(value: object): value is TensorLike {
  const tensor = value as Partial<TensorLike>;
  return (
    Array.isArray(tensor.shape) && typeof tensor.dtype === "string" && typeof tensor.arraySync === "function"
  );
}

function describeTensor(tensor: TensorLike): string {
  const head = `Tensor ${tensor.dtype} [${tensor.shape.join(", ")}]`;
  if (tensor.isDisposed) return `${head} (disposed)`;
  const values = tensor.toString().replace(/^Tensor\n/, "");
  return `${head}\n${values}`;
}

const SHOWN_ELEMENTS = 20;

/** `Float32Array(1000) [ 0.1, 0.1, … 980 more ]`, with no more digits than single precision has. */
function describeFloats(values: Float32Array): string {
  if (values.length === 0) return "Float32Array(0) []";
  const shown = Array.from(values.subarray(0, SHOWN_ELEMENTS), (value) =>
    String(Number(value.toPrecision(7))),
  );
  const more = values.length - shown.length;
  return `Float32Array(${values.length}) [ ${shown.join(", ")}${more > 0 ? `, … ${more} more` : ""} ]`;
}

const MOST_CHARACTERS = 20_000;

/** `end`, or the place before it where it would part a pair of surrogates, which is one character. */
export function betweenCharacters(text: string, end: number): number {
  const unit = text.charCodeAt(end - 1);
  return end < text.length && unit >= 0xd800 && unit < 0xdc00 ? end - 1 : end;
}

/** A long text slows down the page that holds it, and each saving of the notebook. */
function cut(text: string): string {
  if (text.length <= MOST_CHARACTERS) return text;
  const end = betweenCharacters(text, MOST_CHARACTERS);
  return `${text.slice(0, end)}\n… ${text.length - end} more characters; console.dir(…, { depth: null, maxArrayLength: null }) prints all`;
}

/** The value as text. */
export const describe = (value: unknown): string => cut(wholeText(value));

function wholeText(value: unknown): string {
  if (value instanceof Float32Array) return describeFloats(value);
  if (typeof value === "string") return inspect(value, INSPECT_OPTIONS);
  if (typeof value === "object" && value !== null && isTensor(value)) return describeTensor(value);
  if (value instanceof Error) return failureOf(value, describe).trace.join("\n");
  return inspect(value, INSPECT_OPTIONS);
}

/** What front ends take as the data of a type: bytes become base64, JSON is as it is, all else is text. Throws on what they do not. */
function dataOf(type: string, data: unknown): unknown {
  if (data instanceof Uint8Array) return Buffer.from(data).toString("base64");
  const isJson = type.endsWith("json");
  const isText =
    typeof data === "string" || (Array.isArray(data) && data.every((line) => typeof line === "string"));
  const isLater = data instanceof Promise || typeof data === "function";
  if (isText || (isJson && !isLater && data !== undefined)) return data;
  const kind = data instanceof Promise ? "promise" : typeof data;
  const remedy = { promise: " Await it.", function: " Call it.", undefined: "" }[kind as string];
  throw new Error(
    `display: "${type}" is ${data === undefined || data === null ? data : `${kind === "object" ? "an" : "a"} ${kind}`}; expected ${isJson ? "JSON" : "text, a list of lines or bytes"}.${remedy ?? " Use String(…), or application/json for JSON."}`,
  );
}

/** The value as JSON, in which typed arrays are lists of numbers, as Plotly takes them. */
export const toJson = (value: unknown): string =>
  JSON.stringify(value, (_key, inner) =>
    ArrayBuffer.isView(inner) && !(inner instanceof DataView) ? Array.from(inner as Uint8Array) : inner,
  );

function refuseNoBundle(value: unknown): asserts value is Bundle {
  const isObject = typeof value === "object" && value !== null;
  const keys = isObject ? Object.keys(value) : [];
  const wrong = keys.find((key) => !key.includes("/"));
  if (keys.length > 0 && wrong === undefined) return;
  const got = isObject
    ? `an object with ${wrong === undefined ? "no keys" : `the key "${wrong}"`}`
    : typeof value;
  throw new Error(
    `display: got ${value instanceof Promise ? "a promise" : got}, expected data by MIME type such as { "text/plain": "…" }, or what has toMimeBundle(). As a cell's last expression any value is shown.`,
  );
}

/** A bundle ready for JSON: bytes, which only images and the like have, become base64. Throws on what is no bundle. */
function serializable(bundle: unknown): Bundle {
  refuseNoBundle(bundle);
  return Object.fromEntries(Object.entries(bundle).map(([type, data]) => [type, dataOf(type, data)]));
}

type Displayable = { toMimeBundle?: () => unknown } & Record<symbol, (() => unknown) | undefined>;

/** What the value's own method says that it shows as, or a promise of it. */
function ownBundle(value: unknown): unknown {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return undefined;
  const displayable = value as Displayable;
  const method =
    typeof displayable.toMimeBundle === "function" ? displayable.toMimeBundle : displayable[DISPLAY];
  return typeof method === "function" ? method.call(value) : undefined;
}

/** What `display` sends: the value's own bundle, or the value, which is then one. */
export const displayed = (value: unknown): Bundle => serializable(ownBundle(value) ?? value);

/** What a cell's last expression shows as, in JSON; nothing for `undefined`. Throws what the value's own method throws. */
export async function show(value: unknown): Promise<string | undefined> {
  if (value === undefined) return undefined;
  const own = await ownBundle(value);
  return toJson(own && typeof own === "object" ? serializable(own) : { "text/plain": describe(value) });
}
