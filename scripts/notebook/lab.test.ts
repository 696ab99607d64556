/** @file The first lesson as a reader meets it: opened in JupyterLab, run with Run All, looked at, and stopped. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { after, before, describe, test } from "node:test";
import { projectRoot, slowness } from "../../lib/kernel/testing/kernel";
import { type Lab, type LabPage, noLab, startLab } from "../../lib/kernel/testing/lab";
import { findLessons } from "../lesson";

interface NotebookCell {
  cell_type: string;
  source: string | string[];
}

describe("lesson 01 in JupyterLab", { skip: noLab(), timeout: 1_200_000 }, () => {
  let lab: Lab;
  let page: LabPage;
  let training = -1;
  before(async () => {
    const [lesson] = findLessons(["01"]);
    const { cells } = JSON.parse(readFileSync(lesson, "utf8")) as { cells: NotebookCell[] };
    const code = cells
      .filter((cell) => cell.cell_type === "code")
      .map(({ source }) => [source].flat().join(""));
    training = code.findIndex((source) => /for await \(.* of train\(/.test(source));
    assert.ok(training >= 0, "the lesson trains in no cell");
    lab = await startLab();
    page = await lab.open(relative(projectRoot, lesson));
  });
  after(() => lab?.close());

  test("Run All reaches the last cell, without an error", async () => {
    await page.runAll();
    const cells = await page.cells();
    assert.deepEqual(
      cells.flatMap(({ errors }) => errors),
      [],
    );
    assert.ok(cells.at(-1)!.ran);
  });

  test("the figures are drawn by Plotly, with marks in them", async () => {
    const marks = page.page.locator(".lower-bound-plotly svg.main-svg .scatterlayer path.point");
    await marks.first().waitFor({ state: "attached" });
    assert.ok((await marks.count()) > 100);
  });

  test("Stop ends the training cell at its full budget; its curve stays, and the next cell runs", async () => {
    await page.execute(`process.env.LOWER_BOUND_FAST = "";`);
    await page.runCell(training);
    // The curve's first points are there: it trains.
    await page.outputs(training).locator(".lower-bound-plotly svg.main-svg").first().waitFor();
    assert.equal(await page.kernelStatus(), "busy");
    const pressed = performance.now();
    await page.pressStop();
    await page.outputs(training).getByText("KeyboardInterrupt").first().waitFor();
    assert.ok(performance.now() - pressed < 3000 * slowness());
    await page.outputs(training).locator(".lower-bound-plotly svg.main-svg").first().waitFor();
    assert.equal(await page.execute("typeof net.apply"), "'function'");
  });
});
