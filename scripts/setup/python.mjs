/**
 * @file The Python side: an interpreter that will do, the virtual environment `.venv`, and its packages exactly
 * as locked.
 */
import { existsSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { AGAIN, diskFull, SetupError } from "./errors.mjs";
import { ask, kindOfTrouble, lastWords, run } from "./process.mjs";
import { hashOf, isStamped, writeJson } from "./stamp.mjs";

/** @typedef {import("./layout.mjs").Layout} Layout */
/** @typedef {{ program: string, args: string[], version: string }} Python */

const OLDEST_MINOR = 10;
const NAMES = ["python3", "python", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10"];
const INSTALL_PYTHON =
  "install Python 3.10 or newer (Debian and Ubuntu: sudo apt-get install -y python3 python3-venv; macOS: brew install python), then run the command again";
const INSTALL_VENV = "run sudo apt-get install -y python3-venv, then run the command again";

const VERSION_CODE = "import sys; print('.'.join(map(str, sys.version_info[:3])))";

/** @param {string} version */
function isNewEnough(version) {
  const [major, minor] = version.split(".").map(Number);
  return major > 3 || (major === 3 && minor >= OLDEST_MINOR);
}

/**
 * The first Python that is new enough: $LOWER_BOUND_PYTHON, or one on the PATH, or Windows' launcher.
 * @param {NodeJS.ProcessEnv} [environment]
 * @returns {Python}
 */
export function findPython(environment = process.env) {
  const asked = environment.LOWER_BOUND_PYTHON;
  const candidates = (asked ? [asked] : NAMES).map((program) => ({
    program,
    args: /** @type {string[]} */ ([]),
  }));
  if (!asked && process.platform === "win32") candidates.push({ program: "py", args: ["-3"] });
  /** @type {string[]} */
  const tooOld = [];
  for (const { program, args } of candidates) {
    const version = ask(program, [...args, "-c", VERSION_CODE], { env: environment });
    if (!version) continue;
    if (isNewEnough(version)) return { program, args, version };
    tooOld.push(`${program} is ${version}`);
  }
  const found = tooOld.length > 0 ? tooOld.join(", ") : `no Python answers to ${asked ?? NAMES.join(", ")}`;
  throw new SetupError(`${found}; expected 3.${OLDEST_MINOR} or newer`, INSTALL_PYTHON);
}

/**
 * The environment for our Python processes: a user's own Python settings that would lead out of the virtual
 * environment are dropped; pip's proxy, mirror and certificates stay.
 * @param {NodeJS.ProcessEnv} [environment]
 * @returns {NodeJS.ProcessEnv}
 */
export function pythonEnvironment(environment = process.env) {
  const {
    PYTHONHOME,
    PYTHONPATH,
    PIP_TARGET,
    PIP_PREFIX,
    PIP_ROOT,
    PIP_REQUIRE_VIRTUALENV,
    VIRTUAL_ENV,
    ...rest
  } = environment;
  return {
    ...rest,
    PYTHONNOUSERSITE: "1",
    PYTHONUTF8: "1",
    PIP_USER: "0",
    PIP_DISABLE_PIP_VERSION_CHECK: "1",
  };
}

/** @param {Layout} at */
const stampPath = (at) => join(at.venv, "lower-bound.json");

/**
 * The program that the environment's links lead to, `python3.11`: an upgrade of the system's Python makes it another
 * one, for which no packages are installed.
 * @param {Layout} at
 */
const programName = (at) => (existsSync(at.python) ? basename(realpathSync(at.python)) : "missing");

/** @param {Layout} at */
const pythonHash = (at) =>
  hashOf({ paths: [join(at.requirements, "jupyter.txt")], texts: [programName(at)] });

/**
 * Whether the environment is there, by its stamp; with `retry` also whether JupyterLab can be imported in it.
 * @param {Layout} at
 * @param {{ retry?: boolean }} [wishes]
 */
export function hasPython(at, { retry = false } = {}) {
  if (!existsSync(at.python) || !isStamped(stampPath(at), pythonHash(at))) return false;
  return !retry || ask(at.python, ["-c", "import jupyterlab"], { env: pythonEnvironment() }) !== undefined;
}

/**
 * Where Python packages lie below a virtual environment or another prefix; undefined where there are none.
 * @param {string} prefix
 */
export function sitePackages(prefix) {
  const libraries = join(prefix, "lib");
  const versions = existsSync(libraries)
    ? readdirSync(libraries).filter((name) => /^python3/.test(name))
    : [];
  const places = [...versions.map((name) => join(libraries, name)), join(prefix, "Lib")];
  return places.map((place) => join(place, "site-packages")).find((place) => existsSync(place));
}

/**
 * How pip is called for the virtual environment: its own, or the machine's where `ensurepip` is missing.
 * @param {Layout} at
 * @param {Python} python
 * @param {string} log
 * @returns {Promise<{ program: string, args: string[] }>}
 */
async function makeVenv(at, python, log) {
  const env = pythonEnvironment();
  const venv = (/** @type {string[]} */ ...flags) =>
    run(python.program, [...python.args, "-m", "venv", "--clear", ...flags, at.venv], { env, log });
  const made = await venv();
  if (made.ok) return { program: at.python, args: ["-m", "pip"] };
  if (kindOfTrouble(made.output) === "disk") throw diskFull(AGAIN);
  const pip = { program: python.program, args: [...python.args, "-m", "pip", "--python", at.python] };
  const version = ask(python.program, [...python.args, "-m", "pip", "--version"], { env });
  const canReachIn = Number(version?.match(/^pip (\d+)/)?.[1] ?? 0) >= 23;
  if (canReachIn && (await venv("--without-pip")).ok) return pip;
  rmSync(at.venv, { recursive: true, force: true });
  if (/ensurepip|No module named venv/.test(made.output))
    throw new SetupError(`Python ${python.version} cannot make virtual environments`, INSTALL_VENV, { log });
  throw new SetupError(`python -m venv failed (${lastWords(made.output)})`, `look into ${log}, ${AGAIN}`, {
    log,
  });
}

/**
 * What pip's output means for people.
 * @param {string} output
 * @param {string} what what was to be downloaded
 * @param {string} log
 * @param {string} [again] how the remedy ends
 */
export function pipFailure(output, what, log, again = AGAIN) {
  const kind = kindOfTrouble(output);
  if (kind === "disk") return diskFull(again, { log });
  const words = lastWords(output);
  const [reason, remedy] = {
    network: [
      `pip could not download ${what} (${words})`,
      `check the network, or set pip's proxy or mirror (pip config set global.proxy …, pip config set global.index-url …), ${again}`,
    ],
    hash: [
      `a downloaded file of ${what} is not the one that was locked`,
      `run pip cache purge and check the mirror, ${again}`,
    ],
    platform: [
      `there is no build of ${what} for this Python or platform (${words})`,
      `use another Python (3.10 to 3.14), named in LOWER_BOUND_PYTHON, ${again}`,
    ],
    other: [`pip failed on ${what} (${words})`, `look into ${log}, ${again}`],
  }[kind];
  return new SetupError(reason, remedy, { log, altered: kind === "hash" });
}

/**
 * Makes the virtual environment afresh and installs the locked packages; stamped only when whole.
 * @param {Layout} at
 */
export async function installPython(at) {
  const log = join(at.logs, "python.log");
  const pip = await makeVenv(at, findPython(), log);
  const lock = join(at.requirements, "jupyter.txt");
  const flags = ["install", "--require-hashes", "--only-binary=:all:", "--no-input", "-r", lock];
  const { ok, output } = await run(pip.program, [...pip.args, ...flags], { env: pythonEnvironment(), log });
  if (!ok) throw pipFailure(output, "JupyterLab", log);
  writeJson(stampPath(at), { hash: pythonHash(at) });
}

/**
 * Runs pip of the virtual environment, or the machine's where it has none.
 * @param {Layout} at
 * @param {string[]} args
 * @param {string} log
 */
export function runPip(at, args, log) {
  const env = pythonEnvironment();
  if (ask(at.python, ["-c", "import pip"], { env }) !== undefined)
    return run(at.python, ["-m", "pip", ...args], { env, log });
  const python = findPython();
  return run(python.program, [...python.args, "-m", "pip", ...args], { env, log });
}
