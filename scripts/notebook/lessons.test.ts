/** @file Every lesson, executed from top to bottom in the real kernel with the tests' small budgets. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, describe, test } from "node:test";
import { noJupyter } from "../../lib/kernel/testing/kernel";
import { smallRun, writeCifar10, writeClassifier, writeShipped } from "../../lib/testing/images";
import { executeLesson, findLessons, findSolutions } from "../lesson";
import { PROJECT } from "../setup/layout.mjs";

interface Output {
  output_type: string;
  name?: string;
  text?: string | string[];
  data?: Record<string, unknown>;
  ename?: string;
  evalue?: string;
}
interface Cell {
  cell_type: string;
  execution_count: number | null;
  outputs: Output[];
}

/** A number that a lesson prints: the pattern's first group, and what it must be, known from elsewhere. */
interface Expected {
  what: string;
  pattern: RegExp;
  value: number;
  within: number;
}

/** ᾱ_t of the linear schedule, as a product. */
const linearAlphaBar = (t: number) =>
  Array.from({ length: t }, (_, i) => 1 - (1e-4 + (i * (0.02 - 1e-4)) / 999)).reduce((a, b) => a * b, 1);
/** Variance of one of the eight peaks, radius 2 and std 0.1 scaled to unit variance and then by 127.5 / 2, in grid points. */
const PEAK_VARIANCE = ((0.1 ** 2 * 2) / (2 ** 2 + 2 * 0.1 ** 2)) * (127.5 / 2) ** 2;

const EXPECTED: Record<string, Expected[]> = {
  "01-forward-process": [
    {
      what: "t with ᾱ_t < ½ (product of 1 − β_t)",
      pattern: /falls below ½ at t = (\d+)/,
      value: 260,
      within: 0,
    },
    { what: "SNR_1 = (1 − β_1) / β_1", pattern: /SNR_1 = ([\d.]+)/, value: 9999, within: 0.5 },
    {
      what: "L_T of the linear schedule, bits",
      pattern: /the library\s+([\d.e-]+) bits/,
      value: 2.911e-5,
      within: 1e-8,
    },
    {
      what: "ᾱ_T with β not rescaled, T = 200",
      pattern: /ᾱ_T = ([\d.]+) with β unchanged/,
      value: 0.132,
      within: 5e-4,
    },
  ],
  "02-the-bound-term-by-term": [
    {
      what: "Var(x_1 | x_2) of N(0, 1) data, which is β_2",
      pattern: /Var\(x_1 \| x_2\) = ([\d.e-]+)/,
      value: 1.1992e-4,
      within: 5e-6,
    },
    {
      what: "what β̃ loses on N(0.5, 0.25), summed over steps (G03)",
      pattern: /right sides: [\d.]+ and ([\d.]+)/,
      value: 1.2957223289490738 - 0.7257913526447274,
      within: 1e-9,
    },
    {
      what: "steps that hold half of Σ ½ ln((1 − ᾱ_t)/(1 − ᾱ_{t−1}))",
      pattern: /50 % of Σ L_\{t−1\} lies in t = 2 … (\d+)/,
      value: 28,
      within: 0,
    },
  ],
  "03-one-sample-instead-of-two": [
    { what: "the factor's formula", pattern: /formula ([\d.]+), measured/, value: 1156.07, within: 0.005 },
    { what: "the factor, measured", pattern: /, measured (\d+)/, value: 1156.07, within: 40 },
    {
      what: "spread of one uniform draw of t (V02)",
      pattern: /standard deviation of one uniform draw ([\d.]+)/,
      value: 19.214876,
      within: 5e-4,
    },
  ],
  "04-three-parameterizations": [
    {
      what: "one p_θ from four networks",
      pattern: /largest relative difference at t = 400: ([\d.e-]+)/,
      value: 0,
      within: 1e-12,
    },
    {
      what: "exact NLL of the raw mean with a slip of 1 %, by the recursion in NumPy",
      pattern: /mean, raw +([\d.]+)/,
      value: 3.00589779,
      within: 1e-4,
    },
    {
      what: "what that slip costs, by the same",
      pattern: /mean, raw(?: +[\d.]+){2} +([\d.]+)/,
      value: 6.04997221,
      within: 1e-3,
    },
  ],
  "05-training-and-sampling": [
    {
      what: "entropy of eight Gaussian peaks in bins (variance + 1/12), bits/dim",
      pattern: /entropy: ([\d.]+) bits\/dim/,
      value: 1.5 + 0.5 * Math.log2(2 * Math.PI * Math.E * (PEAK_VARIANCE + 1 / 12)),
      within: 2e-4,
    },
    {
      what: "E‖ε‖² = D of an untrained network, from scratch and by the library",
      pattern: /from scratch ([\d.]+), library \1/,
      value: 2,
      within: 4 * Math.sqrt(4 / 500),
    },
    {
      what: "Algorithm 2 as printed and the library's sample",
      pattern: /largest difference after 1000 steps: ([\d.e-]+)/,
      value: 0,
      within: 1e-3,
    },
    {
      what: "variance generated with σ² = β (G03)",
      pattern: /\nbeta +[\d.]+ +([\d.]+)/,
      value: 0.250852075,
      within: 1e-6,
    },
    {
      what: "NLL with σ² = β̃ (G03)",
      pattern: /\nbetaTilde(?: +[\d.]+){3} +([\d.]+)/,
      value: 0.72585094,
      within: 1e-6,
    },
    {
      what: "σ of the stride from 251 to 1 with β: √(1 − ᾱ_251/ᾱ_1)",
      pattern: /\n +251 +1 +[\d.]+ +[\d.]+ +([\d.]+)/,
      value: Math.sqrt(1 - linearAlphaBar(251) / linearAlphaBar(1)),
      within: 1e-4,
    },
  ],
  "06-cifar10": [
    {
      what: "x̂_0 by hand and by the library",
      pattern: /by hand and by the library: at most ([\d.e+-]+) apart/,
      value: 0,
      within: 1e-3,
    },
    {
      what: "rate + distortion is the bound",
      pattern: /their sum is off by (-?[\d.e+-]+)/,
      value: 0,
      within: 1e-9,
    },
    {
      what: "the nearest training image of a training image",
      pattern: /of 3 training images, (\d) find themselves/,
      value: 3,
      within: 0,
    },
    {
      what: "steps of training with the small budget",
      pattern: /(\d+) steps: held-out loss/,
      value: 3,
      within: 0,
    },
    {
      what: "DDPM's FID, as published",
      pattern: /FID\[50,000, Inception-v3, CIFAR-10 train\] +([\d.]+)/,
      value: 3.17,
      within: 0,
    },
  ],
  "07-the-wasserstein-distance": [
    {
      what: "the floor of J_DSM from τ = 0.001 (W06)",
      pattern: /floor from τ = 0\.001: ([\d.]+) nats/,
      value: 5.52326041287,
      within: 5e-6,
    },
    { what: "W2 of the sharp case (W03)", pattern: /samples: ([\d.]+)/, value: 0.3947346983, within: 1e-7 },
    { what: "its Theorem 1", pattern: /Theorem 1: +([\d.]+)/, value: 0.3947346983, within: 1e-6 },
    { what: "its Corollary 1", pattern: /Corollary 1: +([\d.]+)/, value: 0.3947346983, within: 1e-6 },
    { what: "violations of Theorem 1", pattern: /violated in (\d+) of 200/, value: 0, within: 0 },
    { what: "floor of J_DSM (W07)", pattern: /the floor: ([\d.]+) nats/, value: 4.16858, within: 5e-5 },
    {
      what: "ln I(T) of the clusters of width 0.1 (W07)",
      pattern: /clusters, 0\.1 +[\d.]+ +[\d.]+ +([\d.]+)/,
      value: 14.58315836,
      within: 1e-4,
    },
    {
      what: "ln of the bound for the perfect score on clusters of width 0.0125 (W07)",
      pattern: /clusters, 0\.0125(?: +\S+){4} +([\d.]+)/,
      value: 881.4441804,
      within: 1e-3,
    },
    { what: "L_s of the clusters at u = 8", pattern: /at u = 8: (-[\d.]+)/, value: -1.000248, within: 1e-6 },
    {
      what: "checkpoints of the clusters with an estimated bound below W2",
      pattern: /clusters: .* at (\d+) of/,
      value: 0,
      within: 0,
    },
  ],
  "08-score-difference-flow": [
    {
      what: "the flow's mean at τ = 2: −1 + 4·exp(−2/2.25)",
      pattern: /mean ([\d.]+) \(target −1\)/,
      value: -1 + 4 * Math.exp(-2 / 2.25),
      within: 5e-4,
    },
    {
      what: "−1/2 + (1 − 2)/1.25 by denoisers",
      pattern: /(-[\d.]+) by denoisers/,
      value: -1.3,
      within: 1e-6,
    },
    ...["normal", "narrow", "point", "far", "ring"].map((prior) => ({
      what: `modes of 25 that particles reach from the start "${prior}"`,
      pattern: new RegExp(`\\n${prior} +(\\d+) `),
      value: 25,
      within: 0,
    })),
    {
      what: "modes of 25 without annealing",
      pattern: /no annealing +(\d+)/,
      value: 9,
      within: 2,
    },
    {
      what: "modes of 25 from afar with a small σ",
      pattern: /σ never wide +(\d+)/,
      value: 1,
      within: 0,
    },
    { what: "modes of 8 of the generator", pattern: /(\d) of 8 modes/, value: 8, within: 0 },
  ],
  "09-three-views": [
    {
      what: "KL of a shift by 0.5, both with noise 0.1: 0.25/(2·1.01)",
      pattern: /shifted by 0.5: KL [\d.]+, added up ([\d.]+)/,
      value: 0.25 / (2 * 1.01),
      within: 1e-4,
    },
    {
      what: "KL of the shares alone",
      pattern: /KL at a = 3: ([\d.]+) nats/,
      value: 0.5 * Math.log(0.5 / 0.8) + 0.5 * Math.log(0.5 / 0.2),
      within: 1e-4,
    },
  ],
};

const joined = (text: string | string[]) => [text].flat().join("");
const consoleText = (outputs: Output[]) => outputs.map(({ text = "" }) => joined(text)).join("\n");
/** Tables and checks, as text. */
const shownText = (outputs: Output[]) =>
  outputs.map(({ data }) => joined((data?.["text/plain"] ?? "") as string | string[])).join("\n");

function checkFigures(cells: Cell[]): void {
  const bundles = cells.flatMap(({ outputs }) => outputs).flatMap(({ data }) => (data ? [data] : []));
  const figures = bundles.filter((data) => "application/vnd.plotly.v1+json" in data);
  assert.ok(figures.length > 0, "no figure");
  for (const data of figures) {
    const { data: traces } = data["application/vnd.plotly.v1+json"] as { data: unknown[] };
    assert.ok(traces.length > 0, "a figure without traces");
    const png = Buffer.from(String(data["image/png"]), "base64");
    assert.equal(
      png.subarray(1, 4).toString(),
      "PNG",
      `the figure ${data["text/plain"]} has no PNG beside it`,
    );
    assert.ok(png.length > 1000, "a PNG so small that it is blank");
  }
}

function checkNumbers(name: string, outputs: Output[]): void {
  const printed = consoleText(outputs);
  const all = `${printed}\n${shownText(outputs)}`;
  for (const { what, pattern, value, within } of EXPECTED[name] ?? []) {
    const got = Number(pattern.exec(all)?.[1]);
    assert.ok(Math.abs(got - value) <= within, `${what}: got ${got}, expected ${value} within ${within}`);
  }
  for (const [, errors] of printed.matchAll(/off by (-?[\d.]+) standard errors/g))
    assert.ok(Math.abs(Number(errors)) < 5, `a Monte Carlo estimate is off by ${errors} standard errors`);
  assert.doesNotMatch(printed, /\bNaN\b/);
}

/** Executes a lesson, and asserts that every cell ran and every figure is there. Returns the outputs of its code. */
async function outputsOf(source: string): Promise<Output[]> {
  const { path, problems } = await executeLesson(source, { fast: true });
  assert.deepEqual(problems, []);
  const notebook = JSON.parse(readFileSync(path, "utf8"));
  const cells: Cell[] = notebook.cells.filter((cell: Cell) => cell.cell_type === "code");
  for (const cell of cells) assert.notEqual(cell.execution_count, null, "a cell was not run");
  checkFigures(cells);
  return cells.flatMap(({ outputs }) => outputs);
}

/** Lesson 06 runs on what the test makes; what it runs on otherwise, tests of its own say. */
const CIFAR10 = "06-cifar10";
const folder = mkdtempSync(join(tmpdir(), "lower-bound-lessons-"));
after(() => rmSync(folder, { recursive: true }));

/** Sets the environment for a while; undefined takes a variable out. */
async function withEnvironment<Result>(
  wanted: Record<string, string | undefined>,
  use: () => Promise<Result>,
): Promise<Result> {
  const before = Object.fromEntries(Object.keys(wanted).map((name) => [name, process.env[name]]));
  const set = (values: Record<string, string | undefined>) => {
    for (const [name, value] of Object.entries(values))
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
  };
  set(wanted);
  try {
    return await use();
  } finally {
    set(before);
  }
}

describe("lessons", { skip: noJupyter(), timeout: 3_600_000 }, () => {
  for (const source of findLessons()) {
    const name = basename(source, ".ipynb");
    if (name === CIFAR10) continue;
    test(`${name} runs, and shows what it should`, async () => {
      checkNumbers(name, await outputsOf(source));
    });
  }
});

describe("lesson 06", { skip: noJupyter(), timeout: 3_600_000 }, () => {
  const [source] = findLessons(["06"]);
  const [assets, data] = [join(folder, "assets"), join(folder, "data")];
  const noData = { LOWER_BOUND_DATA: join(folder, "nothing") };

  test("with a model, a twin and data of its own, it runs and shows what it should", async () => {
    writeCifar10(data, { train: 64, test: 40 });
    writeShipped(join(assets, "cifar10"), smallRun({ parameterization: "v" }, 10));
    writeShipped(join(assets, "cifar10-mean"), smallRun({ parameterization: "mean", weighting: "vlb" }));
    writeShipped(join(assets, "mnist"), smallRun({}, 10));
    await writeClassifier(join(assets, "cifar10-classifier.safetensors"));
    const environment = { LOWER_BOUND_ASSETS: assets, LOWER_BOUND_DATA: data };
    const outputs = await withEnvironment(environment, () => outputsOf(source));
    checkNumbers(CIFAR10, outputs);
    const printed = consoleText(outputs);
    assert.match(printed, /64 training and 40 test images, a part of the set/);
    assert.match(printed, /cifar10-x0 does not come with this copy of the project/);
    assert.doesNotMatch(printed, /skipped/);
  });

  test("without data what needs them says so, and the rest runs", async () => {
    const outputs = await withEnvironment({ LOWER_BOUND_ASSETS: assets, ...noData }, () => outputsOf(source));
    const printed = consoleText(outputs);
    assert.match(printed, /nothing does not exist.*Going on without the data set/s);
    for (const what of ["a look at the training images", "training"])
      assert.ok(printed.includes(`skipped, without the data set (section 1): ${what}\n`), what);
    assert.match(printed, /4 pictures, 4 steps each/);
  });

  const shippedModel = join(PROJECT, "assets", "cifar10", "model.safetensors");
  const notShipped = existsSync(shippedModel) ? false : "assets/cifar10 is not there";
  test("with the model that is shipped, without data", { skip: notShipped }, async () => {
    const environment = { LOWER_BOUND_ASSETS: undefined, ...noData };
    const outputs = await withEnvironment(environment, () => outputsOf(source));
    assert.match(consoleText(outputs), /4 pictures, 4 steps each/);
    assert.match(shownText(outputs), /FID\[n = \d+, cifar10-classifier, [\d.]+ % right, cifar10 train \d+\]/);
  });
});

describe("solutions", { skip: noJupyter(), timeout: 3_600_000 }, () => {
  for (const source of findSolutions())
    test(`${basename(source, ".ipynb")}: every check passes`, async () => {
      const { path, problems } = await executeLesson(source, { fast: true });
      assert.deepEqual(problems, []);
      const shown = readFileSync(path, "utf8");
      assert.match(shown, /✓/);
      assert.doesNotMatch(shown, /✗/);
    });
});
