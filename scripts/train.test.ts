import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { loadCheckpoint, runConfig } from "../lib/training";
import { curveOf } from "./export";
import { experiments, readConfig } from "./train/configurations";
import { openFolder, readStarts } from "./train/folder";
import { learningWatch } from "./train/learning";
import { parseArguments, requestOf } from "./train/request";

const folder = mkdtempSync(join(tmpdir(), "lower-bound-train-"));
after(() => rmSync(folder, { recursive: true }));

// Records of CIFAR-10's binary format: a label and 3072 pixels.
const RECORD = 3073;
const records = Uint8Array.from({ length: 12 * RECORD }, (_, i) =>
  i % RECORD === 0 ? (i / RECORD) % 10 : (i * 37) % 256,
);
writeFileSync(join(folder, "data_batch_1.bin"), records);

function parseRequest(args: readonly string[]) {
  const asked = parseArguments(args);
  return asked === "help" ? asked : requestOf(asked);
}

/** The smallest run that has everything: classes, dropout, a falling learning rate. */
const CONFIG = {
  data: "cifar10",
  net: {
    kind: "unet",
    channels: 4,
    multipliers: [1],
    blocks: 1,
    attention: [],
    patch: 4,
    dropout: 0.1,
    classes: 10,
  },
  batchSize: 2,
  decaySteps: 1_000_000,
  seed: 3,
};
const configFile = (name: string, changes: object = {}): string => {
  const path = join(folder, `${name}.json`);
  writeFileSync(path, JSON.stringify({ ...CONFIG, ...changes }));
  return path;
};
const CONFIG_FILE = configFile("tiny");

interface Ended {
  code: number | null;
  output: string;
  errors: string;
}

/** Runs a command to its end; `watch` hears each piece of what it prints. */
function command(
  script: "train" | "sample" | "export",
  args: readonly string[],
  watch: (text: string, child: ChildProcess) => void = () => {},
  { largestFileKiB }: { largestFileKiB?: number } = {},
): Promise<Ended> {
  const program = [process.execPath, "--import", "tsx", join(__dirname, `${script}.ts`), ...args];
  const limited = ["sh", "-c", `ulimit -f ${2 * (largestFileKiB ?? 0)}; exec "$@"`, "sh", ...program]; // in units of 512 bytes
  const [first, ...rest] = largestFileKiB === undefined ? program : limited;
  const child = spawn(first, rest);
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
const settings = ["--config", CONFIG_FILE];
const checkpointFile = (out: string) => join(folder, out, "checkpoint.safetensors");
const checkpointOf = (out: string) => loadCheckpoint(checkpointFile(out));
const linesOf = (out: string, file: string) =>
  readFileSync(join(folder, out, file), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
/** Step and loss of each line; the seconds differ from run to run. */
const lossesOf = (out: string) => linesOf(out, "metrics.jsonl").map(({ step, loss }) => ({ step, loss }));

describe("npm run train", () => {
  test("a run in two parts equals a run in one, loss for loss and weight for weight", async () => {
    const whole = await command("train", tiny("whole", 5, ...settings));
    assert.equal(whole.code, 0, whole.errors);
    assert.match(whole.output, /12 training and 0 test images, a part of the set/);
    assert.match(whole.errors, /5\/5 {2}loss \d\.\d{4} {2}[\d.]+ images\/s {2}0:00 left/);
    await command("train", tiny("parts", 3, ...settings));
    assert.equal(checkpointOf("parts").step, 3);
    const rest = await command("train", tiny("parts", 5, "--resume"));
    assert.equal(rest.code, 0, rest.errors);
    assert.deepEqual(
      lossesOf("whole").map(({ step }) => step),
      [1, 2, 3, 4, 5],
    );
    assert.deepEqual(lossesOf("parts"), lossesOf("whole"));
    assert.deepEqual(checkpointOf("parts"), checkpointOf("whole"));
    const starts = linesOf("parts", "starts.jsonl");
    assert.deepEqual(
      starts.map(({ step }) => step),
      [0, 3],
    );
    const config = JSON.parse(readFileSync(join(folder, "parts/config.json"), "utf8"));
    assert.deepEqual(config, runConfig({ ...CONFIG, steps: 5 }, "test"));
  });

  test("an interrupted run saves what it has and can go on; a second one in its folder is refused", async () => {
    let second: Promise<Ended> | undefined;
    const interrupted = await command("train", tiny("stopped", 100_000, ...settings), (text, child) => {
      if (!/loss/.test(text)) return;
      second ??= command("train", tiny("stopped", 100_000, ...settings)).finally(() => {
        child.kill("SIGINT");
        child.kill("SIGTERM"); // as npm or a parent passes it on: the same once more, not "at once"
      });
    });
    assert.match(String((await second)?.errors), /^train: another process is at work in .*stopped\./);
    assert.match(interrupted.errors, /finishing this step and saving/);
    assert.ok(
      [130, 143].includes(interrupted.code as number),
      "of two at the same moment either may come first",
    );
    const { step } = checkpointOf("stopped");
    assert.ok(step >= 1 && step < 100_000);
    assert.equal(lossesOf("stopped").length, step);
  });

  test("a run that was killed goes on from its last checkpoint to the same numbers, bit for bit", async () => {
    const watched = checkpointFile("killed");
    let ending: ReturnType<typeof setInterval> | undefined;
    const killed = await command(
      "train",
      tiny("killed", 100_000, "--checkpoint-every", "1", ...settings),
      (_, child) => {
        ending ??= setInterval(() => {
          if (!existsSync(watched)) return;
          clearInterval(ending);
          setTimeout(() => child.kill("SIGKILL"), 300); // some steps later, in the midst of one
        }, 20);
      },
    );
    assert.equal(killed.code, null);
    const { step } = checkpointOf("killed");
    const steps = Math.max(step, lossesOf("killed").length) + 2;
    const halfWritten = `${watched}.1.partial`;
    writeFileSync(halfWritten, "as a kill in the midst of writing leaves it");
    const rest = await command("train", tiny("killed", steps, "--resume"));
    assert.equal(rest.code, 0, rest.errors);
    const whole = await command("train", tiny("unkilled", steps, ...settings));
    assert.equal(whole.code, 0, whole.errors);
    assert.deepEqual(lossesOf("killed"), lossesOf("unkilled"));
    assert.deepEqual(checkpointOf("killed"), checkpointOf("unkilled"));
    assert.ok(!existsSync(halfWritten), "what a kill left half written goes");
  });

  test("where a checkpoint cannot be written, the last one stays and the run can go on", async () => {
    const before = readFileSync(checkpointFile("parts"));
    const { step } = checkpointOf("parts");
    const full = await command("train", tiny("parts", step + 1, "--resume"), undefined, {
      largestFileKiB: Math.floor(before.length / 2048), // half a checkpoint: as on a disk that fills up
    });
    assert.equal(full.code, 1);
    const message = full.errors.split("\n").find((line) => line.startsWith("train: ")) ?? full.errors;
    assert.match(message, /could not be written \(E.*\); the last checkpoint is as it was\. Make room/);
    assert.match(message, /--resume goes on from the last checkpoint, .*checkpoint\.safetensors\.$/);
    assert.deepEqual(readFileSync(checkpointFile("parts")), before);
    const left = readdirSync(join(folder, "parts")).filter((name) => name.endsWith(".partial"));
    assert.deepEqual(left, []);
    const rest = await command("train", tiny("parts", step + 1, "--resume"));
    assert.equal(rest.code, 0, rest.errors);
    assert.equal(checkpointOf("parts").step, step + 1);
    assert.equal(lossesOf("parts").length, step + 1);
  });

  test("a loss that becomes NaN ends the run with step, term and last checkpoint", async () => {
    const wild = configFile("wild", { learningRate: 1e30, warmupSteps: 0, clipNorm: 1e30, decaySteps: null });
    const ended = await command("train", tiny("wild", 50, "--config", wild));
    assert.equal(ended.code, 1);
    const message = ended.errors.split("\n").find((line) => line.startsWith("train: "));
    assert.match(
      message ?? ended.errors,
      /^train: the loss is (NaN|Infinity) at step \d+, in (the terms L_\{t−1\} of all 2|L_\d+ \(t = \d+\).*: 1 of 2) examples.* No checkpoint was written yet\.$/,
    );
    assert.ok(!existsSync(checkpointFile("wild")));
  });

  test("a net that answers no better than an untrained one is told of, before and after a resume", async () => {
    const losses = (count: number, loss: number) => new Array<number>(count).fill(loss);
    const told = (watch: ReturnType<typeof learningWatch>, values: number[]) =>
      values.flatMap((loss, i) => (watch(loss) ? [i + 1] : []));
    const watch = learningWatch();
    assert.deepEqual(
      told(watch, [...losses(100, 1), ...losses(1000, 0.9), ...losses(1000, 1.1)]),
      [1600, 2100],
    );
    const resumed = learningWatch([...losses(100, 1), ...losses(1300, 0.9)]);
    assert.deepEqual(told(resumed, [...losses(200, 0.9), ...losses(500, 1.1)]), [700]);
    // A rate that rises until it ruins the net: losses are small at first, then large.
    const dead = configFile("dead", {
      learningRate: 1e4,
      warmupSteps: 600,
      clipNorm: 1e30,
      decaySteps: null,
    });
    const ended = await command("train", tiny("dead", 600, "--config", dead));
    assert.equal(ended.code, 0, ended.errors);
    assert.match(
      ended.errors,
      /^The mean loss of steps 101 to 600 is .*, above the .* of the first 100: the net/m,
    );
  });

  test("every configuration that comes with the project is whole, and can be built", () => {
    assert.deepEqual(experiments(), [...new Set(experiments())]);
    for (const name of ["cifar10", "mnist", "cifar10-ddpm"]) assert.ok(experiments().includes(name), name);
    const shipped = join(__dirname, "train/experiments");
    const recipes = ["nets", "settings"].flatMap((kind) =>
      readdirSync(join(shipped, "recipes", kind)).map((file) => join(shipped, "recipes", kind, file)),
    );
    assert.ok(recipes.length > 2);
    for (const name of [...experiments(), ...recipes]) {
      const path = recipes.includes(name) ? name : join(shipped, `${name}.json`);
      const written = JSON.parse(readFileSync(path, "utf8"));
      const config = readConfig(name);
      assert.deepEqual(written, config, `${name} leaves something to defaults`);
      const net = ["kind", "imageSize", "imageChannels", "channels", "multipliers", "blocks"];
      for (const key of [...net, "attention", "patch", "dropout", "classes"])
        assert.ok(key in written.net, `${name} does not say its net's ${key}`);
    }
  });

  test("what a run is of comes from its configuration; options change a new run", () => {
    const request = parseRequest(
      tiny("new", 7, ...settings, "--batch", "4", "--seed", "0", "--learning-rate", "1e-3"),
    );
    assert.ok(request !== "help");
    const want = { ...CONFIG, steps: 7, batchSize: 4, seed: 0, learningRate: 1e-3 };
    assert.deepEqual(request.config, runConfig(want, "test"));
    const mnist = parseRequest(["mnist"]);
    assert.ok(mnist !== "help" && mnist.config.data === "mnist" && mnist.out === join("runs", "mnist"));
  });

  test("what is exported opens with its curve and how it was made", async () => {
    const out = join(folder, "shipped");
    const later = {
      ...linesOf("whole", "starts.jsonl")[0],
      step: 5,
      machine: "another, after these weights",
    };
    appendFileSync(join(folder, "whole/starts.jsonl"), `${JSON.stringify(later)}\n`);
    const ended = await command("export", ["--run", join(folder, "whole"), "--out", out, "--points", "2"]);
    assert.equal(ended.code, 0, ended.errors);
    assert.deepEqual(readdirSync(out).sort(), [
      "about.json",
      "config.json",
      "curve.json",
      "model.safetensors",
    ]);
    const { step, config, tensors } = loadCheckpoint(join(out, "model.safetensors"));
    assert.equal(step, 5);
    assert.deepEqual(config, JSON.parse(readFileSync(join(out, "config.json"), "utf8")));
    assert.ok(Object.keys(tensors).every((name) => name.startsWith("ema/")));
    const about = JSON.parse(readFileSync(join(out, "about.json"), "utf8"));
    assert.equal(about.command, "npm run train -- cifar10 --config config.json --steps 5");
    assert.deepEqual([about.steps, about.images, about.starts.length], [5, 10, 1]);
    assert.deepEqual(JSON.parse(readFileSync(join(out, "curve.json"), "utf8")).step, [3, 5]);
    const again = await command("sample", [
      ...["--checkpoint", join(out, "model.safetensors"), "--count", "4", "--steps", "2"],
      ...["--out", join(out, "grid.png"), "--class", "3", "--guidance", "2"],
    ]);
    assert.equal(again.code, 0, again.errors);
    assert.equal(readFileSync(join(out, "grid.png")).subarray(1, 4).toString(), "PNG");
  });

  test("a curve's points are the means of their steps, and its time the sum of theirs", () => {
    const metrics = [1, 2, 3, 4, 5].map((step) => ({ step, loss: step, seconds: 360 }));
    assert.deepEqual(curveOf(metrics, 3), { step: [2, 4, 5], loss: [1.5, 3.5, 5], hours: [0.2, 0.4, 0.5] });
    assert.throws(() => curveOf([], 3), /curveOf: got no metrics/);
  });

  test("mistakes get one line that says what is expected, and a code", async () => {
    const large = configFile("large", { net: { ...CONFIG.net, imageSize: 64 } });
    const few = configFile("few", { net: { ...CONFIG.net, classes: 3 } });
    const unknown = configFile("unknown", { colour: true });
    mkdirSync(join(folder, "cut"));
    writeFileSync(checkpointFile("cut"), readFileSync(checkpointFile("whole")).subarray(0, 5000));
    const cases: [string[], RegExp][] = [
      [["imagenet"], /^unknown data set "imagenet", expected cifar10 or mnist\.$/],
      [
        ["mnist", "--config", CONFIG_FILE],
        /tiny\.json is a run on cifar10\. Write: npm run train -- cifar10/,
      ],
      [
        tiny("no", 5, "--config", unknown),
        /unknown\.json: unknown key "colour", expected some of data, net,/,
      ],
      [tiny("no", 5, "--config", "huge"), /^--config is "huge", .*expected a JSON file or one of cifar10, /],
      [tiny("no", 5, "--weighting", "half"), /"weighting" is "half", expected one of vlb, simple/],
      [tiny("no", 5, "--seed", "-1"), /"seed" is -1, expected a whole number/],
      [tiny("no", 5, "--batch", "many"), /^--batch has "many", expected a finite number/],
      [tiny("no", 0), /^--steps is "0", expected a whole number/],
      [tiny("whole", 5), /whole holds a run already\. Go on with --resume/],
      [tiny("whole", 9, "--resume", "--batch", "4"), /^--batch is part of the run/],
      [
        tiny("whole", 9, "--resume", "--config", "cifar10"),
        /whole was begun with another net than cifar10 has\. Leave --config out/,
      ],
      [["mnist", "--out", join(folder, "whole"), "--resume"], /whole is a run on cifar10/],
      [
        tiny("no", 1_000_001, ...settings),
        /^.*tiny\.json has "decaySteps" 1000000, after which the learning rate is 0, and 1000001/,
      ],
      [tiny("no", 5, "--resume"), /no holds no checkpoint to go on from\. Leave --resume out, or name/],
      [tiny("cut", 5, "--resume"), /^loadCheckpoint: .*truncated/],
    ];
    for (const [args, message] of cases)
      assert.throws(
        () => parseRequest(args),
        (error: Error) => {
          assert.match(error.message, message);
          return !error.message.includes("\n");
        },
      );
    for (const [file, says] of [
      [large, /^train: the net takes images of 64 × 64 × 3, cifar10 has 32 × 32 × 3\. Set "imageSize"/m],
      [few, /^train: the net knows 3 classes, cifar10 has 10\. Set "classes"/m],
    ] as const) {
      const { code, errors } = await command("train", tiny("no", 5, "--config", file));
      assert.equal(code, 1);
      assert.match(errors, says);
    }
    assert.ok(!existsSync(join(folder, "no")));
    const others = join(folder, "others");
    mkdirSync(others);
    writeFileSync(join(others, "data_batch_1.bin"), records.subarray(0, 6 * RECORD));
    const before = readFileSync(checkpointFile("whole"));
    const mixed = await command("train", [...tiny("whole", 9, "--resume"), "--data", others]);
    assert.equal(mixed.code, 1);
    assert.match(
      mixed.errors,
      /^train: .*whole was begun with other images \(.*\)\. Give the same --data\.$/m,
    );
    assert.deepEqual(readFileSync(checkpointFile("whole")), before);
  });

  test("a start that came to no checkpoint is forgotten, with its images", () => {
    const out = join(folder, "begun-twice");
    openFolder(out, runConfig(CONFIG, "test"), 0, "the wrong images");
    openFolder(out, runConfig(CONFIG, "test"), 0, "the images");
    openFolder(out, runConfig(CONFIG, "test"), 3, "the images");
    assert.deepEqual(
      readStarts(out).map(({ step, data }) => [step, data]),
      [
        [0, "the images"],
        [3, "the images"],
      ],
    );
    assert.throws(() => openFolder(out, runConfig(CONFIG, "test"), 3, "the wrong images"), /other images/);
  });

  test("a run that has taken its steps says so when begun again, and is as it was; its configuration may be named", async () => {
    const before = checkpointOf("whole");
    const done = await command("train", tiny("whole", 5, "--resume", ...settings));
    assert.equal(done.code, 0, done.errors);
    assert.match(done.output, /whole has taken 5 steps already\. Ask for more with --steps/);
    assert.deepEqual(checkpointOf("whole"), before);
  });
});
