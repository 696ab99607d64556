/**
 * @file The kernel's main thread: starts the protocol's thread, then runs what it sends.
 */
import { writeSync } from "node:fs";
import { join } from "node:path";
import { MessageChannel, Worker } from "node:worker_threads";
import { createComms } from "./comms";
import { collectWhenIdle } from "./idle";
import { InterruptSwitch, KeyboardInterrupt } from "./interrupt";
import { startServerEarly } from "./language-client";
import { type BlockingPort, connectBlocking, serve } from "./link";
import type { Bundle, ModuleApi, ProtocolData, RunnerApi } from "./messages";
import { type Bind, createModels } from "./models";
import { createLoader } from "./modules";
import { createOutput, type KernelDisplay, type Output, redirectStreams } from "./output";
import { createRunner } from "./runner";
import { describe, hideNotes } from "./show";
import { createSignals, type Signals, waitForOutput } from "./signals";
import { failureOf, installTraces } from "./trace";
import { createWidgets, type Widgets } from "./widgets";

export interface KernelOptions {
  connectionFile: string;
  /** Where `.cache` is. */
  project: string;
}

/** Kept from the start: cells may replace the global one. */
const { setImmediate: soon } = globalThis;

/** Ends the process as it is: Node's own way out would run into ZeroMQ's threads, which abort it. */
const end = () => process.kill(process.pid, "SIGKILL");

/** Starts the protocol's thread; it and the port on which this thread waits for what it asks about modules. */
function startProtocol({ connectionFile, project }: KernelOptions, signals: Signals) {
  const channel = new MessageChannel();
  const bell = new SharedArrayBuffer(4);
  const workerData: ProtocolData = {
    connectionFile,
    project,
    signals,
    modules: { port: channel.port2, bell },
    languageStarted: startServerEarly(project),
  };
  const protocol = new Worker(join(__dirname, "protocol.js"), {
    workerData,
    transferList: [channel.port2],
    resourceLimits: { maxYoungGenerationSizeMb: 8 }, // what passes through it lives for milliseconds
  });
  protocol.on("error", (error) => {
    writeSync(2, `the kernel's protocol thread failed: ${error.stack}\n`);
    end(); // the front end learns that the kernel died, and offers to start it again
  });
  const modules: BlockingPort = { port: channel.port1, bell };
  return { protocol, modules };
}

/** What cells find without importing it; `builtins.ts` declares the same to the checker. */
function builtinValues(output: Output, widgets: Widgets): Record<string, unknown> {
  const update = (displayId: string, shown: Bundle) => output.display(shown, { displayId, update: true });
  const display = Object.assign((...args: Parameters<Output["display"]>) => output.display(...args), {
    update,
  });
  return { display, clearOutput: output.clearOutput, prompt: output.prompt, ...widgets };
}

function installDisplay({ display, clearOutput }: Output, interrupts: InterruptSwitch): void {
  const contract: KernelDisplay = { display, clearOutput, detached: (work) => interrupts.detached(work) };
  (globalThis as Record<symbol, unknown>)[Symbol.for("jupyter.kernel")] = contract;
}

/** Whether it is Stop; of a revoked proxy even that cannot be asked. */
function isStop(error: unknown): boolean {
  try {
    return error instanceof KeyboardInterrupt;
  } catch {
    return false;
  }
}

/** Shows errors that nobody caught, under the cell that they come from. The kernel lives on. */
function reporter(output: Output): (error: unknown) => void {
  return (error) => {
    if (isStop(error)) return; // of what a stopped cell had left behind
    output.print("stderr", `${failureOf(error, describe).trace.join("\n")}\n`);
  };
}

/** Lets listeners be called later; what one throws is shown, and the others are called all the same. */
function binder(interrupts: InterruptSwitch, report: (error: unknown) => void): Bind {
  return (listener) =>
    interrupts.bind((...args) => {
      try {
        listener(...args);
      } catch (error) {
        report(error);
      }
    });
}

/** Shows Node's warnings (what is deprecated, experimental, leaks) under the cell that they come from, each once there. */
function showWarnings(output: Output, { origins }: InterruptSwitch): void {
  const shown = new WeakMap<object, Set<string>>();
  process.removeAllListeners("warning"); // Node's own listener writes past the redirected streams
  process.on("warning", ({ name, message, ...more }) => {
    if (name === "DeprecationWarning" && process.noDeprecation) return;
    if (message.includes("USE_MAIN_CONTEXT_DEFAULT_LOADER")) return; // what `modules` does is no affair of the cell's
    const { code, detail } = more as { code?: string; detail?: string };
    const text = [`${name}${code ? ` [${code}]` : ""}: ${message}`, ...(detail ? [detail] : [])].join("\n");
    const cell = origins.getStore() ?? output;
    const known = shown.get(cell) ?? new Set();
    if (known.has(text)) return;
    shown.set(cell, known.add(text));
    output.print("stderr", `${text}\n`);
  });
}

/** Starts the kernel; it lives until the front end shuts it down or its parent is gone. */
export function startKernel(options: KernelOptions): void {
  const signals = createSignals();
  const { protocol, modules } = startProtocol(options, signals);
  installTraces();
  hideNotes();
  const interrupts = new InterruptSwitch(signals);
  const output = createOutput(protocol, signals, interrupts.origins);
  redirectStreams(output);
  installDisplay(output, interrupts);
  const report = reporter(output);
  process.on("uncaughtException", report);
  process.on("unhandledRejection", report);
  showWarnings(output, interrupts);
  process.on("SIGINT", () => interrupts.request());
  process.on("exit", () => {
    waitForOutput(signals);
    end();
  });

  const comms = createComms(output.comm);
  const loader = createLoader(process.cwd(), connectBlocking<ModuleApi>(modules));
  const widgets = createWidgets(createModels(comms, binder(interrupts, report)));
  const runner = createRunner(interrupts, loader, output, builtinValues(output, widgets));
  const rest = collectWhenIdle();
  const api: { [K in keyof RunnerApi]: (...args: Parameters<RunnerApi[K]>) => unknown } = {
    run: async (cell, name, request, allowStdin) => {
      output.latest = request;
      output.allowStdin = allowStdin;
      output.running = request;
      const outcome = await runner.run(cell, name, request).finally(() => {
        output.running = undefined;
      });
      await new Promise((resolve) => soon(resolve)); // Node tells of warnings and of rejections that nobody waits for only now
      rest();
      return outcome;
    },
    comm: (message, request) => {
      output.latest = request;
      try {
        comms.receive(message);
      } catch (error) {
        report(error);
      }
    },
    interrupt: (isIdle) => (isIdle ? interrupts.stopLeftBehind() : interrupts.request()),
    input: (value) => output.answer(value),
  };
  serve(protocol, { ...api });
}
