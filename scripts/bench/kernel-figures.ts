/** @file What `npm run bench -- kernel` found, as a table for a terminal and as the one in lib/kernel/README.md. */
import { quantile } from "./measure";
import { columns } from "./table";

/** Milliseconds, of one or several lives of a kernel. */
export interface Times {
  /** From the start of the process to the first result. */
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

export interface KernelResult {
  name: string;
  times: Times;
  memoryMB: number | null;
}

export interface Soak {
  cells: number;
  /** Median ms of the second and of the last tenth of the cells. */
  earlyMs: number;
  lateMs: number;
  /** Memory in MB after each tenth. */
  memory: number[];
}

/** The JSON file. */
export interface KernelFigures {
  machine: { cpu: string; cores: number; memoryBytes: number; node: string; load: number };
  kernels: number;
  results: KernelResult[];
  soak: Soak | null;
}

interface Row {
  label: string;
  values(result: KernelResult): number[];
  /** What the median may be at most, on two idle cores. */
  most?: number;
}

const rowsFor = (kernels: number): Row[] => [
  { label: "start to first result", values: ({ times }) => times.start, most: 2000 },
  { label: "the same beside other kernels", values: ({ times }) => times.startBeside },
  { label: "trivial cell", values: ({ times }) => times.trivial, most: 30 },
  { label: "cell with tfjs", values: ({ times }) => times.tfjs, most: 100 },
  { label: "first completion with tfjs", values: ({ times }) => times.firstCompletion },
  { label: "later ones", values: ({ times }) => times.completion, most: 100 },
  { label: "Stop of a synchronous loop", values: ({ times }) => times.stop, most: 1000 },
  {
    label: `memory of ${kernels} kernels with tfjs, MB`,
    values: ({ memoryMB }) => (memoryMB === null ? [] : [memoryMB]),
    most: 1200,
  },
];

const median = (values: number[]) => quantile(values, 0.5);

/** `19 (16–26)`; a lone value by itself; a dash where nothing was measured. */
function withQuartiles(values: number[]): string {
  if (values.length === 0) return "–";
  const [low, middle, high] = [0.25, 0.5, 0.75].map((share) => quantile(values, share).toFixed(0));
  return values.length === 1 ? middle : `${middle} (${low}–${high})`;
}

/** Rows are what was measured, columns the kernels. */
export function kernelReport({ results, kernels }: Pick<KernelFigures, "results" | "kernels">): string {
  return columns([
    ["ms: median (quartiles)", ...results.map(({ name }) => name)],
    ...rowsFor(kernels).map(({ label, values }) => [
      label,
      ...results.map((result) => withQuartiles(values(result))),
    ]),
  ]);
}

export function soakReport({ cells, earlyMs, lateMs, memory }: Soak): string {
  const megabytes =
    memory.length > 0 ? `; MB after each tenth: ${memory.map((one) => one.toFixed(0)).join(" ")}` : "";
  return `ours, ${cells} cells in one kernel: median ${earlyMs.toFixed(0)} ms in the second tenth, ${lateMs.toFixed(0)} ms in the last${megabytes}`;
}

/** Whether so much else ran that only ratios mean something. */
export const wasBusy = ({ load, cores }: KernelFigures["machine"]) => load > cores;

function ratio(row: Row, ours: KernelResult, other: KernelResult): string {
  const [own, others] = [row.values(ours), row.values(other)];
  return own.length && others.length ? (median(own) / median(others)).toFixed(2) : "–";
}

/** The figures as Markdown: machine, table with the ratio to stock tslab, soak. */
export function kernelMarkdown({ machine, kernels, results, soak }: KernelFigures): string {
  const [ours, ...others] = results;
  const tslab = others.find(({ name }) => name === "tslab");
  const { cpu, cores, node, load } = machine;
  const busy = wasBusy(machine) ? " (other work ran beside it: only the ratios mean anything)" : "";
  const line = (cells: string[]) => `| ${cells.join(" | ")} |`;
  const rows = rowsFor(kernels).map((row) =>
    line([
      row.label,
      row.most === undefined ? "" : String(row.most),
      ...results.map((result) => withQuartiles(row.values(result))),
      ...(tslab ? [ratio(row, ours, tslab)] : []),
    ]),
  );
  const head = [
    "ms: median (quartiles)",
    "at most",
    ...results.map(({ name }) => name),
    ...(tslab ? ["ours / tslab"] : []),
  ];
  return [
    `${cores} cores of an ${cpu}, Node ${node}, at a load of ${load.toFixed(1)}${busy}.`,
    "",
    line(head),
    line(head.map(() => "---")),
    ...rows,
    ...(soak ? ["", soakMarkdown(soak)] : []),
  ].join("\n");
}

function soakMarkdown({ cells, earlyMs, lateMs, memory }: Soak): string {
  const megabytes = memory.map((one) => one.toFixed(0)).join(", ");
  const list = megabytes && `; kernel and language server together ${megabytes} MB after each tenth`; // no system but Linux tells
  return `A soak of ${cells} cells in one kernel, each with a tensor and a printed line: median ${earlyMs.toFixed(0)} ms in the second tenth, ${lateMs.toFixed(0)} ms in the last${list}.`;
}

const MARKS = ["<!-- npm run bench -- kernel --readme writes this -->", "<!-- up to here -->"] as const;

/** `text` with the figures between its two marks. Throws where they are not. */
export function withFigures(text: string, figures: KernelFigures): string {
  const [begin, end] = MARKS.map((mark) => text.indexOf(mark));
  if (begin < 0 || end < begin) throw new Error(`bench: the README has no lines "${MARKS.join('" and "')}".`);
  return `${text.slice(0, begin + MARKS[0].length)}\n${kernelMarkdown(figures)}\n${text.slice(end)}`;
}
