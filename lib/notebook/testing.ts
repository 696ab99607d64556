/** @file A kernel that only listens, for the tests of what shows things. */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Bundle, KernelDisplay } from "./display";

export interface Shown {
  bundle: Bundle;
  displayId?: string;
  update?: boolean;
  at: number;
  /** The cell that this came from, or nothing where Stop would not reach it. */
  from?: string;
}

/** Tells code that belongs to a cell from code that was detached from it, as the kernel does. */
export const cell = new AsyncLocalStorage<string>();

const KERNEL = Symbol.for("jupyter.kernel");

/** Runs `action` with a kernel that records what it is given, and takes it away again. */
export async function withKernel<Result>(
  action: (shown: Shown[]) => Promise<Result> | Result,
): Promise<{ shown: Shown[]; result: Result }> {
  const shown: Shown[] = [];
  const kernel: KernelDisplay = {
    display: (bundle, options) =>
      void shown.push({ bundle, ...options, at: Date.now(), from: cell.getStore() }),
    clearOutput: () => {},
    detached: (work) => cell.exit(work),
  };
  const place = globalThis as unknown as Record<symbol, KernelDisplay | undefined>;
  place[KERNEL] = kernel;
  try {
    return { shown, result: await action(shown) };
  } finally {
    delete place[KERNEL];
  }
}

/** What `action` prints while no kernel is there. */
export async function printed(action: () => unknown): Promise<string[]> {
  const lines: string[] = [];
  const { log } = console;
  console.log = (...values: unknown[]) => void lines.push(values.join(" "));
  try {
    await action();
  } finally {
    console.log = log;
  }
  return lines;
}

/** Waits. */
export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
