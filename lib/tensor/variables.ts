/**
 * @file Keeps the value of a `tf.Variable` in a TensorFlow resource variable, so that an op can update it in place.
 *
 * tfjs's own variables are names for immutable tensors: every `assign` makes a new one. TensorFlow's fused
 * optimizer ops and compiled steps want memory that stays where it is. A variable is *adopted* the first time
 * such an op needs it: its entry in the backend's table is replaced by a `Cell`, which reads the resource when an
 * eager op asks for the value. Code that uses the variable notices nothing: it reads, assigns, clones, saves and
 * disposes it as before. In particular a clone taken before an update keeps the old value.
 */
import * as tf from "@tensorflow/tfjs";
import { addon, attributes, requireBackend, type TensorData } from "./native";

const cells = new WeakMap<tf.Variable, Cell>();
let numCells = 0;

const execute = (op: string, attrs: Parameters<typeof attributes>[0], inputs: number[], numOutputs: number) =>
  addon.executeOp(op, attributes(attrs), inputs, numOutputs);

/** The table entry of an adopted variable: as the backend's own, but its `id` is a fresh read of the resource. */
export class Cell implements TensorData {
  readonly shape: number[];
  readonly dtype: number;
  readonly values = null;
  refCount = 1;
  dataId: object = {};
  /** The addon's number for the resource's handle. */
  readonly handle: number;
  private snapshot: number | null = null;

  constructor(readonly variable: tf.Variable) {
    this.shape = variable.shape;
    this.dtype = requireBackend().getDTypeInteger(variable.dtype);
    this.handle = execute(
      "VarHandleOp",
      {
        dtype: { type: variable.dtype },
        shape: { shape: this.shape },
        shared_name: `lower-bound/${numCells++}`,
        container: "",
      },
      [],
      1,
    )[0].id;
  }

  /** The tensor with the present value; no tensor (-1) while `compile` records, which reads in its own way. */
  get id(): number {
    return requireBackend().binding === addon ? this.read() : -1;
  }

  /** The tensor with the present value, read once between two writes. */
  read(): number {
    const type = { type: this.variable.dtype };
    this.snapshot ??= execute("ReadVariableOp", { dtype: type }, [this.handle], 1)[0].id;
    return this.snapshot;
  }

  /** Puts a tensor's value into the resource. */
  write(id: number): void {
    this.dropSnapshot();
    const type = { type: this.variable.dtype };
    execute("AssignVariableOp", { dtype: type, validate_shape: false }, [this.handle, id], 0);
  }

  /** Forgets the value last read: while it is held, an update in place would have to copy. */
  dropSnapshot(): void {
    if (this.snapshot !== null) addon.deleteTensor(this.snapshot);
    this.snapshot = null;
  }

  /** Leaves the present value, as a plain tensor, to whoever else refers to this entry. */
  leave(): void {
    const { tensorMap } = requireBackend();
    if (tensorMap.has(this.dataId) && tensorMap.get(this.dataId) === (this as TensorData)) {
      const { shape, dtype, refCount } = this;
      tensorMap.set(this.dataId, { shape, dtype, id: this.id, values: null, refCount });
    }
    // Where the entry is gone, the backend has freed the snapshot with it.
    this.snapshot = null;
  }

  /** Makes the variable refer to this cell, under a new `dataId`. */
  attach(): void {
    this.dataId = {};
    this.refCount = 1;
    requireBackend().tensorMap.set(this.dataId, this);
    const { shape, dtype } = this.variable;
    const tensor = tf.engine().makeTensorFromTensorInfo({ dataId: this.dataId, shape, dtype });
    this.variable.assign(tensor);
    tensor.dispose();
  }

  destroy(): void {
    this.leave();
    execute("DestroyResourceOp", { ignore_lookup_error: true }, [this.handle], 0);
    addon.deleteTensor(this.handle);
  }
}

/** Follows what tfjs does with adopted variables; set up with the first cell. */
const watch = (() => {
  let watching = false;
  return () => {
    if (watching) return;
    watching = true;
    destroyWithVariable();
    releaseWithoutReading();
  };
})();

function destroyWithVariable(): void {
  const engine = tf.engine();
  const dispose = engine.disposeVariable.bind(engine);
  engine.disposeVariable = (variable: tf.Variable) => {
    cells.get(variable)?.destroy();
    cells.delete(variable);
    dispose(variable);
  };
}

/** The backend looks at an entry's `id` whenever one of several references goes; that would read the resource. */
function releaseWithoutReading(): void {
  const backend = requireBackend();
  const dispose = backend.disposeData.bind(backend);
  backend.disposeData = (dataId, force = false) => {
    const entry = backend.tensorMap.has(dataId) ? backend.tensorMap.get(dataId) : null;
    if (!(entry instanceof Cell) || force || entry.refCount === 1) return dispose(dataId, force);
    entry.refCount--;
    return false;
  };
}

/** A cell for a variable that was made while recording: no value yet, the variable refers to it. */
export function newCell(variable: tf.Variable): Cell {
  watch();
  const cell = new Cell(variable);
  cells.set(variable, cell);
  cell.attach();
  return cell;
}

/** TensorFlow's tensor for a `dataId`; values that are still in JavaScript are handed over now. */
export function tensorIdOf(dataId: object): number {
  const entry = requireBackend().tensorMap.get(dataId);
  if (entry instanceof Cell) return entry.read();
  if (entry.values !== null) {
    entry.id = addon.createTensor(entry.shape, entry.dtype, entry.values);
    entry.values = null;
  }
  return entry.id;
}

/** The cell of a variable, or undefined where it was never adopted. */
export const knownCell = (variable: tf.Variable): Cell | undefined => cells.get(variable);

/** The cell of a variable, adopted now if it was not. `dataId` is where its value is, if not where the variable says. */
export function adopt(variable: tf.Variable, dataId: object = variable.dataId): Cell {
  const known = cells.get(variable);
  if (known) return known;
  watch();
  const { tensorMap } = requireBackend();
  const cell = new Cell(variable);
  const id = tensorIdOf(dataId);
  cell.write(id);
  cells.set(variable, cell);
  const entry = tensorMap.get(dataId);
  if (entry instanceof Cell) {
    cell.attach(); // the value was another variable's: leave that one its own
  } else {
    cell.dataId = dataId;
    cell.refCount = entry.refCount;
    tensorMap.set(dataId, cell);
    addon.deleteTensor(id);
  }
  return cell;
}

/** After an eager `assign`, moves the assigned value into the cell. Throws if the variable is disposed. */
export function settle(cell: Cell): void {
  const { variable } = cell;
  if (variable.isDisposed)
    throw new Error(
      `compile: the variable "${variable.name}" [${variable.shape}] was disposed, but the compiled function uses it. Compile the function anew.`,
    );
  if (variable.dataId === cell.dataId) return;
  cell.leave();
  cell.write(tensorIdOf(variable.dataId));
  cell.attach();
}

/** As `settle`; whoever else refers to the cell is left with the present value. */
export function settleAlone(cell: Cell): void {
  settle(cell);
  if (cell.refCount === 1) return;
  cell.leave();
  cell.attach();
}

/** Makes the cell ready to be updated in place: nobody else sees its memory. */
export function prepareWrite(cell: Cell): void {
  settleAlone(cell);
  cell.dropSnapshot();
}
