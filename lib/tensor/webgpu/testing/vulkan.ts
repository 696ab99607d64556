/**
 * @file Where the tests of the WebGPU engine run: on this machine's GPU, or else on a software Vulkan: Mesa's lavapipe, which
 * the system's loader knows by itself, or SwiftShader, which lies beside every Chromium with a loader of its own.
 */
import { spawnSync } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { findBrowser } from "../../../../scripts/browser.mjs";

const root = resolve(__dirname, "../../../..");

/** The environment of a process on the WebGPU engine, or the reason that there is none, fit to skip a test with. */
export interface Place {
  env?: NodeJS.ProcessEnv;
  reason?: string;
}

/** The folders of Chromiums: the found one's, and Debian's, whose program is a script elsewhere. */
function chromiumFolders(): string[] {
  const { path } = findBrowser({ ...process.env, CI: undefined });
  return [...(path ? [dirname(realpathSync(path))] : []), "/usr/lib/chromium"];
}

/** What lets a process find SwiftShader. */
function swiftShader(): NodeJS.ProcessEnv | undefined {
  const folder = chromiumFolders().find((place) => existsSync(join(place, "vk_swiftshader_icd.json")));
  if (!folder) return undefined;
  const driver = join(folder, "vk_swiftshader_icd.json");
  const libraries = [folder, process.env.LD_LIBRARY_PATH].filter(Boolean).join(":");
  return { VK_DRIVER_FILES: driver, VK_ICD_FILENAMES: driver, LD_LIBRARY_PATH: libraries };
}

/** Why the engine does not start there; undefined where it does. */
function failure(env: NodeJS.ProcessEnv): string | undefined {
  const args = ["--import", "tsx", "-e", 'require("./lib/tensor/engine")'];
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: root, env, encoding: "utf8" });
  if (status === 0) return undefined;
  return /\(webgpu: (.*)\)\. Run/.exec(stderr)?.[1] ?? stderr.trim().split("\n").pop();
}

/** Looks for a GPU and then for a software one. Throws the reason where there is none and `CI` is set. */
export function findPlace(): Place {
  const own = { ...process.env, LOWER_BOUND_ENGINE: "webgpu", NODE_TEST_CONTEXT: undefined };
  const software = swiftShader();
  let reason: string | undefined;
  for (const env of software ? [own, { ...own, ...software }] : [own]) {
    reason = failure(env);
    if (reason === undefined) return { env };
  }
  const said = `no WebGPU here: ${reason}; a software one: sudo apt-get install -y chromium`;
  if (process.env.CI && process.env.CI !== "false") throw new Error(said);
  return { reason: said };
}

/** Runs Node with these arguments on the WebGPU engine and returns what it prints. Throws where it fails or warns. */
export function runThere({ env }: Place, ...args: string[]): string {
  const all = ["--import", "tsx", ...args];
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, all, {
    cwd: root,
    env,
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  });
  if (status === 0 && stderr === "") return stdout;
  throw new Error(`${args.join(" ")}: ended by ${signal ?? status}: ${stderr}${stdout.slice(-2000)}`);
}
