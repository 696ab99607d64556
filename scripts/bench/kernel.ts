/**
 * @file `npm run bench -- kernel`: our kernel beside stock tslab, and Deno's where it is installed, in turns on this
 * machine: start, cells, completion, memory; and a soak of ours.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";
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
import { quantile } from "./measure";
import { columns } from "./table";

const USAGE = `Usage: npm run bench -- kernel [options]

How long our kernel takes to start, for cells and completions, and its memory; beside stock tslab and, where it is
installed, Deno's.

  --turns N      how often each kernel is started and measured; default 3
  --soak N       cells of the soak, which is ours alone; default 2000
  --kernels N    how many kernels are opened together; default 5
  --fast         the least that runs everything, for tests; its figures mean nothing
  --json FILE    where the JSON goes; default runs/bench/kernel.json`;

const text = { type: "string" } as const;
const flag = { type: "boolean" } as const;
const OPTIONS = { turns: text, soak: text, kernels: text, json: text, fast: flag, help: flag } as const;

const root = resolve(__dirname, "../..");

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

/** Milliseconds of one kernel's life. */
interface Times {
  start: number[];
  trivial: number[];
  tfjs: number[];
  firstCompletion: number[];
  completion: number[];
  /** From Stop in a synchronous loop to the cell's end. */
  stop: number[];
  /** To the first result while other kernels of the same project run. */
  startBeside: number[];
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

async function startKernel(contender: Contender): Promise<{ kernel: TestKernel; ms: number }> {
  const began = performance.now();
  const kernel = await TestKernel.start(makeFolder(), contender.env, contender.spec);
  checked(contender, "the first cell", await kernel.execute("6 * 7"));
  return { kernel, ms: performance.now() - began };
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

export interface Soak {
  cells: number;
  /** Median ms of the second and of the last tenth of the cells. */
  earlyMs: number;
  lateMs: number;
  /** Memory in MB after each tenth. */
  memory: number[];
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

export interface KernelResult {
  name: string;
  times: Times;
  memoryMB: number | null;
}

const inMs = (times: number[]): string => {
  if (times.length === 0) return "–";
  const [low, median, high] = [0.25, 0.5, 0.75].map((share) => quantile(times, share).toFixed(0));
  return `${median} (${low}–${high})`;
};

/** Rows are what was measured, columns the kernels. */
export function kernelReport(results: KernelResult[], kernels: number): string {
  const row = (label: string, cell: (result: KernelResult) => string) => [label, ...results.map(cell)];
  return columns([
    ["ms: median (quartiles)", ...results.map(({ name }) => name)],
    row("start to first result", ({ times }) => inMs(times.start)),
    row("the same beside other kernels", ({ times }) => inMs(times.startBeside)),
    row("trivial cell", ({ times }) => inMs(times.trivial)),
    row("cell with tfjs", ({ times }) => inMs(times.tfjs)),
    row("first completion with tfjs", ({ times }) => inMs(times.firstCompletion)),
    row("later ones", ({ times }) => inMs(times.completion)),
    row("Stop of a synchronous loop", ({ times }) => inMs(times.stop)),
    row(`memory of ${kernels} kernels with tfjs, MB`, ({ memoryMB }) => memoryMB?.toFixed(0) ?? "–"),
  ]);
}

export function soakReport({ cells, earlyMs, lateMs, memory }: Soak): string {
  const megabytes = memory.map((one) => one.toFixed(0)).join(" ");
  return `ours, ${cells} cells in one kernel: median ${earlyMs.toFixed(0)} ms in the second tenth, ${lateMs.toFixed(0)} ms in the last; MB after each tenth: ${megabytes}`;
}

function parse(args: string[]): Counts & { json: string } {
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
  };
}

/** Measures in turns, prints the table and writes the JSON. */
export async function benchKernel(args: string[]): Promise<void> {
  const counts = parse(args);
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
  console.log(kernelReport(results, counts.kernels));
  const load = quantile(busy, 0.5);
  console.log(
    `\nload ${load.toFixed(1)} on ${availableParallelism()} cores${load > availableParallelism() ? ": the machine was busy, only ratios mean something" : ""}`,
  );
  if (!all.some(({ name }) => name === "Deno")) console.log("Without Deno, which is not installed here.");
  const soaked = counts.soak > 0 ? await soak(all[0], counts.soak) : null;
  if (soaked) console.log(`\n${soakReport(soaked)}`);
  mkdirSync(dirname(counts.json), { recursive: true });
  const machine = {
    cpu: cpus()[0].model,
    cores: cpus().length,
    memoryBytes: totalmem(),
    node: process.version,
    load,
  };
  writeFileSync(
    counts.json,
    `${JSON.stringify({ machine, kernels: counts.kernels, results, soak: soaked }, null, 2)}\n`,
  );
  console.log(`All figures: ${counts.json}`);
}
