/**
 * @file Waiting for Dawn: its promises, awaited as usual or at once.
 *
 * Dawn's Node binding looks for what has finished in functions that it hands to `setImmediate`. Here they are taken in
 * its place, only while Dawn itself runs, so that a caller who cannot await (`dataSync`, the start of the engine) can
 * have them called now. What a promise settles with is then heard through a context whose queue of microtasks is its own
 * and emptied on demand (node:vm, `microtaskMode: "afterEvaluate"`).
 */
import { createContext, runInContext, Script } from "node:vm";

/** What Dawn asked to be called for a look at what has finished. */
const looks: (() => void)[] = [];

/** Calls Dawn, taking its looks; the global `setImmediate` is everybody else's again when it returns. */
function catchingLooks<T>(call: () => T): T {
  const { setImmediate } = globalThis;
  globalThis.setImmediate = ((look: () => void) => looks.push(look)) as unknown as typeof setImmediate;
  try {
    return call();
  } finally {
    globalThis.setImmediate = setImmediate;
  }
}

/** Lets Dawn look once; whether it waits for anything. */
function look(): boolean {
  const due = looks.splice(0);
  catchingLooks(() => {
    for (const call of due) call();
  });
  return due.length > 0;
}

/** Looks without a pause at first, since most answers take less than a millisecond. */
const LOOKS_WITHOUT_PAUSE = 100;

/** Starts something of Dawn's, and resolves to what it resolves to. */
export function whenDone<T>(start: () => Promise<T>): Promise<T> {
  const promise = catchingLooks(start);
  const again = (turn: number): void => {
    if (!look()) return;
    if (turn < LOOKS_WITHOUT_PAUSE) setImmediate(again, turn + 1);
    else setTimeout(again, 1, turn);
  };
  setImmediate(again, 0);
  return promise;
}

interface Outcome {
  settled: boolean;
  value?: unknown;
  error?: unknown;
}

const context = createContext(Object.create(null), { microtaskMode: "afterEvaluate" });
const hear: (promise: Promise<unknown>, outcome: Outcome) => void = runInContext(
  `(promise, outcome) => {
    promise.then(
      (value) => Object.assign(outcome, { settled: true, value }),
      (error) => Object.assign(outcome, { settled: true, error }),
    );
  }`,
  context,
);
const runMicrotasks = new Script("0");

const PAUSE_MS = 0.1;
const never = new Int32Array(new SharedArrayBuffer(4));

/** Starts something of Dawn's, and returns what it resolves to; the event loop stands still. Throws what it rejects with. */
export function waitFor<T>(start: () => Promise<T>): T {
  const outcome: Outcome = { settled: false };
  hear(catchingLooks(start), outcome);
  for (let turn = 0; ; turn++) {
    runMicrotasks.runInContext(context);
    if (outcome.settled) break;
    if (!look()) throw new Error("webgpu: Dawn waits for nothing, but has not answered.");
    if (turn > LOOKS_WITHOUT_PAUSE) Atomics.wait(never, 0, 0, PAUSE_MS);
  }
  if ("error" in outcome) throw outcome.error;
  return outcome.value as T;
}
