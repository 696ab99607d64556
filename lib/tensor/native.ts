/**
 * @file What lies beneath tfjs's public API on the native engines, typed: the npm package's backend, the addon,
 * and any TensorFlow op by name. Only files of `lib/tensor` use it.
 *
 * A tensor of the native backend is an entry of `tensorMap`, found by its `dataId`; the entry's `id` is the
 * number by which the addon knows TensorFlow's tensor. A tensor made in JavaScript has `values` and no `id` until
 * an op first needs it.
 */
import * as tf from "@tensorflow/tfjs";
import { engine } from "./engine";

/** What the backend keeps for one `dataId`. `dtype` is TensorFlow's number for the type. */
export interface TensorData {
  readonly shape: number[];
  readonly dtype: number;
  id: number;
  values: tf.BackendValues | null;
  refCount: number;
}

/** An attribute of an op as the addon takes it; lists as arrays. */
export interface Attribute {
  name: string;
  type: number;
  value: unknown;
}

/** What the addon tells of an op's output. */
export interface OutputInfo {
  id: number;
  shape: number[];
  dtype: number;
}

/** What a recorded op's output will be; no shape where only the values decide it. */
export interface InferredOutput {
  dtype: number;
  shape?: number[];
}

declare const graphBrand: unique symbol;
/** A graph under construction, owned by the addon and freed with this value. */
export type GraphHandle = { readonly [graphBrand]: true };

/** The addon of the npm package. */
export interface Addon {
  readonly TF_FLOAT: number;
  readonly TF_INT32: number;
  readonly TF_INT64: number;
  readonly TF_BOOL: number;
  readonly TF_RESOURCE: number;
  readonly TF_STRING: number;
  readonly TF_ATTR_STRING: number;
  readonly TF_ATTR_INT: number;
  readonly TF_ATTR_FLOAT: number;
  readonly TF_ATTR_BOOL: number;
  readonly TF_ATTR_TYPE: number;
  readonly TF_ATTR_SHAPE: number;
  executeOp(name: string, attributes: Attribute[], inputs: number[], numOutputs: number): OutputInfo[];
  createTensor(shape: number[], dtype: number, values: unknown): number;
  deleteTensor(id: number): void;
  tensorDataSync(id: number): tf.BackendValues;
  getNumOfTensors?(): number;
}

/** What `native/*.cc` adds to it; the meaning of each is in `native/graph.h`. */
export interface GraphAddon extends Addon {
  /** Whether the ops of `native/ops.cc` are there. */
  readonly hasFusedOps?: boolean;
  newGraph(): GraphHandle;
  addOp(
    graph: GraphHandle,
    op: string,
    inputs: Int32Array,
    controls: Int32Array,
    attributes: Attribute[],
    shape?: number[],
  ): InferredOutput[];
  addConst(graph: GraphHandle, dtype: number, shape: number[], values: ArrayBufferView): InferredOutput[];
  registerFunction(
    name: string,
    graph: GraphHandle,
    body: Int32Array | null,
    inputs: Int32Array,
    outputs: Int32Array,
    controls: Int32Array,
    xla: boolean,
  ): void;
  removeFunction(name: string): void;
}

/** The npm package's backend, as far as it is used here. */
export interface NativeBackend {
  binding: Addon;
  readonly isUsingGpuDevice: boolean;
  readonly tensorMap: {
    get(dataId: object): TensorData;
    set(dataId: object, data: TensorData): void;
    has(dataId: object): boolean;
    delete(dataId: object): boolean;
  };
  getDTypeInteger(dtype: tf.DataType): number;
  getInputTensorIds(tensors: readonly { dataId: object }[]): number[];
  createOutputTensor(info: OutputInfo): tf.Tensor;
  executeMultipleOutputs(
    name: string,
    attributes: Attribute[],
    inputs: readonly tf.Tensor[],
    numOutputs: number,
  ): tf.Tensor[];
  disposeData(dataId: object, force?: boolean): boolean;
  move(dataId: object, values: tf.BackendValues, shape: number[], dtype: tf.DataType, refCount: number): void;
}

/** The native backend, or null where the engine is not native. */
export const nativeBackend = engine.native ? (tf.backend() as unknown as NativeBackend) : null;

/** The native backend; throws where there is none. */
export function requireBackend(): NativeBackend {
  if (!nativeBackend)
    throw new Error(`This needs the native engine, got "${engine.name}". Run: npm run doctor`);
  return nativeBackend;
}

/** A tensor for what the addon holds, also while `compile` records: then it comes from outside. The caller disposes. */
export function heldTensor(info: OutputInfo): tf.Tensor {
  const backend = requireBackend();
  return (Object.getPrototypeOf(backend) as NativeBackend).createOutputTensor.call(backend, info);
}

/** The addon itself, also while `compile` has put its recorder in the backend's place for it. */
export const addon = nativeBackend?.binding as Addon;

/** The addon with graph functions, or null where it was built without them (or is not native). */
export const graphAddon: GraphAddon | null =
  nativeBackend && "registerFunction" in nativeBackend.binding ? (addon as GraphAddon) : null;

type PlainAttribute =
  | number
  | boolean
  | string
  | { type: tf.DataType }
  /** A type of TensorFlow's that tfjs has not, by its number. */
  | { number: number }
  | { shape: number[] }
  | { int: number };

function attributeOf(backend: NativeBackend, name: string, value: PlainAttribute): Attribute {
  if (typeof value === "number") return { name, type: addon.TF_ATTR_FLOAT, value };
  if (typeof value === "boolean") return { name, type: addon.TF_ATTR_BOOL, value };
  if (typeof value === "string") return { name, type: addon.TF_ATTR_STRING, value };
  if ("number" in value) return { name, type: addon.TF_ATTR_TYPE, value: value.number };
  if ("int" in value) return { name, type: addon.TF_ATTR_INT, value: value.int };
  if ("shape" in value) return { name, type: addon.TF_ATTR_SHAPE, value: value.shape };
  return { name, type: addon.TF_ATTR_TYPE, value: backend.getDTypeInteger(value.type) };
}

/** An op's attributes by name: `{ T: { type: "float32" }, N: { int: 2 }, epsilon: 1e-5, transpose_a: true }`. */
export function attributes(values: Record<string, PlainAttribute>): Attribute[] {
  const backend = requireBackend();
  return Object.entries(values).map(([name, value]) => attributeOf(backend, name, value));
}

/**
 * Runs any TensorFlow op by its name on the native engine (or records it, inside `compile`). No gradient: wrap it
 * in `tf.customGrad` to give it one. The caller disposes the outputs.
 */
export function rawOp(
  name: string,
  attrs: Record<string, PlainAttribute>,
  inputs: readonly tf.Tensor[],
  numOutputs = 1,
): tf.Tensor[] {
  return requireBackend().executeMultipleOutputs(name, attributes(attrs), inputs, numOutputs);
}
