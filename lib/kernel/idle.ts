/** @file Gives memory back when a thread rests: by itself V8 collects only when new objects need the place. */
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

/** A function to call when work is done: a second after the last call, what the work left is collected. */
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
    clearTimeout(timer);
    timer = setTimeout(rest, IDLE_MS).unref();
  };
}
