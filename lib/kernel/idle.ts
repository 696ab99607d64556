/** @file What is done when nobody asks for anything: memory is given back, and work that will be asked for is done ahead. */
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

const IDLE_MS = 1000;
/** What must have been added since the last time, in bytes and as a share of what was left then. */
const LEAST_GROWTH = 8 << 20;
const LEAST_SHARE = 0.1;

function findCollector(): () => void {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as () => void;
}

const usedBytes = () => {
  const { used_heap_size, external_memory } = getHeapStatistics();
  return used_heap_size + external_memory;
};

/** Kept from the start: cells, beside which it waits, may replace the global ones. */
const { setTimeout: startTimer, clearTimeout: endTimer } = globalThis;

/**
 * A function to call when work is done: a second after the last call, what the work left is collected. By itself V8
 * collects only when new objects need the place.
 */
export function collectWhenIdle(): () => void {
  const collect = findCollector();
  let left = 0;
  let timer: NodeJS.Timeout | undefined;
  const rest = () => {
    if (usedBytes() < left + Math.max(LEAST_GROWTH, LEAST_SHARE * left)) return;
    collect();
    left = usedBytes();
  };
  return () => {
    endTimer(timer);
    timer = startTimer(rest, IDLE_MS).unref();
  };
}

const SPARE_MS = 1000;

/** Tasks for the time in which nothing is asked, one at a time and in order. */
export interface SpareTime {
  later(task: () => void): void;
  /** To call when something is asked: the tasks wait on. */
  touch(): void;
}

export function createSpareTime(): SpareTime {
  const tasks: (() => void)[] = [];
  let timer: NodeJS.Timeout | undefined;
  const touch = () => {
    clearTimeout(timer);
    if (tasks.length > 0) timer = setTimeout(work, SPARE_MS).unref();
  };
  const work = () => {
    tasks.shift()?.();
    touch();
  };
  return {
    later: (task) => {
      tasks.push(task);
      touch();
    },
    touch,
  };
}

/** The same methods; `touch` is called when one of them is, and when it has answered. */
export function thenTouch<T extends object>(methods: T, touch: () => void): T {
  return new Proxy(methods, {
    get:
      (target, name) =>
      (...args: unknown[]) => {
        touch();
        try {
          return (target[name as keyof T] as (...args: unknown[]) => unknown)(...args);
        } finally {
          touch();
        }
      },
  });
}
