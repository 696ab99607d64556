/**
 * @file Calls between threads and processes: a typed request and its answer over a port, and one that waits for its
 * answer.
 */
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";

/** What a thread's port, a Worker and a socket have in common: messages in order, both ways. */
export interface Port {
  postMessage(message: unknown): void;
  // biome-ignore lint/suspicious/noExplicitAny: whatever was posted
  on(event: "message" | "close", listener: (message: any) => void): unknown;
}

// biome-ignore lint/suspicious/noExplicitAny: any function is a method; its own types are kept by `Remote`
type Method = (...args: any[]) => unknown;
type Api<T> = { [K in keyof T]: Method };

/** The other end closed before it answered. */
export class ConnectionLost extends Error {
  override name = "ConnectionLost";
}

/** What another thread serves, as seen from here: the same methods, each answering with a promise. */
export type Remote<T> = {
  // biome-ignore lint/suspicious/noExplicitAny: as above
  [K in keyof T]: T[K] extends (...args: infer A) => infer R ? (...args: A) => Promise<Awaited<R>> : any;
};

interface Call {
  call: number;
  method: string;
  args: unknown[];
}
interface Answer {
  answer: number;
  value?: unknown;
  failure?: { name: string; message: string; stack?: string };
}

function failureOf(error: unknown): Answer["failure"] {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  return { name, message, stack };
}

/** Posts what the method returns or throws; what it returns but cannot be cloned is a failure, too. */
async function answerCall<T extends object>(port: Port, methods: Api<T>, { call, method, args }: Call) {
  const post = (answer: Omit<Answer, "answer">) => call > 0 && port.postMessage({ answer: call, ...answer });
  try {
    post({ value: await methods[method as keyof T](...args) });
  } catch (error) {
    post({ failure: failureOf(error) });
  }
}

/** Answers the calls that arrive at `port` with `methods`. A thrown error travels back to the caller. */
export function serve<T extends object>(port: Port, methods: Api<T>): void {
  port.on("message", (message: Call | Answer) => {
    if ("call" in message) void answerCall(port, methods, message);
  });
}

/** The methods served at the other end of `port`; calls under way when it closes fail with ConnectionLost. */
export function connect<T>(port: Port): Remote<T> {
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  let last = 0;
  port.on("message", (message: Call | Answer) => {
    if (!("answer" in message)) return;
    const caller = waiting.get(message.answer);
    waiting.delete(message.answer);
    if (message.failure) caller?.reject(Object.assign(new Error(message.failure.message), message.failure));
    else caller?.resolve(message.value);
  });
  port.on("close", () => {
    for (const { reject } of waiting.values()) reject(new ConnectionLost("link: the other end closed"));
    waiting.clear();
  });
  const send = (method: string, args: unknown[]) =>
    new Promise((resolve, reject) => {
      waiting.set(++last, { resolve, reject });
      port.postMessage({ call: last, method, args } satisfies Call);
    });
  return new Proxy({} as Remote<T>, {
    get: (_, method) => (method === "then" ? undefined : (...args: unknown[]) => send(String(method), args)),
  });
}

/** Sends a call whose answer nobody waits for; it stays in order with the others on this port. */
export function tell(port: Pick<Port, "postMessage">, method: string, ...args: unknown[]): void {
  port.postMessage({ call: 0, method, args } satisfies Call);
}

/** A port on which one thread waits, blocked, for the other's answer: `require` is synchronous. */
export interface BlockingPort {
  port: MessagePort;
  bell: SharedArrayBuffer;
}

/** Answers the blocking calls that arrive at `port`. */
export function serveBlocking<T extends object>({ port, bell }: BlockingPort, methods: Api<T>): void {
  const ring = new Int32Array(bell);
  port.on("message", async (message: Call) => {
    await answerCall(port, methods, message);
    Atomics.store(ring, 0, message.call);
    Atomics.notify(ring, 0);
  });
}

/** The methods served at the other end, as plain functions that block this thread until the answer is there. */
export function connectBlocking<T extends object>({ port, bell }: BlockingPort): T {
  const ring = new Int32Array(bell);
  let last = 0;
  port.unref();
  const call = (method: string, args: unknown[]) => {
    const before = Atomics.load(ring, 0);
    port.postMessage({ call: ++last, method, args } satisfies Call);
    Atomics.wait(ring, 0, before);
    const { value, failure }: Answer = receiveMessageOnPort(port)!.message;
    if (failure) throw Object.assign(new Error(failure.message), failure);
    return value;
  };
  return new Proxy({} as T, {
    get:
      (_, method) =>
      (...args: unknown[]) =>
        call(String(method), args),
  });
}
