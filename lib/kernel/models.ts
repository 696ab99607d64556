/**
 * @file Models of Jupyter's widgets: state that is kept equal here and in the page, over comms of the target
 * `jupyter.widget`, in ipywidgets' messages of version 2.
 * https://github.com/jupyter-widgets/ipywidgets/blob/main/packages/schema/messages.md
 */
import type { Comm, CommEvent, Comms } from "./comms";

export type State = Record<string, unknown>;

const PROTOCOL = { version: "2.1.0" };

/** What the page's side of a model is called, and where it comes from; a model without a view is not shown itself. */
export interface ModelKind {
  module: string;
  version: string;
  model: string;
  view: string | null;
}

export interface Model {
  readonly id: string;
  readonly state: Readonly<State>;
  set(change: State): void;
  /** Calls `listener` with what the page changed; the cell that called this gets the listener's outputs. */
  onChange(listener: (change: State) => void): void;
  /** Sends what is no state. */
  send(content: unknown, buffers?: Uint8Array[]): void;
  onMessage(listener: (content: unknown, buffers: Uint8Array[]) => void): void;
  close(): void;
}

/** Makes of a listener one that the page's events can call: as code of the cell that set it, and without throwing. */
export type Bind = <A extends unknown[]>(listener: (...args: A) => void) => (...args: A) => void;

export interface Models {
  create(kind: ModelKind, state: State): Model;
}

interface Packed {
  state: State;
  buffer_paths: (string | number)[][];
  buffers: Uint8Array[];
}

const isPlain = (value: unknown): value is State =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;

function bytesOf(value: unknown): Uint8Array | undefined {
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return value instanceof ArrayBuffer ? new Uint8Array(value) : undefined;
}

/** Bytes travel beside the JSON: the state without them, where they were, and they. */
function pack(state: State): Packed {
  const packed: Packed = { state: {}, buffer_paths: [], buffers: [] };
  const without = (value: unknown, path: (string | number)[]): unknown => {
    const bytes = bytesOf(value);
    if (bytes) {
      packed.buffer_paths.push(path);
      packed.buffers.push(bytes);
      return null;
    }
    if (Array.isArray(value)) return value.map((item, index) => without(item, [...path, index]));
    if (!isPlain(value)) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, without(item, [...path, key])]),
    );
  };
  packed.state = without(state, []) as State;
  return packed;
}

/** The state with the bytes at their places. */
function unpack({ state, buffer_paths = [] }: State, buffers: Uint8Array[]): State {
  for (const [index, path] of (buffer_paths as (string | number)[][]).entries()) {
    // biome-ignore lint/suspicious/noExplicitAny: objects and arrays, as the path says
    const holder = path.slice(0, -1).reduce((inside: any, key) => inside[key], state);
    holder[path[path.length - 1]] = buffers[index];
  }
  return state as State;
}

const fieldsOf = ({ module, version, model, view }: ModelKind): State => ({
  _model_module: module,
  _model_module_version: version,
  _model_name: model,
  _view_module: module,
  _view_module_version: version,
  _view_name: view,
  _view_count: null,
});

/** What a page that was loaded anew must know of all models. */
function statesOf(models: ReadonlyMap<string, Model>): [data: State, buffers: Uint8Array[]] {
  const states: State = {};
  const paths: (string | number)[][] = [];
  const all: Uint8Array[] = [];
  for (const [id, { state }] of models) {
    const { state: json, buffer_paths, buffers } = pack(state);
    states[id] = {
      model_name: state._model_name,
      model_module: state._model_module,
      model_module_version: state._model_module_version,
      state: json,
    };
    paths.push(...buffer_paths.map((path) => [id, "state", ...path]));
    all.push(...buffers);
  }
  return [{ method: "update_states", states, buffer_paths: paths }, all];
}

export function createModels(comms: Comms, bind: Bind): Models {
  const models = new Map<string, Model>();

  comms.register("jupyter.widget.control", (control) => {
    control.onMessage = ({ data }) => {
      if (data.method === "request_states") control.send(...statesOf(models));
    };
  });

  const sendState = (comm: Comm, method: "update" | "echo_update", change: State) => {
    const { buffers, ...data } = pack(change);
    comm.send({ method, ...data }, buffers);
  };

  return {
    create(kind, given) {
      const state = { ...fieldsOf(kind), ...given };
      const { buffers, ...data } = pack(state);
      const comm = comms.open("jupyter.widget", data, { metadata: PROTOCOL, buffers });
      const changed: ((change: State) => void)[] = [];
      const told: ((content: unknown, buffers: Uint8Array[]) => void)[] = [];
      const model: Model = {
        id: comm.id,
        state,
        set: (change) => {
          Object.assign(state, change);
          sendState(comm, "update", change);
        },
        onChange: (listener) => void changed.push(bind(listener)),
        send: (content, bytes = []) => comm.send({ method: "custom", content }, bytes),
        onMessage: (listener) => void told.push(bind(listener)),
        close: () => {
          models.delete(comm.id);
          comm.close();
        },
      };
      const receive: Record<string, (event: CommEvent) => void> = {
        request_state: () => sendState(comm, "update", state),
        update: ({ data: update, buffers }) => {
          const change = unpack(update, buffers);
          Object.assign(state, change);
          sendState(comm, "echo_update", change);
          for (const listener of changed) listener(change);
        },
        custom: ({ data: { content }, buffers }) => {
          for (const listener of told) listener(content, buffers);
        },
      };
      comm.onMessage = (event) => receive[String(event.data.method)]?.(event);
      comm.onClose = () => models.delete(comm.id);
      models.set(comm.id, model);
      return model;
    },
  };
}
