/** @file How a kernel ends: by itself, by a crash, with its server; that it starts again, and what remains. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { isRunning, makeFolder, noJupyter, TestKernel, until } from "./testing/kernel";

const options = { skip: noJupyter(), timeout: 900_000 };

describe("a kernel that dies", options, () => {
  let kernel: TestKernel;
  before(async () => {
    kernel = await TestKernel.start(makeFolder(), { NODE_OPTIONS: "--max-old-space-size=128" });
  });
  after(() => kernel?.close());

  const deaths = {
    "process.exit()": "process.exit(3);",
    "memory that runs out": "const all: number[][] = []; while (true) all.push(new Array(1e6).fill(0.5));",
    "a native crash": `process.kill(process.pid, "SIGSEGV"); while (true);`,
    "process.abort()": "process.abort();",
  };
  for (const [name, code] of Object.entries(deaths))
    test(`${name}: the front end is told, the server starts it again, and nothing of it is left`, async () => {
      await kernel.execute("const before = 1;");
      const { pid } = kernel;
      kernel.submit(code);
      await kernel.restartedByServer();
      assert.equal(isRunning(pid), false);
      assert.notEqual(kernel.pid, pid);
      assert.equal(await kernel.text("6 * 7"), "42");
      assert.match((await kernel.execute("before")).error!.evalue, /Cannot find name 'before'/);
    });
});

test("process.exit: what was printed before arrives", options, async (t) => {
  const kernel = await TestKernel.start();
  t.after(() => kernel.close());
  const id = kernel.submit(`console.log("last words"); process.exit(3);`);
  await kernel.wait(({ parent, type }) => parent === id && type === "stream");
  await until(() => !kernel.isRunning(), "the kernel ends");
});

test(
  "a shutdown request is answered, and ends a kernel in an endless loop of a package",
  options,
  async () => {
    const kernel = await TestKernel.start();
    const id = kernel.submit(`console.log("in it"); globalThis.eval("while (true);");`);
    await kernel.wait(({ parent, type }) => parent === id && type === "stream");
    const shutdown = kernel.send("control", "shutdown_request", { restart: false });
    await kernel.wait(({ parent, type }) => parent === shutdown && type === "shutdown_reply");
    await until(() => !kernel.isRunning(), "the kernel ends");
    await kernel.close();
  },
);

test("a kernel whose server is killed ends by itself, also in the middle of a loop", options, async () => {
  const kernel = await TestKernel.start();
  const id = kernel.submit("console.log('in the loop'); while (true);");
  await kernel.wait(({ parent, type }) => parent === id && type === "stream");
  kernel.killServer();
  await until(() => !kernel.isRunning(), "the kernel ends");
});
