/**
 * @file The front ends that the tests hold the kernel against besides JupyterLab: `jupyter console`, papermill,
 * jupytext, and anywidget's side of the page. They lie beside the virtual environment, so that the learner's JupyterLab stays as it is.
 */
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pipFailure, pythonEnvironment, runPip, sitePackages } from "./python.mjs";
import { hashOf, isStamped, writeJson } from "./stamp.mjs";

/** @typedef {import("./layout.mjs").Layout} Layout */

/** @param {Layout} at */
const lockOf = (at) => join(at.requirements, "frontends.txt");

/** @param {Layout} at */
const stampPath = (at) => join(at.frontEnds, "lower-bound.json");

/**
 * The virtual environment is an input, by its lock and its Python: what it has is not installed again.
 * @param {Layout} at
 */
const frontEndsHash = (at) =>
  hashOf({ paths: [lockOf(at), join(at.requirements, "jupyter.txt"), join(at.venv, "pyvenv.cfg")] });

/**
 * Where the JupyterLab extensions are that the front ends bring: a folder for JUPYTER_PATH.
 * @param {Layout} at
 */
export const frontEndsShare = (at) => join(at.frontEnds, "share", "jupyter");

/** @param {Layout} at */
export const hasFrontEnds = (at) => isStamped(stampPath(at), frontEndsHash(at));

/** @param {Layout} at */
export async function installFrontEnds(at) {
  rmSync(at.frontEnds, { recursive: true, force: true });
  const log = join(at.logs, "frontends.log");
  const flags = ["--prefix", at.frontEnds, "--require-hashes", "--only-binary=:all:", "--no-input"];
  const { ok, output } = await runPip(at, ["install", ...flags, "-r", lockOf(at)], log);
  if (!ok) throw pipFailure(output, "the front ends for the tests", log);
  writeJson(stampPath(at), { hash: frontEndsHash(at) });
}

/**
 * The environment in which the virtual environment's Python sees them too.
 * @param {Layout} at
 * @param {NodeJS.ProcessEnv} [environment]
 * @returns {NodeJS.ProcessEnv}
 */
export function frontEndsEnvironment(at, environment = process.env) {
  const packages = sitePackages(at.frontEnds);
  return { ...pythonEnvironment(environment), ...(packages ? { PYTHONPATH: packages } : {}) };
}

/**
 * Why the tests cannot run them, or undefined. Under CI they must be there.
 * @param {Layout} at
 * @param {NodeJS.ProcessEnv} [environment]
 */
export function noFrontEnds(at, environment = process.env) {
  if (hasFrontEnds(at) && existsSync(at.python)) return undefined;
  const reason = "the front ends for the tests are not installed: run npm test with a network once";
  if (environment.CI && environment.CI !== "false") throw new Error(reason);
  return reason;
}
