/** @file The real kernel, started and spoken to through jupyter_client, for tests. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

export const projectRoot = resolve(__dirname, "../../..");

/** The virtual environment's Python; LOWER_BOUND_TEST_PYTHON names another one. */
export const python =
  process.env.LOWER_BOUND_TEST_PYTHON ??
  join(projectRoot, ".venv", process.platform === "win32" ? "Scripts/python.exe" : "bin/python");

/** Why a test that needs Jupyter cannot run, or undefined; what `skip` of node:test takes. */
export function noJupyter(): string | undefined {
  if (!existsSync(python))
    return `no Python at ${python}: run npm start once, it makes the virtual environment`;
  return undefined;
}

/** How many times slower than by itself a process runs here now; limits of time in tests are multiplied by it. */
export const slowness = (): number => Math.max(1, loadavg()[0] / availableParallelism());

// biome-ignore lint/suspicious/noExplicitAny: the content of a message has a shape of its own
type Content = any;

export interface KernelMessage {
  channel: "iopub" | "shell" | "control" | "stdin" | "bridge";
  type: string;
  parent?: string;
  content: Content;
  metadata?: Content;
  buffers?: string[];
  /** When it arrived, in ms of performance.now(). */
  at: number;
}

/** What came of one request. */
export interface Result {
  reply: Content;
  /** All that iopub said under this request. */
  messages: KernelMessage[];
  /** The text of stdout and of stderr. */
  stdout: string;
  stderr: string;
  /** The error message, if there was one. */
  error?: { ename: string; evalue: string; traceback: string[] };
  /** The execute_result's data. */
  data?: Content;
  ms: number;
}

/**
 * Code that blocks its thread until `open` is called, in JavaScript or in one native call: tests can then look at what
 * happens meanwhile without a guess at how long anything takes.
 */
export function makeGate(): { inLoop: string; inNativeCall: string; open(): void } {
  const file = JSON.stringify(join(makeFolder(), "open"));
  const load = (name: string) => `(require("node:${name}") as typeof import("node:${name}"))`;
  return {
    inLoop: `while (!${load("fs")}.existsSync(${file}));`,
    inNativeCall: `${load("child_process")}.execFileSync("sh", ["-c", 'while [ ! -e "$0" ]; do sleep 0.1; done', ${file}]);`,
    open: () => writeFileSync(JSON.parse(file), ""),
  };
}

const textOf = (messages: KernelMessage[], name: string) =>
  messages
    .filter(({ type, content }) => type === "stream" && content.name === name)
    .map(({ content }) => content.text)
    .join("");

/** A kernel.json as set-up writes it, with this Node and this checkout. */
export function writeKernelspec(folder: string): string {
  const template = readFileSync(join(projectRoot, "assets/kernelspec/kernel.json"), "utf8");
  const places: Record<string, string> = { node: process.execPath, project: projectRoot };
  const spec = JSON.parse(template, (_, value) =>
    typeof value === "string" ? value.replace(/\{(node|project)\}/g, (_all, name) => places[name]) : value,
  );
  const file = join(folder, "kernel.json");
  writeFileSync(file, JSON.stringify(spec));
  return file;
}

const made: string[] = [];
process.on("exit", () => {
  for (const folder of made) rmSync(folder, { recursive: true, force: true });
});

/** A new folder, gone when the tests end, inside the project, two levels down, so that a cell's `../../lib` is the library. */
export function makeFolder(): string {
  const parent = join(projectRoot, ".cache");
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, "kernel-test-"));
  made.push(folder);
  return folder;
}

export function isRunning(pid: number): boolean {
  const status = `/proc/${pid}/status`;
  try {
    process.kill(pid, 0);
    // A process that ended but was not waited for still has an id.
    return !/^State:\s+Z/m.test(existsSync(status) ? readFileSync(status, "utf8") : "");
  } catch {
    return false;
  }
}

/** Waits until `holds`, looking ten times a second; fails with `what` after `timeoutMs` of an idle machine's time. */
export async function until(holds: () => boolean, what: string, timeoutMs = 60_000): Promise<void> {
  const deadline = performance.now() + timeoutMs * slowness();
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await sleep(100);
  }
}

/** A folder for the language server's socket: kernels with this environment share a server with no others. */
export function ownServer(): { env: NodeJS.ProcessEnv; pids(): number[]; sockets(): string[] } {
  const folder = mkdtempSync(join(tmpdir(), "kernel-test-"));
  made.push(folder);
  const pids = () =>
    execFileSync("ps", ["-eo", "pid=,args="], { encoding: "utf8" })
      .split("\n")
      .filter((line) => line.includes("language-server.js") && line.includes(folder))
      .map((line) => Number.parseInt(line, 10));
  const sockets = () =>
    readdirSync(folder, { recursive: true, withFileTypes: true }).flatMap((entry) =>
      entry.isSocket() ? [entry.name] : [],
    );
  return { env: { XDG_RUNTIME_DIR: folder }, pids, sockets };
}

/**
 * Memory of these processes together, in MB: pages that several share (a library's code) count once, as the sum of
 * proportional set sizes does it. Linux only.
 */
export function memoryTogether(pids: number[]): number {
  const sizes = pids.map((pid) =>
    /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8")),
  );
  return sizes.reduce((sum, found) => sum + Number(found?.[1]) / 1024, 0);
}

/** What an execute_request for this code holds. */
export const executeContent = (code: string) => ({
  code,
  silent: false,
  store_history: true,
  user_expressions: {},
  allow_stdin: true,
  stop_on_error: true,
});

export class TestKernel {
  readonly messages: KernelMessage[] = [];
  readonly #bridge: ChildProcess;
  readonly #listeners = new Set<() => void>();
  #exited = false;

  private constructor(
    readonly folder: string,
    env: NodeJS.ProcessEnv,
    spec: string,
  ) {
    this.#bridge = spawn(python, [join(__dirname, "bridge.py"), spec, folder], {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, ...env },
    });
    createInterface({ input: this.#bridge.stdout! }).on("line", (line) => {
      this.messages.push({ ...JSON.parse(line), at: performance.now() });
      for (const listener of [...this.#listeners]) listener();
    });
    this.#bridge.on("exit", () => {
      this.#exited = true;
      for (const listener of [...this.#listeners]) listener();
    });
  }

  /** Starts the kernel with `folder` as its notebook's folder, or another by its kernel.json, and waits until it answers. */
  static async start(
    folder = makeFolder(),
    env: NodeJS.ProcessEnv = {},
    spec = writeKernelspec(makeFolder()),
  ): Promise<TestKernel> {
    const kernel = new TestKernel(folder, env, spec);
    await kernel.wait(({ type }) => type === "ready", 120_000);
    return kernel;
  }

  /** Of the kernel's process, which is another after a restart. */
  get pid(): number {
    return this.messages.findLast(({ type }) => type === "ready" || type === "restarted")?.content.pid;
  }

  /** When its process was started, in ms of performance.now(). */
  get startedAt(): number {
    return this.messages.find(({ type }) => type === "starting")?.at ?? Number.NaN;
  }

  get key(): string {
    return this.messages.find(({ type }) => type === "ready")?.content.key;
  }

  /** The first message that `matches`, among those that came or within `timeoutMs`. */
  wait(
    matches: (message: KernelMessage) => boolean,
    timeoutMs = 60_000 * slowness(),
  ): Promise<KernelMessage> {
    let looked = 0;
    return new Promise((found, failed) => {
      const timer = setTimeout(
        () => finish(() => failed(new Error(`no such message within ${timeoutMs} ms`))),
        timeoutMs,
      );
      const look = () => {
        for (; looked < this.messages.length; looked++)
          if (matches(this.messages[looked])) {
            const message = this.messages[looked];
            return finish(() => found(message));
          }
        if (this.#exited) finish(() => failed(new Error("the bridge to the kernel ended")));
      };
      const finish = (settle: () => void) => {
        clearTimeout(timer);
        this.#listeners.delete(look);
        settle();
      };
      this.#listeners.add(look);
      look();
    });
  }

  command(command: Record<string, unknown>): void {
    this.#bridge.stdin!.write(`${JSON.stringify(command)}\n`);
  }

  /** Sends a request and returns its id. */
  send(channel: "shell" | "control", type: string, content: Content, buffers: string[] = []): string {
    const id = randomUUID();
    this.command({ op: "send", channel, type, content, id, buffers });
    return id;
  }

  /** Sends an execute_request and returns its id, without waiting. */
  submit(code: string, options: Record<string, unknown> = {}): string {
    return this.send("shell", "execute_request", { ...executeContent(code), ...options });
  }

  /** Waits until this request is answered and its outputs are complete. */
  async result(id: string, timeoutMs = 120_000): Promise<Result> {
    const began = performance.now();
    const own = (message: KernelMessage) => message.parent === id;
    const [reply, idle] = await Promise.all([
      this.wait((message) => own(message) && message.type.endsWith("_reply"), timeoutMs),
      this.wait(
        (message) => own(message) && message.type === "status" && message.content.execution_state === "idle",
        timeoutMs,
      ),
    ]);
    const messages = this.messages.filter((message) => own(message) && message.channel === "iopub");
    const find = (type: string) => messages.find((message) => message.type === type)?.content;
    return {
      reply: reply.content,
      messages,
      stdout: textOf(messages, "stdout"),
      stderr: textOf(messages, "stderr"),
      error: find("error"),
      data: find("execute_result")?.data,
      ms: Math.max(reply.at, idle.at) - began,
    };
  }

  /** Runs a cell and waits for its end. */
  execute(code: string, options: Record<string, unknown> = {}): Promise<Result> {
    return this.result(this.submit(code, options));
  }

  /** Sends another request on this channel and waits for its answer. */
  request(type: string, content: Content, channel: "shell" | "control" = "shell"): Promise<Result> {
    return this.result(this.send(channel, type, content));
  }

  /** Runs a cell that must end well; its last expression as text. */
  async text(code: string): Promise<string | undefined> {
    const { error, data } = await this.execute(code);
    if (error) throw new Error(`the cell failed: ${error.traceback.join("\n")}`);
    return data?.["text/plain"];
  }

  /** Waits until the request `id` printed `text`: its code has come so far. */
  async printed(id: string, text: string, timeoutMs?: number): Promise<void> {
    await this.wait(
      ({ parent, type, content }) => parent === id && type === "stream" && content.text.includes(text),
      timeoutMs,
    );
  }

  /** Whether the request `id` is still being worked at. */
  isBusyWith(id: string): boolean {
    return !this.messages.some(({ parent, type }) => parent === id && type.endsWith("_reply"));
  }

  /** Presses Stop. */
  stop(): void {
    this.command({ op: "interrupt" });
  }

  isRunning(): boolean {
    return isRunning(this.pid);
  }

  /** Looks at the kernel as the Jupyter server does, again and again, until it is found dead and was started again. */
  async restartedByServer(): Promise<void> {
    const before = this.messages.length;
    const said = (type: string) => this.messages.slice(before).some((message) => message.type === type);
    while (!said("restarted")) {
      this.command({ op: "poll" });
      await sleep(200);
    }
    if (!said("died")) throw new Error("the front end was not told that the kernel died");
    await this.answers();
  }

  /** Waits until the kernel answers on all channels; messages that it sends while a client reconnects are lost. */
  async answers(): Promise<void> {
    for (;;) {
      const answered = this.result(this.send("shell", "kernel_info_request", {}), 2000 * slowness());
      if (
        await answered.then(
          () => true,
          () => false,
        )
      )
        return;
    }
  }

  /** Resident memory of the kernel, in MB. */
  memory(): number {
    return Number(execFileSync("ps", ["-o", "rss=", "-p", String(this.pid)], { encoding: "utf8" })) / 1024;
  }

  /** Kills the process that started the kernel, as if the server had crashed. */
  killServer(): void {
    this.#bridge.kill("SIGKILL");
  }

  async close(): Promise<void> {
    if (this.#exited) return;
    const ended = new Promise((done) => this.#bridge.once("exit", done));
    this.#bridge.stdin!.end();
    await ended;
  }
}
