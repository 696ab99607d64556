import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { makeFolder, noJupyter } from "../../lib/kernel/testing/kernel";
import { type KernelFigures, kernelMarkdown, kernelReport, soakReport, withFigures } from "./kernel-figures";

const bench = (...args: string[]) =>
  promisify(execFile)(
    process.execPath,
    ["--import", "tsx", resolve(__dirname, "../bench.ts"), "kernel", ...args],
    { cwd: resolve(__dirname, "../..") },
  );

const times = {
  start: [1000, 2000, 3000],
  trivial: [5],
  tfjs: [7],
  firstCompletion: [90],
  completion: [40],
  stop: [100],
  startBeside: [],
};
const FIGURES: KernelFigures = {
  machine: { cpu: "CPU", cores: 2, memoryBytes: 1, node: "v20", load: 1 },
  kernels: 5,
  results: [
    { name: "ours", times, memoryMB: null },
    { name: "tslab", times: { ...times, start: [4000], trivial: [20] }, memoryMB: 1000 },
  ],
  soak: { cells: 20, earlyMs: 10, lateMs: 11, memory: [200, 201] },
};

test("the table has a column for each kernel, a dash where nothing was measured", () => {
  const lines = kernelReport({ results: FIGURES.results.slice(0, 1), kernels: 5 }).split("\n");
  assert.match(lines[1], /^start to first result +2000 \(1500–2500\)$/);
  assert.match(lines[2], /^the same beside other kernels +–$/);
  assert.match(lines.at(-1)!, /^memory of 5 kernels with tfjs, MB +–$/);
  assert.match(soakReport(FIGURES.soak!), /20 cells.*10 ms.*11 ms.*200 201/);
  const unknown = { ...FIGURES.soak!, memory: [] };
  assert.match(soakReport(unknown), /11 ms in the last$/);
  assert.match(kernelMarkdown({ ...FIGURES, soak: unknown }), /11 ms in the last\.$/);
});

test("the README's table has what is wanted and the ratio to tslab, and a busy machine is told", () => {
  const text = kernelMarkdown(FIGURES);
  assert.match(text, /^\| start to first result \| 2000 \| 2000 \(1500–2500\) \| 4000 \| 0\.50 \|$/m);
  assert.match(text, /^\| trivial cell \| 30 \| 5 \| 20 \| 0\.25 \|$/m);
  assert.match(text, /^\| the same beside other kernels \| {2}\| – \| – \| – \|$/m);
  assert.match(text, /200, 201 MB/);
  assert.doesNotMatch(text, /only the ratios/);
  const busy = { ...FIGURES, machine: { ...FIGURES.machine, load: 3 } };
  assert.match(kernelMarkdown(busy), /only the ratios/);
});

test("figures take the place of the ones in the README, and nothing else changes", () => {
  const readme = readFileSync(resolve(__dirname, "../../lib/kernel/README.md"), "utf8");
  const once = withFigures(readme, FIGURES);
  assert.ok(once.includes(kernelMarkdown(FIGURES)));
  assert.equal(withFigures(once, FIGURES), once);
  const around = (text: string) =>
    text.replace(/(<!-- npm run bench[^\n]*-->)[\s\S]*(<!-- up to here -->)/, "$1$2");
  assert.equal(around(once), around(readme));
  assert.throws(() => withFigures("no marks", FIGURES), /has no lines/);
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
