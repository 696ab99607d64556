/** @file A short mark by which files, sets of images and plans are told apart. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

/** The first 16 digits of the sha256 of these parts, one after the other. */
export function mark(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex").slice(0, 16);
}

/** The mark of a file. */
export const fileMark = (path: string): string => mark(readFileSync(path));
