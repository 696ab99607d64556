/** @file Saved figures and formulas in a real Chromium: not trusted, trusted, in both themes, reopened, exported. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import type { Locator } from "playwright-core";
import { jupyterEnvironment } from "../../scripts/setup/jupyter.mjs";
import { layout } from "../../scripts/setup/layout.mjs";
import { makeFolder, projectRoot, python } from "./testing/kernel";
import { type Lab, type LabPage, noLab, notebookOf, startLab } from "./testing/lab";

const PIXEL =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

/** Its colours are in its template, so that a theme may put its own in their place. */
const FIGURE = {
  "application/vnd.plotly.v1+json": {
    data: [{ y: [1, 3, 2], mode: "markers" }],
    layout: {
      title: { text: "loss" },
      template: { layout: { paper_bgcolor: "#FFFFFF", plot_bgcolor: "#FFFFFF", font: { color: "#222222" } } },
    },
  },
  "image/png": PIXEL,
  "text/plain": "a figure",
};
const LATEX = { "text/latex": "$$\\frac{a}{b}$$" };
const SCRIPT = { "text/html": "<script>window.scriptRan = true</script><i>html</i>" };
const MARKDOWN =
  String.raw`Inline $\bar\alpha_t$, and

$$\mathbb E_q\left[ -\log p_\theta(x_0) \right] \le L$$

` + "Code stays: `$x$`.";

/** A notebook as another machine saved it: with outputs, and signed by nobody here. */
function saved(): string {
  const notebook = JSON.parse(
    notebookOf(
      [FIGURE, LATEX, SCRIPT].map((bundle) => `display(${JSON.stringify(bundle)})`),
      MARKDOWN,
    ),
  );
  const code = notebook.cells.filter((cell: { cell_type: string }) => cell.cell_type === "code");
  for (const [index, data] of [FIGURE, LATEX, SCRIPT].entries()) {
    code[index].outputs = [{ output_type: "display_data", data, metadata: {} }];
    code[index].execution_count = index + 1;
  }
  return JSON.stringify(notebook);
}

describe("saved figures and formulas", { skip: noLab(), timeout: 1_200_000 }, () => {
  let lab: Lab;
  let page: LabPage;
  const folder = makeFolder();
  const file = join(folder, "saved.ipynb");
  before(async () => {
    writeFileSync(file, saved());
    lab = await startLab();
    page = await lab.open(relative(projectRoot, file));
  });
  after(() => lab?.close());

  const title = () => page.page.locator(".lower-bound-plotly .gtitle");
  const styleOf = (locator: Locator, name: string) =>
    locator.first().evaluate((node, wanted) => getComputedStyle(node).getPropertyValue(wanted), name);

  /** Figure by Plotly and not as picture, formulas of Markdown and of text/latex by KaTeX. */
  async function looksRight() {
    await title().waitFor();
    assert.equal(await page.page.locator(".lower-bound-plotly path.point").count(), 3);
    assert.equal(await page.page.locator(".jp-OutputArea img").count(), 0);
    await page.page.locator(".jp-OutputArea .katex .mfrac").waitFor();
    await page.page.locator(".jp-MarkdownCell .katex-display").waitFor();
    assert.equal(await page.page.locator(".jp-MarkdownCell .katex").count(), 2);
  }
  const trusted = () => page.trusted();
  const scriptRan = () => page.page.evaluate(() => (window as unknown as { scriptRan?: boolean }).scriptRan);

  /** In this theme: the page shows through the figure, and its text differs from the page. */
  async function readsIn(theme: string, isDark: boolean) {
    await page.theme(theme);
    const lightness = (colour: string) =>
      (colour.match(/[\d.]+/g) ?? []).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 765;
    await page.waitUntil(
      `the figure's text to be ${isDark ? "light" : "dark"}`,
      async () => lightness(await styleOf(title(), "fill")),
      (seen) => (isDark ? seen > 0.7 : seen < 0.3),
    );
    const paper = await styleOf(page.page.locator(".lower-bound-plotly .main-svg"), "background-color");
    assert.match(paper, /rgba\(0, 0, 0, 0\)|transparent/);
    const formula = lightness(await styleOf(page.page.locator(".jp-OutputArea .katex"), "color"));
    assert.ok(isDark ? formula > 0.7 : formula < 0.3, `lightness of the formula: ${formula}`);
  }

  for (const [name, isDark] of [
    ["JupyterLab Light", false],
    ["JupyterLab Dark", true],
  ] as const)
    test(`not trusted, ${name}: figure and formulas are drawn, its script does not run`, async () => {
      assert.equal(await trusted(), false);
      await looksRight();
      await readsIn(name, isDark);
      assert.equal(await scriptRan(), undefined);
      await page.picture(`not-trusted-${isDark ? "dark" : "light"}`);
    });

  test("run, saved and opened again it is trusted, and looks the same in both themes", async () => {
    await page.runAll();
    await page.save();
    await page.reload();
    await page.waitUntil("trust", trusted, (seen) => seen);
    await looksRight();
    await page.waitUntil("the script to run", scriptRan, (seen) => seen === true);
    await readsIn("JupyterLab Dark", true);
    await readsIn("JupyterLab Light", false);
    await page.picture("trusted-light");
  });

  test("exported HTML shows the PNG and sets formulas by itself, with no network", async () => {
    const environment = jupyterEnvironment(layout(projectRoot));
    const convert = ["-m", "jupyter", "nbconvert", "--to=html", "--output=exported.html", file];
    await promisify(execFile)(python, convert, { env: environment });
    const { page: exported, requests } = await lab.openOffline(
      pathToFileURL(join(folder, "exported.html")).href,
    );
    await exported.locator(".jp-OutputArea .katex .mfrac").waitFor();
    assert.equal(await exported.locator(".jp-MarkdownCell .katex").count(), 2);
    assert.equal(await exported.locator(".jp-MarkdownCell code").first().textContent(), "$x$");
    const width = await exported
      .locator(".jp-OutputArea img")
      .first()
      .evaluate((img) => (img as HTMLImageElement).naturalWidth);
    assert.equal(width, 1);
    const fonts = await exported.evaluate(() =>
      document.fonts.load("16px KaTeX_Main").then((found) => found.length),
    );
    assert.ok(fonts > 0, "KaTeX's fonts are not in the file");
    assert.deepEqual(
      requests.filter((url) => /^https?:/.test(url)),
      [],
    );
  });
});
