/**
 * @file `npm run bench -- kernel`: see bench/kernel.ts. `npm run bench -- train [--with-pytorch]`: our training and sampling against PyTorch's, in turns, on this
 * machine; a table for people and a JSON file for programs.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { type Contender, startContender } from "./bench/contender";
import { ensurePytorch, pytorchPython } from "./bench/environment";
import { benchKernel } from "./bench/kernel";
import { measure, type Summary, type WorkResult } from "./bench/measure";
import { columns } from "./bench/table";
import { least, WORKS, type Work } from "./bench/works";

const USAGE = `Usage: npm run bench -- train [options]

       npm run bench -- kernel [options] (--help tells them)

How long a training step, and sampling, take; against PyTorch's fastest on the same machine.

  --works NAME,NAME    of ${Object.keys(WORKS).join(", ")}; default mlp,unet, and ddpm too on a GPU
  --with-pytorch       makes a separate Python environment with PyTorch if there is none
  --no-compare         leaves PyTorch out even if its environment is there
  --no-sample          training steps only
  --turns N            how often each contender has its turn
  --eager              our side without compile, too
  --profile            time by op of a training step, in files beside the JSON
  --fast               the least that runs everything, for tests; its figures mean nothing
  --json FILE          where the JSON goes; default runs/bench/train.json`;

const flag = { type: "boolean" } as const;
const text = { type: "string" } as const;
const OPTIONS = {
  works: text,
  "with-pytorch": flag,
  "no-compare": flag,
  "no-sample": flag,
  turns: text,
  eager: flag,
  profile: flag,
  fast: flag,
  json: text,
  help: flag,
} as const;

const root = resolve(__dirname, "..");

/** Ours first; PyTorch as it is, and compiled by itself. */
export function contendersFor(work: Work, python: string | null, eager: boolean): Contender[] {
  const data = JSON.stringify(work);
  const ours = (mode: string) =>
    startContender(
      mode === "compiled" ? "ours" : "ours, eager",
      process.execPath,
      ["--import", "tsx", join(__dirname, "bench", "ours.ts"), data, mode],
      process.env,
    );
  const torch = (variant: string) =>
    startContender(
      variant === "compile" ? "PyTorch, torch.compile" : "PyTorch",
      python!,
      [join(__dirname, "bench", "pytorch.py"), data, variant],
      process.env,
    );
  return [
    ours("compiled"),
    ...(eager ? [ours("eager")] : []),
    ...(python ? [torch("eager"), torch("compile")] : []),
  ];
}

/** The faster of PyTorch's two by one of the measures, or undefined without PyTorch. */
const bestOfPytorch = (
  { results }: WorkResult,
  measureOf: (result: WorkResult["results"][number]) => Summary | null,
) =>
  results
    .filter(({ name }) => name.startsWith("PyTorch"))
    .flatMap((result) => measureOf(result) ?? [])
    .sort((a, b) => a.medianMs - b.medianMs)[0];

/** Ours over PyTorch's best, for training and sampling. */
export function ratios(result: WorkResult): { train: number | null; sample: number | null } {
  const [ours] = result.results;
  const over = (mine: Summary | null, theirs: Summary | undefined) =>
    mine && theirs ? mine.medianMs / theirs.medianMs : null;
  return {
    train: over(
      ours.train,
      bestOfPytorch(result, ({ train }) => train),
    ),
    sample: over(
      ours.sample,
      bestOfPytorch(result, ({ sample }) => sample),
    ),
  };
}

const inMs = ({ medianMs, lowMs, highMs }: Summary): string => {
  const digits = medianMs < 10 ? 2 : medianMs < 100 ? 1 : 0;
  return `${medianMs.toFixed(digits)} (${lowMs.toFixed(digits)}–${highMs.toFixed(digits)})`;
};

const verdict = (ratio: number | null, target: number): string =>
  ratio === null
    ? ""
    : `${ratio.toFixed(2)} of PyTorch's best; wanted at most ${target.toFixed(2)}${ratio <= target ? "" : ": missed"}`;

/** A work's table: a contender a row, median and quartiles in milliseconds. */
export function report(result: WorkResult): string {
  const { work, results, lossDifference } = result;
  const { train, sample } = ratios(result);
  const { count, walk, steps } = work.sample;
  const rows = [
    ["", "training step, ms", `${steps} ${walk} steps, ms`, "CPU ms a step", "peak MB"],
    ...results.map(({ name, train, sample, about }) => [
      name,
      inMs(train),
      sample ? inMs(sample) : "–",
      train.cpuMs.toFixed(train.cpuMs < 10 ? 2 : 0),
      (about.peakBytes / 1e6).toFixed(0),
    ]),
  ];
  const { compileMs, parameters } = results[0].about;
  const lines = [
    `${work.name}: ${parameters} parameters, batch ${work.batch}; sampling ${count} at once`,
    columns(rows),
    ...(train === null ? [] : [`training ${verdict(train, work.targets.train)}`]),
    ...(sample === null ? [] : [`sampling ${verdict(sample, work.targets.sample)}`]),
    ...(compileMs === null ? [] : [`compiling the training step took ${(compileMs / 1e3).toFixed(2)} s`]),
    ...(lossDifference === null
      ? []
      : [`same weights, same batch: losses differ by ${lossDifference.toExponential(1)}, relatively`]),
  ];
  return lines.join("\n");
}

async function runWork(
  work: Work,
  python: string | null,
  options: ReturnType<typeof parse>,
): Promise<WorkResult> {
  const contenders = contendersFor(work, python, options.eager ?? false);
  try {
    const result = await measure(work, contenders, { sampling: !options["no-sample"] });
    if (options.profile)
      for (const [i, contender] of contenders.entries()) {
        const file = join(dirname(options.json), `profile-${options.worksNamed.get(work)}-${i}.txt`);
        await contender.ask({ ask: "profile", steps: Math.min(10, work.trainSteps), file });
        console.log(`${contender.name}: time by op in ${file}`);
      }
    return result;
  } finally {
    for (const contender of contenders) contender.stop();
  }
}

/** DDPM's own net is for machines where the GPU's engine was set up. */
const defaultWorks = (): string[] =>
  existsSync(join(root, ".cache", "engine", "cuda", "tfjs_binding.node"))
    ? ["mlp", "unet", "ddpm"]
    : ["mlp", "unet"];

function parse(args: string[]) {
  const { values, positionals } = parseArgs({ args, options: OPTIONS, allowPositionals: true });
  if (values.help || positionals.length !== 1 || positionals[0] !== "train") throw new Error(USAGE);
  const names = values.works?.split(",") ?? defaultWorks();
  const unknown = names.find((name) => !(name in WORKS));
  if (unknown !== undefined)
    throw new Error(`bench: unknown work "${unknown}", expected some of ${Object.keys(WORKS).join(", ")}.`);
  const turns = values.turns === undefined ? undefined : Number(values.turns);
  if (turns !== undefined && !(Number.isInteger(turns) && turns > 0))
    throw new Error(`bench: --turns is ${values.turns}, expected a positive whole number.`);
  const works = names.map((name) => {
    const work = values.fast ? least(WORKS[name]) : WORKS[name];
    return turns ? { ...work, turns } : work;
  });
  const worksNamed = new Map(works.map((work, i) => [work, names[i]]));
  return {
    ...values,
    works,
    worksNamed,
    json: resolve(root, values.json ?? join("runs", "bench", "train.json")),
  };
}

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  if (args[0] === "kernel") return benchKernel(args.slice(1));
  const options = parse(args);
  const python = options["no-compare"] ? null : options["with-pytorch"] ? ensurePytorch() : pytorchPython();
  const [load] = loadavg();
  if (load > cpus().length / 2)
    console.warn(
      `The machine is busy (load ${load.toFixed(1)} on ${cpus().length} cores). PyTorch's threads wait by spinning, which costs it more than us: measure when it is quiet.`,
    );
  mkdirSync(dirname(options.json), { recursive: true });
  const done: WorkResult[] = [];
  for (const work of options.works) {
    const result = await runWork(work, python, options);
    done.push(result);
    console.log(`${report(result)}\n`);
  }
  const machine = {
    cpu: cpus()[0].model,
    cores: cpus().length,
    memoryBytes: totalmem(),
    node: process.version,
  };
  const works = done.map((result) => ({ ...result, ratios: ratios(result) }));
  writeFileSync(options.json, `${JSON.stringify({ machine, works }, null, 2)}\n`);
  console.log(`All figures: ${options.json}`);
  if (!python) console.log("Without PyTorch; --with-pytorch compares.");
}

if (require.main === module)
  main().catch((error: Error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
