/** @file A C++ compiler: $CXX, the machine's own, or PyPI's zig in the project's cache. */
import { existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { SetupError } from "./errors.mjs";
import { ask, kindOfTrouble } from "./process.mjs";
import { pipFailure, runPip } from "./python.mjs";
import { hashOf, isStamped, writeJson } from "./stamp.mjs";

/** @typedef {import("./layout.mjs").Layout} Layout */
/** @typedef {{ program: string, args: string[], name: string, env?: NodeJS.ProcessEnv }} Compiler */

const NAMES = ["c++", "g++", "clang++"];

export const INSTALL_COMPILER =
  process.platform === "darwin"
    ? "run xcode-select --install, then npm run setup"
    : "run sudo apt-get install -y g++ (or your system's C++ compiler), then npm run setup";

/**
 * The machine's own compiler, $CXX first ("ccache g++" counts as a program and its arguments), or undefined.
 * @param {NodeJS.ProcessEnv} [environment]
 * @returns {Compiler | undefined}
 */
export function findCompiler(environment = process.env) {
  const asked = environment.CXX?.trim().split(/\s+/);
  for (const [program, ...args] of asked?.[0] ? [asked] : NAMES.map((name) => [name])) {
    const version = ask(program, [...args, "--version"], { env: environment });
    if (version !== undefined) return { program, args, name: [program, ...args].join(" ") };
  }
  return undefined;
}

/**
 * zig's C++ compiler, installed into the cache first where it is not there.
 * @param {Layout} at
 * @returns {Promise<Compiler>}
 */
async function installZig(at) {
  const log = join(at.logs, "zig.log");
  const lock = join(at.requirements, "zig.txt");
  const hash = hashOf({ paths: [lock], texts: [process.platform, process.arch] });
  const program = join(at.zig, "ziglang", process.platform === "win32" ? "zig.exe" : "zig");
  const stamp = join(at.zig, "lower-bound.json");
  if (!existsSync(program) || !isStamped(stamp, hash)) {
    const partial = `${at.zig}.partial-${process.pid}`;
    const flags = [
      "install",
      "--require-hashes",
      "--no-deps",
      "--only-binary=:all:",
      "--no-compile",
      "-r",
      lock,
    ];
    const { ok, output } = await runPip(at, [...flags, "--target", partial], log);
    if (!ok && ["hash", "disk"].includes(kindOfTrouble(output)))
      throw pipFailure(output, "zig's C++ compiler", log, "then npm run setup");
    if (!ok)
      throw new SetupError(
        "no C++ compiler found, and zig could not be downloaded in its place",
        INSTALL_COMPILER,
        {
          log,
        },
      );
    rmSync(at.zig, { recursive: true, force: true });
    renameSync(partial, at.zig);
    writeJson(stamp, { hash });
  }
  const cache = join(at.zig, "cache");
  const env = { ...process.env, ZIG_GLOBAL_CACHE_DIR: cache, ZIG_LOCAL_CACHE_DIR: cache };
  return { program, args: ["c++"], name: "zig c++", env };
}

/**
 * @param {Layout} at
 * @returns {Promise<Compiler>}
 */
export async function getCompiler(at) {
  const found = findCompiler();
  if (found) return found;
  if (process.env.CXX)
    throw new SetupError(
      `CXX is "${process.env.CXX}", which does not run`,
      "correct or unset CXX, then npm run setup",
    );
  return installZig(at);
}
