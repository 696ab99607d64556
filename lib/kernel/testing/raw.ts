/**
 * @file A front end that starts the kernel's program itself and speaks ZeroMQ to it without Jupyter's Python, as VS
 * Code's Jupyter extension does: one identity on all sockets, the connection file's ports chosen beforehand, Stop and
 * shutdown as messages on the control channel.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { Dealer, Subscriber } from "zeromq";
import { createMessage, createSigner, decode, encode, type Message } from "../wire";
import { slowness } from "./kernel";

/** What of a kernel.json a front end needs. */
export interface KernelSpec {
  argv: string[];
  language: string;
  display_name: string;
  interrupt_mode: string;
  env?: Record<string, string>;
}

type Channel = "shell" | "control" | "stdin";

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
  return ports;
}

export class RawClient {
  messages: (Message & { channel: Channel | "iopub" })[] = [];
  readonly #listeners = new Set<() => void>();
  readonly #sockets: Record<Channel, Dealer>;
  readonly #key: string;
  readonly #iopubAddress: string;
  #iopub: Subscriber;

  private constructor(
    readonly process: ChildProcess,
    sockets: Record<Channel, Dealer>,
    iopubAddress: string,
    key: string,
  ) {
    this.#sockets = sockets;
    this.#key = key;
    this.#iopubAddress = iopubAddress;
    this.#iopub = this.#listen();
    for (const [channel, socket] of Object.entries(sockets)) void this.#receive(channel as Channel, socket);
  }

  /** Starts the program of `spec` in `folder` and waits until iopub is heard; before that, states would be missed. */
  static async start(spec: KernelSpec, folder: string): Promise<RawClient> {
    const names = ["shell_port", "control_port", "stdin_port", "iopub_port", "hb_port"];
    const ports = await freePorts(names.length);
    const key = randomUUID();
    const connection = {
      ...Object.fromEntries(names.map((name, index) => [name, ports[index]])),
      ip: "127.0.0.1",
      transport: "tcp",
      key,
      signature_scheme: "hmac-sha256",
      kernel_name: spec.display_name,
    };
    const file = join(folder, "connection.json");
    writeFileSync(file, JSON.stringify(connection));
    const [program, ...args] = spec.argv.map((part) => part.replace("{connection_file}", file));
    const env = { ...process.env, ...spec.env };
    const child = spawn(program, args, { cwd: folder, env, stdio: "ignore" });
    const routingId = randomUUID();
    const dealer = (port: number) => {
      const socket = new Dealer({ routingId, linger: 0 });
      socket.connect(`tcp://127.0.0.1:${port}`);
      return socket;
    };
    const sockets = { shell: dealer(ports[0]), control: dealer(ports[1]), stdin: dealer(ports[2]) };
    const client = new RawClient(child, sockets, `tcp://127.0.0.1:${ports[3]}`, key);
    await client.wait(({ content }) => content.execution_state === "idle");
    return client;
  }

  #listen(): Subscriber {
    const iopub = new Subscriber({ linger: 0 });
    iopub.subscribe("");
    iopub.connect(this.#iopubAddress);
    void this.#receive("iopub", iopub);
    return iopub;
  }

  /** Hears nothing more of iopub for a moment, then listens anew; forgets what it heard. */
  listenAnew(): void {
    this.#iopub.close();
    this.messages = [];
    this.#iopub = this.#listen();
  }

  async #receive(channel: Channel | "iopub", socket: Dealer | Subscriber): Promise<void> {
    const signer = createSigner(this.#key);
    for await (const frames of socket) {
      this.messages.push({ ...decode(frames, signer), channel });
      for (const listener of [...this.#listeners]) listener();
    }
  }

  /** Sends a message and returns its id. */
  send(
    channel: Channel,
    type: string,
    content: Record<string, unknown>,
    parent: Partial<Message["header"]> = {},
  ): string {
    const message = createMessage(type, parent as Message["header"], content);
    void this.#sockets[channel].send(encode(message, createSigner(this.#key)));
    return message.header.msg_id;
  }

  /** The first message that `matches`, once it is there; fails when a minute of an idle machine's time has passed. */
  wait(matches: (message: Message & { channel: string }) => boolean): Promise<Message> {
    return new Promise((found, failed) => {
      const timer = setTimeout(() => {
        this.#listeners.delete(look);
        const last = this.messages.slice(-5).map(({ channel, header }) => `${channel} ${header.msg_type}`);
        failed(new Error(`no such message; the last ones were ${last.join(", ")}`));
      }, 60_000 * slowness());
      const look = () => {
        const message = this.messages.find(matches);
        if (!message) return;
        clearTimeout(timer);
        this.#listeners.delete(look);
        found(message);
      };
      this.#listeners.add(look);
      look();
    });
  }

  /** The reply to the request `id`, once the kernel said that it is idle again. */
  async replyTo(id: string): Promise<Message> {
    const own = ({ parent }: Message) => parent.msg_id === id;
    const [reply] = await Promise.all([
      this.wait((message) => own(message) && message.header.msg_type.endsWith("_reply")),
      this.wait((message) => own(message) && message.content.execution_state === "idle"),
    ]);
    return reply;
  }

  close(): void {
    for (const socket of [...Object.values(this.#sockets), this.#iopub]) socket.close();
    this.process.kill("SIGKILL");
  }
}
