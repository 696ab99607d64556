/**
 * @file Runs a function once without computing anything, and keeps the TensorFlow ops that it would have run.
 *
 * While it records, this stands where the backend has its addon. Each op becomes a node of a graph; its outputs
 * are tensors with a shape, a type and a negative number for an id (the backend frees only the others).
 * TensorFlow's own shape inference says what they are. Everything above the addon, tfjs's gradients, tidying and
 * optimizers included, runs as ever and does not notice.
 *
 * Values come in by four ways, each a placeholder or a node of the graph: the function's inputs, tensors from
 * outside that it uses, variables (read from their resource, in order with the writes), and constants made in
 * JavaScript.
 */
import * as tf from "@tensorflow/tfjs";
import {
  type Attribute,
  addon,
  attributes,
  type GraphAddon,
  type NativeBackend,
  type OutputInfo,
  requireBackend,
} from "../native";
import { adopt, Cell, knownCell, newCell, settleAlone, tensorIdOf } from "../variables";
import { at, mark } from "./where";

/** An output of a node: the node's index and which of its outputs. */
type Ref = readonly [node: number, output: number];

/** A node of the recorded graph. */
export interface RecordedNode {
  op: string;
  inputs: Ref[];
  /** Nodes that must run before this one though it uses nothing of them. */
  controls: number[];
  shapes: number[][];
  /** What a placeholder stands for: "input 0", "variable dense/kernel", "captured tensor". */
  label?: string;
  where: Error;
}

/** Where the value of a placeholder comes from when the function is called. */
export type Source =
  | { kind: "input"; index: number }
  | { kind: "tensor"; dataId: object; shape: number[] }
  | { kind: "variable"; cell: Cell };

/** How far reads and writes of one variable have been recorded. */
interface CellState {
  handle: Ref;
  /** The tensor that a read now would give, where one was recorded since the last write. */
  value: number | null;
  lastWrite: number | null;
  readsSince: number[];
}

/** A part of the graph that is to become a function. */
export interface Part {
  /** Its operations, or null for all. */
  body: number[] | null;
  placeholders: number[];
  sources: Source[];
  outputs: Ref[];
  /** Operations that must run even where no output needs them. */
  effects: number[];
}

/** What was recorded; the graph goes to the addon's `registerFunction`. */
export interface Recording<R> {
  graph: ReturnType<GraphAddon["newGraph"]>;
  nodes: RecordedNode[];
  step: Part;
  /** Computes the first values of variables that the function itself makes, such as an optimizer's slots. */
  initial: { part: Part; cells: Cell[] } | null;
  written: Cell[];
  result: R;
}

const DRAWS_IN_JAVASCRIPT = new Set(
  [
    "randomNormal",
    "randomUniform",
    "randomUniformInt",
    "randomGamma",
    "randomStandardNormal",
    "truncatedNormal",
  ]
    .concat(["rand", "dropout", "multinomial"])
    .map((name) => `${name}__op`),
);
const READS_RESOURCE = new Set(["ReadVariableOp", "ResourceGather", "VarIsInitializedOp", "VariableShape"]);
const SMALL_BYTES = 64;

/** Where numbers of half the bits may be multiplied: the products, which are nearly all of a network's arithmetic. */
const PRODUCTS = new Set([
  "MatMul",
  "BatchMatMul",
  "BatchMatMulV2",
  "_FusedMatMul",
  "Conv2D",
  "Conv2DBackpropInput",
  "Conv2DBackpropFilter",
]);
/** TensorFlow's number for the type. */
const BFLOAT16 = 14;

/** How numbers are multiplied in matrix products and convolutions. */
export const PRODUCT_PRECISIONS = ["float32", "bfloat16"] as const;
export type ProductPrecision = (typeof PRODUCT_PRECISIONS)[number];

export interface RecorderOptions {
  /** Whether XLA will compile the graph. Default false. */
  xla?: boolean;
  /** Default "float32". */
  precision?: ProductPrecision;
}

let current: Recorder | null = null;
/** Whether some function is being recorded now. */
export const isRecording = (): boolean => current !== null;
/** The recorder at work, if any. */
export const currentRecorder = (): Recorder | null => current;

/** Name of the tfjs op at work, such as `matMul`, for messages; "" outside of one. */
function activeOp(): string {
  const scopes = tf.engine().state.scopeStack as { name: string }[];
  const scope = [...scopes].reverse().find(({ name }) => name.endsWith("__op"));
  return scope ? scope.name.slice(0, -"__op".length) : "";
}

export class Recorder {
  private readonly graph: ReturnType<GraphAddon["newGraph"]>;
  private readonly nodes: RecordedNode[] = [];
  private readonly symbols = new Map<number, Ref>();
  private readonly placeholders: number[] = [];
  private readonly sources: Source[] = [];
  private readonly constants = new Map<string, number>();
  private readonly constantOf = new WeakMap<object, number>();
  private readonly madeHere = new WeakSet<object>();
  private readonly dataIds = new Map<number, object>();
  private readonly variableOf = new Map<object, tf.Variable>();
  private readonly states = new Map<Cell, CellState>();
  private readonly cellOfHandle = new Map<number, Cell>();
  private readonly writes = new Set<number>();
  private readonly written = new Set<Cell>();
  private readonly born: { cell: Cell; value: Ref }[] = [];
  private readonly made: { dataId: object; dispose(): void }[] = [];
  /** Each variable's value from before, held so that an assignment cannot free it. */
  private readonly held = new Map<tf.Variable, tf.Tensor>();
  private failure: Error | null = null;
  private nextId = -2; // -1 is the backend's own for "not uploaded yet"

  /** Whether XLA will compile the graph. */
  readonly xla: boolean;
  readonly precision: ProductPrecision;

  constructor(
    private readonly addon: GraphAddon,
    private readonly name: string,
    { xla = false, precision = "float32" }: RecorderOptions = {},
  ) {
    this.graph = addon.newGraph();
    this.xla = xla;
    this.precision = precision;
  }

  // ---- errors ----

  private fail(message: string): never {
    const error = new Error(`compile(${this.name}): ${message}`);
    this.failure ??= error; // also where the caller swallows it, as a promise would
    throw error;
  }

  // ---- nodes ----

  private add(op: string, inputs: Ref[], controls: number[], attrs: Attribute[], shape?: number[]): number {
    const where = mark();
    try {
      const outputs = this.addon.addOp(
        this.graph,
        op,
        Int32Array.from(inputs.flat()),
        Int32Array.from(controls),
        attrs,
        shape,
      );
      return this.push({ op, inputs, controls, shapes: outputs.map((o) => o.shape ?? []), where }, outputs);
    } catch (error) {
      return this.fail(`${op}${at(where)} cannot be recorded: ${(error as Error).message}`);
    }
  }

  private readonly inferred: { dtype: number; shape?: number[] }[][] = [];

  private push(node: RecordedNode, outputs: { dtype: number; shape?: number[] }[]): number {
    this.nodes.push(node);
    this.inferred.push(outputs);
    return this.nodes.length - 1;
  }

  private symbol(ref: Ref): number {
    const id = this.nextId--;
    this.symbols.set(id, ref);
    return id;
  }

  private placeholder(
    source: Source,
    label: string,
    dtype: number,
    shape: number[],
    attrs: Attribute[],
  ): Ref {
    const all = [
      { name: "dtype", type: addon.TF_ATTR_TYPE, value: dtype },
      { name: "shape", type: addon.TF_ATTR_SHAPE, value: shape },
      ...attrs,
    ];
    const node = this.add("Placeholder", [], [], all);
    this.nodes[node].label = label;
    this.placeholders.push(node);
    this.sources.push(source);
    return [node, 0];
  }

  private constant(shape: number[], dtype: number, values: ArrayBufferView): number {
    if (!ArrayBuffer.isView(values))
      this.fail(
        `${activeOp() || "a constant"}${at(mark())} makes a tensor of strings, which cannot be recorded.`,
      );
    const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
    const key = bytes.length <= SMALL_BYTES ? `${dtype}|${shape}|${bytes.toString("hex")}` : null;
    const known = key === null ? undefined : this.constants.get(key);
    if (known !== undefined) return known;
    const outputs = this.addon.addConst(this.graph, dtype, shape, values);
    const node = this.push(
      { op: "Const", inputs: [], controls: [], shapes: [shape], where: mark() },
      outputs,
    );
    const id = this.symbol([node, 0]);
    if (key !== null) this.constants.set(key, id);
    return id;
  }

  // ---- tensors ----

  /** The number of a tensor for this recording; the backend's own `getInputTensorIds`, one at a time. */
  private idOf(tensor: { dataId: object }): number {
    if ("valueArray" in tensor) {
      // The package's stand-in for a scalar of 64 bits, which JavaScript has no tensors of.
      return this.constant([], addon.TF_INT64, tensor.valueArray as Int32Array);
    }
    return this.idOfData(tensor.dataId);
  }

  private idOfData(dataId: object): number {
    const entry = requireBackend().tensorMap.get(dataId);
    if (entry instanceof Cell) return this.read(entry);
    if (this.madeHere.has(dataId) && entry.values !== null) {
      const known = this.constantOf.get(dataId);
      if (known !== undefined) return known;
      const id = this.constant(entry.shape, entry.dtype, entry.values as ArrayBufferView);
      this.constantOf.set(dataId, id);
      return id;
    }
    const variable = this.variableOf.get(dataId);
    if (variable) return this.read(adopt(variable, dataId));
    const id = tensorIdOf(dataId);
    this.dataIds.set(id, dataId);
    return id;
  }

  private refOf(id: number): Ref {
    const known = this.symbols.get(id);
    if (known) return known;
    const dataId = this.dataIds.get(id);
    if (!dataId)
      this.fail(
        `${activeOp() || "an op"}${at(mark())} uses a tensor that another compiled function left behind.`,
      );
    const { shape, dtype } = requireBackend().tensorMap.get(dataId);
    const ref = this.placeholder({ kind: "tensor", dataId, shape }, "captured tensor", dtype, shape, []);
    this.symbols.set(id, ref);
    return ref;
  }

  // ---- variables ----

  private stateOf(cell: Cell): CellState {
    const known = this.states.get(cell);
    if (known) return known;
    const types = [
      { name: "_handle_dtypes", type: addon.TF_ATTR_TYPE, value: [cell.dtype] },
      { name: "_handle_shapes", type: addon.TF_ATTR_SHAPE, value: [cell.shape] },
    ];
    const label = `variable ${cell.variable.name}`;
    const handle = this.placeholder({ kind: "variable", cell }, label, addon.TF_RESOURCE, [], types);
    const state: CellState = { handle, value: null, lastWrite: null, readsSince: [] };
    this.states.set(cell, state);
    this.cellOfHandle.set(cell.handle, cell);
    this.symbols.set(cell.handle, handle);
    return state;
  }

  private read(cell: Cell): number {
    const state = this.stateOf(cell);
    if (state.value !== null) return state.value;
    const type = attributes({ dtype: { type: cell.variable.dtype } });
    const after = state.lastWrite === null ? [] : [state.lastWrite];
    const node = this.add("ReadVariableOp", [state.handle], after, type, cell.shape);
    state.readsSince.push(node);
    state.value = this.symbol([node, 0]);
    return state.value;
  }

  /** Which nodes an op on these resources has to wait for, so that reads and writes keep their order. */
  private waitFor(op: string, cells: Cell[]): number[] {
    const nodes = cells.flatMap((cell) => {
      const { lastWrite, readsSince } = this.stateOf(cell);
      const writes = lastWrite === null ? [] : [lastWrite];
      return READS_RESOURCE.has(op) ? writes : [...writes, ...readsSince];
    });
    return [...new Set(nodes)];
  }

  private noteUse(op: string, cells: Cell[], node: number): void {
    for (const cell of cells) {
      const state = this.stateOf(cell);
      if (READS_RESOURCE.has(op)) {
        state.readsSince.push(node);
        continue;
      }
      Object.assign(state, { lastWrite: node, readsSince: [], value: null });
      this.writes.add(node);
      this.written.add(cell);
    }
  }

  private assign(cell: Cell, value: Ref): void {
    const attrs = attributes({ dtype: { type: cell.variable.dtype }, validate_shape: false });
    const op = "AssignVariableOp";
    const { handle } = this.stateOf(cell);
    this.noteUse(op, [cell], this.add(op, [handle, value], this.waitFor(op, [cell]), attrs));
  }

  /** The resource's handle for an op that updates it in place; a value assigned before is written first. */
  handleForWrite(variable: tf.Variable): number {
    const cell = knownCell(variable) ?? adopt(variable, this.held.get(variable)?.dataId);
    this.stateOf(cell);
    const assigned = variable.dataId === cell.dataId ? null : this.refOf(this.idOf(variable));
    this.leaveToOthers(variable, cell);
    if (assigned) this.assign(cell, assigned);
    if (variable.dataId !== cell.dataId) this.point(variable, cell);
    return cell.handle;
  }

  /** Leaves the value before a write to whoever else refers to it: a clone, or a variable that it was assigned to. */
  private leaveToOthers(variable: tf.Variable, cell: Cell): void {
    const held = this.held.get(variable);
    const own = [variable, held].filter((tensor) => tensor?.dataId === cell.dataId).length;
    if (cell.refCount === own) return;
    const { shape, dtype, refCount, dataId } = cell;
    const { tensorMap } = requireBackend();
    tensorMap.set(dataId, { shape, dtype, id: this.read(cell), values: null, refCount });
    const left = { dataId, dtype: variable.dtype, size: variable.size } as tf.Tensor;
    const dispose = () => {
      while (tensorMap.has(dataId)) tf.engine().disposeTensor(left);
    };
    this.made.push({ dataId, dispose });
    this.variableOf.delete(dataId);
    cell.attach();
    if (!held) return;
    held.dispose();
    this.held.set(variable, tf.keep(variable.clone()));
  }

  /** Makes a variable refer to its cell again, after the function assigned to it. */
  private point(variable: tf.Variable, cell: Cell | undefined): void {
    const held = this.held.get(variable);
    if (held) variable.assign(held);
    else cell?.attach();
  }

  // ---- what stands in for the addon and parts of tfjs's engine ----

  private executeOp(op: string, attrs: Attribute[], ids: number[], numOutputs: number): OutputInfo[] {
    const inputs = ids.map((id) => this.refOf(id));
    const cells = ids.flatMap((id) => this.cellOfHandle.get(id) ?? []);
    const node =
      this.precision === "bfloat16" && PRODUCTS.has(op)
        ? this.addRounded(op, inputs, attrs)
        : this.add(op, inputs, this.waitFor(op, cells), attrs);
    this.noteUse(op, cells, node);
    return this.inferred[node].slice(0, numOutputs).map(({ shape, dtype }, i) => {
      if (!shape)
        this.fail(
          `the shape of what ${op}${at(mark())} returns depends on the values it is given, which are not known while recording. Use an op whose result has the same shape for all values.`,
        );
      return { id: this.symbol([node, i]), shape, dtype };
    });
  }

  /** A product of its inputs rounded to bfloat16, given back as float32; what is not float32 stays as it is. */
  private addRounded(op: string, inputs: Ref[], attrs: Attribute[]): number {
    const cast = (ref: Ref, to: number): Ref => {
      const { dtype } = this.inferred[ref[0]][ref[1]];
      const types = { SrcT: dtype, DstT: to };
      const list = Object.entries(types).map(([name, value]) => ({ name, type: addon.TF_ATTR_TYPE, value }));
      return [this.add("Cast", [ref], [], list), 0];
    };
    const isFloat = ([node, output]: Ref) => this.inferred[node][output].dtype === addon.TF_FLOAT;
    const rounded = inputs.map((ref) => (isFloat(ref) ? cast(ref, BFLOAT16) : ref));
    const typed = attrs.map((attr) => (attr.name === "T" ? { ...attr, value: BFLOAT16 } : attr));
    return cast([this.add(op, rounded, [], typed), 0], addon.TF_FLOAT)[0];
  }

  private refuseRead(id: number): never {
    const ref = this.symbols.get(id);
    const made = ref && this.nodes[ref[0]];
    const what = made ? `the result of ${made.op}${at(made.where)}` : "a variable";
    return this.fail(
      `${what} is read back to JavaScript${at(mark())}, but nothing is computed while recording. Return the tensor and read it after the call, or compute with tensor ops (tf.where for a choice).`,
    );
  }

  private bindingInPlace(): GraphAddon {
    return Object.create(this.addon, {
      executeOp: { value: this.executeOp.bind(this) },
      createTensor: { value: (s: number[], d: number, v: ArrayBufferView) => this.constant(s, d, v) },
      tensorDataSync: { value: this.refuseRead.bind(this) },
    });
  }

  /** Puts the recorder in place; the function returned takes it out again. */
  private enter(): () => void {
    const backend = requireBackend() as NativeBackend & Record<string, unknown>;
    const engine = tf.engine() as unknown as Record<string, (...args: never[]) => unknown>;
    const { move, createOutputTensor } = backend;
    const { startScope, makeVariable } = engine;
    backend.binding = this.bindingInPlace();
    backend.getInputTensorIds = (tensors) => tensors.map((tensor) => this.idOf(tensor));
    backend.move = (dataId, ...rest) => {
      this.madeHere.add(dataId);
      move.call(backend, dataId, ...rest);
    };
    backend.createOutputTensor = (info) => {
      const tensor = createOutputTensor.call(backend, info);
      this.made.push(tensor);
      return tensor;
    };
    engine.startScope = (name?: string) => {
      if (name && DRAWS_IN_JAVASCRIPT.has(name)) this.refuseDraw(name);
      return startScope.call(engine, name as never);
    };
    engine.makeVariable = ((...args: never[]) =>
      this.makeVariable(makeVariable.call(engine, ...args) as tf.Variable)) as never;
    current = this;
    return () => {
      current = null;
      backend.binding = this.addon;
      for (const name of ["getInputTensorIds", "move", "createOutputTensor"]) delete backend[name];
      delete engine.startScope;
      delete engine.makeVariable;
    };
  }

  private refuseDraw(scope: string): never {
    const op = scope.slice(0, -"__op".length);
    return this.fail(
      `tf.${op}${at(mark())} draws in JavaScript: its numbers would be frozen into the compiled function. Use rng(seed, step), with the step as a tensor among the inputs.`,
    );
  }

  private makeVariable(variable: tf.Variable): tf.Variable {
    const value = this.refOf(this.idOf(variable));
    const cell = newCell(variable);
    this.born.push({ cell, value });
    return variable;
  }

  // ---- recording ----

  /** Notes the variables that exist, each with a `dataId` that nothing else refers to. */
  private holdVariables(): void {
    for (const variable of Object.values(tf.engine().state.registeredVariables)) {
      const cell = knownCell(variable);
      if (cell) settleAlone(cell);
      else {
        if (requireBackend().tensorMap.get(variable.dataId).refCount > 1) separate(variable);
        tensorIdOf(variable.dataId); // moved to TensorFlow: what still lies in JavaScript could be read unnoticed
      }
      this.variableOf.set(variable.dataId, variable);
      this.held.set(variable, tf.keep(variable.clone()));
    }
  }

  private inputs(given: readonly tf.Tensor[]): tf.Tensor[] {
    const backend = requireBackend();
    return given.map((tensor, index) => {
      const { dtype } = backend.tensorMap.get(tensor.dataId);
      const { shape } = tensor;
      const ref = this.placeholder({ kind: "input", index }, `input ${index}`, dtype, shape, []);
      return backend.createOutputTensor({ id: this.symbol(ref), shape, dtype });
    });
  }

  /** Writes what the function assigned to variables, as the last thing it does. */
  private recordAssignments(): void {
    const born = this.born.map(({ cell }) => [cell.variable, cell.dataId] as const);
    const before = [...this.held].map(([variable, tensor]) => [variable, tensor.dataId] as const);
    const assigned = [...before, ...born]
      .filter(([variable, dataId]) => !variable.isDisposed && variable.dataId !== dataId)
      .map(([variable, dataId]) => ({ variable, dataId, value: this.refOf(this.idOf(variable)) }));
    // All values come before the first write: one may be what another variable had.
    for (const { variable, dataId, value } of assigned)
      this.assign(knownCell(variable) ?? adopt(variable, dataId), value);
  }

  private restore(): void {
    for (const [variable, { dataId }] of this.held)
      if (!variable.isDisposed && variable.dataId !== dataId) this.point(variable, undefined);
    for (const { cell } of this.born)
      if (!cell.variable.isDisposed && cell.variable.dataId !== cell.dataId) cell.attach();
    for (const tensor of this.held.values()) tensor.dispose();
    this.held.clear();
  }

  private initialPart(): Recording<unknown>["initial"] {
    if (this.born.length === 0) return null;
    const body = new Set<number>();
    const visit = (node: number): void => {
      if (body.has(node)) return;
      if (this.writes.has(node))
        this.fail(
          `the first value of a variable made${at(this.nodes[node].where)} depends on an update in the same call.`,
        );
      body.add(node);
      for (const [input] of this.nodes[node].inputs) visit(input);
      this.nodes[node].controls.forEach(visit);
    };
    for (const { value } of this.born) visit(value[0]);
    const used = this.placeholders
      .map((node, i) => ({ node, source: this.sources[i] }))
      .filter(({ node }) => body.has(node));
    for (const { node } of used) body.delete(node);
    const part: Part = {
      body: [...body],
      placeholders: used.map(({ node }) => node),
      sources: used.map(({ source }) => source),
      outputs: this.born.map(({ value }) => value),
      effects: [],
    };
    return { part, cells: this.born.map(({ cell }) => cell) };
  }

  private refuseKept(): void {
    const { tensorMap } = requireBackend();
    const kept = this.made.filter(({ dataId }) => tensorMap.has(dataId));
    if (kept.length === 0) return;
    const ref = this.symbols.get(tensorMap.get(kept[0].dataId).id);
    const what = ref ? `the result of ${this.nodes[ref[0]].op}${at(this.nodes[ref[0]].where)}` : "a tensor";
    for (const tensor of kept) tensor.dispose();
    this.fail(
      `${what} was kept (tf.keep) beyond the call, but it has no value while recording. Return it instead.`,
    );
  }

  /**
   * Records `fn(...inputs)`. `collect` gives the tensors of its result, in the order in which the compiled
   * function will return them.
   */
  record<R>(
    fn: (inputs: tf.Tensor[]) => R,
    inputs: readonly tf.Tensor[],
    collect: (result: R) => tf.Tensor[],
  ): Recording<R> {
    this.holdVariables();
    const leave = this.enter();
    let result: R | undefined;
    let outputs: Ref[] = [];
    let initial: Recording<R>["initial"] = null;
    try {
      tf.tidy(() => {
        result = fn(this.inputs(inputs));
        outputs = collect(result).map((tensor) => this.output(tensor));
        this.recordAssignments();
        this.restore();
      });
      this.refuseKept();
      initial = this.initialPart();
    } catch (error) {
      this.abandon();
      throw this.failure ?? error;
    } finally {
      leave();
    }
    if (this.failure) throw this.failure;
    const effects = [...this.writes];
    const { placeholders, sources } = this;
    const step: Part = { body: null, placeholders, sources, outputs, effects };
    return {
      graph: this.graph,
      nodes: this.nodes,
      step,
      initial,
      written: [...this.written],
      result: result as R,
    };
  }

  /** An output of its own even where the function returns an input or a variable as it is. */
  private output(tensor: tf.Tensor): Ref {
    const input = this.refOf(this.idOf(tensor));
    const { dtype } = this.inferred[input[0]][input[1]];
    return [this.add("Identity", [input], [], [{ name: "T", type: addon.TF_ATTR_TYPE, value: dtype }]), 0];
  }

  private abandon(): void {
    this.restore();
    for (const { cell } of this.born) cell.variable.dispose();
  }
}

/** Gives a variable a tensor of its own where another one, a clone or the tensor that it was made from has the same. */
function separate(variable: tf.Variable): void {
  const id = tensorIdOf(variable.dataId);
  const type = attributes({ T: { number: requireBackend().tensorMap.get(variable.dataId).dtype } });
  const copy = requireBackend().createOutputTensor(addon.executeOp("Identity", type, [id], 1)[0]);
  variable.assign(copy);
  copy.dispose();
}
