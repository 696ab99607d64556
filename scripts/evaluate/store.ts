/**
 * @file What an evaluation has so far, in a folder: arrays, rows after rows, and `state.json` with how much of each holds.
 * A row counts once `state.json` says so, and that is replaced as a whole: a run that is killed loses the batch in hand.
 */
import {
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { Rows } from "../../lib/metrics";
import { writeWhole } from "../../lib/training";

interface State {
  /** What is being evaluated, and how: a folder is gone on with only by the same. */
  request: Record<string, unknown>;
  /** Rows in each array. */
  rows: Record<string, number>;
  seconds: Record<string, number>;
  /** What was found once all rows were there; absent in folders begun before it was kept. */
  found?: Record<string, unknown>;
}

const ARRAYS = { float32: Float32Array, uint8: Uint8Array };
type Kind = keyof typeof ARRAYS;
type RowsOf<K extends Kind> = { float32: Float32Array; uint8: Uint8Array }[K];

/** Rows of `dims` numbers on the disk. */
export interface StoredRows<K extends Kind = Kind> {
  readonly rows: number;
  append(values: RowsOf<K>): void;
  /** The `count` rows that another evaluation shared in a file; undefined without one of that size. */
  shared(path: string, count: number): Rows | undefined;
  /** Takes all `count` rows from a file that another evaluation shared. */
  takeShared(path: string, count: number): void;
  /** Leaves all rows in a file for other evaluations, as a whole or not at all: without room for it they do without. */
  share(path: string): void;
  /** Those that are there, read from the disk when they are asked for. */
  asRows(): Rows;
}

export interface Store {
  array<K extends Kind>(name: string, kind: K, dims: number): StoredRows<K>;
  /** Adds to the time that a stage has taken; the stages' times. */
  addSeconds(stage: string, seconds: number): void;
  seconds(): Record<string, number>;
  /** A value that is plain data, found before or now, and then kept. */
  once<Value>(name: string, find: () => Promise<Value>): Promise<Value>;
}

/**
 * The folder of an evaluation, begun or gone on with. Throws where it holds another, naming what differs, and where its
 * state cannot be read.
 */
export function openStore(out: string, request: Record<string, unknown>): Store {
  const path = join(out, "state.json");
  const state = existsSync(path) ? readState(path) : { request, rows: {}, seconds: {} };
  const differs = Object.keys({ ...state.request, ...request }).find(
    (name) => JSON.stringify(state.request[name]) !== JSON.stringify(request[name]),
  );
  if (differs)
    throw new Error(
      `${out} holds an evaluation with ${differs} ${JSON.stringify(state.request[differs])}, asked for is ${JSON.stringify(request[differs])}. Measure it into another folder, or remove this one.`,
    );
  mkdirSync(out, { recursive: true });
  const save = () => writeWhole(path, JSON.stringify(state));
  save();
  return {
    array: (name, kind, dims) => storedRows(join(out, `${name}.bin`), name, kind, dims, state, save),
    addSeconds(stage, seconds) {
      state.seconds[stage] = (state.seconds[stage] ?? 0) + seconds;
      save();
    },
    seconds: () => state.seconds,
    async once<Value>(name: string, find: () => Promise<Value>) {
      state.found ??= {};
      if (!(name in state.found)) {
        state.found[name] = await find();
        save();
      }
      return state.found[name] as Value;
    },
  };
}

function readState(path: string): State {
  try {
    const state = JSON.parse(readFileSync(path, "utf8")) as State;
    if (state.request && state.rows && state.seconds) return state;
  } catch {}
  throw new Error(`${path} is not the state of an evaluation. Remove its folder, or choose another --out.`);
}

function storedRows<K extends Kind>(
  path: string,
  name: string,
  kind: K,
  dims: number,
  state: State,
  save: () => void,
): StoredRows<K> {
  const type = ARRAYS[kind];
  const rowBytes = dims * type.BYTES_PER_ELEMENT;
  const expected = (state.rows[name] ?? 0) * rowBytes;
  const bytes = existsSync(path) ? statSync(path).size : 0;
  if (bytes < expected) throw shortened(path, bytes, expected);
  const rowsIn = (file: string, count: number): Rows => ({
    count,
    dims,
    slice: (from, to) =>
      Float32Array.from(new type(readBytes(file, from * rowBytes, (to - from) * rowBytes).buffer)),
  });
  return {
    get rows() {
      return state.rows[name] ?? 0;
    },
    append(values) {
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      const rows = state.rows[name] ?? 0;
      const file = openSync(path, existsSync(path) ? "r+" : "w");
      try {
        for (let at = 0; at < bytes.length; )
          at += writeSync(file, bytes, at, bytes.length - at, rows * rowBytes + at);
        fsyncSync(file); // before it counts
      } finally {
        closeSync(file);
      }
      state.rows[name] = rows + bytes.length / rowBytes;
      save();
    },
    shared(file, count) {
      const isWhole = existsSync(file) && statSync(file).size === count * rowBytes;
      return isWhole ? rowsIn(file, count) : undefined;
    },
    takeShared(shared, count) {
      copyFileSync(shared, path);
      state.rows[name] = count;
      save();
    },
    share(shared) {
      const partial = `${shared}.${process.pid}.partial`;
      try {
        mkdirSync(dirname(shared), { recursive: true });
        copyFileSync(path, partial);
        renameSync(partial, shared);
      } catch {
        rmSync(partial, { force: true });
      }
    },
    asRows: () => rowsIn(path, state.rows[name] ?? 0),
  };
}

const shortened = (path: string, bytes: number, expected: number) =>
  new Error(
    `${path} has ${bytes} bytes, expected ${expected} or more: rows of it are lost. Remove its folder.`,
  );

/** So many bytes of a file from a place on. Throws where it is shorter. */
function readBytes(path: string, from: number, count: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(count);
  const file = openSync(path, "r");
  try {
    for (let at = 0; at < count; ) {
      const got = readSync(file, bytes, at, count - at, from + at);
      if (got === 0) throw shortened(path, from + at, from + count);
      at += got;
    }
  } finally {
    closeSync(file);
  }
  return bytes;
}
