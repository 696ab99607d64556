/**
 * @file The set-up itself: its steps in order, each skipped when what it makes is there, one set-up at a time.
 */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { takeLock } from "../../lib/data/lock.cjs";
import { progress } from "./console.mjs";
import { hasEngine, installEngine, readEngineRecord } from "./engine.mjs";
import { describeFailure } from "./errors.mjs";
import { hasFrontEnds, installFrontEnds } from "./frontends.mjs";
import { hasJupyterParts, installJupyterParts } from "./jupyter.mjs";
import { layout, PROJECT } from "./layout.mjs";
import { checkNode, installPackages, stalePackages } from "./node.mjs";
import { endChildren } from "./process.mjs";
import { hasPython, installPython } from "./python.mjs";

/** @typedef {import("./layout.mjs").Layout} Layout */
/**
 * `gpu`: make the CUDA engine too; `retry`: try failed engines again; `tests`: make what only tests need.
 * @typedef {{ gpu?: boolean, retry?: boolean, tests?: boolean }} Wishes
 */
/** @typedef {{ name: string, isDone: () => boolean, make: (tell: (text: string) => void) => unknown }} Step */

/**
 * @param {Layout} at
 * @param {Wishes} wishes
 * @returns {Step[]}
 */
export const stepsOf = (at, wishes) => [
  { name: "Node packages", isDone: () => stalePackages(at).length === 0, make: () => installPackages(at) },
  { name: "Python environment", isDone: () => hasPython(at, wishes), make: () => installPython(at) },
  { name: "Engine", isDone: () => hasEngine(at, wishes), make: (tell) => installEngine(at, wishes, tell) },
  { name: "JupyterLab parts", isDone: () => hasJupyterParts(at), make: () => installJupyterParts(at) },
  ...(wishes.tests
    ? [{ name: "Front ends for the tests", isDone: () => hasFrontEnds(at), make: () => installFrontEnds(at) }]
    : []),
];

/**
 * Removes what interrupted set-ups left behind. Call only with the lock in hand.
 * @param {Layout} at
 */
function removePartials(at) {
  const folders = [at.cache, at.engine, join(at.engine, "cpu"), join(at.engine, "cuda"), at.venv];
  for (const folder of folders.filter((path) => existsSync(path)))
    for (const name of readdirSync(folder))
      if (name.includes(".partial-")) rmSync(join(folder, name), { recursive: true, force: true });
}

/**
 * What people should know of the engine when it is not the best one.
 * @param {Layout} at
 */
export function engineNotes(at) {
  const record = readEngineRecord(at);
  if (!record || record.failures.length === 0) return [];
  const { engine, reason, remedy } = record.failures[0];
  const now = {
    cuda: "CUDA",
    cpu: "the CPU engine",
    package: "the npm package's older engine",
    js: "pure JavaScript, some 100 times slower",
  }[record.engine];
  return [
    `Note: the ${engine} engine could not be made: ${reason}`,
    `  The course runs on ${now}. To repair: ${remedy}`,
  ];
}

/**
 * Says the engine's notes, except for the tests' own parts, whose set-up follows one that has said them.
 * @param {Layout} at
 * @param {Wishes} wishes
 * @param {import("./console.mjs").Progress} show
 */
function sayNotes(at, { tests = false }, show) {
  if (!tests) for (const note of engineNotes(at)) show.say(note);
}

/**
 * @param {Layout} at
 * @param {Wishes} wishes
 * @param {import("./console.mjs").Progress} show
 */
async function runSteps(at, wishes, show) {
  const steps = stepsOf(at, wishes);
  for (const [index, step] of steps.entries()) {
    if (step.isDone()) continue;
    show.start(`[${index + 1}/${steps.length}] ${step.name}`);
    try {
      await step.make(show.tell);
      show.done();
    } catch (error) {
      show.failed();
      throw new Error(describeFailure(step.name, error));
    }
  }
}

/**
 * Takes the lock where something is to be done; else there is none to give back.
 * @param {Layout} at
 * @param {Wishes} wishes
 * @param {import("./console.mjs").Progress} show
 */
async function begin(at, wishes, show) {
  try {
    checkNode();
    if (stepsOf(at, wishes).every((step) => step.isDone())) return undefined;
    return await takeLock(at.lock, {
      onWait: () => show.say("Another set-up is running in this folder; waiting for it."),
    });
  } catch (error) {
    throw new Error(describeFailure("Beginning", error));
  }
}

/**
 * Sets up what is missing. Throws an error whose message is fit to be shown as it is.
 * @param {Wishes} [wishes]
 * @param {string} [project]
 */
export async function setUp(wishes = {}, project = PROJECT) {
  const at = layout(project);
  const show = progress();
  const release = await begin(at, wishes, show);
  if (!release) return sayNotes(at, wishes, show);
  let stopping = false;
  const stop = async (/** @type {NodeJS.Signals} */ signal) => {
    if (stopping) return;
    stopping = true;
    await endChildren();
    release();
    show.say("\nSet-up interrupted. The same command continues it.");
    process.exit(signal === "SIGINT" ? 130 : 143);
  };
  const signals = /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]);
  for (const signal of signals) process.on(signal, stop);
  try {
    removePartials(at);
    await runSteps(at, wishes, show);
  } finally {
    for (const signal of signals) process.off(signal, stop);
    release();
  }
  sayNotes(at, wishes, show);
}
