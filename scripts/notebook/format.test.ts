/** @file What holds for every notebook as it is committed: form, ids and length of cells. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { describe, test } from "node:test";
import { asCommitted, notebookPaths } from "./format";

const MOST_LINES = 40;

const notebooks = notebookPaths().map((path) => ({ path, text: readFileSync(path, "utf8") }));

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
  }
});
