import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { cosineSchedule, ddimPlan, type Model } from "../../lib/diffusion";
import type { Evaluation } from "../../lib/metrics";
import { smallRun, untrainedCheckpoint, writeCifar10, writeClassifier } from "../../lib/testing/images";
import { saveCheckpoint, type TrainedModel } from "../../lib/training";
import { MEASURES } from "./report";
import { parseRequest } from "./request";
import { measureSamples } from "./stages";
import { openStore } from "./store";

const folder = mkdtempSync(join(tmpdir(), "lower-bound-evaluate-"));
after(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);

writeCifar10(folder, { train: 60, test: 40 });

/** Runs the command; `watch` may stop it once `state.json` says so. */
function evaluate(
  args: string[],
  stopWhen?: (state: string) => boolean,
): Promise<{ code: number | null; output: string; errors: string }> {
  const out = args[args.indexOf("--out") + 1];
  const child = spawn(process.execPath, ["--import", "tsx", join(__dirname, "../evaluate.ts"), ...args]);
  const ended = { output: "", errors: "" };
  child.stdout.on("data", (data) => {
    ended.output += data;
  });
  child.stderr.on("data", (data) => {
    ended.errors += data;
  });
  const looking = setInterval(() => {
    const path = join(out, "state.json");
    if (!stopWhen || !existsSync(path) || !stopWhen(readFileSync(path, "utf8"))) return;
    clearInterval(looking);
    child.kill("SIGKILL");
  }, 2);
  return new Promise((resolve) =>
    child.on("close", (code) => {
      clearInterval(looking);
      resolve({ code, ...ended });
    }),
  );
}

const asked = (out: string, ...rest: string[]) => [
  ...["--checkpoint", at("model.safetensors"), "--classifier", at("extractor.safetensors"), "--data", folder],
  ...[
    "--out",
    at(out),
    "--n",
    "130",
    "--bits-images",
    "40",
    "--parts",
    "4",
    "--steps",
    "3",
    "--neighbours",
    "2",
    "--features",
    at(`${out}-features`),
    ...rest,
  ],
];

describe("npm run evaluate", async () => {
  const config = smallRun({ numSteps: 12, schedule: "cosine" });
  saveCheckpoint(at("model.safetensors"), untrainedCheckpoint(config));
  await writeClassifier(at("extractor.safetensors"));

  test("killed in the middle and begun again, it says what an uninterrupted one says", async () => {
    const whole = await evaluate(asked("whole", "--json"));
    assert.equal(whole.code, 0, whole.errors);
    const report = JSON.parse(whole.output);
    let kills = 0;
    for (const stage of ['"bits":32', '"samples":64', '"reference-features', ': FID"'])
      if ((await evaluate(asked("parts", "--json"), (state) => state.includes(stage))).code === null) kills++;
    assert.ok(kills > 0, "no run was killed: nothing was tested");
    const rest = await evaluate(asked("parts", "--json"));
    assert.equal(rest.code, 0, rest.errors);
    const lasting = ({ seconds: _, peakMemoryMB: __, ...found }: Evaluation) => found;
    assert.deepEqual(lasting(JSON.parse(rest.output)), lasting(report));

    const { found, rows } = JSON.parse(readFileSync(at("parts/state.json"), "utf8"));
    assert.equal(Object.keys(found).length, MEASURES);
    assert.ok(Object.keys(rows).some((name) => name.startsWith("reference-features")));
    assert.equal(report.bits.images, 40);
    assert.equal(report.bits.parts.length, 4);
    assert.ok(report.bits.bitsPerDim.mean > 0 && report.bits.bitsPerDim.standardError > 0);
    const { fid, kid, precisionRecall, neighbours, reference, floorN, n } = report.samples;
    assert.deepEqual([n, floorN, reference], [130, 40, "cifar10 train 60"]);
    assert.ok(fid.samples > 0 && fid.floor > 0 && fid.samples !== fid.floor);
    assert.ok(kid.samples.standardError > 0 && kid.floor.standardError > 0);
    for (const share of Object.values(precisionRecall.floor)) assert.ok((share as number) > 0);
    assert.equal(neighbours.length, 2);

    const people = await evaluate(asked("whole"));
    assert.match(
      people.output,
      /bits\/dim +\d+\.\d{4} ± \d+\.\d{4} {2}\(± standard error over 40 test images, 1 draw of 4 t each; x̂0 clipped\)/,
    );
    assert.match(
      people.output,
      /FID\[n = 130, extractor, \d+\.\d % right, cifar10 train 60\] {2}[\d.]+ {3}\(real against real at n = 40: [\d.]+\)/,
    );
    const other = await evaluate(asked("whole", "--seed", "9"));
    assert.equal(other.code, 1);
    assert.match(
      other.errors,
      /whole holds an evaluation with seed 0, asked for is 9\. Measure it into another folder/,
    );
  });

  test("features of real images are computed once for evaluations of all models, and give the same numbers", async () => {
    const stagesOf = ({ seconds }: Evaluation) =>
      Object.keys(seconds).filter((stage) => /^re(al|ference)-features/.test(stage));
    const own = JSON.parse((await evaluate(asked("own", "--seed", "3", "--json"))).output);
    const shared = ["--features", at("own-features")];
    const { output, errors } = await evaluate(asked("other", "--seed", "3", "--json", ...shared));
    const other = JSON.parse(output || "{}");
    assert.deepEqual([stagesOf(own).length, stagesOf(other)], [2, []], errors);
    assert.deepEqual(other.samples, own.samples);
    const [name] = readdirSync(at("own-features"));
    truncateSync(at(`own-features/${name}`), 100);
    const again = JSON.parse((await evaluate(asked("again", "--seed", "3", "--json", ...shared))).output);
    assert.equal(stagesOf(again).length, 1, "a file of another size is not what it should be");
    assert.deepEqual(again.samples, own.samples);
    const altered = readFileSync(at(`own-features/${name}`));
    altered.writeFloatLE(altered.readFloatLE(0) + 1, 0);
    writeFileSync(at(`own-features/${name}`), altered);
    const anew = JSON.parse((await evaluate(asked("anew", "--seed", "3", "--json", ...shared))).output);
    assert.equal(stagesOf(anew).length, 1, "features of other code are not taken");
    assert.deepEqual(anew.samples, own.samples);
  });

  test("a model that was told classes draws all of them, guided as asked, and says so", async () => {
    const told = smallRun({ numSteps: 12, schedule: "cosine" }, 10);
    saveCheckpoint(at("told.safetensors"), untrainedCheckpoint(told));
    const asks = (out: string, ...rest: string[]) =>
      asked(out, "--checkpoint", at("told.safetensors"), "--n", "66", "--json", ...rest);
    const { code, output, errors } = await evaluate(asks("told", "--guidance", "2"));
    assert.equal(code, 0, errors);
    const { sampler, samples, bits } = JSON.parse(output) as Evaluation;
    assert.equal(sampler, "ddim, 3 steps, its classes in turn, guidance 2");
    assert.deepEqual([samples.n, bits.withoutClass], [66, true]);
    const other = await evaluate(asks("told"));
    assert.match(other.errors, /told holds an evaluation with guidance 2, asked for is 1/);
  });

  test("what cannot be evaluated is refused in one line", async () => {
    const refused = async (args: string[], message: RegExp) => {
      const { code, errors } = await evaluate(args);
      assert.equal(code, 1);
      assert.match(errors, message);
      assert.equal(errors.trim().split("\n").length, 1, errors);
    };
    await refused(
      asked("unfinished", "--trained-steps", "7"),
      /model\.safetensors has \d+ steps of training behind it, expected 7/,
    );
    assert.ok(!existsSync(at("unfinished/state.json")), "a folder that is not yet its turn");
    await refused(asked("a", "--guidance", "2"), /--guidance needs a model that was told classes/);
    await writeClassifier(at("small.safetensors"), 16);
    await refused(
      asked("a", "--classifier", at("small.safetensors")),
      /evaluate: .*small\.safetensors sees images of 16 × 16 × 3, the checkpoint's are 32 × 32 × 3/,
    );
    await refused(
      asked("a", "--checkpoint", at("extractor.safetensors")),
      /evaluate: .*extractor\.safetensors.*unknown/,
    );
    const bytes = readFileSync(at("model.safetensors"));
    bytes.writeFloatLE(Number.NaN, bytes.length - 4);
    writeFileSync(at("nan.safetensors"), bytes);
    await refused(asked("a", "--checkpoint", at("nan.safetensors")), /not finite: .* has NaN/);
    writeFileSync(at("cut.safetensors"), bytes.subarray(0, 900));
    await refused(asked("a", "--checkpoint", at("cut.safetensors")), /truncated/);
  });
});

test("samples are of all classes in turn, as many of each in a batch, and as far towards them as asked", async () => {
  const schedule = cosineSchedule({ numSteps: 4 });
  const asked: [number, number | undefined][] = [];
  const model: Model = {
    ...{ schedule, parameterization: "eps", variance: "beta" },
    predict: (xt) => xt.mul(0),
  };
  const trained = {
    net: { classes: 10 },
    forSamples(count: number, scale?: number) {
      asked.push([count, scale]);
      return model;
    },
  } as unknown as TrainedModel;
  const store = openStore(at("guided"), {});
  const plan = ddimPlan(schedule, { steps: [2, 4] });
  const options = { count: 130, plan, seed: 0, shape: [2, 2, 1], guidance: 3 } as const;
  const watch = { signal: new AbortController().signal, show: () => {} };
  const rows = await measureSamples(store, trained, options, watch);
  assert.equal(rows.count, 130);
  assert.deepEqual(asked, [
    [60, 3],
    [10, 3],
  ]);
});

test("options out of range, and a folder of something else, are refused", () => {
  assert.throws(() => parseRequest([]), /--checkpoint is missing/);
  assert.throws(
    () => parseRequest(["--checkpoint", "x", "--n", "4"]),
    /--n is "4", expected a whole number from 8/,
  );
  const rows = openStore(at("short"), {}).array("rows", "float32", 2);
  rows.append(Float32Array.of(1, 2, 3, 4));
  assert.deepEqual([...rows.asRows().slice(1, 2)], [3, 4]);
  truncateSync(at("short/rows.bin"), 12);
  assert.throws(
    () => openStore(at("short"), {}).array("rows", "float32", 2),
    /rows\.bin has 12 bytes, expected 16 or more: rows of it are lost\. Remove its folder/,
  );
  writeFileSync(at("state.json"), "{}");
  assert.throws(() => openStore(folder, {}), /state\.json is not the state of an evaluation/);
});
