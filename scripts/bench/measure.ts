/** @file One work, its contenders in turns, and what comes of it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ancestralPlan, ddimPlan, evenSteps, linearSchedule, type Plan } from "../../lib/diffusion";
import type { About, Contender, Timings } from "./contender";
import { NUM_STEPS, type Work } from "./works";

/** Median and quartiles of some times, and the processor's time for one of them. */
export interface Summary {
  medianMs: number;
  lowMs: number;
  highMs: number;
  cpuMs: number;
  count: number;
}

export interface ContenderResult {
  name: string;
  train: Summary;
  sample: Summary | null;
  about: About;
}

export interface WorkResult {
  work: Work;
  results: ContenderResult[];
  /** Of our loss and PyTorch's for the same weights and batch, the relative difference; null without PyTorch. */
  lossDifference: number | null;
}

/** The value below which this share of the numbers lies, interpolated. */
export function quantile(numbers: readonly number[], share: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

export function summarize(timings: readonly Timings[]): Summary {
  const ms = timings.flatMap((timing) => timing.ms);
  const cpu = timings.reduce((sum, { cpuMs }) => sum + cpuMs, 0);
  const [lowMs, medianMs, highMs] = [0.25, 0.5, 0.75].map((share) => quantile(ms, share));
  return { lowMs, medianMs, highMs, cpuMs: cpu / ms.length, count: ms.length };
}

/** The walk as data, for both sides. */
export function planOf({ sample }: Work): Plan {
  const schedule = linearSchedule({ numSteps: NUM_STEPS });
  const steps = evenSteps(NUM_STEPS, sample.steps);
  return sample.walk === "ddim" ? ddimPlan(schedule, { steps }) : ancestralPlan(schedule, { steps });
}

/** Most that the two sides' losses may differ by, relatively: the twin computes the same net. */
export const MOST_LOSS_DIFFERENCE = 1e-5;

/** Hands our weights and one batch to the others and compares the losses. */
async function compareLosses(ours: Contender, others: readonly Contender[]): Promise<number | null> {
  const folder = mkdtempSync(join(tmpdir(), "lower-bound-bench-"));
  try {
    const { loss } = await ours.ask({ ask: "export", folder });
    let largest: number | null = null;
    for (const other of others) {
      const theirs = (await other.ask({ ask: "import", folder })).loss;
      const difference = Math.abs(theirs - loss) / Math.abs(loss);
      largest = Math.max(largest ?? 0, difference);
      if (!(difference <= MOST_LOSS_DIFFERENCE))
        throw new Error(
          `bench: ${other.name}'s loss is ${theirs}, ours is ${loss} for the same weights and batch: not the same net.`,
        );
    }
    return largest;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Measures each contender (the first is ours) on one work: a turn of each in order, again and again, so that whatever
 * else the machine does falls on all of them alike.
 */
export async function measure(
  work: Work,
  contenders: readonly Contender[],
  { sampling = true }: { sampling?: boolean } = {},
): Promise<WorkResult> {
  const [ours, ...others] = contenders;
  for (const contender of contenders)
    await contender.ask({ ask: "train", steps: Math.min(5, work.trainSteps) }); // warm-up
  const trained = new Map<Contender, Timings[]>(contenders.map((contender) => [contender, []]));
  const sampled = new Map<Contender, Timings[]>(contenders.map((contender) => [contender, []]));
  for (let turn = 0; turn < work.turns; turn++)
    for (const contender of contenders)
      trained.get(contender)!.push(await contender.ask({ ask: "train", steps: work.trainSteps }));
  const abouts = new Map<Contender, About>();
  for (const contender of contenders) abouts.set(contender, await contender.ask({ ask: "about" })); // memory of training
  const lossDifference = await compareLosses(ours, others);
  if (sampling) {
    const plan = planOf(work);
    for (const contender of contenders) await contender.ask({ ask: "sample", plan, only: 2 });
    for (let turn = 0; turn < Math.min(3, work.turns); turn++)
      for (const contender of contenders)
        sampled.get(contender)!.push(await contender.ask({ ask: "sample", plan }));
  }
  const results = contenders.map((contender) => ({
    name: contender.name,
    train: summarize(trained.get(contender)!),
    sample: sampling ? summarize(sampled.get(contender)!) : null,
    about: abouts.get(contender)!,
  }));
  return { work, results, lossDifference };
}
