/** @file What a person meets while typing and running cells in JupyterLab, in a real Chromium. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { after, before, describe, test } from "node:test";
import { makeFolder, projectRoot, slowness } from "./testing/kernel";
import { type Lab, type LabPage, noLab, notebookOf, startLab } from "./testing/lab";

const CELLS = [
  `const half = (x: number): number => x / 2;
const numbers = [1, 2];`,
  "half",
  "Math.max",
  "numbers.le",
  "",
  `display({ "text/plain": "tick 0" }, { displayId: "tick" });
for (let tick = 1; ; tick++) {
  const until = Date.now() + 100;
  while (Date.now() < until);
  display.update("tick", { "text/plain": \`tick \${tick}\` });
}`,
  'for (let line = 0; line < 100_000; line++) console.log("line " + line);',
  '"alive: " + half(84)',
  "process.kill(process.pid, 'SIGKILL');",
  "typeof (globalThis as any).half + 6 * 7",
];
const [DECLARE, INSPECT, MATHS, COMPLETE, EMPTY, TICK, FLOOD, ALIVE, DIE, FRESH] = CELLS.keys();

describe("typing and running in JupyterLab", { skip: noLab(), timeout: 1_800_000 }, () => {
  let lab: Lab;
  let page: LabPage;
  const folder = makeFolder();
  before(async () => {
    writeFileSync(join(folder, "typing.ipynb"), notebookOf(CELLS));
    lab = await startLab();
    page = await lab.open(relative(projectRoot, join(folder, "typing.ipynb")));
    await page.runCell(DECLARE);
    await page.waitForRun(DECLARE);
  });
  after(() => lab?.close());

  const press = (key: string) => page.page.keyboard.press(key);
  const textOf = (selector: string) => page.page.locator(selector).first().innerText();

  test("Enter after a bracket indents by two, and the bracket that closes goes back", async () => {
    await page.edit(EMPTY);
    for (const line of ["function twice(x: number) {", "if (x > 0) {", "return 2 * x;"]) {
      await page.page.keyboard.type(line);
      await press("Enter");
    }
    await page.page.keyboard.type("}");
    await press("Enter");
    await page.page.keyboard.type("return 0;");
    await press("Enter");
    await page.page.keyboard.type("}");
    const expected = "function twice(x: number) {\n  if (x > 0) {\n    return 2 * x;\n  }\n  return 0;\n}";
    assert.equal((await page.cells())[EMPTY].source, expected);
  });

  test("Shift-Tab shows type and doc comment", async () => {
    await page.edit(MATHS);
    await press("Shift+Tab");
    const tooltip = page.page.locator(".jp-Tooltip");
    await page.waitUntil(
      "the documentation of Math.max",
      () => tooltip.innerText(),
      (text) => /Math\.max\(\.\.\.values: number\[\]\): number[\s\S]*Returns the larger of/.test(text),
    );
    assert.equal(await tooltip.locator("em").first().innerText(), "@param", "Markdown is set");
    await press("Escape");
    await tooltip.waitFor({ state: "detached" });
  });

  test("Tab completes", async () => {
    await page.edit(COMPLETE);
    await press("Tab");
    await page.page.locator(".jp-Completer-item", { hasText: "length" }).waitFor();
    await press("Enter");
    await page.waitUntil(
      "numbers.length",
      async () => (await page.cells())[COMPLETE].source,
      (source) => source === "numbers.length",
    );
  });

  test("the inspector panel follows the cursor", async () => {
    await page.command("inspector:open");
    await page.page.locator(".jp-Inspector").waitFor();
    await page.focusNotebook();
    await page.edit(INSPECT);
    await press("Home");
    const seen = () => textOf(".jp-Inspector-content");
    await page.waitUntil("half's type", seen, (text) => /const half: \(x: number\) => number/.test(text));
    await page.edit(COMPLETE);
    await press("Home");
    await page.waitUntil("numbers' type", seen, (text) => /const numbers: number\[\]/.test(text));
    await page.page
      .locator(".lm-TabBar-tab", { hasText: "Contextual Help" })
      .locator(".lm-TabBar-tabCloseIcon")
      .click();
  });

  test("display.update is seen while a synchronous loop runs", async () => {
    await page.runCell(TICK);
    const ticks = new Set<string>();
    await page.waitUntil(
      "three states of the display",
      async () => ticks.add(await page.outputs(TICK).first().innerText()).size,
      (count) => count > 3,
    );
    assert.equal(await page.kernelStatus(), "busy");
    await page.pressStop();
    await page.outputs(TICK).getByText("KeyboardInterrupt").first().waitFor();
  });

  test("100,000 lines arrive whole, and the page stays usable", async () => {
    await page.runCell(FLOOD);
    await page.waitForRun(FLOOD, 180_000 * slowness());
    const text = await page.outputText(FLOOD);
    assert.equal(text, Array.from({ length: 100_000 }, (_, line) => `line ${line}\n`).join(""));
    const began = performance.now();
    await page.runCell(ALIVE);
    await page.outputs(ALIVE).getByText("alive: 42").waitFor();
    assert.ok(performance.now() - began < 10_000 * slowness(), "the next cell took too long");
    await page.command("notebook:clear-all-cell-outputs");
  });

  test("a kernel that dies is told, starts again, and has nothing left of before", async () => {
    await page.runCell(DIE);
    const dialog = page.page.locator(".jp-Dialog", { hasText: "Kernel Restarting" });
    await dialog.waitFor({ timeout: 60_000 * slowness() });
    assert.match(await dialog.innerText(), /appears to have died/);
    await dialog.locator(".jp-mod-accept").click();
    await page.waitForKernel(120_000 * slowness()); // without a cell that would tell of it
    await page.runCell(FRESH);
    await page
      .outputs(FRESH)
      .getByText("undefined42")
      .waitFor({ timeout: 120_000 * slowness() });
  });

  test("Restart gives a fresh kernel", async () => {
    await page.runCell(DECLARE);
    await page.waitForRun(DECLARE);
    await page.command("notebook:restart-kernel");
    await page.page.locator(".jp-Dialog .jp-mod-accept").click();
    await page.waitUntil(
      "an error of a name that is gone",
      async () => {
        await page.runCell(ALIVE);
        await page.page.waitForTimeout(500);
        return (await page.cells())[ALIVE].errors.join();
      },
      (errors) => /Cannot find name 'half'/.test(errors),
    );
  });
});
