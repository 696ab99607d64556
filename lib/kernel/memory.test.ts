/** @file Memory: what it comes back to after a flood, over many cells, and of five kernels together. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { memoryTogether, noJupyter, ownServer, TestKernel, until } from "./testing/kernel";

const noSizes = existsSync("/proc/self/smaps_rollup") ? undefined : "only Linux tells sizes of shared memory";
const options = { skip: noJupyter() ?? noSizes, timeout: 900_000 };

describe("one kernel's memory", options, () => {
  const server = ownServer();
  let kernel: TestKernel;
  before(async () => {
    kernel = await TestKernel.start(undefined, server.env);
  });
  after(() => kernel?.close());

  const floods = {
    "100,000 lines": "for (let i = 0; i < 100_000; i++) console.log(i);",
    "a string of 50 MB": `process.stdout.write("x".repeat(50_000_000));`,
  };
  for (const [name, code] of Object.entries(floods))
    test(`comes back after ${name}: again and again nothing is added, and no copy of it stays`, async () => {
      const before = kernel.memory();
      const mostMB = before + 150;
      for (let times = 0; times < 4; times++) assert.ok((await kernel.execute(code)).stdout.length > 500_000);
      await until(() => kernel.memory() < mostMB, `from ${kernel.memory()} MB to less than ${mostMB} MB`);
    });

  test("is flat over 300 cells, the language server's too", async () => {
    const pids = [kernel.pid, ...server.pids()];
    assert.equal(pids.length, 2);
    await kernel.execute(`import v8 from "node:v8"; import vm from "node:vm";
v8.setFlagsFromString("--expose-gc");
const collect = vm.runInNewContext("gc") as () => void;`);
    const heapKB = async () =>
      Number(await kernel.text("collect(); collect(); v8.getHeapStatistics().used_heap_size >> 10"));
    let count = 0;
    const run = async (cells: number) => {
      for (const end = count + cells; count < end; count++) {
        const value = `cell${count}`;
        const code = `const ${value} = Array.from({ length: 50 }, (_, i) => i + ${count});\nconsole.log(${value}.length); ${value}.length`;
        assert.equal(await kernel.text(code), "50");
      }
      await sleep(3000); // it rests, and gives back
      return { heap: await heapKB(), together: memoryTogether(pids) };
    };
    await run(100);
    const [early, late] = [await run(50), await run(150)];
    assert.ok(late.heap < early.heap + 150 * 20, `${early.heap} kB after 150 cells, ${late.heap} after 300`);
    assert.ok(late.together < early.together + 60, `${early.together} MB, then ${late.together} MB`);
  });
});

test(
  "five kernels with tfjs hold less than 1.2 GB together, pages that they share counted once",
  options,
  async () => {
    const server = ownServer();
    const kernels: TestKernel[] = [];
    for (let i = 0; i < 5; i++) kernels.push(await TestKernel.start(undefined, server.env));
    try {
      for (const kernel of kernels)
        assert.equal(
          await kernel.text(
            `import { tf } from "../../lib/tensor";\ntf.ones([8, 8]).matMul(tf.ones([8, 8])).sum().arraySync()`,
          ),
          "512",
        );
      assert.equal(server.pids().length, 1);
      const together = () => memoryTogether([...kernels.map(({ pid }) => pid), ...server.pids()]);
      await until(() => together() < 1200, `five kernels: ${together().toFixed(0)} MB`);
    } finally {
      await Promise.all(kernels.map((kernel) => kernel.close()));
    }
  },
);
