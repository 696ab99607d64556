/**
 * @file Stamps: small files that say from which inputs a part was made, so that it is made again only when one
 * of them changes.
 */
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";

/**
 * One hash of texts, and of files and folders by their contents and names. A missing file counts as such.
 * @param {{ texts?: string[], paths?: string[] }} inputs
 */
export function hashOf({ texts = [], paths = [] }) {
  const hash = createHash("sha256").update(JSON.stringify(texts));
  const add = (/** @type {string} */ path, /** @type {string} */ name) => {
    const kind = existsSync(path) ? statSync(path) : undefined;
    hash.update(`\0${name}\0${kind ? (kind.isDirectory() ? "folder" : "file") : "missing"}\0`);
    if (kind?.isFile()) hash.update(readFileSync(path));
    if (kind?.isDirectory())
      for (const entry of readdirSync(path).sort()) add(join(path, entry), `${name}/${entry}`);
  };
  for (const [index, path] of paths.entries()) add(path, String(index));
  return hash.digest("hex");
}

/**
 * A JSON file's content, or undefined when it is missing or no JSON.
 * @param {string} path
 * @returns {any}
 */
export function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}

/**
 * Writes a file whole or not at all.
 * @param {string} path
 * @param {string} text
 */
export function writeWhole(path, text) {
  mkdirSync(dirname(path), { recursive: true });
  const partial = `${path}.partial-${process.pid}`;
  writeFileSync(partial, text);
  renameSync(partial, path);
}

/** @param {string} path @param {unknown} value */
export const writeJson = (path, value) => writeWhole(path, `${JSON.stringify(value, null, 2)}\n`);

/** @param {string} path @param {string} hash */
export const isStamped = (path, hash) => readJson(path)?.hash === hash;
