/**
 * @file `npm test`: set-up, the type check, the lint and all tests, with one closing line of counts.
 *
 * `npm test -- lib/elbo scripts/setup/stamp.test.ts` runs only the test files under those paths, without
 * type check and lint. Both set up first what is missing, also the front ends that only tests need. Under `CI` a
 * test file that failed beside others runs once more alone: a browser or a kernel on a crowded machine may miss a
 * deadline. Both results are told.
 */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { setUp } from "./setup/steps.mjs";
import {
  findTestFiles,
  lintTask,
  runTasks,
  selectFiles,
  testFileTask,
  typeCheckTask,
} from "./test/tasks.mjs";

/** @typedef {import("./test/tasks.mjs").TaskResult} TaskResult */

const project = dirname(dirname(fileURLToPath(import.meta.url)));

/** Tests are for the engine that computes the same everywhere; those of WebGPU ask for it by name. */
process.env.LOWER_BOUND_ENGINE ||= "cuda,cpu,package,js";

const USAGE = "Usage: npm test [-- PATH… [--jobs N]], PATH being a test file, a folder or a prefix of one.";

/** @param {string} text */
const indent = (text) => text.trimEnd().replaceAll(/^/gm, "    ");

/** @param {TaskResult} result @param {string} status */
const count = (result, status) => result.outcomes.filter((one) => one.status === status).length;

/**
 * The lines that tell how one task went.
 * @param {TaskResult} result
 * @param {boolean} verbose show what the tests printed even when they pass
 */
function describeResult(result, verbose) {
  const failed = count(result, "failed");
  const tests = `${result.outcomes.length} test${result.outcomes.length === 1 ? "" : "s"}`;
  const lines = [
    `${failed ? "FAILED" : "ok    "} ${result.name} · ${tests} · ${(result.ms / 1000).toFixed(1)} s`,
  ];
  for (const one of result.outcomes)
    if (one.status === "failed") lines.push(`  failed: ${one.name}`, indent(one.detail ?? ""));
    else if (one.status === "skipped") lines.push(`  skipped: ${one.name}: ${one.detail}`);
  if ((failed || verbose) && result.output.trim()) lines.push("  printed:", indent(result.output));
  return lines.join("\n");
}

/**
 * The failures and skips by name, then the counts alone on the last line.
 * @param {TaskResult[]} results
 */
function describeRun(results) {
  const named = (/** @type {string} */ status) =>
    results.flatMap((result) =>
      result.outcomes.filter((one) => one.status === status).map((one) => ({ ...one, task: result.name })),
    );
  const [passed, failed, skipped] = ["passed", "failed", "skipped"].map(named);
  const lines = [""];
  for (const one of skipped) lines.push(`skipped: ${one.task} › ${one.name}: ${one.detail}`);
  for (const one of failed) lines.push(`failed: ${one.task} › ${one.name}`);
  lines.push(`${passed.length} passed, ${failed.length} failed, ${skipped.length} skipped`);
  return { text: lines.join("\n"), ok: failed.length === 0 && passed.length + skipped.length > 0 };
}

/** With more failures than this the cause is not a crowded machine. */
const MOST_SECOND_TRIES = 3;

/**
 * The results with those of failed test files replaced by a second run of each, alone.
 * @param {TaskResult[]} results
 * @param {import("./test/tasks.mjs").Task[]} fileTasks
 */
async function tryAgain(results, fileTasks) {
  const failed = results.filter((result) => count(result, "failed") > 0);
  const tasks = fileTasks.filter((task) => failed.some(({ name }) => name === task.name));
  if (tasks.length < failed.length || tasks.length > MOST_SECOND_TRIES) return results;
  const kept = results.filter((result) => !failed.includes(result));
  await runTasks(tasks, 1, (result) => {
    console.log(`second try, alone: ${describeResult(result, false)}`);
    kept.push(result);
  });
  return kept;
}

/** @returns {{ paths: string[], jobs: number }} */
function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { jobs: { type: "string" } },
  });
  const jobs = Number(values.jobs ?? 2);
  if (!Number.isInteger(jobs) || jobs < 1) throw new Error(`--jobs is ${values.jobs}, expected 1 or more.`);
  return { paths: positionals, jobs };
}

async function main() {
  const { paths, jobs } = readArguments();
  await setUp();
  await setUp({ tests: true }).catch((error) =>
    console.error(`${error.message}\nTests that need it are skipped.`),
  );
  const files = selectFiles(findTestFiles(project), paths);
  if (files.length === 0) throw new Error(`No test file matches ${paths.join(" ") || "*.test.ts"}.`);
  const checks = paths.length === 0 ? [typeCheckTask(project), lintTask(project)] : [];
  const fileTasks = files.map((file) => testFileTask(project, file));
  /** @type {TaskResult[]} */
  let results = [];
  await runTasks([...checks, ...fileTasks], jobs, (result) => {
    results.push(result);
    console.log(describeResult(result, files.length === 1));
  });
  if (process.env.CI) results = await tryAgain(results, fileTasks);
  const run = describeRun(results);
  console.log(run.text);
  return run.ok ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`npm test: ${/** @type {Error} */ (error).message}\n${USAGE}`);
  console.log("0 passed, 0 failed, 0 skipped");
  process.exitCode = 2;
}
