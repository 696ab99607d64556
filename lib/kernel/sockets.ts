/** @file The five ZeroMQ sockets of a kernel: opened from the connection file, sending in order and losing nothing. */
import { readFileSync } from "node:fs";
import { Reply, Router, XPublisher } from "zeromq";
import { createSigner, decode, encode, type Message, type Signer } from "./wire";

export interface ConnectionInfo {
  transport: string;
  ip: string;
  key: string;
  signature_scheme: string;
  shell_port: number;
  control_port: number;
  stdin_port: number;
  iopub_port: number;
  hb_port: number;
}

/** Sends one message after another; ZeroMQ refuses a second `send` while the first is under way. */
export type Send = (message: Message, sent?: () => void) => void;

export interface Sockets {
  shell: Send;
  control: Send;
  stdin: Send;
  iopub: Send;
  /** Resolves when all that was sent has been handed to ZeroMQ. */
  flush(): Promise<void>;
  close(): void;
}

type Channel = "shell" | "control" | "stdin";

interface Outgoing {
  send: Send;
  idle(): Promise<void>;
}

function queued(socket: Router | XPublisher, signer: Signer): Outgoing {
  let tail = Promise.resolve();
  const send: Send = (message, sent) => {
    const frames = encode(message, signer);
    tail = tail
      .then(() => socket.send(frames))
      .catch(() => {}) // a client that went away is no concern of the others
      .then(sent);
  };
  return { send, idle: () => tail };
}

async function echo(socket: Reply): Promise<void> {
  for await (const frames of socket) await socket.send(frames);
}

async function receive(socket: Router, signer: Signer, take: (message: Message) => void): Promise<void> {
  for await (const frames of socket) {
    try {
      take(decode(frames, signer));
    } catch (error) {
      console.error(`refused a message: ${(error as Error).message}`);
    }
  }
}

/** Calls `subscribed` whenever a front end, a new one or one that lost its connection, begins to listen. */
async function watchSubscriptions(socket: XPublisher, subscribed: () => void): Promise<void> {
  for await (const [frame] of socket) if (frame[0] === 1) subscribed();
}

/** Binds the sockets that the connection file names and hands each valid request to `take`. */
export async function openSockets(
  connectionFile: string,
  take: (channel: Channel, message: Message) => void,
  subscribed: () => void,
): Promise<Sockets> {
  const info: ConnectionInfo = JSON.parse(readFileSync(connectionFile, "utf8"));
  const signer = createSigner(info.key);
  const address = (port: number) =>
    info.transport === "ipc" ? `ipc://${info.ip}-${port}` : `${info.transport}://${info.ip}:${port}`;
  const unlimited = { sendHighWaterMark: 0, receiveHighWaterMark: 0, linger: 1000 };
  const shell = new Router(unlimited);
  const control = new Router(unlimited);
  const stdin = new Router(unlimited);
  const iopub = new XPublisher({ ...unlimited, verbosity: "allSubs" });
  const heartbeat = new Reply({ linger: 0 });
  await Promise.all([
    heartbeat.bind(address(info.hb_port)),
    iopub.bind(address(info.iopub_port)),
    stdin.bind(address(info.stdin_port)),
    control.bind(address(info.control_port)),
    shell.bind(address(info.shell_port)),
  ]);
  void echo(heartbeat);
  void watchSubscriptions(iopub, subscribed);
  for (const [channel, socket] of Object.entries({ shell, control, stdin }) as [Channel, Router][])
    void receive(socket, signer, (message) => take(channel, message));
  const out = [shell, control, stdin, iopub].map((socket) => queued(socket, signer));
  return {
    shell: out[0].send,
    control: out[1].send,
    stdin: out[2].send,
    iopub: out[3].send,
    flush: async () => void (await Promise.all(out.map((one) => one.idle()))),
    close: () => {
      for (const socket of [shell, control, stdin, iopub, heartbeat]) socket.close();
    },
  };
}
