/**
 * @file What a test run consists of: the type check, the lint, and one child process per test file.
 *
 * Each task ends in a list of outcomes; nothing here prints.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, relative, sep } from "node:path";

/** @typedef {import("./reporter.mjs").Outcome} Outcome */
/** @typedef {{ name: string, outcomes: Outcome[], output: string, ms: number }} TaskResult */
/** @typedef {{ name: string, run: () => Promise<TaskResult> }} Task */

/** The folders that hold tests. */
export const TEST_ROOTS = ["lib", "scripts"];

/** A test file that runs longer than this has hung. */
const TIMEOUT_MS = 20 * 60_000;

const reporterUrl = new URL("reporter.mjs", import.meta.url);

/**
 * All test files below the test roots, sorted, with forward slashes, relative to the project.
 * @param {string} project
 */
export function findTestFiles(project) {
  return TEST_ROOTS.flatMap((root) => {
    const folder = join(project, root);
    if (!existsSync(folder)) return [];
    return readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".test.ts") && !file.includes("node_modules"))
      .map((file) => relative(project, join(folder, file)).split(sep).join("/"));
  }).sort();
}

/**
 * The files that one of the given paths (a file, a folder or any prefix) selects; all without paths.
 * @param {string[]} files
 * @param {string[]} paths
 */
export function selectFiles(files, paths) {
  const prefixes = paths.map((path) => path.replaceAll("\\", "/").replace(/^\.\//, ""));
  return paths.length === 0
    ? files
    : files.filter((file) => prefixes.some((prefix) => file.startsWith(prefix)));
}

/**
 * Runs a program to its end and keeps what it printed.
 * @param {string[]} args Node's arguments
 * @param {{ cwd: string, timeoutMs?: number }} options
 * @returns {Promise<{ code: number | null, output: string, ms: number }>}
 */
function runNode(args, { cwd, timeoutMs = TIMEOUT_MS }) {
  const began = performance.now();
  return new Promise((done) => {
    const child = spawn(process.execPath, args, {
      cwd,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: timeoutMs,
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text) => {
        output += text;
      });
    child.on("error", (error) => {
      output += error.message;
    });
    child.on("close", (code, signal) => {
      if (signal)
        output += `\nended by ${signal} after ${((performance.now() - began) / 1000).toFixed(0)} s\n`;
      done({ code, output, ms: performance.now() - began });
    });
  });
}

/**
 * A task that passes when a program of node_modules exits with 0.
 * @param {string} project
 * @param {string} name
 * @param {string} program the program's script, as a path of node_modules
 * @param {string[]} args
 * @returns {Task}
 */
function programTask(project, name, program, args) {
  return {
    name,
    async run() {
      const script = createRequire(join(project, "package.json")).resolve(program);
      const { code, output, ms } = await runNode([script, ...args], { cwd: project });
      const status = code === 0 ? "passed" : "failed";
      const detail = code === 0 ? undefined : output.trim();
      return { name, outcomes: [{ name, status, ms, detail }], output: "", ms };
    },
  };
}

/** @param {string} project */
export const typeCheckTask = (project) =>
  programTask(project, "types (tsc --noEmit)", "typescript/bin/tsc", ["--noEmit", "--pretty", "false"]);

/** @param {string} project */
export const lintTask = (project) =>
  programTask(project, "lint (biome check)", "@biomejs/biome/bin/biome", ["check", "--colors=off", "."]);

/**
 * What the reporter wrote, and a failure of its own for a file that died or held no test at all.
 * @param {string} name
 * @param {string} report
 * @param {number | null} code
 * @param {number} ms
 * @returns {Outcome[]}
 */
export function readOutcomes(name, report, code, ms) {
  /** @type {Outcome[]} */
  const outcomes = report
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));
  const failed = outcomes.some((one) => one.status === "failed");
  if (code !== 0 && !failed)
    outcomes.push({ name, status: "failed", ms, detail: `the file's process ended with code ${code}` });
  if (code === 0 && outcomes.length === 0)
    outcomes.push({ name, status: "failed", ms, detail: "the file holds no test" });
  return outcomes;
}

/**
 * A task that runs one test file in a process of its own.
 * @param {string} project
 * @param {string} file
 * @returns {Task}
 */
export function testFileTask(project, file) {
  return {
    name: file,
    async run() {
      const folder = mkdtempSync(join(tmpdir(), "lower-bound-test-"));
      const report = join(folder, "report.jsonl");
      try {
        const reporting = [`--test-reporter=${reporterUrl}`, `--test-reporter-destination=${report}`];
        const { code, output, ms } = await runNode(["--import", "tsx", ...reporting, file], { cwd: project });
        const written = existsSync(report) ? readFileSync(report, "utf8") : "";
        return { name: file, outcomes: readOutcomes(file, written, code, ms), output, ms };
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
  };
}

/**
 * Runs tasks, at most `jobs` at once, in order, and hands each result over as it comes.
 * @param {Task[]} tasks
 * @param {number} jobs
 * @param {(result: TaskResult) => void} onResult
 */
export async function runTasks(tasks, jobs, onResult) {
  const queue = [...tasks];
  const worker = async () => {
    for (let task = queue.shift(); task; task = queue.shift()) onResult(await task.run());
  };
  await Promise.all(Array.from({ length: Math.min(jobs, tasks.length) }, worker));
}
