/** @file How JupyterLab is called, and where it then answers. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

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
 * The address of a server, from what it wrote about itself.
 * @param {{ url: string, token?: string }} info
 * @param {string | undefined} notebook
 */
export function addressOf({ url, token }, notebook) {
  const address = new URL(notebook ? `lab/tree/${encodeURI(notebook)}` : "lab", url);
  if (token) address.searchParams.set("token", token);
  return address.href;
}
