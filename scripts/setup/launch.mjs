/** @file How JupyterLab is called, and where it then answers. */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { readJson } from "./stamp.mjs";

/**
 * The first lesson, relative to the project, or undefined.
 * @param {string} project
 */
function firstLesson(project) {
  const folder = join(project, "notebooks");
  const lessons = existsSync(folder) ? readdirSync(folder).filter((file) => /^01-.*\.ipynb$/.test(file)) : [];
  return lessons.length > 0 ? `notebooks/${lessons.sort()[0]}` : undefined;
}

/**
 * What JupyterLab is called with: ours first, so that a user's argument wins.
 * @param {string} project
 * @param {string[]} given
 */
export function jupyterArguments(project, given) {
  const ours = [
    "--ServerApp.log_level=WARN",
    "--LabApp.log_level=WARN",
    "-y",
    `--ServerApp.root_dir=${project}`,
  ];
  if (process.getuid?.() === 0) ours.push("--allow-root");
  const named = given.some((argument) => argument.endsWith(".ipynb"));
  const lesson = named ? undefined : firstLesson(project);
  return [...ours, ...given, ...(lesson ? [lesson] : [])];
}

/**
 * Waits until the server that was just started says, in the folder `runtime`, where it listens; undefined when it ended
 * instead.
 * @param {string} runtime
 * @param {Pick<import("node:child_process").ChildProcess, "pid" | "exitCode" | "signalCode">} server
 */
export async function waitForServer(runtime, server) {
  const file = join(runtime, `jpserver-${server.pid}.json`);
  rmSync(file, { force: true }); // of a server that was killed, whose process id has come again
  while (server.exitCode === null && server.signalCode === null) {
    const info = readJson(file);
    if (info) return info;
    await sleep(50);
  }
  return undefined;
}

/**
 * The address of a server, from what it wrote about itself.
 * @param {{ url: string, token?: string }} info
 * @param {string | undefined} notebook
 */
export function addressOf({ url, token }, notebook) {
  const address = new URL(notebook ? `lab/tree/${encodeURI(notebook)}` : "lab", url);
  if (token) address.searchParams.set("token", token);
  return address.href;
}
