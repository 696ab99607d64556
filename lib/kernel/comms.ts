/** @file Comms: channels between code here and code in the page, named by a target. Widgets are built on them. */
import { randomUUID } from "node:crypto";
import type { CommMessage } from "./messages";

type Json = Record<string, unknown>;

/** A message from the page. */
export interface CommEvent {
  data: Json;
  buffers: Uint8Array[];
}

/** One open channel. */
export interface Comm {
  readonly id: string;
  send(data: Json, buffers?: Uint8Array[]): void;
  close(): void;
  /** Called with each message from the page. */
  onMessage?: (event: CommEvent) => void;
  onClose?: () => void;
}

export interface OpenOptions {
  id?: string;
  metadata?: Json;
  buffers?: Uint8Array[];
}

export interface Comms {
  /** Opens a channel to what the page registered under `target`. */
  open(target: string, data: Json, options?: OpenOptions): Comm;
  /** Lets the page open channels to `target`; `accept` gets each of them with its first message. */
  register(target: string, accept: (comm: Comm, event: CommEvent) => void): void;
  /** Hands in a message from the page. */
  receive(message: CommMessage): void;
}

export function createComms(send: (message: CommMessage) => void): Comms {
  const comms = new Map<string, Comm>();
  const targets = new Map<string, (comm: Comm, event: CommEvent) => void>();

  const create = (id: string): Comm => {
    const comm: Comm = {
      id,
      send: (data, buffers = []) => send({ type: "comm_msg", id, data, buffers }),
      close: () => {
        if (comms.delete(id)) send({ type: "comm_close", id, data: {}, buffers: [] });
      },
    };
    comms.set(id, comm);
    return comm;
  };

  const accept = ({ id, target = "", data, buffers }: CommMessage) => {
    const comm = create(id);
    const handler = targets.get(target);
    if (handler) handler(comm, { data: data as Json, buffers });
    else comm.close(); // as the protocol wants it for an unknown target
  };

  return {
    open(target, data, { id = randomUUID(), metadata, buffers = [] } = {}) {
      const comm = create(id);
      send({ type: "comm_open", id, target, data, metadata, buffers });
      return comm;
    },
    register: (target, handler) => void targets.set(target, handler),
    receive(message) {
      if (message.type === "comm_open") return accept(message);
      const comm = comms.get(message.id);
      if (message.type === "comm_msg")
        comm?.onMessage?.({ data: message.data as Json, buffers: message.buffers });
      else if (comms.delete(message.id)) comm?.onClose?.();
    },
  };
}
