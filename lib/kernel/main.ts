/**
 * @file The kernel's main thread: starts the protocol's and the language's threads, then runs what they send.
 */
import { writeSync } from "node:fs";
import { join } from "node:path";
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import { createComms } from "./comms";
import { InterruptSwitch, KeyboardInterrupt } from "./interrupt";
import { type BlockingPort, connectBlocking, serve } from "./link";
import type { Bundle, LanguageData, ModuleApi, ProtocolData, RunnerApi } from "./messages";
import { createLoader } from "./modules";
import { createOutput, type KernelDisplay, type Output, redirectStreams } from "./output";
import { createRunner } from "./runner";
import { createSignals, type Signals, waitForOutput } from "./signals";
import { failureOf, installTraces } from "./trace";
import { createWidgets, type Widgets } from "./widgets";

export interface KernelOptions {
  connectionFile: string;
  /** Where `.cache` is. */
  project: string;
}

/** Ends the process as it is: Node's own way out would run into ZeroMQ's threads, which abort it. */
const end = () => process.kill(process.pid, "SIGKILL");

/** A thread without which there is no kernel: the front end learns that it died, and offers to start it again. */
function startThread(name: string, workerData: object, ports: MessagePort[]): Worker {
  const worker = new Worker(join(__dirname, `${name}.js`), { workerData, transferList: ports });
  worker.on("error", (error) => {
    writeSync(2, `the kernel's ${name} thread failed: ${error.stack}\n`);
    end();
  });
  return worker;
}

/** Starts both threads; the port to the protocol's, and the one on which this thread waits for the language's. */
function startThreads({ connectionFile, project }: KernelOptions, signals: Signals) {
  const between = new MessageChannel();
  const blocking = new MessageChannel();
  const bell = new SharedArrayBuffer(4);
  const languageData: LanguageData = {
    project,
    modules: { port: blocking.port2, bell },
    protocol: between.port2,
  };
  startThread("language", languageData, [blocking.port2, between.port2]);
  const protocolData: ProtocolData = { connectionFile, signals, language: between.port1 };
  const protocol = startThread("protocol", protocolData, [between.port1]);
  const modules: BlockingPort = { port: blocking.port1, bell };
  return { protocol, modules };
}

/** What cells find without importing it; `builtins.ts` declares the same to the checker. */
function builtinValues(output: Output, { slider }: Widgets): Record<string, unknown> {
  const update = (displayId: string, bundle: Bundle) => output.display(bundle, { displayId, update: true });
  const display = Object.assign((...args: Parameters<KernelDisplay["display"]>) => output.display(...args), {
    update,
  });
  return { display, clearOutput: output.clearOutput, prompt: output.prompt, slider };
}

function installDisplay({ display, clearOutput }: Output): void {
  (globalThis as Record<symbol, unknown>)[Symbol.for("jupyter.kernel")] = { display, clearOutput };
}

/** Shows errors that nobody caught, under the cell that they come from. The kernel lives on. */
function reporter(output: Output): (error: unknown) => void {
  return (error) => {
    if (error instanceof KeyboardInterrupt) return; // of what a stopped cell had left behind
    output.print("stderr", `${failureOf(error).trace.join("\n")}\n`);
  };
}

/** Starts the kernel; it lives until the front end shuts it down or its parent is gone. */
export function startKernel(options: KernelOptions): void {
  const signals = createSignals();
  const { protocol, modules } = startThreads(options, signals);
  installTraces();
  const interrupts = new InterruptSwitch(signals);
  const output = createOutput(protocol, signals, interrupts.origins);
  redirectStreams(output);
  installDisplay(output);
  const report = reporter(output);
  process.on("uncaughtException", report);
  process.on("unhandledRejection", report);
  process.on("SIGINT", () => interrupts.request());
  process.on("exit", () => {
    waitForOutput(signals);
    end();
  });

  const comms = createComms(output.comm);
  const loader = createLoader(process.cwd(), connectBlocking<ModuleApi>(modules));
  const runner = createRunner(interrupts, loader, output, builtinValues(output, createWidgets(comms)));
  const api: { [K in keyof RunnerApi]: (...args: Parameters<RunnerApi[K]>) => unknown } = {
    run: (cell, name, request, allowStdin) => {
      output.latest = request;
      output.allowStdin = allowStdin;
      return runner.run(cell, name, request);
    },
    comm: (message, request) => {
      output.latest = request;
      try {
        comms.receive(message);
      } catch (error) {
        report(error);
      }
    },
    interrupt: () => interrupts.request(),
    input: (value) => output.answer(value),
  };
  serve(protocol, { ...api });
}
