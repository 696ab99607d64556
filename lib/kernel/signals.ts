/** @file Words of memory that the threads share, read where a message would come too late. */

export const INTERRUPT = 0;
export const PENDING_BYTES = 1;

/** What the INTERRUPT word says to code that looks at it. */
export const Interrupt = {
  none: 0,
  /** Stop was pressed just now and concerns the cell that runs. */
  requested: 1,
  /** Some cell was stopped, and code that it started may still wake up. */
  lingering: 2,
} as const;

export type Signals = Int32Array;

export function createSignals(): Signals {
  return new Int32Array(new SharedArrayBuffer(8));
}

/** Above this the reader's code waits until what it printed and displayed has gone out: a flood must not fill the memory. */
const MAX_PENDING_BYTES = 16 << 20;

/** Counts bytes on their way to the protocol's thread, and blocks while they are too many. */
export function addPending(signals: Signals, bytes: number): void {
  let pending = Atomics.add(signals, PENDING_BYTES, bytes) + bytes;
  while (pending > MAX_PENDING_BYTES && pending > bytes) {
    Atomics.wait(signals, PENDING_BYTES, pending, 100);
    pending = Atomics.load(signals, PENDING_BYTES);
    if (Atomics.load(signals, INTERRUPT) === Interrupt.requested) return;
  }
}

export function removePending(signals: Signals, bytes: number): void {
  Atomics.sub(signals, PENDING_BYTES, bytes);
  Atomics.notify(signals, PENDING_BYTES);
}

/** How long ZeroMQ gets for what it was handed. */
const FLUSH_MS = 200;

/** Blocks until what was printed has gone out, for ten seconds at most: a crowded machine takes its time. */
export function waitForOutput(signals: Signals): void {
  for (let tries = 0; tries < 100 && Atomics.load(signals, PENDING_BYTES) > 0; tries++)
    Atomics.wait(signals, PENDING_BYTES, Atomics.load(signals, PENDING_BYTES), 100);
  Atomics.wait(signals, PENDING_BYTES, Atomics.load(signals, PENDING_BYTES), FLUSH_MS);
}
