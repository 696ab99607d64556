/** @file A side of the comparison: a process of its own that is asked over its standard input, one line at a time. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Plan } from "../../lib/diffusion";

/** What can be asked; the answers are in `Answers`. */
export type Question =
  | { ask: "train"; steps: number }
  /** The whole walk, or only its first transitions. */
  | { ask: "sample"; plan: Plan; only?: number }
  | { ask: "export"; folder: string }
  | { ask: "import"; folder: string }
  | { ask: "profile"; steps: number; file: string }
  | { ask: "about" };

export interface Timings {
  /** Wall-clock milliseconds of each step, or of the whole walk. */
  ms: number[];
  /** Milliseconds of processor time, all threads together, for the lot. */
  cpuMs: number;
}

export interface About {
  version: string;
  parameters: number;
  /** Largest resident memory so far. */
  peakBytes: number;
  /** From the first call of a compiled step to its end, less a later step; null where nothing is compiled. */
  compileMs: number | null;
}

interface Answers {
  train: Timings;
  sample: Timings;
  export: { loss: number };
  import: { loss: number };
  profile: { wallMs: number };
  about: About;
}

export interface Contender {
  name: string;
  ask<Q extends Question>(question: Q): Promise<Answers[Q["ask"]]>;
  stop(): void;
}

/** Lines that are answers begin with this; all others are shown if the process fails. */
export const ANSWER = "@";

/** Starts a contender; it fails with what it printed last. */
export function startContender(
  name: string,
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv,
): Contender {
  const child = spawn(command, args, { env, stdio: ["pipe", "pipe", "pipe"] });
  const waiting: { resolve(value: never): void; reject(error: Error): void }[] = [];
  let said = "";
  const note = (text: string) => {
    said = (said + text).slice(-4000);
  };
  child.stderr.on("data", (chunk) => note(String(chunk)));
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (!line.startsWith(ANSWER)) return note(`${line}\n`);
    const answer = JSON.parse(line.slice(ANSWER.length));
    const asked = waiting.shift();
    if (answer.error) asked?.reject(new Error(`${name}: ${answer.error}`));
    else asked?.resolve(answer as never);
  });
  let failure: Error | undefined;
  const fail = (why: string) => {
    failure ??= new Error(`${name} ${why}. It said last:\n${said}`);
    for (const asked of waiting.splice(0)) asked.reject(failure);
  };
  child.on("error", (error) => fail(`could not be started (${error.message})`));
  child.on("close", (code) => fail(`ended with code ${code}`));
  child.stdin.on("error", (error) => note(`${error.message}\n`)); // it has closed its side: "close" says why
  return {
    name,
    ask: (question) =>
      new Promise((resolve, reject) => {
        if (failure) return reject(failure);
        waiting.push({ resolve, reject });
        child.stdin.write(`${JSON.stringify(question)}\n`);
      }),
    stop: () => child.stdin.end(),
  };
}
