/** @file What holds for every formula and figure of the lessons: it can be typeset, is tested, and is talked about. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { describe, test } from "node:test";
import katex from "katex";
import { PROJECT } from "../setup/layout.mjs";
import { notebookPaths } from "./format";
import { formulas, mentionProblems, testNames, testsNamed } from "./markdown";

interface Cell {
  cell_type: string;
  id: string;
  source: string | string[];
}

const sourceOf = ({ source }: Cell) => [source].flat().join("");
/** A cell that shows a figure, and not only a table. */
const showsFigure = (cell: Cell) =>
  cell.cell_type === "code" && /\bshow\(\s*(?!table\b)\w|await \w+\.done\(\)/.test(sourceOf(cell));

test("what a cell says about tests is read: files, names, templates, and what is wrong with them", () => {
  const here = "scripts/notebook/formulas.test.ts";
  const own = "what a cell says about tests is read: files, names, templates, and what is wrong with them";
  assert.deepEqual(
    testsNamed(`<small>Tested in \`a.test.ts\`: \`x\`, \`y\`; \`b.test.ts\`: \`z\`.</small> \`c\``),
    [
      { file: "a.test.ts", names: ["x", "y"] },
      { file: "b.test.ts", names: ["z"] },
    ],
  );
  const literals = 'test("a (\\"b\\")", () => {});\n  test(\n    `' + "$" + "{kind}: one+$" + "{n}`,";
  const [plain, template] = testNames(literals);
  assert.match('a ("b")', plain);
  assert.match("mixture: one+2", template);
  assert.doesNotMatch("mixture: one2", template);
  const mention = (names: string) => `$$x$$ <small>Tested in ${names}.</small>`;
  assert.deepEqual(mentionProblems(mention(`\`${here}\`: \`${own}\``)), []);
  assert.deepEqual(mentionProblems("no formula but $x$"), []);
  assert.deepEqual(mentionProblems("$$x$$ `a.test.ts`"), ["names no test for $$x$$"]);
  assert.deepEqual(mentionProblems(mention("`a.test.ts`: `x`")), ["names a.test.ts, which does not exist"]);
  assert.deepEqual(mentionProblems(mention(`\`${here}\``)), [`names no test of ${here}`]);
  assert.deepEqual(mentionProblems(mention(`\`${here}\`: \`other\``)), [`${here} has no test "other"`]);
});

describe("notebooks", () => {
  for (const path of notebookPaths()) {
    const cells: Cell[] = JSON.parse(readFileSync(path, "utf8")).cells;
    const texts = cells.filter(({ cell_type }) => cell_type === "markdown");
    const name = relative(PROJECT, path);

    test(`${name}: every formula is understood by KaTeX`, () => {
      for (const cell of texts)
        for (const { tex, display } of formulas(sourceOf(cell)))
          assert.doesNotThrow(
            () => katex.renderToString(tex, { displayMode: display, throwOnError: true, strict: "error" }),
            `cell ${cell.id}: ${tex}`,
          );
    });

    test(`${name}: every displayed formula names its tests, and they exist`, () => {
      const problems = texts.flatMap((cell) =>
        mentionProblems(sourceOf(cell)).map((problem) => `cell ${cell.id} ${problem}`),
      );
      assert.deepEqual(problems, []);
    });

    test(`${name}: a text follows each figure`, () => {
      const silent = cells.filter((cell, i) => {
        const next = cells[i + 1];
        return showsFigure(cell) && !(next?.cell_type === "markdown" && !sourceOf(next).startsWith("#"));
      });
      assert.deepEqual(
        silent.map(({ id }) => id),
        [],
      );
    });
  }
});
