import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { writeCifar10 } from "../lib/testing/images";
import { loadCheckpoint } from "../lib/training";

const folder = mkdtempSync(join(tmpdir(), "lower-bound-classifier-"));
after(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);

/** Runs the command, and interrupts it once it has shown a step of its own. */
function interrupted(...args: string[]): Promise<{ code: number | null; output: string; errors: string }> {
  const command = ["--import", "tsx", join(__dirname, "classifier.ts"), "--data", folder, ...args];
  const child = spawn(process.execPath, command);
  const ended = { output: "", errors: "" };
  child.stdout.on("data", (data) => {
    ended.output += data;
  });
  child.stderr.on("data", (data) => {
    ended.errors += data;
    if (/loss/.test(ended.errors)) child.kill("SIGINT");
  });
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, ...ended })));
}

test("an interrupted training is kept and goes on, and leaves what was exported before as it is", async () => {
  writeCifar10(folder, { train: 80, test: 12 });
  writeFileSync(at("extractor.safetensors"), "the one from before");
  const args = ["--out", at("run"), "--epochs", "500", "--export", at("extractor.safetensors")];
  const first = await interrupted(...args);
  assert.equal(first.code, 130, first.errors);
  assert.match(first.output, /stopped after \d+ of \d+ steps; --resume goes on/);
  assert.equal(readFileSync(at("extractor.safetensors"), "utf8"), "the one from before");
  const { step } = loadCheckpoint(at("run/checkpoint.safetensors"));
  const late = { step: step + 1, loss: 1 }; // of a step that was taken after the checkpoint
  writeFileSync(at("run/metrics.jsonl"), `${JSON.stringify({ step, loss: 2 })}\n${JSON.stringify(late)}\n`);
  const second = await interrupted(...args, "--resume");
  assert.equal(second.code, 130, second.errors);
  assert.ok(loadCheckpoint(at("run/checkpoint.safetensors")).step > step);
  assert.equal(
    readFileSync(at("run/metrics.jsonl"), "utf8").split("\n")[0],
    JSON.stringify({ step, loss: 2 }),
  );
  assert.ok(!readFileSync(at("run/metrics.jsonl"), "utf8").includes(JSON.stringify(late)));
  assert.ok(!existsSync(at("run/lock")));
});
