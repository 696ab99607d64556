/**
 * @file The runs of `npm run -s compare -- --configs LIST --data DIR`, trained and evaluated. Both are the project's own
 * commands, run one after the other, into the folders that the tasks of `npm run jobs` use: what those have done is not
 * done again.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { loadCheckpoint, runConfig } from "../../lib/training";
import { interruption } from "../progress";
import { differingKey } from "../train/configurations";
import { checkpointPath } from "../train/folder";
import type { SweepRequest, SweepRun } from "./request";

/** Thrown where the sweep was interrupted: the same command goes on. */
export class Interrupted extends Error {}

/**
 * Trains and evaluates what is missing, telling on standard error; a run that fails, as one that diverges, does not hold
 * up the others. Returns those that failed. Throws `Interrupted`, and where a folder holds another run than the one asked
 * for.
 */
export async function runSweep({ runs, data, evaluateArgs }: SweepRequest): Promise<SweepRun[]> {
  const signal = interruption("finishing this batch; the same command goes on from here");
  const command = (script: "train" | "evaluate", args: string[]) => runCommand(script, args, signal);
  const complete = async (run: SweepRun) => {
    if (stepsTaken(run) < run.config.steps) await command("train", trainArgs(run, data));
    await command("evaluate", [
      ...["--checkpoint", checkpointPath(run.folder), "--data", data, "--out", evaluationFolder(run)],
      ...evaluateArgs,
    ]);
  };
  runs.forEach(stepsTaken); // before hours are spent
  const failed: SweepRun[] = [];
  for (const [i, run] of runs.entries()) {
    process.stderr.write(`[${i + 1}/${runs.length}] ${run.name}\n`);
    try {
      await complete(run);
    } catch (error) {
      if (error instanceof Interrupted) throw error;
      process.stderr.write(`${run.name}: ${(error as Error).message}\n`);
      failed.push(run);
    }
  }
  return failed;
}

/** Of these weights: those of a run that goes on are measured elsewhere. */
export const evaluationFolder = ({ folder, config }: SweepRun): string =>
  join(folder, `evaluation-${config.steps}`);

/** Steps that a run has behind it. Throws where its folder holds another run. */
function stepsTaken({ folder, config, name }: SweepRun): number {
  const path = checkpointPath(folder);
  if (!existsSync(path)) return 0;
  const { step, config: known } = loadCheckpoint(path);
  const own = runConfig(known, path);
  const differs = differingKey(own, config);
  if (differs)
    throw new Error(
      `${folder} holds a run with ${differs} ${JSON.stringify(own[differs])}, ${name} has ${JSON.stringify(config[differs])}. Choose other --runs, or remove that folder.`,
    );
  if (step > config.steps)
    throw new Error(`${folder} has taken ${step} steps already, expected ${config.steps}. Ask for as many.`);
  return step;
}

function trainArgs({ source, config, folder }: SweepRun, data: string): string[] {
  const started = existsSync(checkpointPath(folder));
  const how = started ? ["--resume"] : ["--config", source, "--seed", String(config.seed)];
  return [config.data, "--data", data, "--out", folder, "--steps", String(config.steps), ...how];
}

/** Runs one of the project's commands; what it says goes to standard error. */
function runCommand(script: "train" | "evaluate", args: string[], signal: AbortSignal): Promise<void> {
  const path = join(__dirname, "..", `${script}.ts`);
  const child = spawn(process.execPath, ["--import", "tsx", path, ...args], { stdio: ["ignore", 2, 2] });
  // A terminal gives a signal to both, a scheduler to one; on Windows there are only terminals, and kill ends at once.
  const pass = () => process.platform !== "win32" && child.kill(signal.reason as NodeJS.Signals);
  signal.addEventListener("abort", pass, { once: true });
  return new Promise((resolve, reject) =>
    child.on("close", (code, ending) => {
      signal.removeEventListener("abort", pass);
      if (signal.aborted) reject(new Interrupted(script));
      else if (ending) reject(new Error(`${script} was ended by ${ending}, as where memory is short.`));
      else if (code !== 0) reject(new Error(`${script} ended with code ${code}; its reason stands above.`));
      else resolve();
    }),
  );
}
