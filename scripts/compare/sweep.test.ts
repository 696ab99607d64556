import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { estimate } from "../../lib/elbo";
import { DDPM_TABLE_2, DISTILLATION_TABLE_1 } from "../../lib/metrics";
import { smallRun, writeCifar10, writeClassifier } from "../../lib/testing/images";
import { loadCheckpoint, type RunConfig } from "../../lib/training";
import { collectSweep, parseSweep, type SweepRow } from "./sweep";
import { summarizeSweep, sweepColumns, sweepFigure, sweepReading, sweepTitle } from "./sweep-report";

const folder = mkdtempSync(join(tmpdir(), "lower-bound-sweep-"));
after(() => rmSync(folder, { recursive: true }));
const at = (name: string) => join(folder, name);

const base = smallRun({ numSteps: 12, batchSize: 2, steps: 3 });
function configFile(name: string, changes: Partial<RunConfig> = {}): string {
  writeFileSync(at(`${name}.json`), JSON.stringify({ ...base, ...changes }));
  return at(`${name}.json`);
}
const configs = [
  configFile("eps"),
  configFile("x0", { parameterization: "x0", weighting: "truncated-snr" }),
].join(",");

const evaluation = [
  "--n",
  "16",
  "--bits-images",
  "4",
  "--parts",
  "3",
  "--classifier",
  at("extractor.safetensors"),
];
const asked = (...more: string[]) => [
  ...["--configs", configs, "--data", folder, "--runs", at("runs"), ...evaluation, ...more],
];
const compare = (...args: string[]) => {
  const command = ["--import", "tsx", join(__dirname, "../compare.ts"), ...args];
  return spawnSync(process.execPath, command, { encoding: "utf8" });
};

test("one command trains, evaluates and compares; done once, it is not done again; jobs' folders can be collected", async () => {
  writeCifar10(folder, { train: 20, test: 12 });
  await writeClassifier(at("extractor.safetensors"));
  const first = compare(...asked("--json"));
  assert.equal(first.status, 0, first.stderr);
  const { rows, published } = JSON.parse(first.stdout);
  assert.deepEqual(
    rows.map(({ name, config, evaluation: { step } }: SweepRow) => [name, config.parameterization, step]),
    [
      ["eps", "eps", 3],
      ["x0", "x0", 3],
    ],
  );
  assert.equal(published.length, DDPM_TABLE_2.length + DISTILLATION_TABLE_1.length);
  for (const name of ["table.md", "figure.json", "rows.json"])
    assert.ok(readFileSync(at(`runs/comparison/${name}`)).length > 100, name);
  assert.equal(readFileSync(at("runs/comparison/figure.png")).subarray(1, 4).toString(), "PNG");
  const written = readFileSync(at("runs/comparison/table.md"), "utf8");
  assert.match(
    written,
    /^3 steps of 2 images each; FID\[n = 16, extractor, [\d.]+ % right, cifar10 train 20\]/,
  );
  assert.match(written, /\| x0 \| truncated-snr \| 1 \| \d+\.\d{3} ± \d+\.\d{3} \|/);
  assert.match(
    written,
    /\| Ho et al\. 2020, Table 2 \| mean \| L, fixed isotropic Σ \| ancestral \| 13\.22 \| 8\.06 \|/,
  );
  assert.match(written, /\| Salimans & Ho 2022, Table 1 \| eps \| truncated-snr \| ddim \| unstable \|/);

  const trained = statSync(at("runs/eps/checkpoint.safetensors")).mtimeMs;
  const collected = compare("--configs", configs, "--runs", at("runs"), "--collect", "--json");
  assert.equal(collected.status, 0, collected.stderr);
  assert.deepEqual(JSON.parse(collected.stdout), JSON.parse(first.stdout));
  const again = compare(...asked());
  assert.equal(again.status, 0, again.stderr);
  assert.equal(statSync(at("runs/eps/checkpoint.safetensors")).mtimeMs, trained);
  assert.match(again.stdout, /predicts +weighting +seeds +bits\/dim/);
  const otherwise = compare(...asked("--n", "20"));
  assert.equal(otherwise.status, 1, "an evaluation of 16 samples is none of 20");
  assert.match(
    otherwise.stderr,
    /holds an evaluation with n 16, asked for is 20.*none of the runs could be/s,
  );
  const more = compare("--configs", configs, "--runs", at("runs"), "--collect", "--steps", "4");
  assert.match(more.stderr, /evaluation-4.report\.json is not there, nor another: no run was evaluated/);
  const [eps] = (parseSweep(asked()) as Exclude<ReturnType<typeof parseSweep>, "help">).runs;
  const edited = { ...eps, config: { ...eps.config, weighting: "vlb" as const } };
  assert.throws(() => collectSweep([edited]), /runs.eps was trained with weighting "simple", .* has "vlb"/);
});

test("Ctrl-C, which a terminal gives to the sweep and to its run, saves and ends both; the same command goes on", async () => {
  const args = ["--configs", configs, "--data", folder, "--runs", at("stopped"), "--steps", "100000"];
  const command = ["--import", "tsx", join(__dirname, "../compare.ts"), ...args];
  const child = spawn(process.execPath, command, { detached: true }); // a group of its own, as on a terminal
  let errors = "";
  child.stderr.on("data", (data) => {
    if (!/loss/.test(errors) && /loss/.test(errors + data)) process.kill(-(child.pid as number), "SIGINT");
    errors += data;
  });
  const code = await new Promise((resolve) => child.on("close", resolve));
  assert.equal(code, 130, errors);
  assert.match(errors, /finishing this step and saving.*stopped in train; the same command goes on/s);
  const { step } = loadCheckpoint(at("stopped/eps/checkpoint.safetensors"));
  assert.ok(step >= 1 && step < 100_000, `${step}`);
});

test("a run that goes on to more steps is measured anew; one that fails does not hold up the others", () => {
  mkdirSync(at("runs/x0/evaluation-4"));
  writeFileSync(at("runs/x0/evaluation-4/state.json"), "{}"); // what its evaluation cannot go on with
  const { status, stdout, stderr } = compare(...asked("--steps", "4", "--json"));
  assert.equal(status, 1);
  assert.match(stderr, /x0: evaluate ended with code 1; its reason stands above/);
  const { rows, missing } = JSON.parse(stdout);
  assert.deepEqual(
    rows.map(({ name, evaluation: { step } }: SweepRow) => [name, step]),
    [["eps", 4]],
  );
  assert.deepEqual(missing, ["x0"]);
  const page = readFileSync(at("runs/comparison/table.md"), "utf8");
  assert.match(page, /Without a result, diverged or not run: x0 \(x0, truncated-snr\)\./);
  assert.equal(JSON.parse(readFileSync(at("runs/eps/evaluation-3/report.json"), "utf8")).step, 3, "kept");
  const collected = compare("--configs", configs, "--runs", at("runs"), "--collect", "--json");
  assert.equal(JSON.parse(collected.stdout).rows.length, 2, "the shorter runs' evaluations are still there");
});

/** A row with a bound and a seed of its own, made from one that was measured. */
const withBound = (row: SweepRow, perImage: number[], seed: number): SweepRow => {
  const { bits } = row.evaluation;
  const changed = { ...bits, bitsPerDim: estimate(perImage), perImage };
  return { ...row, config: { ...row.config, seed }, evaluation: { ...row.evaluation, bits: changed } };
};

test("seeds of a configuration become one line with the standard error over them, and the figure has all panels", () => {
  const { rows } = collectSweep((parseSweep(asked()) as Exclude<ReturnType<typeof parseSweep>, "help">).runs);
  const summaries = summarizeSweep([
    ...[withBound(rows[0], [3, 5], 0), withBound(rows[1], [2, 3], 0), withBound(rows[0], [4, 6], 1)],
  ]);
  assert.equal(summaries.length, 2);
  const [line, best] = sweepColumns(summaries);
  // Means of the seeds 4 and 5, of the images 3.5 and 5.5: √(0.5² + 1²).
  assert.deepEqual([line.predicts, line.seeds, line["bits/dim"]], ["eps", "2", "4.500 ± 1.118"]);
  assert.deepEqual([best["bits/dim"], best["above the lowest"]], ["2.500 ± 0.500", ""]);
  assert.equal(line["above the lowest"], "1.500 ± 0.500", "of seed 0, image by image: seed 1 has no other");
  const bothSeeds = summarizeSweep([...summaries.flatMap((s) => s.rows), withBound(rows[1], [2, 3], 1)]);
  // By seed 1.5 and 2.5, by image 1.5 and 2.5.
  assert.equal(sweepColumns(bothSeeds)[0]["above the lowest"], "2.000 ± 0.707", "over two seeds");
  const otherSeed = summarizeSweep([withBound(rows[0], [3, 5], 0), withBound(rows[1], [2, 3], 1)]);
  assert.equal(sweepColumns(otherSeed)[0]["above the lowest"], "", "with no seed in common it is not known");
  const figure = sweepFigure(summaries);
  const names = figure.layout.annotations?.map(({ text }) => text) ?? [];
  assert.equal(names.length, 4);
  const published = figure.data.flatMap(({ y }) => (y as number[]) ?? []);
  assert.ok(published.includes(3.17) && published.includes(2.45));
  assert.match(sweepTitle(rows), /floor at n = 12; KID by 20 .*; bits\/dim on 4 test images, ± over images$/);
  const [first, ...others] = rows;
  const { samples } = first.evaluation;
  assert.match(sweepReading(rows), /no FID here can be set against a published one/);
  const alike = { ...samples, extractor: "Inception-v3", n: 50_000 };
  const asPublished = { ...first, evaluation: { ...first.evaluation, samples: alike } };
  assert.doesNotMatch(sweepReading([asPublished, ...others]), /no FID here/);
});

test("what cannot be compared is refused in one line", () => {
  const other = configFile("other", { weighting: "vlb", learningRate: 1e-3 });
  const again = configFile("again");
  const cases: [string[], RegExp][] = [
    [
      ["--configs", `${configs},${other}`, "--data", folder],
      /other\.json has learningRate 0\.001, .*eps\.json has 0\.0005, expected the same in all/,
    ],
    [
      ["--configs", `${at("eps.json")},${again}`, "--data", folder],
      /two that predict and weigh alike: eps, simple/,
    ],
    [["--configs", "a/x.json,b/x.json", "--data", folder], /--configs has two of the name "x"/],
    [["--configs", configs, "--collect", "--n", "20"], /--n is for evaluations, and --collect makes none/],
    [["--configs", configs], /--data is missing, expected the folder of the data set, or --collect/],
    [["--configs", configs, "--data", folder, "--seeds", "0"], /--seeds is "0"/],
  ];
  for (const [args, message] of cases) assert.throws(() => parseSweep(args), message);
  const [eps] = (parseSweep(asked()) as Exclude<ReturnType<typeof parseSweep>, "help">).runs;
  mkdirSync(at("empty"));
  assert.throws(
    () => collectSweep([{ ...eps, folder: at("empty") }]),
    /report\.json is not there, nor another: no run was evaluated after so many steps/,
  );
});

test("seeds get folders of their own, the first one that of the jobs", () => {
  const request = parseSweep(asked("--seeds", "2", "--steps", "7"));
  assert.ok(request !== "help");
  assert.deepEqual(
    request.runs.map(({ name, config }) => [name, config.seed, config.steps]),
    [
      ["eps", 0, 7],
      ["x0", 0, 7],
      ["eps-seed1", 1, 7],
      ["x0-seed1", 1, 7],
    ],
  );
});
