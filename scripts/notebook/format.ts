/**
 * @file Notebooks as they are committed: code cells formatted to the width of a page, no outputs, no counts.
 *
 * `node --import tsx scripts/notebook/format.ts` writes them so; with `--check` it only names those that are not, and
 * fails. A cell that Biome cannot parse stays as it is.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { PROJECT } from "../setup/layout.mjs";

/** Characters that fit a cell in JupyterLab beside its file browser, on a laptop. */
const LINE_WIDTH = 92;

interface Cell {
  cell_type: "code" | "markdown";
  execution_count?: number | null;
  id: string;
  metadata: object;
  outputs?: unknown[];
  source: string[];
}

interface Notebook {
  cells: Cell[];
  metadata: object;
  nbformat: number;
  nbformat_minor: number;
}

const METADATA = {
  kernelspec: { display_name: "TypeScript", language: "typescript", name: "lower-bound" },
  language_info: { file_extension: ".ts", mimetype: "application/typescript", name: "typescript" },
};

/** All notebooks of the course: lessons, then solutions. */
export function notebookPaths(): string[] {
  return ["notebooks", "notebooks/solutions"].flatMap((folder) =>
    readdirSync(join(PROJECT, folder))
      .filter((name) => name.endsWith(".ipynb"))
      .sort()
      .map((name) => join(PROJECT, folder, name)),
  );
}

const linesOf = (text: string): string[] => text.match(/[^\n]*\n|[^\n]+$/g) ?? [];

/** Formats pieces of TypeScript, all in one run of Biome. */
function formatted(sources: string[]): string[] {
  const folder = mkdtempSync(join(tmpdir(), "cells-"));
  try {
    for (const [i, source] of sources.entries()) writeFileSync(join(folder, `${i}.ts`), source);
    const formatter = { indentStyle: "space", indentWidth: 2, lineWidth: LINE_WIDTH };
    writeFileSync(join(folder, "biome.json"), JSON.stringify({ formatter }));
    const biome = join(PROJECT, "node_modules", "@biomejs", "biome", "bin", "biome");
    const { error } = spawnSync(process.execPath, [biome, "format", "--write", "."], { cwd: folder });
    if (error) throw error;
    return sources.map((_, i) => readFileSync(join(folder, `${i}.ts`), "utf8").trimEnd());
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The texts of these notebooks as they are to be committed. */
export function asCommitted(texts: readonly string[]): string[] {
  const notebooks = texts.map((text) => JSON.parse(text) as Notebook);
  const cells = notebooks.flatMap((notebook) => notebook.cells.filter((cell) => cell.cell_type === "code"));
  const sources = formatted(cells.map((cell) => [cell.source].flat().join("")));
  cells.forEach((cell, i) => {
    Object.assign(cell, { execution_count: null, outputs: [], source: linesOf(sources[i]) });
  });
  return notebooks.map(({ cells: all, nbformat, nbformat_minor }) => {
    const clean = all.map((cell) => ({
      ...cell,
      metadata: {},
      source: linesOf([cell.source].flat().join("")),
    }));
    return `${JSON.stringify({ cells: clean, metadata: METADATA, nbformat, nbformat_minor }, null, 1)}\n`;
  });
}

function main(): void {
  const paths = notebookPaths();
  const texts = paths.map((path) => readFileSync(path, "utf8"));
  const wanted = asCommitted(texts);
  const stale = paths.filter((_, i) => texts[i] !== wanted[i]);
  if (process.argv.includes("--check")) {
    for (const path of stale)
      console.log(`${relative(PROJECT, path)} is not as committed. Run: npm run format`);
    process.exitCode = stale.length > 0 ? 1 : 0;
    return;
  }
  paths.forEach((path, i) => {
    if (texts[i] !== wanted[i]) writeFileSync(path, wanted[i]);
  });
  console.log(`${paths.length} notebooks, ${stale.length} written`);
}

if (require.main === module) main();
