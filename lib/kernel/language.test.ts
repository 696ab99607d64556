/** @file The language server: shared by kernels, started again when it dies, gone with the last kernel; completion and inspection. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { isRunning, noJupyter, ownServer, TestKernel, until } from "./testing/kernel";

const options = { skip: noJupyter(), timeout: 900_000 };
const noSockets = process.platform === "win32" ? "no Unix sockets here: each kernel has a thread" : undefined;

/** What is offered at the end of `before`. */
async function complete(kernel: TestKernel, before: string, after = ""): Promise<string[]> {
  const { reply } = await kernel.request("complete_request", {
    code: before + after,
    cursor_pos: [...before].length,
  });
  return reply.matches;
}

describe("completion and inspection", options, () => {
  let kernel: TestKernel;
  before(async () => {
    kernel = await TestKernel.start();
    const write = (name: string, text: string) => {
      mkdirSync(dirname(join(kernel.folder, name)), { recursive: true });
      writeFileSync(join(kernel.folder, name), text);
    };
    write(
      "shapes/circle.ts",
      "/**\n * Area of a disc.\n * @param radius in metres\n */\nexport const area = (radius: number) => 3 * radius;\n",
    );
    await kernel.execute(`import { tf } from "../../lib/tensor";\nconst batch = tf.ones([2, 3]);`);
    await kernel.execute("/** How many there are. */\nconst howMany = 3;");
  });
  after(() => kernel?.close());

  test("names of earlier cells, also while tfjs is loaded", async () =>
    assert.deepEqual(await complete(kernel, "howM"), ["howMany"]));
  test("members, of a tensor and of a namespace", async () => {
    assert.ok((await complete(kernel, "batch.matM")).includes("matMul"));
    assert.ok((await complete(kernel, "tf.layers.den")).includes("dense"));
    assert.ok((await complete(kernel, "const own = { left: 1 }; own.")).includes("left"));
  });
  test("names to import", async () =>
    assert.deepEqual(await complete(kernel, "import { ar", ` } from "./shapes/circle";`), ["area"]));
  test("paths to import from", async () => {
    assert.ok((await complete(kernel, `import { area } from "./shapes/`)).includes("circle"));
    assert.ok((await complete(kernel, `import x from "../../lib/`)).includes("tensor"));
  });
  /** The text after a match of `before` was taken in. */
  const completed = async (before: string, name: string) => {
    const { reply } = await kernel.request("complete_request", { code: before, cursor_pos: before.length });
    const whole = reply.matches.map((match: string) => before.slice(0, reply.cursor_start) + match);
    assert.ok(whole.includes(name), `${before} → ${whole.slice(0, 5).join(", ")}`);
  };
  test("inside strings, with characters that no name has", async () => {
    await completed(`import x from "node:f`, `import x from "node:fs`);
    await completed(`import x from "node:`, `import x from "node:fs`);
    await completed(`import x from "@tens`, `import x from "@tensorflow/tfjs`);
    await completed(`import x from "plotly.j`, `import x from "plotly.js-dist-min`);
    await completed(
      `type Mode = "foo-bar" | "foo-baz"; const m: Mode = "foo-b`,
      `type Mode = "foo-bar" | "foo-baz"; const m: Mode = "foo-bar`,
    );
  });

  const inspect = async (code: string) =>
    (await kernel.request("inspect_request", { code, cursor_pos: code.length, detail_level: 0 })).reply;

  test("inspection shows type and doc comment as Markdown", async () => {
    const own = (await inspect("howMany")).data["text/markdown"];
    assert.match(own, /```typescript\nconst howMany: 3\n```\n\nHow many there are\./);
    await kernel.execute(`/** Doubles. @param n any number */
function twice(n: number) { return 2 * n; }
/** A box. */
class Box {
  /** How wide. */
  width = 1;
}
const settings = {
  /** How fast. */
  speed: 1,
};
enum Kind {
  Plain,
  /** With a lid. */
  Lidded,
}`);
    for (const [code, comment] of [
      ["twice(", "Doubles."],
      ["Box", "A box."],
      ["new Box().width", "How wide."],
      ["settings.speed", "How fast."],
      ["Kind.Lidded", "With a lid."],
    ])
      assert.ok((await inspect(code)).data["text/markdown"].includes(comment), code);
    const imported = await kernel.execute(`import { area } from "./shapes/circle";`);
    assert.equal(imported.error, undefined);
    const { data } = await inspect("area");
    assert.match(data["text/markdown"], /area.*radius: number.*number/);
    assert.match(data["text/markdown"], /Area of a disc\.\n\n\*@param\* radius in metres/);
    assert.match(data["text/plain"], /Area of a disc\./);
  });
  test("inspection of an option shows what its type says of it", async () => {
    await kernel.execute(
      "interface Sizes {\n  /** In metres. */\n  width?: number;\n}\nconst take = (sizes: Sizes) => sizes;",
    );
    assert.match((await inspect("take({ width")).data["text/markdown"], /In metres\./);
    assert.match((await inspect("tf.layers.dense({ units")).data["text/markdown"], /dimensionality/);
  });

  test("inspection finds a package's comment, a builtin's, and of overloads the one that is called", async () => {
    assert.match((await inspect("tf.matMul")).data["text/markdown"], /dot product of two matrices/);
    assert.match((await inspect("Math.max")).data["text/markdown"], /larger of a set/);
    assert.match((await inspect("display")).data["text/markdown"], /Shows an output/);
    assert.equal((await inspect("   ")).found, false);
  });
});

describe("the language server", { ...options, skip: options.skip ?? noSockets }, () => {
  const server = ownServer();
  const start = () => TestKernel.start(undefined, server.env);

  test("two kernels share one, keep their names apart, and go on when it is killed", async () => {
    const [one, two] = [await start(), await start()];
    await one.execute("const name = 1; type Shape = { a: number };");
    await two.execute(`const name = "two";`);
    assert.equal(await one.text("name + 1"), "2");
    assert.equal(await two.text("name.length"), "3");
    assert.equal(server.pids().length, 1);
    process.kill(server.pids()[0], "SIGKILL");
    assert.equal(await one.text("const shape: Shape = { a: name }; shape"), "{ a: 1 }");
    assert.ok((await complete(two, "name.to")).includes("toUpperCase"));
    await Promise.all([one.close(), two.close()]);
  });

  test("it ends when its last kernel is gone, also one that was killed with its Jupyter server", async () => {
    const kernel = await start();
    const pids = server.pids();
    assert.equal(pids.length, 1);
    assert.equal(server.sockets().length, 1);
    kernel.killServer();
    await until(() => !kernel.isRunning() && pids.every((pid) => !isRunning(pid)), "kernel and server end");
    assert.deepEqual(server.sockets(), [], "the next kernel would not start a server early");
  });
});

test("where there can be no socket, a kernel checks in a thread of its own", options, async () => {
  const { env, pids } = ownServer();
  const kernel = await TestKernel.start(undefined, {
    XDG_RUNTIME_DIR: join(env.XDG_RUNTIME_DIR!, "x".repeat(120)),
  });
  assert.equal(await kernel.text("const seven: number = 7; seven * 6"), "42");
  assert.match((await kernel.execute(`const wrong: number = "";`)).error!.evalue, /not assignable/);
  assert.deepEqual(pids(), []);
  await kernel.close();
});
