/**
 * @file A big CommonJS module together with the code that V8 made of it the last time, kept on disk: TypeScript's nine
 * megabytes are then neither parsed nor compiled at each start of the language server. (Node does this by itself from 22
 * on, but saves only what was compiled while the module loaded.)
 */
import { createHash } from "node:crypto";
import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import Module, { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { Script } from "node:vm";

function readIfThere(file: string): Buffer | undefined {
  try {
    return readFileSync(file);
  } catch {
    return undefined;
  }
}

/** V8 tells sources apart by their length alone. */
function cacheName(file: string): string {
  const { mtimeMs, size } = statSync(file);
  const identity = [file, mtimeMs, size, process.version, process.arch].join("\n");
  return `${basename(file)}.${createHash("sha256").update(identity).digest("hex").slice(0, 16)}.cache`;
}

/**
 * Loads the module in `file` so that `require` finds it, with its code from `folder`; a function that keeps there all
 * code that has been needed by then, unless it came from there.
 */
export function loadWithCodeCache(file: string, folder: string): () => void {
  const cache = join(folder, cacheName(file));
  const cachedData = readIfThere(cache);
  const script = new Script(Module.wrap(readFileSync(file, "utf8")), { filename: file, cachedData });
  const module = new Module(file);
  module.filename = file;
  require.cache[file] = module;
  script.runInThisContext()(module.exports, createRequire(file), module, file, dirname(file));
  module.loaded = true;
  return () => {
    if (cachedData && script.cachedDataRejected === false) return;
    const draft = `${cache}.${process.pid}`;
    try {
      writeFileSync(draft, script.createCachedData());
      renameSync(draft, cache);
    } catch {
      rmSync(draft, { force: true }); // no room: the next start compiles again
    }
  };
}
