import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { loadCheckpoint } from "../lib/training";
import { parseRequest } from "./train/request";

const folder = mkdtempSync(join(tmpdir(), "lower-bound-train-"));
after(() => rmSync(folder, { recursive: true }));

// Records of CIFAR-10's binary format: a label and 3072 pixels.
const RECORD = 3073;
const records = Uint8Array.from({ length: 12 * RECORD }, (_, i) =>
  i % RECORD === 0 ? (i / RECORD) % 10 : (i * 37) % 256,
);
writeFileSync(join(folder, "data_batch_1.bin"), records);

interface Ended {
  code: number | null;
  output: string;
  errors: string;
}

/** Runs a command to its end; `watch` hears each piece of what it prints. */
function command(
  script: "train" | "sample",
  args: readonly string[],
  watch: (text: string, child: ChildProcess) => void = () => {},
): Promise<Ended> {
  const child = spawn(process.execPath, ["--import", "tsx", join(__dirname, `${script}.ts`), ...args]);
  const ended = { output: "", errors: "" };
  const listen = (kind: "output" | "errors") => (data: Buffer) => {
    ended[kind] += data;
    watch(ended.output + ended.errors, child);
  };
  child.stdout.on("data", listen("output"));
  child.stderr.on("data", listen("errors"));
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, ...ended })));
}

const tiny = (out: string, steps: number, ...rest: string[]) => [
  ...["cifar10", "--data", folder, "--out", join(folder, out), "--steps", String(steps), ...rest],
];
const settings = ["--batch", "2", "--seed", "3"];
const checkpointOf = (out: string) => loadCheckpoint(join(folder, out, "checkpoint.safetensors"));
const metricsOf = (out: string) =>
  readFileSync(join(folder, out, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

describe("npm run train and sample", () => {
  test("a run in two parts equals a run in one, loss for loss and weight for weight", async () => {
    const whole = await command("train", tiny("whole", 5, ...settings));
    assert.equal(whole.code, 0, whole.errors);
    assert.match(whole.output, /12 training and 0 test images, a part of the set/);
    assert.match(whole.errors, /5\/5 {2}loss \d\.\d{4} {2}[\d.]+ images\/s {2}0:00 left/);
    await command("train", tiny("parts", 3, ...settings));
    assert.equal(checkpointOf("parts").step, 3);
    const rest = await command("train", tiny("parts", 5, "--resume"));
    assert.equal(rest.code, 0, rest.errors);
    const steps = (out: string) => metricsOf(out).map(({ step, loss }) => ({ step, loss }));
    assert.deepEqual(
      steps("whole").map(({ step }) => step),
      [1, 2, 3, 4, 5],
    );
    assert.deepEqual(steps("parts"), steps("whole"));
    assert.deepEqual(checkpointOf("parts"), checkpointOf("whole"));
    assert.equal(JSON.parse(readFileSync(join(folder, "whole/config.json"), "utf8")).seed, 3);
  });

  test("an interrupted run saves what it has and can go on", async () => {
    let sent = false;
    const interrupted = await command("train", tiny("stopped", 100_000, ...settings), (text, child) => {
      if (sent || !/loss/.test(text)) return;
      sent = true;
      child.kill("SIGINT");
    });
    assert.match(interrupted.errors, /finishing this step and saving/);
    assert.equal(interrupted.code, 0, interrupted.errors);
    const { step } = checkpointOf("stopped");
    assert.ok(step >= 1 && step < 1000);
    assert.equal(metricsOf("stopped").length, step);
    const rest = await command("train", tiny("stopped", step + 1, "--resume"));
    assert.equal(rest.code, 0, rest.errors);
    assert.equal(checkpointOf("stopped").step, step + 1);
  });

  test("samples of a checkpoint are a PNG grid, another for each seed", async () => {
    const from = [
      "--checkpoint",
      join(folder, "whole/checkpoint.safetensors"),
      "--count",
      "5",
      "--steps",
      "2",
    ];
    const draw = async (name: string, seed: string) => {
      const out = join(folder, name);
      const ended = await command("sample", [...from, "--out", out, "--seed", seed]);
      assert.equal(ended.code, 0, ended.errors);
      return readFileSync(out);
    };
    const [a, b] = [await draw("a.png", "1"), await draw("b.png", "2")];
    assert.equal(a.subarray(1, 4).toString(), "PNG");
    assert.equal(a.readUInt32BE(16), 3 * 64 + 2 * 2); // three columns of enlarged pictures
    assert.notDeepEqual(a, b);
  });

  test("mistakes get one line that says what is expected, and a code", async () => {
    const present = join(folder, "whole/checkpoint.safetensors");
    writeFileSync(join(folder, "cut.safetensors"), readFileSync(present).subarray(0, 5000));
    const cases: [string[], RegExp][] = [
      [["imagenet"], /^unknown data set "imagenet", expected cifar10\.$/],
      [tiny("no", 5, "--weighting", "half"), /^--weighting is "half", expected one of vlb, simple/],
      [tiny("no", 5, "--net", "big"), /^--net is "big", expected one of small, patches, ddpm/],
      [tiny("no", 5, "--seed", "-1"), /^--seed is "-1", expected a whole number/],
      [tiny("no", 0), /^--steps is "0", expected a whole number/],
      [tiny("whole", 5), /whole holds a run already\. Go on with --resume/],
      [tiny("whole", 5, "--resume"), /whole has taken 5 steps already/],
      [tiny("whole", 9, "--resume", "--batch", "4"), /^--batch is part of the run/],
      [tiny("no", 5, "--resume"), /^loadCheckpoint: .*no such file/],
    ];
    for (const [args, message] of cases)
      assert.throws(
        () => parseRequest(args),
        (error: Error) => {
          assert.match(error.message, message);
          return !error.message.includes("\n");
        },
      );
    const cut = await command("sample", ["--checkpoint", join(folder, "cut.safetensors")]);
    const many = await command("train", tiny("no", 5, "--batch", "many"));
    for (const [{ code, errors }, message] of [
      [cut, /^sample: loadCheckpoint: .*truncated.*\n$/],
      [many, /^train: --batch is "many", expected a whole number.*\n$/],
    ] as const) {
      assert.equal(code, 1);
      assert.match(errors.replace(/^(WARNING|I0000).*\n/gm, ""), message);
    }
    assert.ok(!existsSync(join(folder, "no")));
  });
});
