/**
 * @file The protocol's thread: answers Jupyter's requests, also while the reader's code is busy in its own thread.
 *
 * Cells run one at a time in the order of their requests; everything else is answered as it comes.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { BUILTIN_DECLARATIONS } from "./builtins";
import { History, type HistoryRequest } from "./history";
import { collectWhenIdle } from "./idle";
import { KERNEL_INFO } from "./info";
import { connectLanguage } from "./language-client";
import { connect, serve, serveBlocking, tell } from "./link";
import type {
  CommMessage,
  Compilation,
  Failure,
  ModuleApi,
  Notebook,
  Outcome,
  OutputApi,
  ProtocolData,
  RunnerApi,
} from "./messages";
import { Scope } from "./scope";
import { INTERRUPT, Interrupt, removePending } from "./signals";
import { openSockets, type Sockets } from "./sockets";
import { createMessage, type Header, type Message } from "./wire";

const { connectionFile, project, signals, modules, languageStarted } = workerData as ProtocolData;
const runnerPort = parentPort as MessagePort;
const runner = connect<RunnerApi>(runnerPort);
const notebook: Notebook = { folder: process.cwd(), started: Date.now() };
/** What goes wrong in it shows at the first question. */
const language = connectLanguage(
  project,
  languageStarted,
  (fresh) => void fresh.open(notebook).catch(() => {}),
);
/** What the cells declared. */
const scope = new Scope(BUILTIN_DECLARATIONS);

type Content = Record<string, unknown>;
type Channel = "shell" | "control" | "stdin";

let sockets: Sockets;
let executionCount = 0;
/** The headers of requests whose code may still print, by id. */
const headers = new Map<string, Header>();
const waiting: Message[] = [];
let running: Message | undefined;
/** What ran when Stop was last pressed; it may end well all the same, having nothing left to do. */
let stopped: Message | undefined;
const history = new History();
/** The target names of the open comms, by id: known here so that they can be told while the runner is busy. */
const comms = new Map<string, string>();

function noteComm({ type, id, target = "" }: CommMessage): void {
  if (type === "comm_open") comms.set(id, target);
  else if (type === "comm_close") comms.delete(id);
}

// Outputs -----------------------------------------------------------------------------------------------------

/** Text waits this long for more of its kind, so that a flood of lines is a handful of messages. */
const COALESCE_MS = 10;
const MAX_STREAM_CHARACTERS = 1 << 20;
let stream: { request: string; name: string; pieces: string[]; length: number } | undefined;
let streamTimer: NodeJS.Timeout | undefined;

function flushStream(): void {
  clearTimeout(streamTimer);
  streamTimer = undefined;
  if (!stream) return;
  const { request, name, pieces, length } = stream;
  stream = undefined;
  const message = createMessage(
    "stream",
    parentOf(request),
    { name, text: pieces.join("") },
    topic("stream"),
  );
  sockets.iopub(message, () => removePending(signals, length));
}

function print(request: string, name: string, text: string): void {
  if (stream && (stream.request !== request || stream.name !== name)) flushStream();
  stream ??= { request, name, pieces: [], length: 0 };
  stream.pieces.push(text);
  stream.length += text.length;
  if (stream.length > MAX_STREAM_CHARACTERS) flushStream();
  else streamTimer ??= setTimeout(flushStream, COALESCE_MS);
}

const topic = (type: string) => ({ identities: [Buffer.from(`kernel.${type}`)] });
const parentOf = (request: string): Header | Record<string, never> => headers.get(request) ?? {};

function publish(
  type: string,
  parent: Header | Record<string, never>,
  content: Content,
  buffers: Uint8Array[] = [],
  sent?: () => void,
) {
  flushStream();
  sockets.iopub(createMessage(type, parent, content, { ...topic(type), buffers }), sent);
}

const outputs: OutputApi = {
  stream: print,
  display: (request, content, update, buffers) =>
    publish(
      update ? "update_display_data" : "display_data",
      parentOf(request),
      JSON.parse(content),
      buffers,
      () => removePending(signals, content.length),
    ),
  clearOutput: (request, wait) => publish("clear_output", parentOf(request), { wait }),
  comm: (request, message) => {
    noteComm(message);
    flushStream();
    const { type, id, target, data, metadata = {}, buffers } = message;
    const content = { comm_id: id, data, ...(type === "comm_open" ? { target_name: target } : {}) };
    sockets.iopub(createMessage(type, parentOf(request), content, { ...topic(type), metadata, buffers }));
  },
  askInput: (request, prompt, password) => {
    if (running?.header.msg_id !== request) return;
    flushStream();
    const { identities, header } = running;
    sockets.stdin(createMessage("input_request", header, { prompt, password }, { identities }));
  },
};

function publishError(parent: Header, { name, message, trace }: Failure): Content {
  const content = { ename: name, evalue: message, traceback: trace };
  publish("error", parent, content);
  return { status: "error", ...content };
}

const publishStatus = (state: "starting" | "busy" | "idle", parent: Header | Record<string, never>) =>
  publish("status", parent, { execution_state: state });

/** Who begins to listen has missed what was said before: after a crash JupyterLab would not know that the kernel is back. */
function greetListener(): void {
  if (running) publishStatus("busy", running.header);
  else publishStatus("idle", {});
}

// Requests ----------------------------------------------------------------------------------------------------

function reply(channel: Channel, request: Message, content: Content, metadata: Content = {}): void {
  flushStream();
  const type = request.header.msg_type.replace(/_request$/, "_reply");
  const { identities, header } = request;
  sockets[channel](createMessage(type, header, content, { identities, metadata }));
}

interface ExecuteRequest {
  code: string;
  silent?: boolean;
  store_history?: boolean;
  allow_stdin?: boolean;
  stop_on_error?: boolean;
  user_expressions?: Record<string, string> | null;
}

/** The checker walks through code by recursion, and ends where that goes too deep. */
function tooDeep(error: unknown): Compilation {
  if (!String(error).includes("Maximum call stack size exceeded")) throw error;
  const message =
    "the cell nests too deep for the type checker (hundreds of blocks in one another, or one expression of thousands of parts). Split it into several statements, or build the value in a loop.";
  return { ok: false, failure: { name: "TypeScriptError", message, trace: [`TypeScriptError: ${message}`] } };
}

/** Ends the wait for a cell's check, when Stop is pressed meanwhile. */
let stopChecking = () => {};
const STOPPED: Failure = {
  name: "KeyboardInterrupt",
  message: "stopped before it ran",
  trace: ["KeyboardInterrupt: stopped before it ran"],
};

function check(code: string, name: string): Promise<Compilation> {
  const stopped = new Promise<Compilation>((resolve) => {
    stopChecking = () => resolve({ ok: false, failure: STOPPED });
  });
  const checked = language.compile(notebook, code, name, scope.mentionedIn(code)).catch(tooDeep);
  return Promise.race([checked, stopped]);
}

let uncounted = 0;
/** What traces call this code. Each has a name of its own, by which its source map is found. */
const codeName = (counts: boolean) => (counts ? `Cell [${executionCount}]` : `Code ${++uncounted}`);

async function runCode(code: string, name: string, request: string, allowStdin: boolean): Promise<Outcome> {
  const compilation = await check(code, name);
  if (!compilation.ok) return { failure: compilation.failure, missing: [] };
  const outcome = await runner.run(compilation.cell, name, request, allowStdin);
  scope.commit(compilation.declared, new Set(outcome.missing));
  return outcome;
}

async function evaluate(expressions: Record<string, string>, request: string): Promise<Content> {
  const results: Content = {};
  for (const [name, code] of Object.entries(expressions)) {
    const { failure, result } = await runCode(`(${code}\n)`, codeName(false), request, false);
    results[name] = failure
      ? { status: "error", ename: failure.name, evalue: failure.message, traceback: failure.trace }
      : { status: "ok", data: JSON.parse(result ?? "{}"), metadata: {} };
  }
  return results;
}

async function execute(request: Message): Promise<void> {
  const { header } = request;
  const content = request.content as unknown as ExecuteRequest;
  const { silent = false, allow_stdin = false } = content;
  const expressions = content.user_expressions ?? {}; // null, too, is none
  const code = String(content.code ?? "");
  const counts = !silent && (content.store_history ?? true) && code.trim() !== "";
  if (counts) history.add(++executionCount, code);
  publishStatus("busy", header);
  headers.set(header.msg_id, header);
  if (!silent) publish("execute_input", header, { code, execution_count: executionCount });
  const { failure, result } = await runCode(code, codeName(counts), header.msg_id, allow_stdin);
  let answer: Content;
  if (failure) {
    answer = silent
      ? { status: "error", ename: failure.name, evalue: failure.message, traceback: failure.trace }
      : publishError(header, failure);
  } else {
    if (result && !silent)
      publish("execute_result", header, {
        data: JSON.parse(result),
        metadata: {},
        execution_count: executionCount,
      });
    answer = {
      status: "ok",
      payload: [],
      user_expressions: await evaluate(expressions, header.msg_id),
    };
  }
  reply("shell", request, { ...answer, execution_count: executionCount });
  if ((failure || stopped === request) && !silent && (content.stop_on_error ?? true)) abortWaiting();
  publishStatus("idle", header);
}

function abortWaiting(): void {
  for (const request of waiting.splice(0)) {
    publishStatus("busy", request.header);
    reply("shell", request, { status: "aborted", execution_count: executionCount });
    publishStatus("idle", request.header);
  }
}

const rest = collectWhenIdle();

async function drain(): Promise<void> {
  while (!running) {
    const next = waiting.shift();
    if (!next) return;
    running = next;
    try {
      await execute(next);
    } catch (error) {
      console.error("the kernel itself failed:", error);
      const failure = { name: "KernelError", message: String(error), trace: [`KernelError: ${error}`] };
      reply("shell", next, { ...publishError(next.header, failure), execution_count: executionCount });
      abortWaiting();
      publishStatus("idle", next.header);
    }
    running = undefined;
    await sockets.flush();
    rest();
    // What the front end sent in answer to an error comes before what it queued afterwards.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const commOf = (type: CommMessage["type"], { content, metadata, buffers }: Message): CommMessage => ({
  type,
  id: String(content.comm_id),
  target: content.target_name as string | undefined,
  data: content.data,
  metadata,
  buffers,
});

function interrupt(): void {
  stopChecking();
  stopped = running;
  Atomics.store(signals, INTERRUPT, Interrupt.requested);
  tell(runnerPort, "interrupt", !running && waiting.length === 0);
  if (!running) abortWaiting(); // between two cells it is for those to come
}

/** In this time ZeroMQ's own thread, to which all was handed, sends it. It does not say when. */
const SENDING_MS = 100;

async function shutDown(channel: Channel, request: Message): Promise<void> {
  reply(channel, request, { status: "ok", restart: Boolean(request.content.restart) });
  publishStatus("idle", request.header);
  await sockets.flush();
  await sleep(SENDING_MS);
  sockets.close();
  // The reader's code may be in a loop that looks at nothing; a signal ends the process all the same.
  process.kill(process.pid, "SIGKILL");
}

type Handler = (content: Content, request: Message) => Promise<Content | undefined> | Content | undefined;
const handlers: Record<string, Handler> = {
  kernel_info_request: () => KERNEL_INFO,
  is_complete_request: async ({ code }) => ({ ...(await language.isComplete(String(code))) }),
  complete_request: async ({ code, cursor_pos }) => {
    const { start, end, matches, types } = await language.complete(
      notebook,
      String(code),
      Number(cursor_pos),
      scope.all(),
    );
    const metadata = { _jupyter_types_experimental: types };
    return { status: "ok", cursor_start: start, cursor_end: end, matches, metadata };
  },
  inspect_request: async ({ code, cursor_pos }) => {
    const data = await language.inspect(notebook, String(code), Number(cursor_pos), scope.all());
    return { status: "ok", found: data !== undefined, data: data ?? {}, metadata: {} };
  },
  history_request: (content) => history.answer(content as HistoryRequest),
  comm_info_request: ({ target_name }) => {
    const all = [...comms].filter(([, target]) => !target_name || target === target_name);
    return {
      status: "ok",
      comms: Object.fromEntries(all.map(([id, target]) => [id, { target_name: target }])),
    };
  },
  comm_open: (_, request) => handleComm("comm_open", request),
  comm_msg: (_, request) => handleComm("comm_msg", request),
  comm_close: (_, request) => handleComm("comm_close", request),
  interrupt_request: () => {
    interrupt();
    return { status: "ok" };
  },
};

async function handleComm(type: CommMessage["type"], request: Message): Promise<undefined> {
  headers.set(request.header.msg_id, request.header);
  const message = commOf(type, request);
  noteComm(message);
  await runner.comm(message, request.header.msg_id);
  return undefined;
}

/** Answers one request that is no cell. The state shown afterwards is that of the cell, if one runs. */
async function answer(channel: Channel, request: Message): Promise<void> {
  const { header, content } = request;
  publishStatus("busy", header);
  try {
    const result = await handlers[header.msg_type](content, request);
    if (result) reply(channel, request, { status: "ok", ...result });
  } catch (error) {
    const { name, message } = error as Error;
    reply(channel, request, { status: "error", ename: name, evalue: message, traceback: [] });
  }
  publishStatus("idle", header);
  if (running) publishStatus("busy", running.header);
}

function take(channel: Channel, request: Message): void {
  const type = request.header.msg_type;
  if (channel === "stdin") {
    if (type === "input_reply") tell(runnerPort, "input", String(request.content.value ?? ""));
  } else if (type === "execute_request") {
    waiting.push(request);
    void drain();
  } else if (type === "shutdown_request") {
    publishStatus("busy", request.header);
    void shutDown(channel, request);
  } else if (Object.hasOwn(handlers, type)) void answer(channel, request);
}

const PARENT_CHECK_MS = 1000;

/** Ends the process when its parent, the Jupyter server, is gone; else it would compute on for nobody. */
function endWithParent(): void {
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) process.kill(process.pid, "SIGKILL");
  }, PARENT_CHECK_MS);
}

async function start(): Promise<void> {
  endWithParent();
  serveBlocking<ModuleApi>(modules, { transform: language.transform, resolve: language.resolve });
  void language.isComplete(""); // brings the connection about, and with it the language
  sockets = await openSockets(connectionFile, take, greetListener);
  serve(runnerPort, { ...outputs });
  publishStatus("starting", {});
}

void start();
