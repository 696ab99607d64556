/**
 * @file A run's folder: `config.json`, `metrics.jsonl` with a line for each step, `starts.jsonl` with a line for each
 * time that the run was begun or gone on with, and the last two checkpoints.
 */
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { engine } from "../../lib/tensor";
import { type AboutModel, type RunConfig, writeWhole } from "../../lib/training";

/** One step's line. */
export interface Metric {
  step: number;
  /** The batch's loss before the step: weighted squared error per dimension. */
  loss: number;
  /** What the step took. */
  seconds: number;
}

/** The line of a start: from which step, when, on what, and with which images; runs begun before this was kept lack the last. */
export type Start = AboutModel["starts"][number];

/** Where a run keeps its last checkpoint. */
export const checkpointPath = (out: string) => join(out, "checkpoint.safetensors");
export const configPath = (out: string) => join(out, "config.json");
export const metricsPath = (out: string) => join(out, "metrics.jsonl");
const startsPath = (out: string) => join(out, "starts.jsonl");

/**
 * Makes the folder ready for a run that goes on after `step` steps with the images of this mark; lines of later steps,
 * which are taken again, go, and what a kill left half written. Throws, leaving it as it was, where the run was begun
 * with other images.
 */
export function openFolder(out: string, config: RunConfig, step: number, data: string): void {
  if (step > 0) checkSameImages(out, data);
  mkdirSync(out, { recursive: true });
  for (const name of readdirSync(out)) if (name.endsWith(".partial")) rmSync(join(out, name));
  writeWhole(configPath(out), `${JSON.stringify(config, null, 2)}\n`);
  keepLines(metricsPath(out), step);
  keepLines(startsPath(out), step - 1, startNow(step, data)); // starts that came to no checkpoint are none
}

/** Keeps a file's whole lines of steps up to this one, and adds others. */
export function keepLines<Line extends { step: number }>(path: string, step: number, ...added: Line[]): void {
  const kept = readLines<Line>(path).filter((line) => line.step <= step);
  writeWhole(path, asLines([...kept, ...added]));
}

function checkSameImages(out: string, data: string): void {
  const known = readStarts(out).find((start) => start.data !== undefined)?.data;
  if (known !== undefined && known !== data)
    throw new Error(
      `${out} was begun with other images (their mark is ${known}, that of these ${data}). Give the same --data.`,
    );
}

function startNow(step: number, data: string): Start {
  const [cpu] = cpus();
  const machine = `${cpu?.model.trim() ?? "unknown processor"}, ${cpus().length} cores`;
  return { step, date: new Date().toISOString(), engine: engine.name, machine, data };
}

/** Adds a step's line. */
export const addMetric = (out: string, metric: Metric): void => addLine(metricsPath(out), metric);

/** Adds a line. Throws where there is no room; a line cut short is left out by who reads. */
export function addLine(path: string, line: object): void {
  try {
    appendFileSync(path, asLines([line]));
  } catch (error) {
    throw new Error(`${path} could not be written (${(error as Error).message}). Make room.`, {
      cause: error,
    });
  }
}

/** The lines of all steps taken. */
export const readMetrics = (out: string): Metric[] => readLines<Metric>(metricsPath(out));
export const readStarts = (out: string): Start[] => readLines<Start>(startsPath(out));

const asLines = (values: readonly unknown[]): string =>
  values.map((value) => `${JSON.stringify(value)}\n`).join("");

/** The lines of a file that are whole: the last may have been cut short when the run was killed. None without a file. */
function readLines<Line>(path: string): Line[] {
  if (!existsSync(path)) return [];
  return readFileSync(path, "utf8")
    .split("\n")
    .flatMap((line) => {
      try {
        return [JSON.parse(line) as Line];
      } catch {
        return [];
      }
    });
}
