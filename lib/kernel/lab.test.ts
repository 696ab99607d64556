/** @file Kernel and renderer as a reader sees them: JupyterLab in a real Chromium. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { after, before, describe, test } from "node:test";
import { makeFolder, projectRoot, slowness } from "./testing/kernel";
import { type Lab, type LabPage, noLab, notebookOf, startLab } from "./testing/lab";

const PIXEL =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

const CELLS = [
  `const figure = (ys: number[]) => ({
  "application/vnd.plotly.v1+json": { data: [{ y: ys, name: "curve" }], layout: { title: { text: "loss" } } },
  "image/png": "${PIXEL}",
  "text/plain": "a figure",
});
display(figure([1, 2, 3]), { displayId: "figure" });`,
  `display.update("figure", figure([3, 1, 2, 5]));`,
  `display({ "application/vnd.plotly.v1+json": { data: 3 } });`,
  `let turns = 0;
async function* training() {
  while (true) {
    await new Promise((done) => setTimeout(done, 10));
    yield ++turns;
  }
}
console.log("ready");`,
];

const LOOP = 'console.log("begun"); for await (const turn of training()) void turn;';
const LATEX = String.raw`display({ "text/latex": "$$\\frac{1}{2}$$" });`;
const MARKDOWN = String.raw`Inline $\bar\alpha_t = \prod_{s \le t} \alpha_s$, and

$$\mathbb E_q\left[ -\log p_\theta(x_0) \right] \le L$$

Coffee is 3\\$ here and 4\\$ there.`;

describe("JupyterLab", { skip: noLab(), timeout: 900_000 }, () => {
  let lab: Lab;
  let page: LabPage;
  const folder = makeFolder();
  before(async () => {
    writeFileSync(join(folder, "figures.ipynb"), notebookOf([...CELLS, LOOP, "turns > 0", LATEX], MARKDOWN));
    lab = await startLab();
    page = await lab.open(relative(projectRoot, join(folder, "figures.ipynb")));
  });
  after(() => lab?.close());

  test("code is highlighted as TypeScript", async () => {
    await page.page.locator(".jp-CodeCell .cm-content [class*='ͼ']").first().waitFor();
    const language = await page.page
      .locator(".jp-CodeCell .cm-content")
      .first()
      .getAttribute("data-language");
    assert.equal(language, "typescript");
  });

  test("a bundle with Plotly JSON and PNG is drawn by Plotly, and updated in place", async () => {
    await page.runCell(0);
    const svg = page.outputs(0).locator(".lower-bound-plotly svg.main-svg").first();
    await svg.waitFor();
    assert.equal(await page.outputs(0).locator("img").count(), 0);
    const points = () => page.outputs(0).locator(".lower-bound-plotly .scatterlayer path.point").count();
    assert.equal(await points(), 3);
    await svg.evaluate((element) => element.setAttribute("data-kept", "yes"));
    await page.runCell(1);
    await page.page.waitForFunction(
      () => document.querySelectorAll(".lower-bound-plotly path.point").length === 4,
    );
    assert.equal(await svg.getAttribute("data-kept"), "yes", "the plot was made anew");
  });

  test("a figure takes the theme's colours and follows a change of theme", async () => {
    const colour = () =>
      page
        .outputs(0)
        .locator(".gtitle")
        .first()
        .evaluate((title) => getComputedStyle(title).fill);
    const light = await colour();
    await page.command("apputils:change-theme", { theme: "JupyterLab Dark" });
    await page.page.waitForFunction(
      (before) => getComputedStyle(document.querySelector(".gtitle")!).fill !== before,
      light,
    );
    await page.command("apputils:change-theme", { theme: "JupyterLab Light" });
    await page.page.waitForFunction(
      (before) => getComputedStyle(document.querySelector(".gtitle")!).fill === before,
      light,
    );
  });

  test("a figure is as wide as its cell, also after the window changed", async () => {
    const figure = page.outputs(0).locator(".lower-bound-plotly").first();
    const widths = () =>
      figure.evaluate((node) => ({
        window: window.innerWidth,
        cell: node.clientWidth,
        drawn: node.querySelector(".main-svg")!.clientWidth,
      }));
    type Widths = Awaited<ReturnType<typeof widths>>;
    /** The widths in a window of this size, once the figure fills its cell and the cell is as expected. */
    const inWindow = async (width: number, expected: string, holds: (cell: number) => boolean) => {
      await page.page.setViewportSize({ width, height: 1000 });
      let seen: Widths | undefined;
      for (const until = Date.now() + 30_000 * slowness(); Date.now() < until; ) {
        await figure.scrollIntoViewIfNeeded(); // what is out of sight is not laid out
        seen = await widths();
        if (Math.abs(seen.drawn - seen.cell) <= 1 && holds(seen.cell)) return seen.cell;
        await page.page.waitForTimeout(100);
      }
      return assert.fail(`expected a figure as wide as its cell, ${expected}; got ${JSON.stringify(seen)}`);
    };
    const wide = await inWindow(1280, "which is not empty", (cell) => cell > 0);
    await inWindow(900, `less than ${wide - 100}`, (cell) => cell < wide - 100);
    await inWindow(1280, `${wide} again`, (cell) => Math.abs(cell - wide) <= 20);
  });

  test("maths in Markdown and in text/latex is set by KaTeX, in its own fonts; prices stay prices", async () => {
    const formula = page.page.locator(".jp-MarkdownCell .katex-display .katex-html");
    await formula.first().waitFor();
    const markdown = page.page.locator(".jp-MarkdownCell .jp-RenderedMarkdown");
    assert.equal(await markdown.locator(".katex").count(), 2);
    assert.match((await markdown.textContent()) ?? "", /Coffee is 3\$ here and 4\$ there/);
    assert.equal(await page.page.locator("mjx-container").count(), 0);
    await page.runCell(6);
    await page.outputs(6).locator(".katex .mfrac").first().waitFor();
    const font = await page.page.evaluate(() =>
      document.fonts.load("16px KaTeX_Main").then((fonts) => fonts.length),
    );
    assert.ok(font > 0, "KaTeX's fonts are not there");
  });

  test("JSON that is no figure is told in words", async () => {
    await page.runCell(2);
    const text = page.outputs(2).locator(".lower-bound-plotly pre");
    await text.waitFor();
    assert.match((await text.textContent()) ?? "", /cannot be drawn: it has no list "data"/);
  });

  test("Stop ends a running loop, and the next cell runs", async () => {
    await page.runCell(3);
    await page.runCell(4);
    await page.outputs(4).getByText("begun").waitFor(); // not before: Stop would meet the cell above
    assert.equal(await page.kernelStatus(), "busy");
    await page.pressStop();
    await page
      .outputs(4)
      .getByText("KeyboardInterrupt")
      .first()
      .waitFor({ timeout: 3000 * slowness() });
    await page.runCell(5);
    await page.outputs(5).getByText("true").waitFor();
  });
});
