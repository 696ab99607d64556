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
import { differences, recipeColumns } from "./recipes-report";
import { parseSweep } from "./request";
import { collectSweep, comparable, type SweepRow } from "./rows";
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
  "--features",
  at("features"),
];
const asked = (...more: string[]) => [
  ...["--configs", configs, "--data", folder, "--runs", at("runs"), ...evaluation, ...more],
];
/** The runs that are asked for. */
const runsOf = (args: string[]) => (parseSweep(args) as Exclude<ReturnType<typeof parseSweep>, "help">).runs;
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
  const [eps] = runsOf(asked());
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
  const { rows } = collectSweep(runsOf(asked()));
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
  const [kidLine] = sweepColumns(bothSeeds);
  const { standardError } = rows[0].evaluation.samples.kid.samples;
  assert.ok(
    kidLine.KID.endsWith(`± ${standardError.toFixed(4)}`),
    "seeds that agree share the images' error",
  );
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

test("the learning rate may differ, and is then told", () => {
  const slower = configFile("slower", { weighting: "vlb", learningRate: 1e-4 });
  const runs = runsOf(["--configs", `${at("eps.json")},${slower}`, "--data", folder]);
  assert.deepEqual(
    runs.map(({ config }) => config.learningRate),
    [5e-4, 1e-4],
  );
  const { rows } = collectSweep(runsOf(asked()));
  assert.ok(!("learning rate" in sweepColumns(summarizeSweep(rows))[0]));
  assert.doesNotMatch(sweepReading(rows), /learning rate/);
  const [first, second] = rows;
  const mixed = comparable([first, { ...second, config: { ...second.config, learningRate: 1e-4 } }]);
  assert.deepEqual(
    sweepColumns(summarizeSweep(mixed)).map((line) => line["learning rate"]),
    ["0.0005", "0.0001"],
  );
  assert.match(sweepReading(mixed), /the learning rate differs as well/);
  const sampler = "ddim, 50 steps, its classes in turn, guidance 1.5";
  const guided = { ...second, evaluation: { ...second.evaluation, sampler } };
  assert.throws(
    () => comparable([first, guided]),
    /was evaluated as .*50 steps, its classes in turn, guidance 1\.5, seed/,
  );
});

test("what cannot be compared is refused in one line", () => {
  const other = configFile("other", { weighting: "vlb", batchSize: 4 });
  const again = configFile("again");
  const cases: [string[], RegExp][] = [
    [
      ["--configs", `${configs},${other}`, "--data", folder],
      /other\.json has batchSize 4, .*eps\.json has 2, expected the same in all/,
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
  const [eps] = runsOf(asked());
  mkdirSync(at("empty"));
  assert.throws(
    () => collectSweep([{ ...eps, folder: at("empty") }]),
    /report\.json is not there, nor another: no run was evaluated after so many steps/,
  );
});

test("seeds get folders of their own, the first one that of the jobs", () => {
  const own = [configFile("third", { seed: 3 }), configFile("other-third", { seed: 3, weighting: "vlb" })];
  const others = parseSweep(asked("--seeds", "2", "--configs", own.join(",")));
  assert.ok(others !== "help");
  assert.deepEqual(
    others.runs.map(({ name, config }) => [name, config.seed]),
    [
      ["third", 3],
      ["other-third", 3],
      ["third-seed4", 4],
      ["other-third-seed4", 4],
    ],
    "from the configuration's own on",
  );
  assert.throws(
    () => parseSweep(asked("--configs", `${configs},${own[1]}`)),
    /other-third\.json has seed 3, .*eps\.json has 0, expected the same/,
  );
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

test("recipes may differ in all but the data, each takes its own steps, and a loss stands only beside one of its kind", () => {
  mkdirSync(at("recipes"));
  const wide = { ...base.net, channels: 8 };
  configFile("recipes/base", { steps: 4 });
  configFile("recipes/wide", { net: wide, batchSize: 4, steps: 3 });
  const given = (...more: string[]) => [
    ...["--recipes", "--configs", at("recipes"), "--data", folder, "--runs", at("recipe-runs")],
    ...[...evaluation, "--sampler-steps", "5", ...more],
  ];
  const first = compare(...given("--json"));
  assert.equal(first.status, 0, first.stderr);
  const { rows, missing, published } = JSON.parse(first.stdout) as { rows: SweepRow[] } & Record<string, []>;
  assert.deepEqual([missing, published], [[], []]);
  assert.deepEqual(
    rows.map(({ name, evaluation: { step, sampler } }) => [name, step, sampler.slice(0, 13)]),
    [
      ["base", 4, "ddim, 5 steps"],
      ["wide", 3, "ddim, 5 steps"],
    ],
  );
  const ofX0 = { ...rows[0], name: "x0", config: { ...rows[0].config, parameterization: "x0" as const } };
  const columns = recipeColumns([...rows, ofX0]);
  const of = (recipe: string) => columns.find((row) => row.recipe === recipe) as Record<string, string>;
  assert.equal(of("base")["differs in"], "");
  assert.equal(of("wide")["differs in"], "channels 8, batchSize 4");
  assert.equal(of("x0").loss, "", "an error of x0 is no error of ε");
  const { loss, lossImages, secondsPerStep } = rows[1].training as NonNullable<SweepRow["training"]>;
  const metrics = readFileSync(at("recipe-runs/wide/metrics.jsonl"), "utf8").trim().split("\n");
  const lines = metrics.map((line) => JSON.parse(line));
  assert.equal(loss.mean, estimate(lines.map((line) => line.loss)).mean);
  assert.deepEqual([loss.count, lossImages], [3, 12]);
  const [fastest, second] = lines.map(({ seconds }) => seconds).sort((a, b) => a - b);
  assert.ok(
    Math.abs(secondsPerStep - (0.8 * fastest + 0.2 * second)) < 1e-9,
    "the tenth of three, interpolated",
  );
  assert.ok(of("wide").loss.startsWith(loss.mean.toFixed(4)));
  assert.equal(of("wide").minutes, ((3 * secondsPerStep) / 60).toFixed(1));
  const fids = columns.map(({ FID }) => Number(FID));
  assert.deepEqual(
    fids,
    [...fids].sort((a, b) => a - b),
    "the best first",
  );
  assert.match(
    readFileSync(at("recipe-runs/comparison/table.md"), "utf8"),
    /\| wide \| channels 8, batchSize 4 \|/,
  );

  const longer = compare(...given("--times", "2", "--json"));
  assert.equal(longer.status, 0, longer.stderr);
  const steps = (JSON.parse(longer.stdout).rows as SweepRow[]).map((row) => row.evaluation.step);
  assert.deepEqual(steps, [8, 6], "gone on with");
  assert.match(compare(...given()).stderr, /base has taken 8 steps already, expected 4/);
  const collected = compare(
    ...["--recipes", "--configs", at("recipes"), "--runs", at("recipe-runs"), "--collect", "--json"],
  );
  assert.deepEqual(JSON.parse(collected.stdout).rows, rows, "of the longer run only the first steps count");

  const runs = runsOf(given());
  const withSampler = (more: string) => {
    const path = at("recipe-runs/wide/evaluation-3/report.json");
    const report = { ...rows[1].evaluation, sampler: `${rows[1].evaluation.sampler}${more}` };
    writeFileSync(path, JSON.stringify(report));
  };
  withSampler(", its classes in turn, guidance 1");
  assert.equal(collectSweep(runs, { recipes: true }).rows.length, 2, "nets that know classes, and others");
  withSampler(", its classes in turn, guidance 2");
  assert.throws(() => collectSweep(runs, { recipes: true }), /guidance 2.*expected the same/);
});

test("what a comparison of recipes refuses", () => {
  const asRecipes = (...args: string[]) => parseSweep(["--recipes", "--data", folder, ...args]);
  mkdirSync(at("none"));
  const mnist = configFile("mnist", { data: "mnist" });
  const cases: [() => unknown, RegExp][] = [
    [() => asRecipes("--configs", configs, "--steps", "3"), /^--steps gives all as many, and recipes/],
    [() => parseSweep(asked("--times", "2")), /^--times is for --recipes, whose steps differ\. Use --steps/],
    [
      () => asRecipes("--configs", configFile("falls", { steps: 4, decaySteps: 5 }), "--times", "2"),
      /^.*falls\.json has "decaySteps" 5, after which the learning rate is 0, and 8 steps were asked for\./,
    ],
    [() => asRecipes("--configs", configs, "--times", "0"), /^--times is "0", expected a number above 0/],
    [() => asRecipes("--configs", at("none")), /^--configs has the folder .*none, which holds no config/],
    [
      () => asRecipes("--configs", `${configs},${mnist}`),
      /mnist\.json has data "mnist", .*eps\.json has "cifar10", expected the same in all\.$/,
    ],
  ];
  for (const [use, says] of cases) assert.throws(use, (error: Error) => says.test(error.message));
});

test("what sets recipes apart: settings of the net and of the run, none of the steps", () => {
  const other = {
    ...base,
    net: { ...base.net, multipliers: [1, 2], patch: 4 },
    learningRate: 2e-3,
    steps: 9,
  };
  assert.equal(differences(other as RunConfig, base), "multipliers [1, 2], patch 4, learningRate 0.002");
  assert.equal(differences({ ...base, steps: 9 }, base), "");
});
