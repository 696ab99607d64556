/**
 * @file `compile(fn)`: a function of tensors, or a training step, as one TensorFlow op.
 *
 * The first call with given shapes records the ops that `fn` runs (recorder.ts), gradients and optimizer included,
 * and registers them as one function of TensorFlow's eager context. Later calls run that function: no JavaScript
 * between the ops, TensorFlow's graph optimizer over all of them, memory freed as soon as it can be. What `fn`
 * computes stays what it is without `compile`; anything that would make it differ is an error.
 */
import * as tf from "@tensorflow/tfjs";
import { type Attribute, addon as anyAddon, type GraphAddon, graphAddon, nativeBackend } from "../native";
import "./kernels";
import { type Cell, knownCell, prepareWrite, settle, tensorIdOf } from "../variables";
import {
  isRecording,
  type Part,
  type ProductPrecision,
  type RecordedNode,
  Recorder,
  type Recording,
  type Source,
} from "./recorder";

export { PRODUCT_PRECISIONS, type ProductPrecision } from "./recorder";

export interface CompileOptions {
  /** Name in messages and profiles. Default: the function's own name. */
  name?: string;
  /**
   * Whether XLA compiles the recorded graph, where the TensorFlow at hand can. Its random numbers are others than
   * the eager ones, and the fused ops' plain forms take their place. Default false.
   */
  xla?: boolean;
  /**
   * "bfloat16" rounds what matrix products and convolutions multiply to 8 bits of mantissa, which a GPU, and a processor
   * with instructions for it, does in a fraction of the time; everything else, weights and sums included, stays float32.
   * Ignored where nothing is compiled. Default "float32".
   */
  precision?: ProductPrecision;
  /**
   * Whether the ops run one after another on one thread, each still using all cores, instead of several side by side.
   * Handing small ops from thread to thread costs more than they take. Default: where no tensor is large.
   */
  sequential?: boolean;
}

/** What was recorded for one combination of shapes. */
export interface CompiledGraph {
  readonly nodes: readonly RecordedNode[];
  /** Milliseconds for running the function once without computing, and for handing the graph over. */
  readonly recordMs: number;
}

/** A compiled function: called like the original. */
export type Compiled<A extends tf.TensorContainer[], R> = ((...inputs: A) => R) & {
  /** What was recorded so far, one for each combination of shapes; empty where nothing is compiled. */
  readonly graphs: readonly CompiledGraph[];
};

interface Program {
  name: string;
  part: Part;
  attributes: Attribute[];
}

interface Plan<R> extends CompiledGraph {
  step: Program;
  cells: Cell[];
  written: Set<Cell>;
  result: R;
}

/** A tensor of more numbers than this is large: working on it takes longer than waking a thread for it. */
const LARGE = 2 ** 18;

const hasLargeTensors = ({ nodes }: Recording<unknown>): boolean =>
  nodes.some(({ shapes }) => shapes.some((shape) => tf.util.sizeFromShape(shape) > LARGE));

/** Attribute by which a call asks TensorFlow for its sequential executor. */
const SEQUENTIAL: Attribute[] = [
  { name: "executor_type", type: anyAddon?.TF_ATTR_STRING, value: "SINGLE_THREADED_EXECUTOR" },
];

let numFunctions = 0;
const registry = new FinalizationRegistry<string>((name) => graphAddon?.removeFunction(name));

function refuseOther(container: unknown, what: string): never {
  const got = typeof container === "object" ? (container as object).constructor.name : typeof container;
  throw new Error(
    `compile: ${what} is a ${got}, expected a tensor, or arrays and objects of tensors. ${got === "Promise" ? "A compiled function is synchronous." : "It would be frozen into the compiled function: pass tf.scalar(value)."}`,
  );
}

/**
 * Calls `visit` with each tensor in arrays and objects, and `other` with what is none of the three, and returns a copy with
 * what they returned in their place.
 */
function mapTensors(
  container: unknown,
  visit: (tensor: tf.Tensor, what: string) => unknown,
  what: string,
  other: (container: unknown, what: string) => unknown = refuseOther,
): unknown {
  const map = (item: unknown, at: string) => mapTensors(item, visit, at, other);
  if (container instanceof tf.Tensor) return visit(container, what);
  if (Array.isArray(container)) return container.map((item, i) => map(item, `${what}[${i}]`));
  if (container === undefined || container === null) return container;
  if (typeof container === "object" && Object.getPrototypeOf(container) === Object.prototype)
    return Object.fromEntries(
      Object.entries(container).map(([key, item]) => [key, map(item, `${what}.${key}`)]),
    );
  return other(container, what);
}

/** Runs a function as it is, tidied; the tensors of its result are the caller's own even where they are inputs. */
function runTidied<R extends tf.TensorContainer>(fn: () => R): R {
  const own = (tensor: tf.Tensor) => tensor.clone();
  return tf.tidy(() => mapTensors(fn(), own, "result", (other) => other) as R);
}

type Check = (tensor: tf.Tensor, what: string) => void;

function tensorsOf(container: unknown, what: string, check?: Check): tf.Tensor[] {
  const tensors: tf.Tensor[] = [];
  const visit: Check = (tensor, at) => {
    check?.(tensor, at);
    tensors.push(tensor);
  };
  mapTensors(container, visit, what);
  return tensors;
}

const refuseDisposed: Check = ({ isDisposed, shape }, what) => {
  if (isDisposed)
    throw new Error(`compile: ${what} [${shape}] was disposed. Keep it until the call, or pass another.`);
};

function register(
  addon: GraphAddon,
  label: string,
  recording: Recording<unknown>,
  part: Part,
  { xla = false, sequential = !hasLargeTensors(recording) }: CompileOptions = {},
): Program {
  const name = `${label.replace(/\W/g, "_")}_${numFunctions++}`;
  const inputs = Int32Array.from(part.placeholders.flatMap((node) => [node, 0]));
  const outputs = Int32Array.from(part.outputs.flat());
  const body = part.body && Int32Array.from(part.body);
  addon.registerFunction(name, recording.graph, body, inputs, outputs, Int32Array.from(part.effects), xla);
  return { name, part, attributes: sequential ? SEQUENTIAL : [] };
}

function sourceId(source: Source, inputs: readonly tf.Tensor[]): number {
  if (source.kind === "variable") return source.cell.handle;
  if (source.kind === "input") return tensorIdOf(inputs[source.index].dataId);
  if (!nativeBackend?.tensorMap.has(source.dataId))
    throw new Error(
      `compile: a tensor [${source.shape}] from outside, which the compiled function uses, was disposed. Keep it, or pass it as an input.`,
    );
  return tensorIdOf(source.dataId);
}

function execute(addon: GraphAddon, { name, part, attributes }: Program, inputs: readonly tf.Tensor[]) {
  const ids = part.sources.map((source) => sourceId(source, inputs));
  return addon.executeOp(name, attributes, ids, part.outputs.length);
}

/** Gives variables that the function makes their first values. */
function initialize(
  addon: GraphAddon,
  label: string,
  recording: Recording<unknown>,
  inputs: readonly tf.Tensor[],
): void {
  if (!recording.initial) return;
  const { part, cells } = recording.initial;
  const program = register(addon, `${label}_initial`, recording, part);
  execute(addon, program, inputs).forEach(({ id }, i) => {
    cells[i].write(id);
    addon.deleteTensor(id);
  });
  addon.removeFunction(program.name);
}

/** Records `fn`, which gets a stand-in for each input but those that are to be `themselves`. */
function plan<A extends tf.TensorContainer[], R>(
  addon: GraphAddon,
  fn: (...inputs: A) => R,
  given: A,
  options: CompileOptions,
  themselves: readonly tf.Tensor[],
): Plan<R> {
  const label = options.name || fn.name || "fn";
  const start = performance.now();
  const tensors = tensorsOf(given, "inputs");
  const call = (symbolic: tf.Tensor[]): R => {
    let next = 0;
    const choose = (tensor: tf.Tensor) => {
      const standIn = symbolic[next++];
      return themselves.includes(tensor) ? tensor : standIn;
    };
    return fn(...(mapTensors(given, choose, "inputs") as A));
  };
  let numOutputs = 0;
  const recording = new Recorder(addon, label, options).record(call, tensors, (result) =>
    tensorsOf(result, `what ${label} returns`),
  );
  initialize(addon, label, recording, tensors);
  const step = register(addon, label, recording, recording.step, options);
  const cells = recording.step.sources.flatMap((source) => (source.kind === "variable" ? source.cell : []));
  return {
    step,
    cells,
    written: new Set(recording.written),
    result: mapTensors(recording.result, () => numOutputs++, "result") as R,
    nodes: recording.nodes,
    recordMs: performance.now() - start,
  };
}

/** Puts the call's output tensors where the function's result had tensors. */
function fill(template: unknown, outputs: tf.Tensor[]): unknown {
  if (typeof template === "number") return outputs[template];
  if (Array.isArray(template)) return template.map((item) => fill(item, outputs));
  if (template === null || template === undefined) return template;
  return Object.fromEntries(Object.entries(template).map(([key, item]) => [key, fill(item, outputs)]));
}

function run<R>(
  addon: GraphAddon,
  { step, cells, written, result }: Plan<R>,
  inputs: readonly tf.Tensor[],
): R {
  for (const cell of cells) {
    if (written.has(cell)) prepareWrite(cell);
    else settle(cell);
  }
  const outputs = execute(addon, step, inputs);
  for (const cell of written) cell.dropSnapshot(); // taken before the write where the variable was an input, too
  return fill(
    result,
    outputs.map((output) => nativeBackend!.createOutputTensor(output)),
  ) as R;
}

/** What a recording depends on: types and shapes, and in which arrays and objects they come, keys in their order. */
function signature(container: unknown): string {
  if (container instanceof tf.Tensor) {
    const { dtype, shape, dataId } = container;
    return `${dtype}${nativeBackend?.tensorMap.get(dataId).dtype}[${shape}]`;
  }
  if (Array.isArray(container)) return `(${container.map(signature)})`;
  if (container === undefined || container === null) return `${container}`;
  const entries = Object.entries(container);
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${signature(item)}`)}}`;
}

/** The inputs that are variables which the function writes: reading them, it has to see what it wrote. */
const writtenInputs = (inputs: readonly tf.Tensor[], { written }: Plan<unknown>): tf.Tensor[] =>
  inputs.filter((input) => input instanceof tf.Variable && written.has(knownCell(input) as Cell));

/** Says once that a native engine was built without the addon's own part. */
const warnOnce = (() => {
  let warned = !nativeBackend || graphAddon !== null;
  return () => {
    if (!warned)
      console.warn("compile: this engine has no graph functions; steps run op by op. Run: npm run setup");
    warned = true;
  };
})();

/**
 * Makes one TensorFlow op of a function of tensors, or of a training step that updates variables; called like `fn`
 * and equal to it.
 *
 * The inputs and the result are tensors, or arrays and objects of tensors; the caller disposes the result, and
 * everything else is tidied. Recorded at the first call with given shapes and types; new shapes are recorded
 * again. `tf.Variable`s may be read, assigned and created inside, and are updated in place. Numbers from
 * JavaScript are frozen at the recording: what changes from call to call comes in as a tensor, random numbers
 * from `rng(seed, step)`.
 *
 * Where functions cannot be compiled (another backend, an addon without them), inside another compiled function
 * and inside a gradient, it runs `fn` itself, tidied; the result is the caller's to dispose there, too.
 *
 * Throws, naming the op and the line, where `fn` reads a tensor back, draws random numbers in JavaScript, keeps a
 * tensor, or uses an op whose result's shape depends on values.
 *
 * ```ts
 * const step = compile((x0: tf.Tensor, draw: tf.Scalar) => optimizer.minimize(() => loss(x0, rng(7, draw))));
 * ```
 */
export function compile<A extends tf.TensorContainer[], R extends tf.TensorContainer>(
  fn: (...inputs: A) => R,
  options: CompileOptions = {},
): Compiled<A, R> {
  warnOnce();
  const plans = new Map<string, Plan<R>>();
  const graphs: CompiledGraph[] = [];
  const planFor = (addon: GraphAddon, inputs: A, key: string, themselves: tf.Tensor[] = []): Plan<R> => {
    const known = plans.get(key);
    if (known) return known;
    const made = plan(addon, fn, inputs, options, themselves);
    plans.set(key, made);
    graphs.push(made);
    registry.register(compiled, made.step.name);
    return made;
  };
  const compiled = (...inputs: A): R => {
    if (!graphAddon || isRecording() || tf.engine().isTapeOn()) return runTidied(() => fn(...inputs));
    const tensors = tensorsOf(inputs, "input", refuseDisposed);
    const key = signature(inputs);
    let found = planFor(graphAddon, inputs, key);
    const themselves = writtenInputs(tensors, found);
    if (themselves.length > 0) {
      const places = tensors.map((tensor) => (themselves.includes(tensor) ? tensor.id : ""));
      found = planFor(graphAddon, inputs, `${key} ${places}`, themselves);
    }
    return run(graphAddon, found, tensors);
  };
  return Object.assign(compiled, { graphs });
}
