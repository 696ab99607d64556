/** @file Keeps a cache folder small: what was not used for long goes, and of the rest what was used longest ago. */
import { readdirSync, rmSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";

export interface CacheLimits {
  maxAgeMs: number;
  maxBytes: number;
}

const DAY_MS = 86_400_000;
export const CACHE_LIMITS: CacheLimits = { maxAgeMs: 30 * DAY_MS, maxBytes: 64 << 20 };

function bytesIn(path: string): number {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.size;
  return readdirSync(path).reduce((sum, name) => sum + bytesIn(join(path, name)), 0);
}

/** Notes that `path` is used now; at most once a day, for it is called often. */
export function markUsed(path: string): void {
  const now = Date.now();
  if (now - statSync(path).mtimeMs > DAY_MS) utimesSync(path, now / 1000, now / 1000);
}

/** Removes entries of `folder` beyond the limits, but for those named `kept`. Another process may do the same meanwhile. */
export function prune(
  folder: string,
  { maxAgeMs, maxBytes }: CacheLimits,
  kept: readonly string[] = [],
): void {
  const used = (path: string) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const entries = readdirSync(folder)
    .filter((name) => !kept.includes(name))
    .map((name) => ({ path: join(folder, name), used: used(join(folder, name)) }))
    .sort((a, b) => b.used - a.used);
  let bytes = 0;
  for (const entry of entries)
    try {
      bytes += bytesIn(entry.path);
      if (Date.now() - entry.used > maxAgeMs || bytes > maxBytes) rmSync(entry.path, { recursive: true });
    } catch {
      // it went meanwhile
    }
}
