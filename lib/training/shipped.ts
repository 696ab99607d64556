/**
 * @file The trained models that come with the project: folders of `assets`, as `npm run export` writes them, with what
 * `npm run evaluate` said of each. `LOWER_BOUND_ASSETS` names another folder in place of `assets`.
 */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Evaluation } from "../metrics";
import { type RunConfig, runConfig } from "./config";
import { fileMark } from "./mark";

/** How a model was made. */
export interface AboutModel {
  command: string;
  steps: number;
  /** Time in training. */
  hours: number;
  /** Images that it was shown. */
  images: number;
  weights: number;
  /** Of the file. */
  bytes: number;
  /** Of the file: which weights all this is of. */
  mark: string;
  /** Mean of the last steps of the curve. */
  loss: number;
  /** When and on what the run was begun or gone on with; `data` marks the images, where it was kept. */
  starts: { step: number; date: string; engine: string; machine: string; data?: string }[];
}

/** The loss over a run: each point the mean of the steps since the one before. */
export interface Curve {
  step: number[];
  /** Weighted squared error per dimension. */
  loss: number[];
  /** Time in training until then. */
  hours: number[];
}

/** A trained model in a folder. */
export interface ShippedModel {
  name: string;
  /** For `openModel`. */
  checkpoint: string;
  config: RunConfig;
  about: AboutModel;
  curve: Curve;
  /** What `npm run evaluate --report` wrote into the folder; null where it was not evaluated. */
  evaluation: Evaluation | null;
}

/** A file or folder of `assets`. */
export const assetPath = (name: string): string =>
  join(process.env.LOWER_BOUND_ASSETS || resolve(__dirname, "../../assets"), name);

/** The extractor of features that comes with the project for a set of images. */
export const classifierPath = (data: string): string => assetPath(`${data}-classifier.safetensors`);

const checkpointOf = (name: string): string => join(assetPath(name), "model.safetensors");

/** Whether a model of this name, such as "cifar10-x0", comes with the project. */
export const isShipped = (name: string): boolean => existsSync(checkpointOf(name));

/** The model of this name that comes with the project. Throws one line where there is none, and on a file of it that is damaged or of other weights. */
export function shipped(name: string): ShippedModel {
  if (!isShipped(name))
    throw new Error(
      `shipped: ${checkpointOf(name)} is not there. Train one, and write it with npm run export -- --run DIR --out ${assetPath(name)}.`,
    );
  return { name, checkpoint: checkpointOf(name), ...described(assetPath(name)) };
}

/** What a folder of `npm run export` says besides its weights. Throws one line on a file that is missing, damaged, or of other weights. */
function described(folder: string): Omit<ShippedModel, "name" | "checkpoint"> {
  const read = (file: string) => {
    const path = join(folder, file);
    try {
      return JSON.parse(readFileSync(path, "utf8"));
    } catch (error) {
      throw new Error(
        `shipped: ${path} cannot be read (${(error as Error).message}), expected what npm run export writes. Export the run again.`,
        { cause: error },
      );
    }
  };
  const path = join(folder, "evaluation.json");
  const evaluation: Evaluation | null = existsSync(path) ? read("evaluation.json") : null;
  const about: AboutModel = read("about.json");
  const curve: Curve = read("curve.json");
  const config = runConfig(read("config.json"), join(folder, "config.json"));
  const weights = fileMark(join(folder, "model.safetensors"));
  if (about.mark !== weights)
    throw new Error(
      `shipped: ${folder} has weights of mark ${weights}, and an about.json of ${about.mark}. Export the run again.`,
    );
  if (evaluation && evaluation.mark !== weights)
    throw new Error(
      `shipped: ${path} is of other weights than those beside it (their mark is ${weights}, its ${evaluation.mark}). Write it anew with npm run evaluate -- --report ${path}, or remove it.`,
    );
  return { config, about, curve, evaluation };
}
