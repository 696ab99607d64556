/** @file A slider made in a cell, in a real JupyterLab: it moves a figure, also in a page that was loaded anew. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { after, before, describe, test } from "node:test";
import { makeFolder, projectRoot } from "./testing/kernel";
import { type Lab, type LabPage, noLab, notebookOf, startLab } from "./testing/lab";

const CELL = `const curve = (count: number) => ({
  "application/vnd.plotly.v1+json": { data: [{ y: Array.from({ length: count }, (_, i) => i * i), mode: "markers" }] },
  "text/plain": \`\${count} points\`,
});
display(curve(3), { displayId: "curve" });
const chosen = slider({ min: 1, max: 12, value: 3, step: 1, label: "points" });
chosen.onChange((count) => display.update("curve", curve(count)))`;

describe("a slider in JupyterLab", { skip: noLab(), timeout: 900_000 }, () => {
  let lab: Lab;
  let page: LabPage;
  const folder = makeFolder();
  before(async () => {
    writeFileSync(join(folder, "slider.ipynb"), notebookOf([CELL, "chosen.value = 5;"]));
    lab = await startLab();
    page = await lab.open(relative(projectRoot, join(folder, "slider.ipynb")));
  });
  after(() => lab?.close());

  const handle = () => page.page.locator(".widget-slider .noUi-handle");
  const slider = () => page.page.locator(".widget-slider .noUi-target");
  const points = (count: number) =>
    page.waitUntil(
      `${count} points`,
      () => page.page.locator(".lower-bound-plotly path.point").count(),
      (seen) => seen === count,
    );
  const readout = () => page.page.locator(".widget-readout");

  test("it is drawn, with its label and value, and the page's comm_info lists it", async () => {
    await page.runCell(0);
    await handle().waitFor();
    await points(3);
    assert.equal(await page.page.locator(".widget-label").first().textContent(), "points");
    assert.equal(await readout().textContent(), "3");
    const comms = await page.comms("jupyter.widget");
    assert.ok(comms.length >= 1, JSON.stringify(comms));
  });

  test("arrow keys and a click on its bar move the figure", async () => {
    await handle().focus();
    await page.page.keyboard.press("ArrowRight");
    await points(4);
    await page.page.keyboard.press("ArrowLeft");
    await points(3);
    await slider().scrollIntoViewIfNeeded();
    const { width, height } = (await slider().boundingBox())!;
    await slider().click({ position: { x: width - 1, y: height / 2 } });
    await points(12);
    assert.equal(await page.execute("chosen.value"), "12");
  });

  test("code moves the slider", async () => {
    await page.runCell(1);
    await page.waitUntil(
      "the readout 5",
      () => readout().textContent(),
      (seen) => seen === "5",
    );
  });

  test("the page loaded anew has slider and figure, and both still move", async () => {
    await handle().focus();
    await page.page.keyboard.press("ArrowRight");
    await points(6);
    await page.save();
    await page.reload();
    await points(6);
    await handle().waitFor();
    assert.equal(await readout().textContent(), "6");
    await handle().focus();
    await page.page.keyboard.press("ArrowRight");
    await points(7);
    await page.page.keyboard.press("ArrowRight");
    await points(8);
    assert.equal(await page.execute("chosen.value"), "8");
  });
});
