import assert from "node:assert/strict";
import { test } from "node:test";
import { inflateSync } from "node:zlib";
import { assertAllClose, assertClose } from "../../testing";
import { describe, type Figure, stillOf } from "../figure";
import { animation, bars, colour, heatmap, histogram, imageGrid, lines, PALETTE, panels, scatter } from ".";

const tensor = (shape: number[], data: number[]) => ({ shape, dataSync: () => Float32Array.from(data) });

/** What the notebook will hold must be plain data. */
const isPlain = (figure: Figure) => assert.deepEqual(JSON.parse(JSON.stringify(figure)), figure);

test("the same input gives the same figure, and the figure is plain data", () => {
  const make = (): Figure[] => [
    lines({ a: [1, 2], b: { x: [1, 2], y: [3, 4], standardError: [0.1, 0.2] } }, { title: "t", logY: true }),
    scatter({ a: [[0, 1]], b: [[2, 3]] }, { xTitle: "x" }),
    histogram([1, 2, 3], { density: () => 0.1 }),
    heatmap((x, y) => x * y, { resolution: 5 }),
    bars({ eps: { simple: 1 }, x0: { simple: 2 } }),
    imageGrid({ shape: [2, 2, 2, 1], data: [-1, 1, 0, 0, 1, 1, 1, 1] }),
    animation({ 0: scatter([[0, 0]]), 1: scatter([[1, 1]]) }),
  ];
  assert.deepEqual(make(), make());
  for (const figure of make()) isPlain(figure);
});

test("lines: names, colours, titles, gaps of log axes, a table's dummy entry left out", () => {
  const { data, layout } = lines(
    { kl: Float64Array.of(9, 0.5, 0, 1 / 3), other: [1, 2, 3, 4] },
    { title: "KL", xTitle: "t", yTitle: "nats", logY: true, from: 1 },
  );
  assert.deepEqual(data[0].x, [1, 2, 3]);
  assert.deepEqual(data[0].y, [0.5, null, 0.333333]);
  assert.deepEqual(
    data.map(({ name }) => name),
    ["kl", "other"],
  );
  assert.deepEqual(
    data.map(({ line }) => line?.color),
    PALETTE.slice(0, 2),
  );
  assert.equal(layout.yaxis?.type, "log");
  assert.deepEqual(layout.xaxis?.title, { text: "t", standoff: 8 });
  assert.equal(layout.showlegend, true);
  assert.equal(lines({ one: [1] }).layout.showlegend, false);
});

test("lines: a band of one standard error on either side, above zero on a log axis", () => {
  const series = { loss: { x: [10, 20], y: [2, 1], standardError: [0.5, 3] } };
  const [band, line] = lines(series).data;
  assert.deepEqual(band.x, [10, 20, 20, 10]);
  assert.deepEqual(band.y, [2.5, 4, -2, 1.5]);
  assert.deepEqual(line.y, [2, 1]);
  assert.deepEqual(lines(series, { logY: true }).data[0].y, [2.5, 4, 0.01, 1.5]);
  assert.throws(() => lines({ a: { x: [1], y: [1, 2] } }), /lines: series "a": x has 1 values, expected 2/);
});

test("lines: dashes and dots for lines that would hide each other", () => {
  const { data } = lines({
    solid: { y: [1, 2] },
    dashes: { y: [1, 2], drawn: "dashes" },
    dots: { y: [1, 2], drawn: "dots" },
  });
  assert.deepEqual(
    data.map(({ mode, line }) => [mode, line?.dash]),
    [
      ["lines", undefined],
      ["lines", "dash"],
      ["markers", undefined],
    ],
  );
});

test("values of which none can be drawn: the figure says why, in its picture and in its text, also as a panel", () => {
  const reasons = ({ layout }: Figure) => (layout.annotations ?? []).map(({ text }) => text);
  const negative = lines({ loss: [-1, Number.NaN] }, { logY: true, title: "loss" });
  assert.match(String(reasons(negative)), /all values are NaN,<br>or not positive on<br>.*logY: false/);
  assert.match(describe(negative), /^\[loss\] lines; loss; Nothing to draw: all values are NaN, or not/);
  const diverged = scatter([[Number.NaN, Number.NaN]]);
  assert.deepEqual(reasons(diverged), ["Nothing to draw:<br>all values are<br>NaN or infinite."]);
  assert.equal(reasons(bars({ a: -1 }, { logY: true })).length, 1);
  for (const diverging of [histogram([Number.NaN, Infinity]), heatmap([[Number.NaN], [-Infinity]])])
    assert.deepEqual(reasons(diverging), reasons(diverged));
  const both = panels({ good: lines({ a: [1] }), negative });
  assert.deepEqual(
    both.layout.annotations?.map(({ xref }) => xref),
    ["paper", "paper", "x2 domain"],
  );
  for (const drawn of [
    lines({ a: [Number.NaN, -1], b: [Number.NaN, 1] }, { logY: true }),
    lines({ a: [-1] }),
    lines({ a: [], b: [1] }, { logY: true }),
    scatter([[0, 0]]),
    scatter({ a: [[9, 9]], b: [[3, -3]] }, { range: [-3, 3], overlay: true }),
    histogram({ a: [Number.NaN], b: [3] }, { range: [2, 3] }),
    imageGrid({ shape: [1, 1, 2, 1], data: [Number.NaN, 0] }),
    heatmap([[Number.NaN, 0]]),
    animation({ 0: scatter([[0, 0]]), 1: diverged }),
  ])
    assert.deepEqual(reasons(drawn), []);
});

test("no values, or none within the range: the figure says which", () => {
  const says = (figure: Figure) => describe(figure).replace(/^.*(?:; |\] )/, "");
  const none = "Nothing to draw: there are no values yet.";
  for (const empty of [
    lines({ a: [] }),
    lines({}),
    lines({ a: [1] }, { from: 1, logY: true }),
    scatter([]),
    histogram([]),
    bars({}),
  ])
    assert.equal(says(empty), none);
  const window = { range: [-3, 3] as [number, number] };
  const outside = "lie outside the range [-3, 3].";
  assert.equal(
    says(scatter([100, 100, 0, 5, Number.NaN, 0], window)),
    `Nothing to draw: all 2 points ${outside}`,
  );
  assert.equal(
    says(scatter([0, 3.1], window)),
    "Nothing to draw: the only point lies outside the range [-3, 3].",
  );
  assert.equal(
    says(histogram({ a: [Number.NaN], b: [4, 5, -4] }, window)),
    `Nothing to draw: all 3 values ${outside}`,
  );
  const sets = scatter({ near: [0, 0], far: [9, 9], none: [] }, window);
  assert.deepEqual(
    sets.layout.annotations?.map(({ xref }) => xref),
    ["paper", "paper", "x2 domain", "paper", "x3 domain"],
  );
  assert.equal(sets.layout.annotations?.[2].font?.size, 11, "small enough for one of three panels");
});

test("imageGrid: pictures of NaN alone say so in words that fit and that are seen on them", () => {
  const { layout, ...more } = imageGrid({ shape: [1, 2, 2, 1], data: Array(4).fill(Number.NaN) });
  assert.match(describe({ layout, ...more }), /1 images; Nothing to draw: all values are NaN or infinite\.$/);
  assert.equal(layout.annotations?.[0].bgcolor, "#FFFFFF");
  assert.ok((layout.width ?? 0) >= 180);
  assert.ok((imageGrid({ shape: [1, 2, 2, 1], data: [0, 0, 0, 0] }).layout.width ?? 0) < 180);
});

/** The numbers that stand at an axis, where the figure names them. */
const numbersAt = ({ layout }: Figure, letter: "x" | "y", [low, high]: [number, number]): string[] => {
  const { tickvals = [], ticktext = [] } = layout[`${letter}axis`] ?? {};
  return ticktext.filter((_, i) => tickvals[i] >= low && tickvals[i] <= high) as string[];
};

test("a log axis has numbers however near its values lie to each other, in both directions", () => {
  for (const [values, expected] of [
    [
      [8, 0.3],
      ["0.5", "1", "2", "5"],
    ],
    [
      [4.4, 3.5, 2.8, 2.3],
      ["3", "4"],
    ],
    [
      [0.38, 0.35, 0.32, 0.3],
      ["0.3", "0.32", "0.34", "0.36", "0.38"],
    ],
    [
      [1.0012, 1.0001],
      ["1.0005", "1.001"],
    ],
    [
      [41000, 43000],
      ["41000", "41500", "42000", "42500", "43000"],
    ],
  ] as const) {
    const range: [number, number] = [Math.min(...values), Math.max(...values)];
    assert.deepEqual(numbersAt(lines({ loss: values }, { logY: true }), "y", range), expected);
    const upright = lines({ loss: { x: values, y: values } }, { logX: true });
    assert.deepEqual(numbersAt(upright, "x", range), expected);
  }
  assert.deepEqual(numbersAt(lines({ a: [0.3, 0.3] }, { logY: true }), "y", [0.1, 1]), [
    "0.1",
    "0.2",
    "0.5",
    "1",
  ]);
  assert.deepEqual(numbersAt(bars({ a: 3, b: 4.4 }, { logY: true }), "y", [3, 4.4]), ["3", "4"]);
  const peaks = histogram([1, 2, 2, 3], { logY: true, bins: 3, range: [0.5, 3.5] });
  assert.deepEqual(numbersAt(peaks, "y", [0.25, 0.5]), ["0.3", "0.4", "0.5"]);
  const wide = lines({ a: { x: [1, 1000], y: [1, 100] } }, { logX: true, logY: true }).layout;
  assert.deepEqual([wide.xaxis?.tickvals, wide.yaxis?.tickvals], [undefined, undefined], "powers of ten");
});

test("lines: a point without a neighbour is seen", () => {
  const modeOf = (...[series, options]: Parameters<typeof lines>) => lines(series, options).data.at(-1)?.mode;
  const gap = Number.NaN;
  assert.equal(modeOf({ a: [5] }), "lines+markers");
  assert.equal(modeOf({ a: [1, gap, 2, 3] }), "lines+markers");
  assert.equal(modeOf({ a: [1, 2, -3, 4] }, { logY: true }), "lines+markers");
  assert.equal(modeOf({ a: { x: [0, 1, 2], y: [1, 1, 1] } }, { logX: true }), "lines");
  assert.equal(
    modeOf({ a: { x: [0, 1], y: [1, 1], standardError: [1, 1] } }, { logX: true }),
    "lines+markers",
  );
  assert.equal(modeOf({ a: [gap, 1, 2, gap, 3, 4] }), "lines");
  assert.equal(modeOf({ a: [] }), "lines");
});

test("histogram: of one value, the bar stands at it, in the middle of an axis of length 1", () => {
  const { data, layout } = histogram([5, 5, 5], { bins: 5, density: () => 1 });
  assert.deepEqual(layout.xaxis?.range, [4.5, 5.5]);
  assertAllClose(data[0].x as number[], [4.6, 4.8, 5, 5.2, 5.4]);
  assertAllClose(data[0].y as number[], [0, 0, 5, 0, 0]);
  assert.deepEqual([data[1].x?.at(0), data[1].x?.at(-1)], [4.5, 5.5]);
});

test("scatter: rows, flat pairs and tensors are one; panels share a square window", () => {
  const points = [
    [0, 1],
    [2, 3],
  ];
  const same = [points, [0, 1, 2, 3], Float32Array.of(0, 1, 2, 3), tensor([2, 2], [0, 1, 2, 3])];
  for (const each of same) assert.deepEqual(scatter(each), scatter(points));
  const { data, layout } = scatter({ a: points, b: [[10, 0]] });
  assert.deepEqual([data[1].xaxis, data[1].yaxis], ["x2", "y2"]);
  assert.deepEqual(layout.xaxis?.range, [-0.5, 10.5]);
  assert.deepEqual(layout.yaxis2?.range, layout.xaxis?.range);
  assert.equal(layout.yaxis2?.scaleanchor, "x2");
  assert.equal(layout.xaxis2?.matches, "x");
  assert.deepEqual(
    layout.annotations?.map(({ text }) => text),
    ["a", "b"],
  );
  assert.equal(scatter({ a: points, b: points }, { overlay: true }).layout.showlegend, true);
  assert.throws(() => scatter({ a: [1, 2, 3] }), /scatter: "a": got 3 numbers, expected pairs/);
  assert.throws(() => scatter(tensor([1, 3], [1, 2, 3])), /tensor of shape \[1,3\], expected \[n, 2\]/);
  assert.throws(() => scatter([[1, 2], [3]]), /point 1 has 1 coordinates/);
});

test("histogram: area 1 over all values, also those outside the range; the density beside it", () => {
  const { data, layout } = histogram([0, 0.1, 0.9, 1, 5], {
    bins: 2,
    range: [0, 1],
    density: (x) => 2 * x,
    densityName: "2x",
  });
  assert.deepEqual(data[0].x, [0.25, 0.75]);
  assert.deepEqual(data[0].y, [2 / 5 / 0.5, 2 / 5 / 0.5]);
  assert.equal(data[1].name, "2x");
  assertAllClose(
    data[1].y as number[],
    Array.from({ length: 201 }, (_, i) => i / 100),
    { abs: 1e-6 },
  );
  assert.equal(layout.barmode, "overlay");
});

test("histogram: an upright at each mark, from the axis to the highest bin, in a colour of its own", () => {
  const marked = histogram([0, 1, 1, 4], { bins: 4, marks: { mean: 1.5 } });
  const [bins, mean] = marked.data;
  assert.deepEqual([mean.name, mean.x, mean.y], ["mean", [1.5, 1.5], [0, 0.5]]);
  assert.deepEqual([mean.line?.color, marked.layout.showlegend], [PALETTE[1], true]);
  assert.equal(Math.max(...(bins.y as number[])), 0.5);
  const log = histogram([0, 1, 1, 4], { bins: 4, marks: { mean: 1.5 }, logY: true });
  assert.equal(log.layout.yaxis?.type, "log");
  assert.ok((log.data[1].y as number[])[0] > 0, "zero has no place on a log axis");
});

test("heatmap: a function is sampled with y upwards; a diverging scale has zero in its middle", () => {
  const { data } = heatmap((x, y) => x + 10 * y, { xRange: [0, 1], yRange: [0, 2], resolution: 3 });
  assert.deepEqual(data[0].z, [
    [0, 0.5, 1],
    [10, 10.5, 11],
    [20, 20.5, 21],
  ]);
  assert.deepEqual(
    [data[0].x, data[0].y],
    [
      [0, 0.5, 1],
      [0, 1, 2],
    ],
  );
  const [diverging] = heatmap(
    [
      [-1, 0],
      [0, 3],
    ],
    { diverging: true, contours: true },
  ).data;
  assert.deepEqual([diverging.zmin, diverging.zmax, diverging.type], [-3, 3, "contour"]);
  assert.throws(() => heatmap([[1, 2], [3]]), /heatmap: row 1 has 1 values, expected 2/);
});

test("bars: groups by inner name, absent bars left out, standard errors alongside", () => {
  const { data } = bars(
    { eps: { simple: 1, vlb: 2 }, x0: { simple: 3 } },
    { standardErrors: { eps: { simple: 0.1, vlb: 0.2 }, x0: { simple: 0.3 } } },
  );
  assert.deepEqual(
    data.map(({ name, y }) => [name, y]),
    [
      ["simple", [1, 3]],
      ["vlb", [2, null]],
    ],
  );
  assert.deepEqual((data[0].error_y as { array: number[] }).array, [0.1, 0.3]);
  assert.deepEqual(bars({ a: 1, b: 2 }).data[0].y, [1, 2]);
  const [beside, above] = [{}, { stacked: true }].map((options) => bars({ a: { b: 1, c: 2 } }, options));
  assert.deepEqual([beside.layout.barmode, above.layout.barmode], ["group", "stack"]);
  assert.equal(panels({ one: above }).layout.barmode, "stack");
});

/** Pixels of a PNG whose rows have no filter, as `encodePng` writes them. */
function pixelsOf(source: string): { width: number; at(x: number, y: number): number[] } {
  const bytes = Buffer.from(source.split(",")[1], "base64");
  const width = bytes.readUInt32BE(16);
  const start = bytes.indexOf("IDAT");
  const rows = inflateSync(bytes.subarray(start + 4, start + 4 + bytes.readUInt32BE(start - 4)));
  return { width, at: (x, y) => [...rows.subarray(y * (width * 4 + 1) + 1 + 4 * x).subarray(0, 4)] };
}

test("imageGrid: pixels in their place and colour, enlarged by a whole factor, clipped to the range", () => {
  const colours = [-1, 0, 1, 5, -1, -1, -1, 1, -1, 0, 0, 0];
  const { layout } = imageGrid({ shape: [1, 2, 2, 3], data: colours });
  const { width, at } = pixelsOf(String(layout.images?.[0].source));
  assert.equal(width, 64);
  assert.deepEqual(at(0, 0), [0, 128, 255, 255]);
  assert.deepEqual(at(63, 0), [255, 0, 0, 255]);
  assert.deepEqual(at(31, 63), [0, 255, 0, 255]);
  const bytes = imageGrid({ shape: [3, 1, 1, 1], data: Uint8Array.of(0, 100, 255) }, { columns: 2 });
  const grid = pixelsOf(String(bytes.layout.images?.[0].source));
  assert.equal(grid.width, 64 + 2 + 64);
  assert.deepEqual(grid.at(66, 0), [100, 100, 100, 255]);
  assert.deepEqual(grid.at(64, 0), [255, 255, 255, 255], "the gap is white");
  assert.deepEqual(grid.at(0, 66), [255, 255, 255, 255], "the third picture, in the second row");
  assert.throws(() => imageGrid({ shape: [1, 2, 2, 2], data: [] }), /got shape \[1,2,2,2\], expected/);
  assert.throws(() => imageGrid({ shape: [1, 1, 1, 1], data: [] }), /got 0 values, expected 1×1×1×1/);
});

test("imageGrid: whole numbers are bytes, whatever holds them; what is neither bytes nor around [-1, 1] needs a range", () => {
  const first = (data: number[], range?: [number, number]) => {
    const { layout } = imageGrid({ shape: [1, 1, 2, 1], data }, { range });
    return pixelsOf(String(layout.images?.[0].source)).at(0, 0)[0];
  };
  assert.deepEqual(
    [first([100, 255]), first([3, 2]), first([0, 1]), first([0, 3.5]), first([0, -99])],
    [100, 3, 128, 128, 128],
  );
  assert.throws(
    () => first([0.5, 200]),
    /got values from 0.5 to 200, expected -1 to 1, or whole numbers from 0 to 255/,
  );
  assert.throws(() => first([0, 1000]), /name what is black and white: { range: \[0, 1000\] }/);
  assert.equal(first([100.5, 200], [0, 200]), 128);
});

test("panels: axes of their own side by side, one legend entry per name, a colour bar beside its panel", () => {
  const { data, layout } = panels(
    { left: lines({ a: [1, 2], b: [2, 1] }), right: lines({ a: [3, 4], b: [1, 1] }), map: heatmap([[1, 2]]) },
    { columns: 3 },
  );
  assert.deepEqual(
    data.map(({ xaxis }) => xaxis),
    ["x", "x", "x2", "x2", "x3"],
  );
  assert.deepEqual(
    data.slice(0, 4).map(({ showlegend }) => showlegend),
    [true, true, false, false],
  );
  const [first, second] = [layout.xaxis?.domain, layout.xaxis2?.domain] as number[][];
  assert.ok(first[1] < second[0]);
  assert.equal(data[4].colorbar?.x, layout.xaxis3?.domain?.[1]);
  assert.throws(() => panels({}), /panels: got no figures/);
  assert.throws(
    () => panels({ two: panels({ a: lines({}), b: lines({}) }) }),
    /panels: "two" is an image grid/,
  );
});

test("animation: frames in order under a slider; the still picture is the shown frame and names it", () => {
  const frame = (x: number) => scatter([[x, 0]], { range: [-1, 1], title: "x_t" });
  const figure = animation(
    [
      [0, frame(0)],
      [500, frame(0.5)],
      [1000, frame(1)],
    ],
    { slider: "t", shown: "500" },
  );
  assert.deepEqual(
    figure.frames?.map(({ name }) => name),
    ["0", "500", "1000"],
  );
  assert.deepEqual(figure.data[0].x, [0.5]);
  assert.equal(figure.layout.sliders?.[0].active, 1);
  const still = stillOf(figure);
  assert.equal((still.layout.title as { text: string }).text, "x_t · t = 500");
  assert.equal(still.layout.sliders, undefined);
  assertClose(still.layout.height!, frame(0).layout.height!);
  assert.throws(() => animation({ 1: frame(0) }, { shown: "7" }), /no frame "7", expected one of 1/);
  assert.throws(
    () =>
      animation([
        [1, frame(0)],
        [2, lines({})],
      ]),
    /frame "1" has 1 traces, expected 0/,
  );
  assert.throws(() => animation({}), /no frame/);
});

test("describe: title, marks, names and axes in one line", () => {
  const options = { title: "ᾱ<sub>t</sub><br>two schedules", xTitle: "t", yTitle: "ᾱ" };
  assert.equal(
    describe(lines({ linear: [1], cosine: [1] }, options)),
    "[ᾱt · two schedules] lines; linear, cosine; ᾱ against t",
  );
});

test("scatter: sets take the colours they are given, in turn", () => {
  const sets = { a: [[0, 0]], b: [[1, 1]], c: [[2, 2]] };
  const coloursOf = (options: Parameters<typeof scatter>[1]) =>
    scatter(sets, options).data.map(({ marker }) => marker?.color);
  assert.deepEqual(coloursOf({}), [colour(0), colour(1), colour(2)]);
  assert.deepEqual(coloursOf({ colours: [3] }), [colour(3), colour(3), colour(3)]);
  assert.deepEqual(coloursOf({ colours: [0, 5] }), [colour(0), colour(5), colour(0)]);
});
