/** @file What the set-up's tests share: throw-away folders, and a PATH of programs that behave as told. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { layout } from "./layout.mjs";

/** A folder with a space and letters beyond ASCII in its name, removed after the file's tests. */
export function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "lower bound ñandú "));
  after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** An empty project and where its things would lie. */
export function makeProject() {
  const at = layout(makeFolder());
  mkdirSync(at.requirements, { recursive: true });
  return at;
}

/** A folder to use as PATH: each program is a shell script with the given body. */
export function fakePath(programs: Record<string, string>): string {
  const folder = makeFolder();
  for (const [name, body] of Object.entries(programs)) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${body}\n`);
    chmodSync(join(folder, name), 0o755);
  }
  return folder;
}

/** Runs `work` with variables of the environment set, or unset where undefined, and puts them back. */
export async function withEnvironment<T>(
  values: Record<string, string | undefined>,
  work: () => T | Promise<T>,
): Promise<T> {
  const before = Object.keys(values).map((name) => [name, process.env[name]] as const);
  const put = (entries: readonly (readonly [string, string | undefined])[]) => {
    for (const [name, value] of entries)
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
  };
  put(Object.entries(values));
  try {
    return await work();
  } finally {
    put(before);
  }
}
