/** @file The course's figures in JupyterLab's light and dark themes: all text, axes, controls and lines can be told from what is behind them. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { after, before, describe, test } from "node:test";
import { makeFolder, projectRoot } from "../../lib/kernel/testing/kernel";
import { type Lab, type LabPage, noLab, notebookOf, startLab } from "../../lib/kernel/testing/lab";
import {
  animation,
  bars,
  type Figure,
  heatmap,
  histogram,
  imageGrid,
  lines,
  scatter,
} from "../../lib/notebook";
import { interactive } from "../../lib/notebook/show";

const ring = (radius: number) =>
  Array.from({ length: 40 }, (_, i) => [radius * Math.cos(i / 6), radius * Math.sin(i / 6)]);

const FIGURES: Record<string, Figure> = {
  animation: animation(
    Object.fromEntries(
      [1, 2, 3].map((t) => [t, scatter({ data: ring(t) }, { title: "rings", range: [-3, 3] })]),
    ),
    { slider: "t" },
  ),
  panels: scatter({ inner: ring(1), outer: ring(2) }, { title: "side by side", xTitle: "x", yTitle: "y" }),
  histogram: histogram(
    { a: [0.1, 0.2, 0.3], b: [0.6, 0.7] },
    { density: () => 1, marks: { mean: 0.4 }, range: [0, 1], title: "with its density" },
  ),
  lines: lines(
    { loss: [3, 2, 1], bound: { y: [4, 3, 2], standardError: [0.1, 0.1, 0.1] } },
    { logY: true, title: "a curve", xTitle: "step", yTitle: "loss (nats)" },
  ),
  heatmap: heatmap((x, y) => x * y, { diverging: true, zTitle: "density", title: "a field" }),
  bars: bars(
    { eps: { simple: 0.1, vlb: 0.3 }, x0: { simple: 0.2, vlb: 0.4 } },
    { title: "bars", yTitle: "nats" },
  ),
  images: imageGrid(
    { shape: [2, 4, 4, 1], data: new Uint8Array(32).fill(128) },
    { columnNames: ["left", "right"] },
  ),
};

/** A notebook that holds these figures as outputs of cells that ran elsewhere. */
function saved(): string {
  const notebook = JSON.parse(notebookOf(Object.keys(FIGURES)));
  for (const [index, figure] of Object.values(FIGURES).entries()) {
    notebook.cells[index].outputs = [
      { output_type: "display_data", data: interactive(figure), metadata: {} },
    ];
    notebook.cells[index].execution_count = index + 1;
  }
  return JSON.stringify(notebook);
}

interface Seen {
  what: string;
  /** WCAG's ratio of the luminances of the mark and what is behind it, 1…21. */
  contrast: number;
}

/**
 * What of the figure in view is drawn how clearly: text, controls, axes, lines. Runs in the page.
 * https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio
 */
function contrasts(figure: Element): Seen[] {
  const parts = (colour: string) => (colour.match(/[\d.]+/g) ?? []).map(Number);
  const opacity = (colour: string) => (/^(transparent|none)$/.test(colour) ? 0 : (parts(colour)[3] ?? 1));
  const luminance = (colour: string) => {
    const [r, g, b] = parts(colour).map((part) => {
      const share = part / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one: string, other: string) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const behind = (node: Element): string => {
    const button = node.closest(".updatemenu-button")?.querySelector("rect");
    if (button && button !== node) return getComputedStyle(button).fill;
    for (let at: Element | null = node; at; at = at.parentElement) {
      const { backgroundColor } = getComputedStyle(at);
      if (opacity(backgroundColor) > 0.5) return backgroundColor;
    }
    return "rgb(255, 255, 255)";
  };
  const marks = [
    ...[...figure.querySelectorAll("text")].map(
      (node) => [node, "fill", `text "${node.textContent}"`] as const,
    ),
    ...[...figure.querySelectorAll(".slider-tick-rect, .slider-grip-rect")].map(
      (node) => [node, "stroke", String(node.getAttribute("class"))] as const,
    ),
    ...[...figure.querySelectorAll(".xtick, .ytick, .xlines-above, .ylines-above")].map(
      (node) => [node, "stroke", String(node.getAttribute("class"))] as const,
    ),
    ...[...figure.querySelectorAll(".scatterlayer .js-line")].map(
      (node) => [node, "stroke", "line"] as const,
    ),
    ...[...figure.querySelectorAll(".modebar-btn path")].map((node) => [node, "fill", "mode bar"] as const),
  ];
  return marks.flatMap(([node, property, what]) => {
    const colour = getComputedStyle(node)[property];
    const { width, height } = node.getBoundingClientRect();
    if (width + height === 0 || opacity(colour) === 0) return []; // an axis without a line has an empty one
    return { what: `${what} ${colour} on ${behind(node)}`, contrast: ratio(colour, behind(node)) };
  });
}

describe("the course's figures", { skip: noLab(), timeout: 900_000 }, () => {
  let lab: Lab;
  let page: LabPage;
  before(async () => {
    const file = join(makeFolder(), "figures.ipynb");
    writeFileSync(file, saved());
    lab = await startLab();
    page = await lab.open(relative(projectRoot, file));
    await page.page.evaluate("globalThis.__name = (it) => it"); // which tsx puts into what the page evaluates
  });
  after(() => lab?.close());

  /** Text as WCAG wants it, everything else so that it is seen. */
  const least = (what: string) => (what.startsWith("text") ? 4.5 : what.startsWith("line") ? 3 : 1.2);

  for (const theme of ["JupyterLab Light", "JupyterLab Dark"])
    test(`${theme}: nothing is lost on its background`, async () => {
      await page.theme(theme);
      for (const [index, name] of Object.keys(FIGURES).entries()) {
        const output = await page.show(index);
        const figure = output.locator(".lower-bound-plotly").first();
        await figure.locator("svg.main-svg").first().waitFor();
        const weak = await page.waitUntil(
          `${name}: contrasts of at least 4.5 for text, 3 for lines`,
          async () =>
            (await figure.evaluate(contrasts)).filter(({ what, contrast }) => contrast < least(what)),
          (seen) => seen.length === 0,
          10_000,
        );
        assert.deepEqual(weak, []);
        if (name === "animation") {
          const play = figure.locator(".updatemenu-button").first();
          await play.hover();
          const hovered = await play.evaluate(contrasts);
          assert.ok(
            hovered.some(({ what }) => what.startsWith('text "▶"')),
            JSON.stringify(hovered),
          );
          assert.deepEqual(
            hovered.filter(({ what, contrast }) => contrast < least(what)),
            [],
          );
        }
        await page.picture(`${theme.split(" ")[1]}-${name}`);
      }
    });
});
