/** @file The kernel as a front end sees it: each test speaks to the real process through jupyter_client. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { makeGate, noJupyter, slowness, TestKernel } from "./testing/kernel";

describe("kernel", { skip: noJupyter(), timeout: 600_000 }, () => {
  let kernel: TestKernel;
  before(async () => {
    kernel = await TestKernel.start();
    await kernel.execute(`import { tf } from "../../lib/tensor";\ntf.ones([1]).sum();`);
    mkdirSync(join(kernel.folder, "lib"));
    writeFileSync(
      join(kernel.folder, "lib/spin.ts"),
      "export function spin(): void {\n  while (true) {}\n}\n",
    );
  });
  after(() => kernel?.close());

  test("the project's library is imported with its types", async () => {
    const { data, error } = await kernel.execute(
      `import { tf } from "../../lib/tensor";\ntf.tensor1d([1, 2, 3]).square().sum()`,
    );
    assert.equal(error, undefined);
    assert.match(data["text/plain"], /^Tensor float32 \[\]\n\s*14$/);
    const wrong = await kernel.execute(`const size: string = tf.ones([2]).size;`);
    assert.equal(wrong.error?.ename, "TypeScriptError");
  });

  test("a type error names line and column, shows the line with a caret, and nothing of the cell ran", async () => {
    const { error, stdout, reply } = await kernel.execute(
      `console.log("ran");\nlet count: number = "three";`,
    );
    assert.equal(reply.status, "error");
    assert.match(error!.evalue, /:2:5 - Type 'string' is not assignable to type 'number'/);
    const lines = error!.traceback.join("\n").split("\n");
    const at = lines.findIndex((line) => line.endsWith('let count: number = "three";'));
    assert.equal(lines[at].indexOf("count"), lines[at + 1].indexOf("^"));
    assert.equal(stdout, "");
  });

  test("the check is the tsconfig's strict one, but unused names are no error", async () => {
    const strict = await kernel.execute(`const first = (list) => list[0];`);
    assert.match(strict.error!.evalue, /implicitly has an 'any' type/);
    assert.equal((await kernel.execute(`function f(unused: number) { const also = 1; }`)).error, undefined);
  });

  test("what only a browser has is an error before anything runs", async () => {
    const { error } = await kernel.execute(`document.title`);
    assert.match(error!.evalue, /Cannot find name 'document'/);
  });

  test("an error is Jupyter's error, with lines of the cell and without frames of the kernel", async () => {
    const { error, reply } = await kernel.execute(
      `function thrower(): never {\n  throw new RangeError("too far");\n}\nthrower();`,
    );
    assert.equal(reply.status, "error");
    assert.equal(error!.ename, "RangeError");
    assert.equal(error!.evalue, "too far");
    const trace = error!.traceback.join("\n");
    assert.match(trace, /at thrower \(Cell \[\d+\]:2:9\)\n\s+at Cell \[\d+\]:4:1\n/);
    assert.doesNotMatch(trace, /runner|node:|\.cache/);
  });

  test("an error in the library has the library's own TypeScript line", async () => {
    const folder = join(kernel.folder, "lib");
    mkdirSync(folder, { recursive: true });
    const text = `interface Unused {\n  a: number;\n}\nexport function fail(): never {\n  throw new Error("from the library");\n}\n`;
    writeFileSync(join(folder, "fail.ts"), text);
    const { error } = await kernel.execute(`import { fail } from "./lib/fail";\nfail();`);
    assert.match(error!.traceback.join("\n"), /at fail \(lib\/fail\.ts:5:9\)\n\s+at Cell \[\d+\]:2:1/);
  });

  test("an output is a bundle; it and its updates arrive while the cell runs, also in a synchronous loop", async () => {
    const [one, two] = [makeGate(), makeGate()];
    const id = kernel.submit(`
      const shown = globalThis[Symbol.for("jupyter.kernel") as never] as {
        display(bundle: Record<string, unknown>, options?: { displayId?: string; update?: boolean }): void;
      };
      shown.display({ "text/plain": "a", "application/vnd.plotly.v1+json": { data: [] } }, { displayId: "figure" });
      ${one.inLoop}
      shown.display({ "text/plain": "b" }, { displayId: "figure", update: true });
      ${two.inLoop}`);
    const first = await kernel.wait(({ parent, type }) => parent === id && type === "display_data");
    one.open(); // the first came while the cell was in its loop
    const update = await kernel.wait(({ parent, type }) => parent === id && type === "update_display_data");
    assert.ok(kernel.isBusyWith(id));
    two.open();
    assert.equal((await kernel.result(id)).error, undefined);
    assert.deepEqual(first.content.data["application/vnd.plotly.v1+json"], { data: [] });
    assert.equal(update.content.transient.display_id, "figure");
  });

  test("2000 lines of a synchronous cell all arrive, in order", async () => {
    const { stdout } = await kernel.execute(`for (let i = 0; i < 2000; i++) console.log("line", i);`);
    const want = Array.from({ length: 2000 }, (_, i) => `line ${i}\n`).join("");
    assert.equal(stdout, want);
  });

  const loops = {
    "a synchronous loop": "while (true) turn();",
    "an async loop that waits": "while (true) { turn(); await new Promise((done) => setTimeout(done, 5)); }",
    "an async loop that never really waits": "while (true) { turn(); await null; }",
    "a for await over an endless generator":
      "async function* ticks() { while (true) { await new Promise((done) => setTimeout(done, 5)); yield turn(); } }\nfor await (const tick of ticks()) void tick;",
    "synchronous code after an await":
      "await new Promise((done) => setTimeout(done, 5));\nwhile (true) turn();",
    "a loop of native ops":
      "while (true) { turn(); tf.tidy(() => tf.ones([64, 64]).matMul(tf.ones([64, 64]))); }",
    "a while (true) {} in the library": 'import { spin } from "./lib/spin";\nturn(); turn(); turn(); spin();',
    "a recursion without end in sight":
      "const fib = (n: number): number => (turn(), n < 2 ? n : fib(n - 1) + fib(n - 2));\nfib(60);",
    "a recursion through constructors":
      "class Tree { constructor(depth: number) { if (++turns === 3) console.log('turning'); if (depth > 0) { new Tree(depth - 1); new Tree(depth - 1); } } }\nclass Fir extends Tree { private own = 1; constructor(depth: number) { super(depth); if (depth > 0) new Fir(depth - 1); } }\nnew Fir(60);",
    "a recursion through accessors":
      "const deep = { depth: 60, get half(): number { if (++turns === 3) console.log('turning'); if (deep.depth === 0) return 0; deep.depth--; deep.half; deep.half; return deep.depth++; }, set more(depth: number) { if (++turns === 3) console.log('turning'); if (depth > 0) { deep.more = depth - 1; deep.more = depth - 1; } } };\ndeep.half; deep.more = 60;",
    "a timer that never gives the event loop back":
      "setTimeout(() => { while (true) turn(); }, 10);\nawait new Promise(() => {});",
    "a promise that never settles": "turn(); turn(); turn(); await new Promise(() => {});",
  };
  /** The row says a second; what a crowded machine adds is not the kernel's. The bench has the figure. */
  const mostMs = () => 5000 * slowness();
  for (const [name, code] of Object.entries(loops))
    test(`Stop ends ${name}, keeps the variables, and the next cell runs`, async () => {
      await kernel.execute(`let turns = 0; const kept = 7;
function turn() { if (++turns === 3) console.log("turning"); }`);
      const id = kernel.submit(code);
      await kernel.printed(id, "turning");
      const pressed = performance.now();
      kernel.stop();
      const { error, messages } = await kernel.result(id);
      assert.equal(error?.ename, "KeyboardInterrupt");
      assert.ok(messages.at(-1)!.at - pressed < mostMs(), `${messages.at(-1)!.at - pressed} ms`);
      const after = Number(await kernel.text("turns"));
      assert.ok(after >= 3);
      // Timers of the loop would be due by then.
      assert.equal(
        Number(await kernel.text("await new Promise((done) => setTimeout(done, 50)); turns")),
        after,
      );
      assert.equal(await kernel.text("kept"), "7");
    });

  test("Stop ends what waits, and cells end, while the timers are replaced", async () => {
    await kernel.execute("import { mock } from 'node:test'; mock.timers.enable();");
    const id = kernel.submit("console.log('waiting'); await new Promise(() => {});");
    await kernel.printed(id, "waiting");
    kernel.stop();
    assert.equal((await kernel.result(id)).error?.ename, "KeyboardInterrupt");
    await kernel.execute("mock.timers.reset();");
  });

  test("what a stopped cell left behind ends when it wakes up, and other cells' timers go on", async () => {
    await kernel.execute("let others = 0; const timer = setInterval(() => { others++; }, 20);");
    await kernel.execute("let sleeper = 0;");
    const id = kernel.submit(
      `async function work() { for (;;) { sleeper++; console.log("sleeps"); await new Promise((done) => setTimeout(done, 600)); } }\nawait work();`,
    );
    await kernel.printed(id, "sleeps");
    kernel.stop();
    assert.equal((await kernel.result(id)).error?.ename, "KeyboardInterrupt");
    const [stopped, counted] = JSON.parse((await kernel.text("[sleeper, others]"))!);
    const wait =
      "await new Promise((done) => setTimeout(done, 1500)); clearInterval(timer); [sleeper, others]";
    const [later, countedLater] = JSON.parse((await kernel.text(wait))!);
    assert.equal(later, stopped, "the sleeper went on");
    assert.ok(countedLater > counted, "another cell's timer was stopped");
  });

  const goingOn = {
    "an await": "await pause();",
    "an await in a function":
      "async function wait(): Promise<void> { await pause(); model = 'stale'; }\nawait wait();",
    "an await that fails": "try { await new Promise((_, fail) => setTimeout(fail, 1500)); } catch {}",
    "the end of a for await":
      "for await (const _ of new ReadableStream({ pull: (to) => pause().then(() => to.close()) }));",
    "an await in the project's files":
      'import { pauseThen } from "./lib/pause";\nawait pauseThen(() => { model = "stale"; }, 1500);',
  };
  for (const [kind, code] of Object.entries(goingOn))
    test(`a stopped cell does not go on after ${kind}`, async () => {
      writeFileSync(
        join(kernel.folder, "lib/pause.ts"),
        "export async function pauseThen(work: () => void, ms: number): Promise<void> {\n  await new Promise((done) => setTimeout(done, ms));\n  work();\n}\n",
      );
      await kernel.execute("const pause = () => new Promise((done) => setTimeout(done, 1500));");
      const id = kernel.submit(`let model = "first run"; console.log("waits");
${code}
model = "stale"; console.log("I went on");`);
      await kernel.printed(id, "waits");
      kernel.stop();
      assert.equal((await kernel.result(id)).error?.ename, "KeyboardInterrupt");
      assert.equal(
        await kernel.text('model = "second run"; await pause(); await pause(); model'),
        "'second run'",
      );
      const wentOn = kernel.messages.some(
        ({ type, content }) => type === "stream" && /went on/.test(content.text),
      );
      assert.ok(!wentOn, "it printed");
    });

  test("an error at an await has its line and column", async () => {
    const { error } = await kernel.execute(
      `async function fails() { await null; throw new Error("x"); }\nconst got = 1 + ((await fails()) as never);`,
    );
    assert.match(
      error!.traceback.join("\n"),
      /at fails \(Cell \[\d+\]:1:44\)\n {4}at async Cell \[\d+\]:2:19/,
    );
  });

  test("while no cell runs, Stop ends what ended cells left behind, but no widget and nothing detached", async () => {
    const made = kernel.submit(`let rounds = 0; let detached = 0;
async function turnForEver() { for (;;) { rounds++; await new Promise((done) => setTimeout(done, 5)); } }
void turnForEver();
const { detached: detach } = globalThis[Symbol.for("jupyter.kernel") as never] as { detached(work: () => void): void };
detach(() => void setInterval(() => { detached++; }, 5).unref());
const moved = slider();
moved.onChange((value) => console.log("moved to", value));
moved`);
    const { data } = await kernel.result(made);
    const counts = async () => JSON.parse((await kernel.text("[rounds, detached]"))!);
    const pause = "await new Promise((done) => setTimeout(done, 100));";
    await kernel.execute(pause);
    assert.ok((await counts())[0] > 0);
    await kernel.request("interrupt_request", {}, "control");
    await kernel.execute(pause);
    const [rounds, detached] = await counts();
    await kernel.execute(pause);
    const [later, detachedLater] = await counts();
    assert.equal(later, rounds, "the loop went on");
    assert.ok(detachedLater > detached, "what was detached was stopped");
    kernel.send("shell", "comm_msg", {
      comm_id: data["application/vnd.jupyter.widget-view+json"].model_id,
      data: { method: "update", state: { value: 8 }, buffer_paths: [] },
    });
    await kernel.printed(made, "moved to 8");
  });

  test("a stopped cell's figure is completed all the same, and figures of later cells are drawn", async () => {
    const hasPicture = (id: string) =>
      kernel.wait(
        ({ parent, type, content }) =>
          parent === id && type === "update_display_data" && content.data["image/png"],
      );
    const id = kernel.submit(`import { lines, liveCurve, show } from "../../lib/notebook";
const curve = liveCurve();
for (let step = 1; ; step++) {
  curve.add(step, 1 / step);
  if (step === 3) console.log("curving");
  await new Promise((done) => setTimeout(done, 20));
}`);
    await kernel.printed(id, "curving");
    kernel.stop();
    assert.equal((await kernel.result(id)).error?.ename, "KeyboardInterrupt");
    await hasPicture(id);
    const later = kernel.submit("await show(lines({ a: [1, 2] }));");
    await hasPicture(later);
    assert.equal((await kernel.result(later)).error, undefined);
  });

  test("the kernel is TypeScript to the front end's editor", async () => {
    const { reply } = await kernel.request("kernel_info_request", {});
    assert.equal(reply.language_info.name, "typescript");
    assert.equal(reply.language_info.mimetype, "application/typescript");
  });
});
