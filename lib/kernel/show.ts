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
  const shown = Array.from(values.subarray(0, SHOWN_ELEMENTS), (value) =>
    String(Number(value.toPrecision(7))),
  );
  const more = values.length - shown.length;
  return `Float32Array(${values.length}) [ ${shown.join(", ")}${more > 0 ? `, … ${more} more` : ""} ]`;
}

/** The value as text. */
export function describe(value: unknown): string {
  if (value instanceof Float32Array) return describeFloats(value);
  if (typeof value === "string") return inspect(value, INSPECT_OPTIONS);
  if (typeof value === "object" && value !== null && isTensor(value)) return describeTensor(value);
  if (value instanceof Error) return failureOf(value).trace.join("\n");
  return inspect(value, INSPECT_OPTIONS);
}

function dataOf(type: string, data: unknown): unknown {
  if (data instanceof Uint8Array) return Buffer.from(data).toString("base64");
  if (data instanceof Promise || typeof data === "function")
    throw new Error(
      `display: "${type}" is a ${data instanceof Promise ? "promise: await it" : "function: call it"}; expected text, bytes or JSON.`,
    );
  return data;
}

/** The value as JSON, in which typed arrays are lists of numbers, as Plotly takes them. */
export const toJson = (value: unknown): string =>
  JSON.stringify(value, (_key, inner) =>
    ArrayBuffer.isView(inner) && !(inner instanceof DataView) ? Array.from(inner as Uint8Array) : inner,
  );

/** A bundle ready for JSON: bytes, which only images and the like have, become base64. */
export function serializable(bundle: Bundle): Bundle {
  return Object.fromEntries(Object.entries(bundle).map(([type, data]) => [type, dataOf(type, data)]));
}

type Displayable = { toMimeBundle?: () => Bundle } & Record<symbol, (() => Bundle) | undefined>;

async function ownBundle(value: object): Promise<Bundle | undefined> {
  const displayable = value as Displayable;
  const method =
    typeof displayable.toMimeBundle === "function" ? displayable.toMimeBundle : displayable[DISPLAY];
  if (typeof method !== "function") return undefined;
  const bundle = await method.call(value);
  return bundle && typeof bundle === "object" ? bundle : undefined;
}

/** What a cell's last expression shows as, in JSON; nothing for `undefined`. Throws what the value's own method throws. */
export async function show(value: unknown): Promise<string | undefined> {
  if (value === undefined) return undefined;
  const isObject = (typeof value === "object" && value !== null) || typeof value === "function";
  const own = isObject ? await ownBundle(value as object) : undefined;
  return toJson(own ? serializable(own) : { "text/plain": describe(value) });
}
