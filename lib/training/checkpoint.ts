/**
 * @file Checkpoints: all that a run needs to go on as if it had not stopped, in one safetensors file.
 *
 * The metadata hold a version, the step and the run's configuration. A file is written under another name and renamed when it is whole on the disk.
 */
import {
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { tf } from "../tensor";
import { type ArrayEntry, decodeSafetensors, encodeSafetensors, type Precision } from "./safetensors";
import type { Resumable } from "./trainer";

/** A moment of a training run. With the seed, which `config` holds, `step` is all the state of its random numbers. */
export interface Checkpoint {
  /** Steps taken. */
  step: number;
  /** What builds the run again; plain data of the caller's. */
  config: unknown;
  /** "net/…", the weights; "ema/…", their averages; "optimizer/…", its state. */
  tensors: Record<string, ArrayEntry>;
}

const FORMAT = "lower-bound-checkpoint";
const VERSION = "1";
/** Where the checkpoint before the last one is kept. */
export const previousPath = (path: string): string => path.replace(/(\.safetensors)?$/, ".previous$1");

/**
 * Writes a checkpoint so that at any moment `path` is a whole one, old or new; the old one stays as `previousPath(path)`.
 * Throws on weights that are not finite.
 */
export function saveCheckpoint(path: string, checkpoint: Checkpoint): void {
  checkFinite(`saveCheckpoint: ${path} is not written: at step ${checkpoint.step}`, checkpoint.tensors);
  const bytes = encodeCheckpoint(checkpoint, "F32");
  try {
    mkdirSync(dirname(path), { recursive: true });
    replaceWhole(path, (partial) => {
      writeThrough(partial, bytes);
      if (existsSync(path)) replaceWhole(previousPath(path), (second) => secondName(path, second));
    });
  } catch (error) {
    throw new Error(
      `saveCheckpoint: ${path} could not be written (${(error as Error).message}); the last checkpoint is as it was. Make room, or choose another folder.`,
      { cause: error },
    );
  }
}

function encodeCheckpoint({ step, config, tensors }: Checkpoint, precision: Precision): Uint8Array {
  const metadata = {
    format: FORMAT,
    version: VERSION,
    step: String(step),
    config: JSON.stringify(config ?? null),
  };
  return encodeSafetensors({ tensors, metadata }, precision);
}

/**
 * Writes what is shipped of a checkpoint: the averaged weights alone, in half precision, with step and configuration.
 * Throws where there are none, and where one is too large for half precision.
 */
export function saveAverages(path: string, { step, config, tensors }: Checkpoint): void {
  const averages = Object.entries(tensors).filter(([name]) => name.startsWith("ema/"));
  if (averages.length === 0)
    throw new Error("saveAverages: the checkpoint has no averaged weights, expected one of a training run.");
  saveHalf(path, { step, config, tensors: Object.fromEntries(averages) });
}

/** Writes weights in half precision in place of what is at `path`. Throws where one is too large for it. */
export function saveHalf(path: string, checkpoint: Checkpoint): void {
  const bytes = encodeCheckpoint(checkpoint, "F16");
  checkFinite(`saveHalf: ${path} is not written: in half precision`, decodeSafetensors(bytes).tensors);
  mkdirSync(dirname(path), { recursive: true });
  writeWhole(path, bytes);
}

/** Writes a file so that at any moment `path` is whole, old or new. Throws, leaving the old one, where there is no room. */
export function writeWhole(path: string, content: string | Uint8Array): void {
  try {
    replaceWhole(path, (partial) => writeThrough(partial, Buffer.from(content)));
  } catch (error) {
    throw new Error(
      `writeWhole: ${path} could not be written (${(error as Error).message}); it is as it was. Make room, or choose another folder.`,
      { cause: error },
    );
  }
}

/** Has a file made under another name, and gives it its own when that is done; what was half made goes. */
function replaceWhole(path: string, make: (partial: string) => void): void {
  const partial = `${path}.${process.pid}.partial`;
  try {
    make(partial);
    renameSync(partial, path);
  } finally {
    rmSync(partial, { force: true });
  }
}

/** Writes and waits until the disk has it. */
function writeThrough(path: string, bytes: Uint8Array): void {
  const file = openSync(path, "w");
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** The same file under a second name, which takes no room; a copy where the file system knows no such thing. */
function secondName(path: string, second: string): void {
  try {
    linkSync(path, second);
  } catch {
    copyFileSync(path, second);
  }
}

/** Reads a checkpoint; throws one line on what is not a whole, finite checkpoint of a known version. */
export function loadCheckpoint(path: string): Checkpoint {
  const previous = previousPath(path);
  const hint = existsSync(previous) ? ` To go on from the one before it, copy ${previous} over it.` : "";
  try {
    return decodeCheckpoint(readFileSync(path));
  } catch (error) {
    throw new Error(`loadCheckpoint: ${path}: ${(error as Error).message}${hint}`, { cause: error });
  }
}

function decodeCheckpoint(bytes: Uint8Array): Checkpoint {
  const { tensors, metadata } = decodeSafetensors(bytes);
  if (metadata.format !== FORMAT)
    throw new Error(`it is a safetensors file, but not a checkpoint of this project ("${FORMAT}").`);
  if (metadata.version !== VERSION)
    throw new Error(
      `its version is ${metadata.version}, expected ${VERSION}. Use the release that wrote it, or train anew.`,
    );
  checkFinite("it holds numbers that are not finite", tensors);
  const step = Number(metadata.step);
  if (!Number.isSafeInteger(step))
    throw new Error(`its step is ${metadata.step}, expected a whole number: it is damaged.`);
  return { step, config: JSON.parse(metadata.config), tensors };
}

function checkFinite(start: string, tensors: Record<string, ArrayEntry>): void {
  for (const [name, { data }] of Object.entries(tensors)) {
    const at = data.findIndex((value) => !Number.isFinite(value));
    if (at >= 0) throw new Error(`${start}: "${name}" has ${data[at]} at ${at}.`);
  }
}

/** The run as it is now, between two steps; `config` is what builds it again. */
export function checkpointOf(training: Resumable, config: unknown): Checkpoint {
  const entries = Object.entries(training.tensors()).map(([name, variable]) => {
    const entry: ArrayEntry = { shape: [...variable.shape], data: new Float32Array(variable.dataSync()) };
    return [name, entry] as const;
  });
  return { step: training.done, config, tensors: Object.fromEntries(entries) };
}

/** Takes a run to where the checkpoint was taken. Throws, leaving it as it was, on the checkpoint of another net. */
export function resume(training: Resumable, { step, tensors }: Checkpoint): void {
  const own = training.tensors();
  const unknown = Object.keys(tensors).find((name) => !own[name]);
  if (unknown) throw new Error(`resume: the net has no "${unknown}". This is the checkpoint of another net.`);
  tf.tidy(() => training.restore(step, tensorsOf(tensors)));
}

/**
 * Gives a net the weights of a checkpoint, by default their averages where it has any. Throws, leaving the net as it was,
 * on the checkpoint of another net.
 */
export function loadWeights(
  variables: Record<string, tf.Variable>,
  { tensors }: Checkpoint,
  which: "ema" | "net" = Object.keys(tensors).some((name) => name.startsWith("ema/")) ? "ema" : "net",
): void {
  const refuse = (difference: string): never => {
    throw new Error(`loadWeights: ${difference}. This is the checkpoint of another net.`);
  };
  const names = Object.keys(tensors).filter((name) => name.startsWith(`${which}/`));
  const unknown = names.find((name) => !variables[name.slice(which.length + 1)]);
  if (unknown) refuse(`the net has no "${unknown}"`);
  for (const [name, { shape }] of Object.entries(variables)) {
    const entry = tensors[`${which}/${name}`];
    if (!entry) refuse(`"${which}/${name}" is missing`);
    if (`${entry.shape}` !== `${shape}`) refuse(`"${name}" has shape [${entry.shape}], expected [${shape}]`);
  }
  tf.tidy(() => {
    for (const [name, value] of Object.entries(tensorsOf(tensors)))
      if (name.startsWith(`${which}/`)) variables[name.slice(which.length + 1)].assign(value);
  });
}

const tensorsOf = (entries: Record<string, ArrayEntry>): Record<string, tf.Tensor> =>
  Object.fromEntries(
    Object.entries(entries).map(([name, { data, shape }]) => [name, tf.tensor(data, shape)]),
  );
