/**
 * @file Starts the kernel: `node launch.mjs CONNECTION_FILE`, as the kernelspec says.
 *
 * The kernel's TypeScript is compiled once per version of its sources into `.cache/kernel`, because three threads
 * that each compiled it anew would spend more than a cell's time on every start. Plain JavaScript on that account.
 */
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const sources = dirname(fileURLToPath(import.meta.url));
const project = dirname(dirname(sources));
const require = createRequire(import.meta.url);

function sourceFiles() {
  return readdirSync(sources).filter((name) => name.endsWith(".ts") && !/\.(test|d)\.ts$/.test(name));
}

/** @param {string[]} names */
function fingerprint(names) {
  const hash = createHash("sha256").update(readFileSync(fileURLToPath(import.meta.url)));
  for (const name of names) hash.update(name).update(readFileSync(join(sources, name)));
  return hash.digest("hex").slice(0, 16);
}

/** @param {string} name */
function compile(name) {
  /** @type {typeof import("typescript")} */
  const ts = require("typescript");
  return ts.transpileModule(readFileSync(join(sources, name), "utf8"), {
    fileName: join(sources, name),
    compilerOptions: {
      module: ts.ModuleKind.CommonJS,
      target: ts.ScriptTarget.ES2022,
      esModuleInterop: true,
      inlineSourceMap: true,
    },
  }).outputText;
}

/** The folder with the compiled kernel; written beside and renamed, for several kernels may start at once. */
function compiledFolder() {
  const names = sourceFiles();
  const folder = join(project, ".cache", "kernel", fingerprint(names));
  if (existsSync(folder)) {
    utimesSync(folder, new Date(), new Date()); // the language server removes what was not used for long
    return folder;
  }
  const draft = `${folder}.${process.pid}`;
  mkdirSync(draft, { recursive: true });
  for (const name of names) writeFileSync(join(draft, name.replace(/\.ts$/, ".js")), compile(name));
  delete require.cache[require.resolve("typescript")]; // the kernel itself has no use for it
  try {
    renameSync(draft, folder);
  } catch {
    rmSync(draft, { recursive: true }); // another kernel was faster
  }
  return folder;
}

const [connectionFile] = process.argv.slice(2);
if (!connectionFile) {
  console.error("Usage: node launch.mjs CONNECTION_FILE (Jupyter starts the kernel so; see kernel.json)");
  process.exit(2);
}
require(join(compiledFolder(), "main.js")).startKernel({ connectionFile, project });
