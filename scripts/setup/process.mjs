/**
 * @file Child processes of the set-up: argument arrays only, never a shell; output kept in a log; ended when the
 * set-up is.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** @typedef {{ ok: boolean, code: number | null, output: string, missing: boolean }} Outcome */

/** @type {Set<import("node:child_process").ChildProcess>} */
const children = new Set();

/** How long a child has to end by itself before it is killed. */
const PATIENCE_MS = 5_000;

/** From then on no child's end is told: what was interrupted has not failed. */
let ending = false;

/**
 * Signals a child and its own children. Each leads a process group, so that Ctrl-C reaches us alone.
 * @param {import("node:child_process").ChildProcess} child
 * @param {NodeJS.Signals} signal
 */
function signalAll(child, signal) {
  try {
    if (process.platform === "win32" || !child.pid) child.kill(signal);
    else process.kill(-child.pid, signal);
  } catch {
    // It has ended meanwhile.
  }
}

/** Ends the children and waits until they are gone: one that lived on would go on writing. */
export async function endChildren() {
  ending = true;
  const ended = [...children].map((child) => new Promise((done) => child.once("close", done)));
  for (const child of children) signalAll(child, "SIGTERM");
  const kill = setTimeout(() => {
    for (const child of children) signalAll(child, "SIGKILL");
  }, PATIENCE_MS);
  await Promise.all(ended);
  clearTimeout(kill);
}

/**
 * The logs that this process has begun: each starts afresh, and then grows.
 * @type {Set<string>}
 */
const logs = new Set();

/**
 * Adds to a log. On a full disk the log ends, and not the work.
 * @param {string} log
 * @param {string} text
 */
function note(log, text) {
  try {
    if (!logs.has(log)) mkdirSync(dirname(log), { recursive: true });
    writeFileSync(log, text, { flag: logs.has(log) ? "a" : "w" });
    logs.add(log);
  } catch {
    // The program's own output says that the disk is full.
  }
}

/**
 * Runs a program to its end. `missing` says that there is no such program.
 * @param {string} program
 * @param {string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, log?: string, timeoutMs?: number }} [options]
 * @returns {Promise<Outcome>}
 */
export function run(program, args, { cwd, env = process.env, log, timeoutMs } = {}) {
  if (log) note(log, `\n$ ${[program, ...args].join(" ")}\n`);
  return new Promise((done) => {
    const detached = process.platform !== "win32";
    const child = spawn(program, args, { cwd, env, detached, stdio: ["ignore", "pipe", "pipe"] });
    const late = timeoutMs ? setTimeout(() => signalAll(child, "SIGTERM"), timeoutMs) : undefined;
    children.add(child);
    let output = "";
    let missing = false;
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text) => {
        output += text;
        if (log) note(log, text);
      });
    child.on("error", (error) => {
      missing = /** @type {NodeJS.ErrnoException} */ (error).code === "ENOENT";
      output += error.message;
    });
    child.on("close", (code) => {
      clearTimeout(late);
      children.delete(child);
      if (!ending) done({ ok: code === 0, code, output, missing });
    });
  });
}

/**
 * A short program's standard output, or undefined when it is missing, fails or hangs.
 * @param {string} program
 * @param {string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, timeoutMs?: number }} [options]
 */
export function ask(program, args, { cwd, env = process.env, timeoutMs = 20_000 } = {}) {
  const { status, stdout } = spawnSync(program, args, { cwd, env, timeout: timeoutMs, encoding: "utf8" });
  return status === 0 ? stdout.trim() : undefined;
}

/**
 * The last line of an output that says something, preferring one that names an error.
 * @param {string} output
 */
export function lastWords(output) {
  const lines = output
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("at "));
  return (lines.findLast((line) => /error|fatal/i.test(line)) ?? lines.at(-1) ?? "no output").slice(0, 300);
}

const NETWORK_TROUBLE =
  /NewConnectionError|Max retries exceeded|ConnectTimeout|ReadTimeout|Read timed out|name resolution|ProxyError|SSLError|Connection (aborted|refused|reset|broken)|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|HTTP error (4|5)\d\d|\b(403|404|407|429|5\d\d) (Client|Server) Error|\bE(403|404|407|5\d\d)\b|network/i;

/**
 * What kind of trouble a package manager's output tells of.
 * @param {string} output
 * @returns {"disk" | "hash" | "network" | "platform" | "other"}
 */
export function kindOfTrouble(output) {
  if (/No space left on device|ENOSPC/.test(output)) return "disk";
  if (/DO NOT MATCH THE HASHES|EINTEGRITY/.test(output)) return "hash";
  if (NETWORK_TROUBLE.test(output)) return "network";
  if (/No matching distribution found/.test(output)) return "platform";
  return "other";
}
