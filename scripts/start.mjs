/**
 * @file `npm start [-- --gpu] [-- JupyterLab's arguments]`: sets up what is missing, then opens JupyterLab on the
 * first lesson and prints its address.
 */
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { jupyterEnvironment } from "./setup/jupyter.mjs";
import { addressOf, jupyterArguments, waitForServer } from "./setup/launch.mjs";
import { layout, PROJECT } from "./setup/layout.mjs";
import { setUp } from "./setup/steps.mjs";

/** How long JupyterLab has to end by itself before it is killed. */
const PATIENCE_MS = 8_000;

/**
 * Calls `stop` when the npm that runs us is gone: killed, it takes its shell along but not us.
 * @param {() => void} stop
 */
function stopWithNpm(stop) {
  if (!process.env.npm_lifecycle_event) return;
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    stop();
  }, 1000).unref();
}

/**
 * Runs JupyterLab to its end and returns its exit code. Every way of ending us ends it, and with it its kernels.
 * @param {string[]} given
 */
async function runJupyterLab(given) {
  const at = layout(PROJECT);
  const args = jupyterArguments(PROJECT, given);
  const runtime = join(at.jupyter, "runtime");
  mkdirSync(runtime, { recursive: true });
  const server = spawn(at.python, ["-m", "jupyterlab", ...args], {
    cwd: PROJECT,
    env: jupyterEnvironment(at),
    stdio: ["ignore", "inherit", "inherit"],
  });
  /** @type {Promise<{ code: number | null, signal: NodeJS.Signals | null }>} */
  const ended = new Promise((done) => server.on("close", (code, signal) => done({ code, signal })));
  let stopping = false;
  const stop = () => {
    if (!stopping) setTimeout(() => server.kill("SIGKILL"), PATIENCE_MS).unref();
    stopping = true;
    server.kill("SIGTERM");
  };
  for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) process.on(signal, stop);
  stopWithNpm(stop);
  const info = await waitForServer(runtime, server);
  if (info) {
    const notebook = args.findLast((argument) => argument.endsWith(".ipynb"));
    console.log(`\nLower Bound is open at\n\n    ${addressOf(info, notebook)}\n\nCtrl-C here ends it.\n`);
  }
  const { code, signal } = await ended;
  if (stopping) return 0;
  if (signal) console.error(`JupyterLab was ended by ${signal}, as where memory is short.`);
  return code ?? 1;
}

async function main() {
  const given = process.argv.slice(2);
  await setUp({ gpu: given.includes("--gpu") });
  return runJupyterLab(given.filter((argument) => argument !== "--gpu"));
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(/** @type {Error} */ (error).message);
  process.exitCode = 1;
}
