/**
 * @file Stop, as the runner sees it. The protocol's thread sets a shared word; the checks in the code read it and
 * throw KeyboardInterrupt in what belongs to the stopped cell. What that cell still has pending is stopped when it
 * wakes up, also after the next cell began.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { CHECK_NAMES, CHECK_SYMBOL } from "./names";
import { INTERRUPT, Interrupt, type Signals } from "./signals";

export class KeyboardInterrupt extends Error {
  override name = "KeyboardInterrupt";
  constructor() {
    super("stopped");
  }
}

/** What is known of code by the asynchronous context that it runs in: the request that it began with. */
export interface Origin {
  request: string;
  stopped: boolean;
  /** Until then the loops of `finally` blocks may run; after that every check throws. */
  graceUntil: number;
}

/** Kept from the start: cells may replace the global ones, as `mock.timers` of node:test does. */
const { setTimeout: later } = globalThis;

const GRACE_MS = 200;
/** The time in which a free event loop takes note of Stop; after it, whatever keeps the loop busy is stopped. */
const STUCK_MS = 100;

export class InterruptSwitch {
  readonly origins = new AsyncLocalStorage<Origin>();
  readonly #signals: Signals;
  /** The cells and listeners of which code may still wake up. */
  readonly #living = new Set<WeakRef<Origin>>();
  readonly #ended: FinalizationRegistry<WeakRef<Origin>>;
  #active: Origin | undefined;
  #reject: ((error: Error) => void) | undefined;
  #firstSeen = 0;

  constructor(signals: Signals) {
    this.#signals = signals;
    this.#ended = new FinalizationRegistry((origin) => {
      this.#living.delete(origin);
      if (Atomics.load(signals, INTERRUPT) === Interrupt.lingering) this.#rest();
    });
    const values: Record<keyof typeof CHECK_NAMES, unknown> = {
      load: Atomics.load,
      flag: signals.subarray(INTERRUPT, INTERRUPT + 1),
      stop: () => this.#stop(),
      resumed: <T>(value: T): T => {
        if (Atomics.load(signals, INTERRUPT) !== Interrupt.none) this.#stop();
        return value;
      },
    };
    (globalThis as Record<symbol, unknown>)[Symbol.for(CHECK_SYMBOL)] = Object.fromEntries(
      Object.entries(values).map(([key, value]) => [CHECK_NAMES[key as keyof typeof CHECK_NAMES], value]),
    );
  }

  /** Runs `work` so that Stop ends it; rejects with KeyboardInterrupt when it was stopped while it waited. */
  async run<T>(request: string, work: () => T | Promise<T>): Promise<T> {
    const origin = this.#begin(request);
    this.#active = origin;
    // A Stop that was pressed since the run was asked for is this one's.
    if (Atomics.load(this.#signals, INTERRUPT) !== Interrupt.requested) this.#rest();
    const stopped = new Promise<never>((_, reject) => {
      this.#reject = reject;
    });
    try {
      return await Promise.race([this.origins.run(origin, async () => work()), stopped]);
    } finally {
      if (Atomics.load(this.#signals, INTERRUPT) === Interrupt.requested) origin.stopped = true;
      this.#active = undefined;
      this.#reject = undefined;
      this.#rest();
    }
  }

  /** Runs `work`, and what it starts, out of reach of Stop; its outputs stay those of the cell that began it. */
  detached<T>(work: () => T): T {
    const origin = this.origins.getStore();
    return origin ? this.origins.run({ ...origin, stopped: false, graceUntil: 0 }, work) : work();
  }

  /** `listener` to be called later as code of this cell: an earlier Stop does not concern it, the next one does. */
  bind<A extends unknown[]>(listener: (...args: A) => void): (...args: A) => void {
    const request = this.origins.getStore()?.request;
    if (request === undefined) return listener;
    return (...args) => this.origins.run(this.#begin(request), listener, ...args);
  }

  /** Stop, seen by a free event loop: code that waits gets a moment to end by itself, then the cell ends without it. */
  request(): void {
    const origin = this.#active;
    if (!origin) {
      this.#rest();
      return;
    }
    origin.stopped = true;
    this.#rest(); // nothing keeps the loop busy: what belongs to no stopped cell goes on
    const reject = this.#reject;
    later(() => reject?.(new KeyboardInterrupt()), GRACE_MS / 2);
  }

  /** Stop, when no cell runs: what ended cells left behind ends when it wakes up. */
  stopLeftBehind(): void {
    for (const origin of this.#livingOrigins()) origin.stopped = true;
    this.#rest();
  }

  #begin(request: string): Origin {
    const origin: Origin = { request, stopped: false, graceUntil: 0 };
    const reference = new WeakRef(origin);
    this.#living.add(reference);
    this.#ended.register(origin, reference);
    return origin;
  }

  #livingOrigins(): Origin[] {
    return [...this.#living].flatMap((reference) => reference.deref() ?? []);
  }

  #rest(): void {
    this.#firstSeen = 0;
    const lingers = this.#livingOrigins().some(({ stopped }) => stopped);
    Atomics.store(this.#signals, INTERRUPT, lingers ? Interrupt.lingering : Interrupt.none);
  }

  /** Called by the checks when the word is not 0. */
  #stop(): void {
    const origin = this.origins.getStore();
    if (Atomics.load(this.#signals, INTERRUPT) === Interrupt.lingering && !origin?.stopped) return;
    const now = performance.now();
    if (origin && origin === this.#active) origin.stopped = true;
    if (!origin?.stopped) {
      if (this.#firstSeen === 0) this.#firstSeen = now;
      if (now - this.#firstSeen < STUCK_MS) return;
      throw new KeyboardInterrupt();
    }
    if (origin.graceUntil === 0) origin.graceUntil = now + GRACE_MS;
    else if (now < origin.graceUntil) return;
    throw new KeyboardInterrupt();
  }
}
