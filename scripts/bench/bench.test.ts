import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { contendersFor, ratios, report } from "../bench";
import { startContender } from "./contender";
import { pytorchPython } from "./environment";
import { MOST_LOSS_DIFFERENCE, measure, planOf, quantile, summarize, type WorkResult } from "./measure";
import { least, WORKS } from "./works";

test("quantiles and summaries of times", () => {
  assert.equal(quantile([3, 1, 2], 0.5), 2);
  assert.equal(quantile([1, 2, 3, 4], 0.25), 1.75);
  assert.equal(quantile([5], 0.75), 5);
  const summary = summarize([
    { ms: [1, 3], cpuMs: 4 },
    { ms: [2], cpuMs: 5 },
  ]);
  assert.deepEqual(summary, { lowMs: 1.5, medianMs: 2, highMs: 2.5, cpuMs: 3, count: 3 });
});

const summaryOf = (medianMs: number) => summarize([{ ms: [medianMs], cpuMs: 2 * medianMs }]);
const about = { version: "", parameters: 7, peakBytes: 5e8, compileMs: 250 };
const contender = (name: string, train: number, sample: number) => ({
  name,
  train: summaryOf(train),
  sample: summaryOf(sample),
  about,
});

test("the ratio is ours to the faster of PyTorch's two, by each measure on its own", () => {
  const results = [
    contender("ours", 6, 30),
    contender("PyTorch", 10, 50),
    contender("PyTorch, torch.compile", 12, 40),
  ];
  const result: WorkResult = { work: WORKS.mlp, results, lossDifference: 1e-7 };
  assert.deepEqual(ratios(result), { train: 0.6, sample: 0.75 });
  const text = report(result);
  assert.match(text, /training 0\.60 of PyTorch's best; wanted at most 0\.60\n/);
  assert.match(text, /sampling 0\.75 of PyTorch's best; wanted at most 0\.60: missed/);
  assert.match(text, /0\.25 s/);
  assert.deepEqual(ratios({ ...result, results: results.slice(0, 1) }), { train: null, sample: null });
});

test("the walks are those of the issue: 1,000 ancestral steps, 50 of DDIM without noise", () => {
  const [ancestral, ddim] = [planOf(WORKS.mlp), planOf(WORKS.unet)];
  assert.deepEqual([ancestral.length, ancestral[0].t, ancestral[999].s], [1000, 1000, 0]);
  assert.ok(ancestral[0].sigmaStd > 0);
  assert.deepEqual([ddim.length, ddim[0].t, ddim[49].s], [50, 1000, 0]);
  assert.ok(ddim.every(({ sigmaStd }) => sigmaStd === 0));
});

test("a side that ends before it is asked, or while it is, says why", async () => {
  const start = (script: string) => startContender("theirs", "sh", ["-c", script], process.env);
  const wanted = /theirs ended with code 3\. It said last:\n[\s\S]*no module/;
  const ended = start("echo no module >&2; exit 3");
  await assert.rejects(ended.ask({ ask: "about" }), wanted);
  await assert.rejects(ended.ask({ ask: "about" }), wanted);
  await assert.rejects(start("read question; echo no module >&2; exit 3").ask({ ask: "about" }), wanted);
  const missing = startContender("theirs", "/nowhere/python", [], process.env);
  await assert.rejects(missing.ask({ ask: "about" }), /theirs could not be started \(.*ENOENT/);
});

test("the command measures our side and writes its JSON", () => {
  const folder = mkdtempSync(join(tmpdir(), "bench-test-"));
  try {
    const json = join(folder, "train.json");
    const args = ["--import", "tsx", resolve(__dirname, "../bench.ts"), "train", "--fast", "--works", "mlp"];
    const out = execFileSync(process.execPath, [...args, "--no-compare", "--json", json], {
      cwd: resolve(__dirname, "../.."),
      encoding: "utf8",
    });
    assert.match(out, /2-D MLP, .*: 37762 parameters, batch 4/);
    const { works } = JSON.parse(readFileSync(json, "utf8"));
    assert.equal(works[0].results[0].train.count, 2);
    assert.equal(works[0].ratios.train, null);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

const python = pytorchPython();
for (const name of ["mlp", "unet"])
  test(`PyTorch's twin of ${name} has the same loss and as many weights`, {
    skip: python ? false : "no PyTorch here: npm run bench -- train --with-pytorch",
  }, async () => {
    const work = least(WORKS[name]);
    const [ours, twin, compiledTwin] = contendersFor(work, python, false);
    compiledTwin.stop();
    try {
      const { results, lossDifference } = await measure(work, [ours, twin], { sampling: false });
      assert.ok(lossDifference !== null && lossDifference <= MOST_LOSS_DIFFERENCE);
      assert.equal(results[1].about.parameters, results[0].about.parameters);
    } finally {
      ours.stop();
      twin.stop();
    }
  });

test("what it is asked wrongly is said in one line", () => {
  const run = (...args: string[]) => {
    try {
      execFileSync(process.execPath, ["--import", "tsx", resolve(__dirname, "../bench.ts"), ...args], {
        stdio: "pipe",
      });
    } catch (error) {
      return String((error as { stderr: Buffer }).stderr);
    }
    return "";
  };
  assert.match(run("train", "--works", "lstm"), /unknown work "lstm", expected some of mlp, unet, ddpm/);
  assert.match(run("train", "--turns", "0"), /--turns is 0, expected a positive whole number/);
  assert.match(run(), /^Usage: npm run bench/);
});
