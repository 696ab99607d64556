/** @file The configurations of runs as files: those that come with the project, and one's own. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { type RunConfig, runConfig } from "../../lib/training";

const EXPERIMENTS = join(__dirname, "experiments");

/** The configurations that come with the project, by name. */
export const experiments = (): string[] =>
  readdirSync(EXPERIMENTS)
    .filter((file) => file.endsWith(".json"))
    .map((file) => basename(file, ".json"))
    .sort();

/** The configuration in a file, or the one of this name that comes with the project. */
export function readConfig(name: string): RunConfig {
  const path = experiments().includes(name) ? join(EXPERIMENTS, `${name}.json`) : name;
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new Error(
      `--config is "${name}", which cannot be read (${(error as Error).message}), expected a JSON file or one of ${experiments().join(", ")}.`,
      { cause: error },
    );
  }
  return runConfig(value, path);
}

/** The names and files in a list such as `cifar10,my/recipes`; a folder stands for its configurations in the order of their names. */
export const configSources = (list: string): string[] =>
  list.split(",").flatMap((name) => filesOf(name.trim()));

function filesOf(name: string): string[] {
  if (experiments().includes(name) || !existsSync(name) || !statSync(name).isDirectory()) return [name];
  const files = readdirSync(name).filter((file) => file.endsWith(".json"));
  if (files.length === 0)
    throw new Error(`--configs has the folder ${name}, which holds no configuration, expected *.json.`);
  return files.sort().map((file) => join(name, file));
}

/** The names of the folders that runs of these configurations get. Throws where two would share one. */
export function folderNames(sources: readonly string[]): string[] {
  const names = sources.map((source) => basename(source, ".json"));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice) throw new Error(`--configs has two of the name "${twice}", whose runs would share a folder.`);
  return names;
}

/** The configuration with so many steps. Throws where the learning rate would be 0 before the last of them. */
export function withSteps(config: RunConfig, steps: number, name: string): RunConfig {
  if (config.decaySteps !== null && config.decaySteps < steps)
    throw new Error(
      `${name} has "decaySteps" ${config.decaySteps}, after which the learning rate is 0, and ${steps} steps were asked for. Ask for no more, or train anew with a configuration that decays later.`,
    );
  return { ...config, steps };
}

/** The first key in which two configurations differ, but for those that may: unless told otherwise the steps. */
export const differingKey = (
  a: RunConfig,
  b: RunConfig,
  mayDiffer: readonly (keyof RunConfig)[] = ["steps"],
): keyof RunConfig | undefined =>
  (Object.keys(b) as (keyof RunConfig)[]).find(
    (key) => !mayDiffer.includes(key) && JSON.stringify(a[key]) !== JSON.stringify(b[key]),
  );
