import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { Resvg } from "@resvg/resvg-js";
import type { Figure } from "../figure";
import { bars, heatmap, histogram, imageGrid, lines, panels, scatter } from "../figures";
import { render } from ".";
import { encodePng } from "./png.cjs";

/** How many pixels of each exact colour the PNG has; decoded by drawing it again. */
function colours(png: Uint8Array): Map<string, number> {
  const { width, height } = sizeOf(png);
  const href = `data:image/png;base64,${Buffer.from(png).toString("base64")}`;
  const image = `<image width="${width}" height="${height}" href="${href}" image-rendering="optimizeSpeed"/>`;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${image}</svg>`;
  const { pixels } = new Resvg(svg).render();
  const counts = new Map<string, number>();
  for (let at = 0; at < pixels.length; at += 4) {
    const colour = pixels.subarray(at, at + 3).toString("hex");
    counts.set(colour, (counts.get(colour) ?? 0) + 1);
  }
  return counts;
}

const sizeOf = (png: Uint8Array) => {
  const bytes = Buffer.from(png);
  assert.equal(bytes.toString("latin1", 1, 4), "PNG");
  return { width: bytes.readUInt32BE(16), height: bytes.readUInt32BE(20) };
};

const onePixel = `data:image/png;base64,${encodePng(1, 1, Uint8Array.of(0, 0, 0, 255)).toString("base64")}`;

const INK = "222222"; // of every text and axis
const BLUE = "0072b2"; // of the first series

const figures: Record<string, Figure> = {
  lines: lines({ a: [1, 100, 10] }, { title: "title", xTitle: "x", logY: true }),
  scatter: scatter({ a: [[0, 0]], b: [[1, 1]] }, { title: "title" }),
  histogram: histogram([1, 2, 2, 3], { title: "title", density: () => 0.3 }),
  heatmap: heatmap((x, y) => x * y, { title: "title", resolution: 9 }),
  contours: heatmap((x, y) => x * y, { title: "title", resolution: 9, contours: true }),
  bars: bars({ a: 1, b: 2 }, { title: "title" }),
  images: imageGrid({ shape: [1, 2, 2, 1], data: [-1, 1, 0, 1] }, { title: "title" }),
  panels: panels(
    {
      a: lines({ a: [1, 2] }),
      b: heatmap([
        [1, 2],
        [3, 4],
      ]),
    },
    { title: "title" },
  ),
};

for (const [name, figure] of Object.entries(figures))
  test(`render: ${name} has its text and its marks`, async () => {
    const counts = colours(await render(figure));
    assert.ok((counts.get(INK) ?? 0) > 40, `${counts.get(INK)} pixels of text`);
    assert.ok(counts.size > 8, `${counts.size} colours`);
    if (["lines", "bars", "panels"].includes(name))
      assert.ok((counts.get(BLUE) ?? 0) > 100, "the first series");
  });

test("render: a heat map has the colours of its ends", async () => {
  const counts = colours(
    await render(
      heatmap(
        [
          [0, 1],
          [1, 0],
        ],
        {},
      ),
    ),
  );
  for (const end of ["440154", "fde725"]) assert.ok((counts.get(end) ?? 0) > 10_000, `Viridis' ${end}`);
});

test("render: tick labels and titles stay apart and inside: widening a label moves the axis", async () => {
  const inkLeftOf = async (top: number) => colours(await render(lines({ a: [0, top] }))).get(INK) ?? 0;
  assert.ok((await inkLeftOf(123456.5)) > (await inkLeftOf(1)), "more digits, more ink: no label is hidden");
});

test("render: the same figure gives the same bytes, whatever was drawn before", async () => {
  const first = await render(figures.histogram);
  await render(figures.panels);
  assert.deepEqual(await render(figures.histogram), first);
});

test("render: points far outside the picture are left out, and the process lives on", async () => {
  const far = [
    [0.1, 0.2],
    [150, -90],
    [1e7, 1e7],
  ];
  const inks = [far.slice(0, 1), far].map(async (points) =>
    colours(await render(scatter(points, { range: [-1, 1] }))).get(INK),
  );
  const [near, all] = await Promise.all(inks);
  assert.ok(near && near > 100);
  assert.equal(all, near);
});

/** The same figure through a window that none of its marks reaches. */
const through = ({ data, layout }: Figure, range: [number, number]): Figure => ({
  data,
  layout: { ...layout, xaxis: { ...layout.xaxis, range }, yaxis: { ...layout.yaxis, range } },
});

const beyond: Record<string, Figure> = {
  points: scatter({ data: [[0, 0]], sampled: [[1, 1]] }, { overlay: true }),
  lines: lines({ a: { y: [1, 2, 3], standardError: [1, 1, 1] } }, { markers: true }),
  bars: bars({ a: 1, b: 2 }, { standardErrors: { a: 0.1, b: 0.1 } }),
  histogram: histogram([1, 2, 2, 3], { density: () => 0.3, marks: { mean: 2 } }),
  heatmap: figures.heatmap,
  contours: figures.contours,
};

for (const [name, figure] of Object.entries(beyond))
  test(`render: ${name} that lie outside the window, all of them, leave empty axes`, async () => {
    for (const window of [
      [900, 906],
      [-906, -900],
    ] as [number, number][]) {
      const counts = colours(await render(through(figure, window)));
      assert.ok((counts.get(INK) ?? 0) > 100, "the axes");
      assert.equal(counts.get(BLUE), undefined, "no mark");
    }
  });

test("render: all panels but one may be empty of what they hold", async () => {
  const sets = { data: [[0, 0]], sampled: [[40, 40]], lower: [[-4e3, -40]] };
  assert.ok((colours(await render(scatter(sets, { range: [-3, 3] }))).get(INK) ?? 0) > 100);
});

test("render: a renderer that breaks down is told of and started anew, and the process lives on", async () => {
  const image = { source: onePixel, xref: "x", yref: "y", x: 1e3, y: 1e3, sizex: 1, sizey: 1 } as const;
  const figure = { data: [{ x: [0] }], layout: { xaxis: { range: [0, 1] }, images: [image] } };
  await assert.rejects(render(figure), /^Error: render: the renderer broke down/);
  assert.ok((await render(figures.lines)).length > 1000);
});

test("render: size and scale", async () => {
  assert.deepEqual(sizeOf(await render(figures.lines, { width: 300, height: 200, scale: 2 })), {
    width: 600,
    height: 400,
  });
});

test("render: figures asked for together all come", async () => {
  const all = await Promise.all([render(figures.lines), render(figures.bars), render(figures.scatter)]);
  assert.deepEqual(all[1], await render(figures.bars));
});

test("render: WebGL traces and broken figures are refused with the reason, and the next figure works", async () => {
  const three = { data: [{ type: "scatter3d" as const }], layout: {} };
  await assert.rejects(
    render(three),
    /render: got a trace of type "scatter3d", expected one of scatter, bar.*browser/,
  );
  const broken = {
    data: [{ type: "scatter" as const, x: [1] }],
    layout: { xaxis: null as never, width: -5 },
  };
  await assert.rejects(render(broken), /^Error: render: /);
  assert.ok((await render(figures.lines)).length > 1000);
});

test("render: a program that has drawn ends by itself", () => {
  const program = `
    const { render, warmUp } = require(${JSON.stringify(join(__dirname, "index.ts"))});
    warmUp();
    render({ data: [{ y: [1, 2] }], layout: {} }).then((png) => console.log(png.length > 1000));
  `;
  const output = execFileSync(process.execPath, ["--import", "tsx", "-e", program], { timeout: 60_000 });
  assert.equal(String(output).trim(), "true");
});
