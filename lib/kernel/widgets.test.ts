/** @file Widgets made in a cell, in a real JupyterLab: they move a figure, also in a page that was loaded anew. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { after, before, describe, test } from "node:test";
import { frontEndsShare, noFrontEnds } from "../../scripts/setup/frontends.mjs";
import { layout } from "../../scripts/setup/layout.mjs";
import { makeFolder, projectRoot } from "./testing/kernel";
import { type Lab, type LabPage, noLab, notebookOf, startLab } from "./testing/lab";

const CURVE = `const curve = (count: number) => ({
  "application/vnd.plotly.v1+json": { data: [{ y: Array.from({ length: count }, (_, i) => i * i), mode: "markers" }] },
  "text/plain": \`\${count} points\`,
});
display(curve(3), { displayId: "curve" });`;
const SLIDER = `${CURVE}
const chosen = slider({ min: 1, max: 12, value: 3, step: 1, label: "points" });
chosen.onChange((count) => display.update("curve", curve(count)))`;

const waitForPoints = (page: LabPage, count: number) =>
  page.waitUntil(
    `${count} points`,
    () => page.page.locator(".lower-bound-plotly path.point").count(),
    (seen) => seen === count,
  );

describe("a slider in JupyterLab", { skip: noLab(), timeout: 900_000 }, () => {
  let lab: Lab;
  let page: LabPage;
  const folder = makeFolder();
  before(async () => {
    writeFileSync(join(folder, "slider.ipynb"), notebookOf([SLIDER, "chosen.value = 5;"]));
    lab = await startLab();
    page = await lab.open(relative(projectRoot, join(folder, "slider.ipynb")));
  });
  after(() => lab?.close());

  const handle = () => page.page.locator(".widget-slider .noUi-handle");
  const slider = () => page.page.locator(".widget-slider .noUi-target");
  const points = (count: number) => waitForPoints(page, count);
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

/** A counter whose page side is here: a button that counts, and shows what it was told and how many bytes it has. */
const COUNTER = `${CURVE}
const counter = anywidget({
  esm: \`export default {
    render({ model, el }) {
      const button = document.createElement("button");
      button.className = "own-counter";
      const show = () => {
        button.textContent = "count " + model.get("count") + ", " + model.get("bytes").byteLength + " bytes";
      };
      button.onclick = () => {
        model.set("count", model.get("count") + 1);
        model.save_changes();
      };
      model.on("change:count", show);
      model.on("change:bytes", show);
      model.on("msg:custom", ({ question }) => {
        button.title = question;
        model.send({ answer: question.length });
      });
      show();
      el.append(button);
    },
  };\`,
  css: ".own-counter { color: rgb(1, 2, 3); }",
  state: { count: 3, bytes: new Uint8Array([1, 2]) },
});
counter.onChange(({ count }) => {
  if (count !== undefined) display.update("curve", curve(count));
});
let answer: unknown;
counter.onMessage((content) => {
  answer = content;
});
counter`;

const at = layout(projectRoot);

describe("an anywidget in JupyterLab", { skip: noLab() ?? noFrontEnds(at), timeout: 900_000 }, () => {
  let lab: Lab;
  let page: LabPage;
  const folder = makeFolder();
  before(async () => {
    const cells = [
      COUNTER,
      "counter.set({ count: 6, bytes: new Uint8Array(5) });",
      `counter.send({ question: "why?" });`,
    ];
    writeFileSync(join(folder, "counter.ipynb"), notebookOf(cells));
    lab = await startLab([frontEndsShare(at)]);
    page = await lab.open(relative(projectRoot, join(folder, "counter.ipynb")));
  });
  after(() => lab?.close());

  const button = () => page.page.locator("button.own-counter");
  const shows = (expected: string) =>
    page.waitUntil(
      expected,
      () => button().textContent(),
      (seen) => seen === expected,
    );

  test("it is drawn by the cell's own module, with its style", async () => {
    await page.runCell(0);
    await shows("count 3, 2 bytes");
    await waitForPoints(page, 3);
    const colour = await button().evaluate((node) => getComputedStyle(node).color);
    assert.equal(colour, "rgb(1, 2, 3)");
  });

  test("the page changes the state: a figure moves, and the cell's code has the value", async () => {
    await button().click();
    await waitForPoints(page, 4);
    assert.equal(await page.execute(`counter.get("count")`), "4");
  });

  test("code changes the state, bytes too, and messages go both ways", async () => {
    await page.runCell(1);
    await shows("count 6, 5 bytes");
    await page.runCell(2);
    await page.waitUntil(
      "the answer",
      () => page.execute("answer"),
      (seen) => seen === "{ answer: 4 }",
    );
    assert.equal(await button().getAttribute("title"), "why?");
  });

  test("the page loaded anew has it, with its state, and it still counts", async () => {
    await page.save();
    await page.reload();
    await shows("count 6, 5 bytes");
    await button().click();
    await waitForPoints(page, 7);
    assert.equal(await page.execute(`counter.get("count")`), "7");
  });
});
