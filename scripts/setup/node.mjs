/** @file The Node side: a version that will do, and node_modules as package-lock.json says. */
import { existsSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { AGAIN, diskFull, SetupError } from "./errors.mjs";
import { kindOfTrouble, lastWords, run } from "./process.mjs";
import { readJson } from "./stamp.mjs";

/** @typedef {import("./layout.mjs").Layout} Layout */

/** The first that can load tsx by `--import`. */
const OLDEST_NODE = "20.6";

/**
 * Throws unless this Node is new enough.
 * @param {string} version
 */
export function checkNode(version = process.versions.node) {
  const [[major, minor], [oldestMajor, oldestMinor]] = [version, OLDEST_NODE].map((one) =>
    one.split(".").map(Number),
  );
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return;
  throw new SetupError(
    `this is Node ${version}, expected ${OLDEST_NODE} or newer`,
    "install a current Node from https://nodejs.org (or: nvm install --lts), then run the command again",
  );
}

/**
 * Which packages of package-lock.json are missing in node_modules or there in another version, by npm's own
 * record of what it installed. Optional packages may be missing: most are for other platforms.
 * @param {Layout} at
 * @returns {string[]}
 */
export function stalePackages(at) {
  const lock = join(at.project, "package-lock.json");
  const wanted = readJson(lock)?.packages;
  const installed = readJson(join(at.modules, ".package-lock.json"))?.packages;
  if (!wanted) return existsSync(lock) ? ["package-lock.json"] : [];
  if (!installed) return ["node_modules"];
  return Object.keys(wanted).filter((path) => {
    const optional = wanted[path].optional || wanted[path].devOptional || wanted[path].peer;
    if (path === "" || (optional && !installed[path])) return false;
    return installed[path]?.version !== wanted[path].version || !existsSync(join(at.project, path));
  });
}

/**
 * How to call npm without a shell: the npm that runs us, the one beside Node, or the one on the PATH.
 * @returns {{ program: string, args: string[] }}
 */
function npmCommand() {
  const folder = dirname(process.execPath);
  const scripts = [
    process.env.npm_execpath ?? "",
    join(folder, "node_modules", "npm", "bin", "npm-cli.js"),
    join(folder, "..", "lib", "node_modules", "npm", "bin", "npm-cli.js"),
  ];
  const script = scripts.find((path) => basename(path) === "npm-cli.js" && existsSync(path));
  return script ? { program: process.execPath, args: [script] } : { program: "npm", args: [] };
}

/** @param {string} output @param {string} log */
function npmFailure(output, log) {
  const kind = kindOfTrouble(output);
  if (kind === "disk") return diskFull(AGAIN, { log });
  const words = lastWords(output.replaceAll(/^npm (warn|error A complete log).*$/gm, ""));
  const [reason, remedy] = {
    network: [
      `npm could not download the packages (${words})`,
      `check the network, or set npm's proxy or mirror (npm config set proxy …, npm config set registry …), ${AGAIN}`,
    ],
    hash: ["a downloaded package is not the one that was locked", `run npm cache clean --force, ${AGAIN}`],
    platform: [words, AGAIN],
    other: [`npm ci failed (${words})`, `look into ${log}, ${AGAIN}`],
  }[kind];
  return new SetupError(reason, remedy, { log });
}

/**
 * `npm ci` with development packages and without anybody's install script.
 * @param {Layout} at
 */
export async function installPackages(at) {
  if (!readJson(join(at.project, "package-lock.json"))?.packages)
    throw new SetupError(
      "package-lock.json is missing or no JSON",
      `restore it with git checkout -- package-lock.json, ${AGAIN}`,
    );
  const { program, args } = npmCommand();
  const log = join(at.logs, "npm.log");
  // Half of an interrupted installation: npm would trip over it.
  if (!existsSync(join(at.modules, ".package-lock.json")))
    rmSync(at.modules, { recursive: true, force: true, maxRetries: 5 });
  const flags = ["ci", "--ignore-scripts", "--include=dev", "--no-audit", "--no-fund"];
  const { ok, output, missing } = await run(program, [...args, ...flags], { cwd: at.project, log });
  if (missing)
    throw new SetupError(
      "npm was not found",
      "install Node with npm from https://nodejs.org, then run npm start",
    );
  if (!ok) throw npmFailure(output, log);
}
