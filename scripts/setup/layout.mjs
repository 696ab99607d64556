/** @file Where things lie inside the project. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The project that these scripts belong to. */
export const PROJECT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

const windows = process.platform === "win32";

/** @param {string} project */
export function layout(project) {
  const cache = join(project, ".cache");
  const venv = join(project, ".venv");
  return {
    project,
    cache,
    venv,
    python: windows ? join(venv, "Scripts", "python.exe") : join(venv, "bin", "python"),
    modules: join(project, "node_modules"),
    engine: join(cache, "engine"),
    zig: join(cache, "zig"),
    jupyter: join(cache, "jupyter"),
    frontEnds: join(cache, "frontends"),
    share: join(venv, "share", "jupyter"),
    logs: join(cache, "setup"),
    lock: join(cache, "setup.lock"),
    requirements: join(project, "scripts", "setup", "requirements"),
    nativeSources: join(project, "lib", "tensor", "native"),
    enginePackage: join(project, "node_modules", "@tensorflow", "tfjs-node-gpu"),
  };
}

/** @typedef {ReturnType<typeof layout>} Layout */
