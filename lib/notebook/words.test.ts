import assert from "node:assert/strict";
import { test } from "node:test";
import { budget } from "./budget";
import { type CheckOptions, check } from "./checks";
import { describeProgress, duration, progress, progressLine } from "./progress";
import { table } from "./table";
import { printed, withKernel } from "./testing";
import { math, tex } from "./tex";

test("math: a formula as LaTeX and as text", () => {
  assert.deepEqual(math(" L_T = \\tfrac{1}{2} "), {
    "text/latex": "$$L_T = \\tfrac{1}{2}$$",
    "text/plain": "L_T = \\tfrac{1}{2}",
  });
});

test("tex: backslashes as they stand, numbers readable", async () => {
  const { shown } = await withKernel(
    () => tex`\bar\alpha_T = ${4.035829e-5}, \; n = ${64}, \; L = ${Infinity}`,
  );
  const expected = "\\bar\\alpha_T = 0.00004036, \\; n = 64, \\; L = \\infty";
  assert.equal(shown[0].bundle["text/plain"], expected);
  assert.deepEqual(await printed(() => tex`x = ${1.5e-9}`), ["x = 1.5 \\cdot 10^{-9}"]);
});

test("math: mistakes are told with their place", () => {
  assert.throws(() => math("\\frac{1}{2"), /^Error: math: .* at position 11/);
  assert.throws(
    () => math("a + \\nosuch b"),
    /math: Undefined control sequence: \\nosuch at position 5: a \+ +⟶ \\nosuch b/,
  );
  assert.throws(() => math("x \\label{eq}"), /\\label at position 3 does not work in every notebook viewer/);
  assert.throws(() => math("\\newcommand{\\a}{b}"), /\\newcommand at position 1/);
  assert.throws(() => math("$x$"), /dollar sign at position 1/);
  assert.doesNotThrow(() => math("\\left( x \\right)"), "\\left is not \\let");
});

test("table: columns in order, numbers to four digits, text aligned, HTML escaped", () => {
  const bundle = table(
    [
      { t: 1, kl: 1 / 3, note: "<b>" },
      { t: 1000, kl: 1e-9, extra: true },
    ],
    { title: "KL" },
  );
  assert.equal(
    bundle["text/plain"],
    [
      "KL",
      "   t        kl  note  extra",
      "----  --------  ----  -----",
      "   1    0.3333  <b>",
      "1000  1.000e-9        true",
    ].join("\n"),
  );
  assert.match(String(bundle["text/html"]), /<td align="left">&lt;b&gt;<\/td>/);
  assert.match(String(bundle["text/html"]), /<caption>KL<\/caption>/);
});

test("table: without rows it says so", () => {
  assert.equal(table([])["text/plain"], "no rows");
  const { "text/plain": text, "text/html": html } = table([], { title: "KL" });
  assert.equal(text, "KL\nno rows");
  assert.equal(html, "<table><caption>KL</caption><tbody><tr><td>no rows</td></tr></tbody></table>");
});

test("describeProgress: count, speed and the time left; the time taken at the end; a loop that broke off", () => {
  const state = {
    total: 1000,
    label: "training",
    unit: "steps",
    seconds: 10,
    note: "loss 0.5",
    isDone: false,
  };
  const half = `${"█".repeat(6)}${"░".repeat(18)}`;
  assert.equal(
    describeProgress({ ...state, count: 250 }),
    `training ${half} 250/1000 steps · 25 steps/s · 30 s left · loss 0.5`,
  );
  assert.match(
    describeProgress({ ...state, count: 1000, isDone: true }),
    /1000\/1000 steps · 100 steps\/s · 10 s · loss/,
  );
  assert.match(
    describeProgress({ ...state, count: 250, isDone: true }),
    /250\/1000 steps .* · stopped after 10 s/,
  );
  assert.match(describeProgress({ ...state, count: 0, seconds: 0 }), /0\/1000 steps · loss 0\.5$/);
  assert.equal(
    describeProgress({ ...state, total: undefined, label: "", unit: "", note: "", count: 7 }),
    "7 · 0.7/s · 10 s",
  );
});

test("duration: in the unit that people would use", () => {
  assert.deepEqual([0.04, 9.94, 9.96, 59.6, 200, 7500].map(duration), [
    "0.0 s",
    "9.9 s",
    "10 s",
    "1 min 00 s",
    "3 min 20 s",
    "2 h 05 min",
  ]);
});

test("progress: passes every item on and ends its line, also when the loop throws", async () => {
  const seen: number[] = [];
  const { shown } = await withKernel(async () => {
    for await (const item of progress([1, 2, 3], { label: "counting", note: (n) => `item ${n}` }))
      seen.push(item);
    const broken = async () => {
      for await (const item of progress([1, 2, 3])) if (item === 2) throw new Error("stopped");
    };
    await assert.rejects(broken, /stopped/);
  });
  assert.deepEqual(seen, [1, 2, 3]);
  const text = (index: number) => String(shown.at(index)?.bundle["text/plain"]);
  assert.match(text(0), /^counting ░+ 0\/3$/, "before the first item, which may take long");
  const [first] = new Set(shown.map(({ displayId }) => displayId));
  assert.match(
    String(shown.filter(({ displayId }) => displayId === first).at(-1)?.bundle["text/plain"]),
    /3\/3 .*item 3/,
  );
  assert.match(text(-1), /1\/3 .*stopped after/);
});

test("progressLine: redrawn a few times a second at most, the end always, and once", async () => {
  const { shown } = await withKernel(() => {
    const line = progressLine({ total: 1e5, unit: "steps" });
    for (let step = 1; step <= 1e5; step++) line.update(step);
    line.done();
    line.done();
  });
  assert.ok(shown.length < 10, `${shown.length} lines`);
  assert.match(String(shown.at(-1)?.bundle["text/plain"]), /100000\/100000 steps/);
});

test("budget: full for readers, fast for the tests", (context) => {
  const before = process.env.LOWER_BOUND_FAST;
  context.after(() => {
    if (before === undefined) delete process.env.LOWER_BOUND_FAST;
    else process.env.LOWER_BOUND_FAST = before;
  });
  delete process.env.LOWER_BOUND_FAST;
  assert.equal(budget({ full: 3000, fast: 50 }), 3000);
  process.env.LOWER_BOUND_FAST = "1";
  assert.equal(budget({ full: 3000, fast: 50 }), 50);
});

/** What a check says, without printing it. */
async function verdict(got: unknown, expected: Parameters<typeof check>[2], options?: CheckOptions) {
  const { shown } = await withKernel(() => check("mean", got, expected, options));
  assert.equal(shown.length, 1);
  const message = String(shown[0].bundle["text/plain"]);
  return { passed: message.startsWith("✓"), message };
}

test("check: right answers pass, as numbers, arrays, rows and tensors", async () => {
  assert.deepEqual(await verdict(0.1 + 0.2, 0.3), { passed: true, message: "✓ mean" });
  assert.ok((await verdict(Float32Array.of(0.1, 2), [0.1, 2])).passed);
  assert.ok(
    (
      await verdict(
        [
          [1, 2],
          [3, 4],
        ],
        { shape: [2, 2], dataSync: () => [1, 2, 3, 4] },
      )
    ).passed,
  );
  assert.ok((await verdict(101, 100, { rel: 0.02 })).passed);
  assert.ok(!(await verdict(103, 100, { rel: 0.02 })).passed);
});

test("check: a typical mistake is recognized by its hint", async () => {
  const [alpha, alphaBar, x] = [0.98, 0.5, [1, -2, 3]];
  const scaled = (slope: number) => x.map((value) => slope * value);
  const why = "your mean has slope √ᾱ_t where √α_t is wanted";
  const hints = { "you forgot the root": scaled(alpha), [why]: () => scaled(Math.sqrt(alphaBar)) };
  const { passed, message } = await verdict(scaled(Math.sqrt(alphaBar)), scaled(Math.sqrt(alpha)), { hints });
  assert.equal(passed, false);
  assert.equal(message, `✗ mean: ${why}.`);
});

test("check: relations that need no hint", async () => {
  const says = async (got: unknown, expected: Parameters<typeof check>[2]) =>
    (await verdict(got, expected)).message;
  assert.match(await says([-1, 2], [1, -2]), /the wrong sign/);
  assert.match(await says([0.5, 1, 2], [1, 2, 4]), /0.5 times what is expected, in every entry/);
  assert.match(await says([1, 2], [1, 2, 3]), /got 2 numbers, expected 3 numbers/);
  assert.match(await says([[1, 2]], [1, 2]), /got numbers of shape \[1, 2\], expected 2 numbers/);
  assert.match(await says([Number.NaN, Number.NaN], [1, 2]), /no answer yet \(NaN\)/);
  assert.match(await says([1, Number.NaN], [1, 2]), /entry \[1\] is NaN: a division by 0/);
  assert.match(
    await says(
      [
        [1, 2],
        [3, 5],
      ],
      [
        [1, 2],
        [3, 4],
      ],
    ),
    /: entry \[1, 1\] is 5, too large; 1 of 4 entries differ\.$/,
  );
  assert.match(await says([1, 2, 3], [1, 2, 7]), /: entry \[2\] is 3, too small; 1 of 3 entries differ\.$/);
  assert.match(await says([1, 2], [1, Number.NaN]), /: entry \[1\] is 2, not what is expected; 1 of 2/);
  assert.match(await says(2, 3), /got 2, which is too small\./);
  assert.match(await says(2, Number.NaN), /got 2, which is not what is expected\./);
  assert.match(await says(Number.NaN, 3), /no answer yet \(NaN\)/);
});

test("check: never throws on a learner's answer, whatever it is", async () => {
  const disposed = {
    shape: [2],
    dataSync: () => {
      throw new Error("Tensor is disposed.");
    },
  };
  for (const [answer, said] of [
    [undefined, /no answer yet/],
    [null, /got object, expected one number/],
    ["3", /got string, expected one number/],
    [Promise.resolve(3), /promise. Write await/],
    [[1, [2]], /got object/],
    [[], /got 0 numbers, expected one number/],
    [disposed, /got object/],
  ] as const)
    assert.match((await verdict(answer, 3)).message, said);
  assert.throws(() => check("x", 1, "1" as never), /check: the expected answer is no number/);
});
