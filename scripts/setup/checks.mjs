/**
 * @file What `npm run doctor` looks at: one check per part, each ok or with the one line that repairs it. Nothing
 * here installs or changes anything, and nothing needs an installed package.
 */
import { existsSync } from "node:fs";
import { findBrowser } from "../browser.mjs";
import { gpuName, hasEngine, readEngineRecord } from "./engine.mjs";
import { SetupError } from "./errors.mjs";
import {
  extensionNames,
  hasJupyterParts,
  hasKernelspec,
  hasRenderer,
  jupyterEnvironment,
} from "./jupyter.mjs";
import { checkNode, stalePackages } from "./node.mjs";
import { ask, lastWords, run } from "./process.mjs";
import { findPython, hasPython, pythonEnvironment } from "./python.mjs";

/** @typedef {import("./layout.mjs").Layout} Layout */

/**
 * `needed`: without it the course cannot run.
 * @typedef {{ part: string, ok: boolean, needed: boolean, text: string, remedy?: string }} Finding
 */

const SET_UP = "npm run setup";

/**
 * @param {string} part
 * @param {string} text
 * @returns {Finding}
 */
const fine = (part, text) => ({ part, ok: true, needed: true, text });

/**
 * @param {string} part
 * @param {string} text
 * @param {string} [remedy]
 * @returns {Finding}
 */
const broken = (part, text, remedy = SET_UP) => ({ part, ok: false, needed: true, text, remedy });

/**
 * A check that throws the set-up's own error is broken with its reason and remedy.
 * @param {string} part
 * @param {() => string} look
 */
function attempt(part, look) {
  try {
    return fine(part, look());
  } catch (error) {
    const remedy = error instanceof SetupError ? error.remedy : SET_UP;
    return broken(part, /** @type {Error} */ (error).message, remedy);
  }
}

/** @param {Layout} at */
function checkPackages(at) {
  const stale = stalePackages(at);
  if (stale.length === 0) return fine("Node packages", "as in package-lock.json");
  const more = stale.length > 1 ? ` and ${stale.length - 1} more` : "";
  return broken("Node packages", `missing or in another version: ${stale[0]}${more}`);
}

/** @param {Layout} at */
function checkVenv(at) {
  if (!existsSync(at.venv)) return broken("Virtual environment", "there is no .venv");
  const version = ask(at.python, ["--version"], { env: pythonEnvironment() });
  if (!version) return broken("Virtual environment", `${at.python} does not run`);
  if (!hasPython(at))
    return broken("Virtual environment", "its packages are not those that are locked for this Python");
  return fine("Virtual environment", `.venv, ${version}`);
}

/** @param {Layout} at */
function checkJupyterLab(at) {
  const code = "import jupyterlab; print(jupyterlab.__version__)";
  const version = existsSync(at.python) && ask(at.python, ["-c", code], { env: jupyterEnvironment(at) });
  return version ? fine("JupyterLab", version) : broken("JupyterLab", "not installed in .venv");
}

/** @param {Layout} at */
function checkKernel(at) {
  if (!hasKernelspec(at)) return broken("Kernel", "its kernelspec is not installed");
  if (!hasJupyterParts(at)) return broken("Kernel", "its kernelspec is not up to date");
  return fine("Kernel", "kernelspec lower-bound");
}

const ENGINE_CODE = 'console.log(JSON.stringify(require("./lib/tensor/engine").engine));';

/**
 * The engine that the code which chooses it starts, in a process of its own; or why none does.
 * @param {Layout} at
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {Promise<{ engine?: { name: string, description: string }, reason: string }>}
 */
async function startEngine(at, env) {
  const { output } = await run(process.execPath, ["--import", "tsx", "-e", ENGINE_CODE], {
    cwd: at.project,
    env: { ...process.env, ...env },
  });
  const line = output.split("\n").find((text) => text.startsWith('{"name"'));
  return { engine: line && JSON.parse(line), reason: lastWords(output) };
}

/**
 * The engine that a lesson would get.
 * @param {Layout} at
 * @returns {Promise<Finding>}
 */
async function checkEngine(at) {
  if (stalePackages(at).includes("node_modules")) return broken("Engine", "needs the Node packages first");
  const { engine, reason } = await startEngine(at);
  const failure = readEngineRecord(at)?.failures[0];
  const why = failure ? `; the ${failure.engine} engine: ${failure.reason}` : "";
  if (!engine) return broken("Engine", `it does not start (${reason})${why}`, failure?.remedy);
  if (failure || engine.name === "js" || engine.name === "package")
    return { ...broken("Engine", `${engine.description}${why}`, failure?.remedy), needed: false };
  if (hasEngine(at, {})) return fine("Engine", engine.description);
  return { ...broken("Engine", `${engine.description}, made from older sources`), needed: false };
}

/**
 * A GPU with CUDA, or else what WebGPU finds.
 * @param {Layout} at
 * @returns {Promise<Finding>}
 */
async function checkGpu(at) {
  const name = gpuName();
  if (name && readEngineRecord(at)?.engine === "cuda") return { ...fine("GPU", name), needed: false };
  if (name)
    return {
      ...broken("GPU", `${name} is there, but CUDA is not set up`, "npm run setup -- --gpu"),
      needed: false,
    };
  const none = "no NVIDIA GPU answers";
  if (stalePackages(at).includes("node_modules")) return { ...fine("GPU", none), needed: false };
  const { engine, reason } = await startEngine(at, { LOWER_BOUND_ENGINE: "webgpu" });
  const found = engine
    ? `${engine.description} (--engine webgpu)`
    : `WebGPU: ${/webgpu: (.*)\)\. Run/.exec(reason)?.[1] ?? reason}; not needed`;
  return { ...fine("GPU", `${none}; ${found}`), needed: false };
}

/** @param {Layout} at */
function checkRenderer(at) {
  if (extensionNames(at).length === 0)
    return broken("Plot renderer", "assets/labextension is empty", "git checkout -- assets");
  return hasRenderer(at)
    ? fine("Plot renderer", extensionNames(at).join(", "))
    : broken("Plot renderer", "not installed in .venv/share/jupyter/labextensions");
}

/** @returns {Finding} */
function checkBrowser() {
  const { path, reason } = findBrowser({ ...process.env, CI: undefined });
  if (path) return { ...fine("Browser", `${path} (for the browser tests)`), needed: false };
  const remedy = "sudo apt-get install -y chromium";
  return {
    ...broken("Browser", `${reason?.split(":")[0]}; only the browser tests need one`, remedy),
    needed: false,
  };
}

/**
 * All checks in order.
 * @param {Layout} at
 * @returns {Promise<Finding[]>}
 */
export async function examine(at) {
  const python = () => {
    const { program, version } = findPython();
    return `${version} (${program})`;
  };
  const node = () => {
    checkNode();
    return `${process.versions.node} (${process.execPath})`;
  };
  return [
    attempt("Node", node),
    checkPackages(at),
    attempt("Python", python),
    checkVenv(at),
    checkJupyterLab(at),
    checkKernel(at),
    await checkEngine(at),
    await checkGpu(at),
    checkRenderer(at),
    checkBrowser(),
  ];
}

/**
 * One line per finding.
 * @param {Finding[]} findings
 */
export function describeFindings(findings) {
  const width = Math.max(...findings.map(({ part }) => part.length)) + 2;
  return findings
    .map(({ part, ok, needed, text, remedy }) => {
      const state = ok ? "ok" : needed ? "WRONG" : "note";
      return `${part.padEnd(width)}${state.padEnd(7)}${text}${ok ? "" : `. To repair: ${remedy}`}`;
    })
    .join("\n");
}
