/** @file What holds for every notebook as it is committed: form, length of cells, formulas that both typesetters know. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { describe, test } from "node:test";
import katex from "katex";
import { asCommitted, notebookPaths } from "./format";

const MOST_LINES = 40;

const notebooks = notebookPaths().map((path) => ({ path, text: readFileSync(path, "utf8") }));
const sourceOf = ({ source }: { source: string | string[] }) => [source].flat().join("");

/** The formulas of a Markdown text: $$…$$, then $…$ in what is left, code spans and blocks aside. */
function formulas(markdown: string): { tex: string; display: boolean }[] {
  const prose = markdown.replace(/```[\s\S]*?```|`[^`\n]*`/g, "");
  const shown = [...prose.matchAll(/\$\$([\s\S]+?)\$\$/g)].map(([, tex]) => ({ tex, display: true }));
  const inline = prose.replace(/\$\$[\s\S]+?\$\$/g, "").matchAll(/\$([^$\n]+)\$/g);
  return [...shown, ...[...inline].map(([, tex]) => ({ tex, display: false }))];
}

test("notebooks are formatted and without outputs", () => {
  const wanted = asCommitted(notebooks.map(({ text }) => text));
  const stale = notebooks.filter(({ text }, i) => text !== wanted[i]).map(({ path }) => basename(path));
  assert.deepEqual(stale, [], "run: npm run format");
});

describe("notebooks", () => {
  for (const { path, text } of notebooks) {
    const { cells } = JSON.parse(text);
    const name = path.includes("solutions") ? `solutions/${basename(path)}` : basename(path);

    test(`${name}: cells have ids of their own and at most ${MOST_LINES} lines of code`, () => {
      const ids = cells.map((cell: { id: string }) => cell.id);
      assert.equal(new Set(ids).size, ids.length);
      for (const cell of cells)
        if (cell.cell_type === "code")
          assert.ok(cell.source.length <= MOST_LINES, `cell ${cell.id} has ${cell.source.length} lines`);
    });

    test(`${name}: every formula is understood by KaTeX`, () => {
      for (const cell of cells)
        if (cell.cell_type === "markdown")
          for (const { tex, display } of formulas(sourceOf(cell)))
            assert.doesNotThrow(
              () => katex.renderToString(tex, { displayMode: display, throwOnError: true, strict: "error" }),
              `cell ${cell.id}: ${tex}`,
            );
    });
  }
});
