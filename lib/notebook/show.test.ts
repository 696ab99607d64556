import assert from "node:assert/strict";
import { test } from "node:test";
import type { Figure } from "./figure";
import { lines, scatter } from "./figures";
import { live, liveCurve } from "./live";
import { PLOTLY, show } from "./show";
import { table } from "./table";
import { cell, pause, printed, withKernel } from "./testing";

const titled = (title: string) => lines({ a: [1, 2] }, { title });
const titles = (bundles: { bundle: Record<string, unknown> }[]) =>
  bundles.map(({ bundle }) => /^\[(.*?)\]/.exec(String(bundle["text/plain"]))?.[1]);

test("show: the figure at once, then the same output with its PNG", async () => {
  const { shown } = await withKernel(async (sent) => {
    const done = show(titled("one"));
    assert.equal(sent.length, 1, "before any await");
    await done;
  });
  assert.equal(shown.length, 2);
  assert.deepEqual(Object.keys(shown[0].bundle), [PLOTLY, "text/plain"]);
  assert.deepEqual(Object.keys(shown[1].bundle).sort(), [PLOTLY, "image/png", "text/plain"]);
  assert.deepEqual(shown[1].bundle[PLOTLY], shown[0].bundle[PLOTLY]);
  assert.equal(Buffer.from(String(shown[1].bundle["image/png"]), "base64").toString("latin1", 1, 4), "PNG");
  assert.deepEqual([shown[0].update, shown[1].update], [false, true]);
  assert.equal(shown[1].displayId, shown[0].displayId);
});

test("show: a figure's typed arrays are drawn as lists are, on the page and in the PNG", async () => {
  const figureOf = (y: number[] | Float32Array): Figure => ({ data: [{ type: "scatter", y }], layout: {} });
  const typed = await withKernel(() => show(figureOf(Float32Array.of(1, 3, 2))));
  const listed = await withKernel(() => show(figureOf([1, 3, 2])));
  assert.deepEqual(typed.shown.at(-1)?.bundle, listed.shown.at(-1)?.bundle);
  assert.ok(typed.shown.at(-1)?.bundle["image/png"]);
});

test("show: figures and tables in the order of the calls, awaited or not, one by one or as a list", async () => {
  const { shown } = await withKernel(async () => {
    const first = show(titled("one"));
    const second = show([titled("two"), table([{ a: 1 }])], titled("three"));
    await Promise.all([first, second]);
  });
  const placed = shown.filter(({ update }) => !update);
  assert.deepEqual(titles(placed), ["one", "two", undefined, "three"]);
  const pictures = shown.filter(({ bundle }) => bundle["image/png"]);
  assert.deepEqual(titles(pictures), ["one", "two", "three"]);
  assert.equal(new Set(shown.map(({ displayId }) => displayId).filter(Boolean)).size, 3);
});

test("show: a figure that cannot be drawn stays, with the reason in words", async () => {
  const three: Figure = { data: [{ type: "scatter3d" }], layout: { title: { text: "space" } } };
  const { shown } = await withKernel(() => show(three));
  const last = shown[shown.length - 1].bundle;
  assert.ok(last[PLOTLY]);
  assert.match(
    String(last["text/plain"]),
    /^\[space\].*\n\(No still picture of this figure: render: .*scatter3d/,
  );
});

test("show: anything else is refused with what it wants; outside a kernel it prints", async () => {
  await assert.rejects(show(3 as never), /show: got number, expected a figure/);
  await assert.rejects(show({} as never), /show: got object, expected a figure/);
  assert.deepEqual(await printed(() => show(titled("one"))), ["[one] lines; a"]);
  assert.deepEqual(await printed(() => show(table([{ t: 1, kl: 0.12345 }]))), [
    "t      kl\n-  ------\n1  0.1235",
  ]);
});

test("live: at most four a second while busy, the last always, then a PNG in the same output", async () => {
  const { shown } = await withKernel(async () => {
    const picture = live((step: number) => titled(`step ${step}`));
    const start = Date.now();
    for (let step = 0; Date.now() - start < 900; step++) {
      picture.update(step);
      await pause(5);
    }
    picture.update(9999);
    await picture.done();
    await picture.done();
  });
  const sent = titles(shown);
  assert.ok(shown.length >= 4 && shown.length <= 7, `${shown.length} outputs in 0.9 s`);
  assert.equal(sent[0], "step 0");
  assert.deepEqual(sent.slice(-2), ["step 9999", "step 9999"]);
  assert.ok(shown[shown.length - 1].bundle["image/png"]);
  assert.equal(new Set(shown.map(({ displayId }) => displayId)).size, 1);
  assert.deepEqual([...new Set(shown.slice(1).map(({ update }) => update))], [true]);
});

test("live: done waits for the PNG that a silence has begun", async () => {
  await withKernel(async (sent) => {
    const picture = live(titled("start"));
    await pause(2001); // the silence is over, and its PNG begun
    await picture.done();
    assert.ok(sent.at(-1)?.bundle["image/png"]);
  });
});

test("live: draws only what it sends", async () => {
  let drawn = 0;
  await withKernel(async () => {
    const picture = live(() => {
      drawn++;
      return titled("x");
    });
    for (let i = 0; i < 1000; i++) picture.update();
    await picture.done();
  });
  assert.ok(drawn <= 3, `${drawn} times`);
});

test("live: a loop that throws leaves its last state on the page, and soon its PNG, without done", async () => {
  const { shown } = await withKernel(async (sent) => {
    const picture = live(titled("start"));
    const loop = () => {
      for (let step = 1; step <= 3; step++) picture.update(titled(`step ${step}`));
      throw new Error("stopped");
    };
    assert.throws(loop, /stopped/);
    await pause(400);
    assert.equal(titles(sent).at(-1), "step 3");
    for (let i = 0; i < 100 && !sent.at(-1)?.bundle["image/png"]; i++) await pause(100);
  });
  assert.equal(titles(shown).at(-1), "step 3");
  assert.ok(shown.at(-1)?.bundle["image/png"]);
});

test("live: what a stopped cell leaves to be sent is out of reach of Stop", async () => {
  const { shown } = await withKernel(async (sent) => {
    cell.run("stopped", () => {
      const picture = live(titled("start"));
      picture.update(titled("last"));
    });
    for (let i = 0; i < 100 && !sent.at(-1)?.bundle["image/png"]; i++) await pause(100);
  });
  assert.deepEqual(titles(shown), ["start", "last", "last"]);
  assert.deepEqual(
    shown.map(({ from }) => from),
    ["stopped", undefined, undefined],
  );
});

test("live: a drawing that fails says so to the learner, and keeps what was drawn", async () => {
  const { shown } = await withKernel(async () => {
    const picture = live((points: number[]) => scatter(points, { title: "points" }));
    assert.throws(() => picture.update([1]), /scatter: "points": got 1 numbers/);
    picture.update([1, 2]);
    picture.update([1, 2, 3]); // drawn later, from a timer: nobody there to catch
    await pause(400);
  });
  assert.match(
    String(shown.at(-1)?.bundle["text/plain"]),
    /could not be drawn: scatter: "points": got 3 numbers/,
  );
  assert.ok(shown.at(-1)?.bundle[PLOTLY]);
});

async function* training(steps: number) {
  for (let step = 1; step <= steps; step++) yield { step, loss: 1 / step };
}

test("liveCurve: a training's loss, in the simplest loop", async () => {
  const { shown } = await withKernel(async () => {
    const curve = liveCurve({ title: "loss" });
    for await (const { step, loss } of training(300)) curve.add(step, loss);
    await curve.done();
  });
  const { data } = shown[shown.length - 1].bundle[PLOTLY] as Figure;
  assert.equal(data.length, 1);
  assert.deepEqual(
    [data[0].x?.length, (data[0].x as number[])[299], (data[0].y as number[])[3]],
    [300, 300, 0.25],
  );
  assert.ok(shown.at(-1)?.bundle["image/png"]);
});

test("liveCurve: its first point is seen, and is a line's beginning from the second on", async () => {
  const { shown } = await withKernel(async () => {
    const curve = liveCurve();
    curve.add(1, 5);
    curve.add(2, 4);
    await curve.done();
  });
  const modes = shown.map(({ bundle }) => (bundle[PLOTLY] as Figure).data[0].mode);
  assert.deepEqual([modes[0], modes.at(-1)], ["lines+markers", "lines"]);
});

test("liveCurve: a long curve is drawn as means over neighbours, and says so; several by name", async () => {
  const { shown } = await withKernel(async () => {
    const curve = liveCurve({ logY: false });
    for (let step = 1; step <= 2400; step++) curve.add(step, { loss: step, bound: 2 * step });
    await curve.done();
  });
  const { data } = shown[shown.length - 1].bundle[PLOTLY] as Figure;
  assert.deepEqual(
    data.map(({ name }) => name),
    ["loss (mean of 4 steps)", "bound (mean of 4 steps)"],
  );
  assert.deepEqual((data[0].x as number[]).slice(0, 2), [2.5, 6.5]);
  assert.deepEqual((data[1].y as number[]).slice(0, 2), [5, 13]);
  assert.equal(data[0].x?.length, 600);
});

test("live: outside a kernel only the end is printed", async () => {
  const lines = await printed(async () => {
    const curve = liveCurve({ title: "loss" });
    for await (const { step, loss } of training(10)) curve.add(step, loss);
    await curve.done();
  });
  assert.deepEqual(lines, ["[loss] lines; loss; loss against step"]);
});
