/**
 * @file `npm run bench -- kernel`: our kernel beside stock tslab, and Deno's where it is installed, in turns on this
 * machine: start, cells, completion, memory; and a soak of ours.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import {
  makeFolder,
  memoryTogether,
  ownServer,
  type Result,
  slowness,
  TestKernel,
  writeKernelspec,
} from "../../lib/kernel/testing/kernel";
import {
  type KernelFigures,
  type KernelResult,
  kernelReport,
  type Soak,
  soakReport,
  type Times,
  wasBusy,
  withFigures,
} from "./kernel-figures";
import { quantile } from "./measure";

const USAGE = `Usage: npm run bench -- kernel [options]

How long our kernel takes to start, for cells and completions, and its memory; beside stock tslab and, where it is
installed, Deno's.

  --turns N      how often each kernel is started and measured; default 3
  --soak N       cells of the soak, which is ours alone; default 2000
  --kernels N    how many kernels are opened together; default 5
  --fast         the least that runs everything, for tests; its figures mean nothing
  --json FILE    where the JSON goes; default runs/bench/kernel.json
  --from FILE    the JSON of an earlier run, instead of measuring
  --readme       puts the figures into lib/kernel/README.md, too`;

const text = { type: "string" } as const;
const flag = { type: "boolean" } as const;
const OPTIONS = {
  turns: text,
  soak: text,
  kernels: text,
  json: text,
  from: text,
  readme: flag,
  fast: flag,
  help: flag,
} as const;

const root = resolve(__dirname, "../..");
const README = join(root, "lib", "kernel", "README.md");

interface Contender {
  name: string;
  /** Path of its kernel.json. */
  spec: string;
  /** How a cell imports tfjs. */
  tfjs: string;
  env: NodeJS.ProcessEnv;
  /** Processes beside the kernel's own that work for it. */
  helpers(): number[];
}

function specOf(argv: string[]): string {
  const file = join(makeFolder(), "kernel.json");
  const spec = { argv, display_name: "contender", language: "typescript" }; // Stop is a signal
  writeFileSync(file, JSON.stringify(spec));
  return file;
}

/** Ours first; Deno only where it is installed. */
function contenders(): Contender[] {
  const server = ownServer();
  const tfjs = "@tensorflow/tfjs";
  const tslab = join(root, "node_modules", "tslab", "bin", "tslab");
  const others = { tfjs, env: {}, helpers: () => [] };
  const all: Contender[] = [
    { name: "ours", spec: writeKernelspec(makeFolder()), tfjs, env: server.env, helpers: server.pids },
    {
      ...others,
      name: "tslab",
      spec: specOf([process.execPath, tslab, "kernel", "--config-path={connection_file}"]),
    },
  ];
  if (spawnSync("deno", ["--version"]).status === 0)
    all.push({
      ...others,
      name: "Deno",
      tfjs: `npm:${tfjs}`,
      spec: specOf(["deno", "jupyter", "--kernel", "--conn", "{connection_file}"]),
    });
  return all;
}

interface Counts {
  turns: number;
  cells: number;
  kernels: number;
  soak: number;
}

const noTimes = (): Times => ({
  start: [],
  trivial: [],
  tfjs: [],
  firstCompletion: [],
  completion: [],
  stop: [],
  startBeside: [],
});

function checked(contender: Contender, what: string, result: Result): Result {
  if (result.reply.status !== "ok")
    throw new Error(
      `bench: ${contender.name}'s kernel failed at ${what}: ${JSON.stringify(result.reply).slice(0, 400)}`,
    );
  return result;
}

/** A kernel and the ms from the start of its process to its first result. */
async function startKernel(contender: Contender): Promise<{ kernel: TestKernel; ms: number }> {
  const kernel = await TestKernel.start(makeFolder(), contender.env, contender.spec);
  const first = checked(contender, "the first cell", await kernel.execute("6 * 7"));
  const shown =
    first.messages.find(({ type }) => type === "execute_result") ?? first.messages[first.messages.length - 1];
  return { kernel, ms: shown.at - kernel.startedAt };
}

const importOf = ({ tfjs }: Contender) =>
  `import * as tf from "${tfjs}";\nconst x = tf.ones([8, 8]);\nx.shape`;

/** Milliseconds from Stop to the end of a synchronous loop; nothing for a kernel that cannot stop it. */
async function stopLoop(kernel: TestKernel): Promise<number[]> {
  const id = kernel.submit("while (true);");
  await sleep(2000); // not every kernel says something while it computes
  const pressed = performance.now();
  kernel.stop();
  const ended = await kernel.result(id, 20_000 * slowness()).catch(() => undefined);
  return ended ? [ended.messages[ended.messages.length - 1].at - pressed] : [];
}

/** Starts a kernel, measures it and ends it; adds to `times`. */
async function measureOnce(contender: Contender, { cells }: Counts, times: Times): Promise<void> {
  const { kernel, ms } = await startKernel(contender);
  const run = async (code: string) => checked(contender, code, await kernel.execute(code)).ms;
  const complete = async (code: string) => {
    const answer = await kernel.request("complete_request", { code, cursor_pos: code.length });
    return checked(contender, "a completion", answer).ms;
  };
  try {
    times.start.push(ms);
    for (let i = 0; i < cells; i++) times.trivial.push(await run(`const a${i} = ${i};\na${i} + 1`));
    await run(importOf(contender));
    times.firstCompletion.push(await complete("x.ma"));
    for (let i = 0; i < cells; i++) {
      times.tfjs.push(await run(`const y${i} = x.add(${i}).matMul(x);\ny${i}.shape`));
      times.completion.push(await complete(`y${i}.ma`));
    }
    times.stop.push(...(await stopLoop(kernel)));
  } finally {
    await kernel.close();
  }
}

/** Megabytes of several kernels with tfjs at once; null where the system does not tell. */
async function measureMemory(
  contender: Contender,
  { kernels }: Counts,
  times: Times,
): Promise<number | null> {
  const running: TestKernel[] = [];
  try {
    for (let i = 0; i < kernels; i++) {
      const { kernel, ms } = await startKernel(contender);
      running.push(kernel);
      if (i > 0) times.startBeside.push(ms);
      checked(contender, "tfjs", await kernel.execute(importOf(contender)));
    }
    if (!existsSync("/proc/self/smaps_rollup")) return null;
    await sleep(3000); // what is given back at rest is given back
    return memoryTogether([...running.map(({ pid }) => pid), ...contender.helpers()]);
  } finally {
    await Promise.all(running.map((kernel) => kernel.close()));
  }
}

/** Many cells in one kernel, each declaring a name, using tfjs and printing. */
async function soak(contender: Contender, cells: number): Promise<Soak> {
  const { kernel } = await startKernel(contender);
  const tenth = Math.max(1, Math.floor(cells / 10));
  const ms: number[] = [];
  const memory: number[] = [];
  try {
    checked(contender, "tfjs", await kernel.execute(importOf(contender)));
    for (let i = 0; i < 10 * tenth; i++) {
      const code = `const s${i} = tf.tidy(() => x.add(${i}).sum().arraySync()) as number;\nconsole.log(s${i}); s${i}`;
      ms.push(checked(contender, `cell ${i}`, await kernel.execute(code)).ms);
      if ((i + 1) % tenth !== 0 || !existsSync("/proc/self/smaps_rollup")) continue;
      await sleep(2000);
      memory.push(memoryTogether([kernel.pid, ...contender.helpers()]));
    }
  } finally {
    await kernel.close();
  }
  return {
    cells: ms.length,
    earlyMs: quantile(ms.slice(tenth, 2 * tenth), 0.5),
    lateMs: quantile(ms.slice(-tenth), 0.5),
    memory,
  };
}

interface Request extends Counts {
  json: string;
  from?: string;
  readme: boolean;
}

function parse(args: string[]): Request {
  const { values } = parseArgs({ args, options: OPTIONS });
  if (values.help) throw new Error(USAGE);
  const count = (name: "turns" | "soak" | "kernels", usual: number, least: number): number => {
    const value = Number(values[name] ?? (values.fast ? least : usual));
    if (!Number.isInteger(value) || value < 0 || (name !== "soak" && value === 0))
      throw new Error(`bench: --${name} is ${values[name]}, expected a positive whole number.`);
    return value;
  };
  return {
    turns: count("turns", 3, 1),
    soak: count("soak", 2000, 10),
    kernels: count("kernels", 5, 2),
    cells: values.fast ? 2 : 20,
    json: resolve(root, values.json ?? join("runs", "bench", "kernel.json")),
    from: values.from,
    readme: values.readme ?? false,
  };
}

async function measure(counts: Counts): Promise<KernelFigures> {
  const all = contenders();
  const times = new Map(all.map((contender) => [contender, noTimes()]));
  const busy: number[] = [];
  for (let turn = 0; turn < counts.turns; turn++)
    for (const contender of all) {
      busy.push(loadavg()[0]);
      await measureOnce(contender, counts, times.get(contender)!);
    }
  const results: KernelResult[] = [];
  for (const contender of all)
    results.push({
      name: contender.name,
      times: times.get(contender)!,
      memoryMB: await measureMemory(contender, counts, times.get(contender)!),
    });
  const machine = {
    cpu: cpus()[0].model,
    cores: cpus().length,
    memoryBytes: totalmem(),
    node: process.version,
    load: quantile(busy, 0.5),
  };
  return {
    machine,
    kernels: counts.kernels,
    results,
    soak: counts.soak > 0 ? await soak(all[0], counts.soak) : null,
  };
}

function print(figures: KernelFigures): void {
  const { machine, results, soak } = figures;
  console.log(kernelReport(figures));
  const busy = wasBusy(machine) ? ": the machine was busy, only ratios mean something" : "";
  console.log(`\nload ${machine.load.toFixed(1)} on ${machine.cores} cores${busy}`);
  if (!results.some(({ name }) => name === "Deno")) console.log("Without Deno, which was not installed.");
  if (soak) console.log(`\n${soakReport(soak)}`);
}

/** Measures in turns, or reads what was measured; prints the table, writes the JSON and, where asked, the README. */
export async function benchKernel(args: string[]): Promise<void> {
  const request = parse(args);
  const figures: KernelFigures = request.from
    ? JSON.parse(readFileSync(resolve(root, request.from), "utf8"))
    : await measure(request);
  print(figures);
  if (!request.from) {
    mkdirSync(dirname(request.json), { recursive: true });
    writeFileSync(request.json, `${JSON.stringify(figures, null, 2)}\n`);
    console.log(`All figures: ${request.json}`);
  }
  if (request.readme) writeFileSync(README, withFigures(readFileSync(README, "utf8"), figures));
}
