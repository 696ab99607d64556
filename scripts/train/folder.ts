/**
 * @file A run's folder: `config.json`, `metrics.jsonl` with a line for each step, `starts.jsonl` with a line for each
 * time that the run was begun or gone on with, and the last two checkpoints.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { engine } from "../../lib/tensor";
import { type RunConfig, writeWhole } from "../../lib/training";

/** One step's line. */
export interface Metric {
  step: number;
  /** The batch's loss before the step: weighted squared error per dimension. */
  loss: number;
  /** What the step took. */
  seconds: number;
}

/** The line of a start: from which step, when, and on what. */
export interface Start {
  step: number;
  date: string;
  engine: string;
  machine: string;
}

/** Where a run keeps its last checkpoint. */
export const checkpointPath = (out: string) => join(out, "checkpoint.safetensors");
export const configPath = (out: string) => join(out, "config.json");
export const metricsPath = (out: string) => join(out, "metrics.jsonl");
const startsPath = (out: string) => join(out, "starts.jsonl");

/** Makes the folder ready for a run that goes on after `step` steps; lines of later ones, which are taken again, go. */
export function openFolder(out: string, config: RunConfig, step: number): void {
  mkdirSync(out, { recursive: true });
  writeWhole(configPath(out), `${JSON.stringify(config, null, 2)}\n`);
  keepLines(metricsPath(out), step);
  keepLines(startsPath(out), step, startNow(step));
}

/** Keeps a file's whole lines of steps up to this one, and adds others. */
export function keepLines<Line extends { step: number }>(path: string, step: number, ...added: Line[]): void {
  const kept = readLines<Line>(path).filter((line) => line.step <= step);
  writeWhole(path, asLines([...kept, ...added]));
}

function startNow(step: number): Start {
  const [cpu] = cpus();
  const machine = `${cpu?.model.trim() ?? "unknown processor"}, ${cpus().length} cores`;
  return { step, date: new Date().toISOString(), engine: engine.name, machine };
}

/** Adds a step's line. */
export const addMetric = (out: string, metric: Metric): void => addLine(metricsPath(out), metric);

/** Adds a line. Throws where there is no room; a line cut short is left out by who reads. */
export function addLine(path: string, line: object): void {
  try {
    appendFileSync(path, asLines([line]));
  } catch (error) {
    throw new Error(
      `${path} could not be written (${(error as Error).message}). Make room, and go on with --resume.`,
      { cause: error },
    );
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
