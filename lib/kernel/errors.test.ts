/** @file What an error shows, also one that can hardly be shown, and that no error ends more than its cell. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { noJupyter, TestKernel } from "./testing/kernel";

describe("errors", { skip: noJupyter(), timeout: 600_000 }, () => {
  let kernel: TestKernel;
  before(async () => {
    kernel = await TestKernel.start();
  });
  after(() => kernel?.close());

  const late: Record<string, [thrown: string, shown: RegExp]> = {
    "that is its own cause": [
      `const e: any = new Error("loop"); e.cause = e; throw e;`,
      /^Error: loop\n\s+at .*Cell \[\d+\]:1:\d+/,
    ],
    "whose cause is caused by it": [
      `const e: any = new Error("loop"); e.cause = new Error("inner", { cause: e }); throw e;`,
      /^Error: loop\n[\s\S]*caused by:\nError: inner/,
    ],
    "without a prototype": ["throw Object.create(null);", /^Thrown: \[Object: null prototype\] {}\n/],
    "that is an object": ["throw { code: 5 };", /^Thrown: { code: 5 }\n/],
    "caused by an object": [
      `throw new Error("e", { cause: { code: 5 } });`,
      /caused by:\nThrown: { code: 5 }\n/,
    ],
    "whose message throws": [
      `const e: any = new Error(); Object.defineProperty(e, "message", { get() { throw 1; } }); throw e;`,
      /^Thrown: a value that cannot be shown\n/,
    ],
    "that is a revoked proxy": [
      "const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); throw proxy;",
      /^Thrown: .+\n/,
    ],
  };
  for (const [kind, [code, shown]] of Object.entries(late))
    test(`a late error ${kind} is shown, and the kernel lives on`, async () => {
      const { pid } = kernel;
      const id = kernel.submit(
        `setTimeout(() => { ${code} }, 10); await new Promise((done) => setTimeout(done, 50));`,
      );
      const { stderr } = await kernel.result(id);
      assert.match(stderr, shown);
      assert.equal(await kernel.text("1 + 1"), "2");
      assert.equal(kernel.pid, pid);
    });

  test("of an error and of that of the disposal after it both are shown, without the helpers' lines", async () => {
    const { error } = await kernel.execute(
      "using held = { [Symbol.dispose]() { throw new Error('of dispose'); } };\nthrow new Error('of body');",
    );
    const trace = error!.traceback.join("\n");
    assert.match(trace, /of the disposal:\nError: of dispose\n\s+at .*Cell \[\d+\]:1:\d+/);
    assert.match(trace, /before it:\nError: of body\n\s+at Cell \[\d+\]:2:\d+/);
    assert.doesNotMatch(trace, /__disposeResources|__addDisposable/);
  });

  test("a cell that is too deep for the checker says so, and those that wait are aborted", async () => {
    const deep = kernel.submit(`const sum = ${"1+".repeat(20_000)}1; sum`);
    const next = kernel.submit("1 + 1");
    const { error, reply } = await kernel.result(deep);
    assert.match(error!.evalue, /nests too deep.*Split it/);
    assert.equal(typeof reply.execution_count, "number");
    assert.equal((await kernel.result(next)).reply.status, "aborted");
    assert.equal(await kernel.text("1 + 1"), "2");
  });

  test("await without anything to wait for is an error of the cell's own text", async () => {
    for (const code of ["const got = await", "1; await // nothing"]) {
      const { error } = await kernel.execute(code);
      assert.match(error!.evalue, /Cell \[\d+\]:1:\d+ - Expression expected/, code);
      assert.doesNotMatch(error!.traceback.join("\n"), /resumed/);
    }
  });

  test("a cell keeps its variables, whatever it throws", async () => {
    const thrown = [
      "const e1: any = new Error('loop'); e1.cause = e1; throw e1;",
      "throw Object.create(null);",
      "throw new Proxy({}, { getPrototypeOf() { throw 1; }, get() { throw 2; } });",
    ];
    for (const [index, code] of thrown.entries()) {
      const { error } = await kernel.execute(`const before${index} = ${index}; ${code}`);
      assert.notEqual(error?.ename, "KernelError");
      assert.equal(await kernel.text(`before${index}`), String(index));
    }
  });

  test("messages and traces name variables as the reader does", async () => {
    const messages: Record<string, string> = {
      "const f1: any = 5; f1()": "f1 is not a function",
      "const f2: any = {}; new Set(f2.more.yet)": "Cannot read properties of undefined (reading 'yet')",
      "const n1: any = undefined; const { q } = n1;":
        "Cannot destructure property 'q' of 'n1' as it is undefined.",
      "const n2: any = async () => undefined; const { q2 } = await n2();":
        "Cannot destructure property 'q2' of '(intermediate value)' as it is undefined.",
      "const C1: any = {}; new C1.inner.Deep()": "Cannot read properties of undefined (reading 'Deep')",
      "const tag: any = 5; tag`x`": "tag is not a function",
    };
    for (const [code, message] of Object.entries(messages)) {
      const { error } = await kernel.execute(code);
      assert.equal(error!.evalue, message);
      assert.ok(
        error!.traceback.join("\n").startsWith(`TypeError: ${message}\n    at Cell`),
        error!.traceback[0],
      );
    }
    const { stdout } = await kernel.execute(
      "const f3: any = 5; try { f3(); } catch (error) { console.log(error); }",
    );
    assert.match(stdout, /^TypeError: f3 is not a function\n/);
  });
});
