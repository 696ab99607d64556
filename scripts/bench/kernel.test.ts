import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { makeFolder, noJupyter } from "../../lib/kernel/testing/kernel";
import { kernelReport, soakReport } from "./kernel";

const bench = (...args: string[]) =>
  promisify(execFile)(
    process.execPath,
    ["--import", "tsx", resolve(__dirname, "../bench.ts"), "kernel", ...args],
    { cwd: resolve(__dirname, "../..") },
  );

test("the table has a column for each kernel, a dash where nothing was measured", () => {
  const times = {
    start: [1000, 2000, 3000],
    trivial: [5],
    tfjs: [7],
    firstCompletion: [90],
    completion: [40],
  };
  const result = { name: "ours", times: { ...times, stop: [100], startBeside: [] }, memoryMB: null };
  const lines = kernelReport([result], 5).split("\n");
  assert.match(lines[1], /^start to first result +2000 \(1500–2500\)$/);
  assert.match(lines[2], /^the same beside other kernels +–$/);
  assert.match(lines.at(-1)!, /^memory of 5 kernels with tfjs, MB +–$/);
  assert.match(
    soakReport({ cells: 20, earlyMs: 10, lateMs: 11, memory: [200, 201] }),
    /20 cells.*10 ms.*11 ms.*200 201/,
  );
});

test("what it is asked wrongly is said in one line", async () => {
  await assert.rejects(bench("--turns", "0"), /--turns is 0, expected a positive whole number/);
  await assert.rejects(bench("--help"), /Usage: npm run bench -- kernel/);
});

test("the command measures our kernel beside stock tslab and writes its JSON", {
  skip: noJupyter(),
  timeout: 900_000,
}, async () => {
  const json = join(makeFolder(), "kernel.json");
  const { stdout } = await bench("--fast", "--kernels", "1", "--soak", "10", "--json", json);
  assert.match(stdout, /ms: median \(quartiles\) +ours +tslab/);
  const { results, soak } = JSON.parse(readFileSync(json, "utf8"));
  assert.deepEqual(
    results.slice(0, 2).map(({ name }: { name: string }) => name),
    ["ours", "tslab"],
  );
  assert.equal(results[0].times.trivial.length, 2);
  assert.equal(soak.cells, 10);
});
