/** @file How a long command shows where it is, and how it is stopped: one line on the terminal, and the first Ctrl-C. */

const isTerminal = process.stderr.isTTY === true;
let shown = Number.NEGATIVE_INFINITY;

/** Writes over the present line of a terminal; elsewhere a line now and then. `last` ends the line. */
export function showLine(text: string, last = false): void {
  if (isTerminal) process.stderr.write(`\r\x1b[K${text}${last ? "\n" : ""}`);
  else if (last || performance.now() - shown > 30_000) {
    shown = performance.now();
    process.stderr.write(`${text}\n`);
  }
}

/** Writes a line that stays, below what is shown. */
export function showNote(text: string): void {
  process.stderr.write(`${isTerminal ? "\n" : ""}${text}\n`);
}

/** `████···· 40/100  text  3:20 left`, on the present line. */
export function showBar(done: number, total: number, text: string, secondsLeft: number): void {
  const left = `${Math.floor(secondsLeft / 60)}:${String(Math.floor(secondsLeft % 60)).padStart(2, "0")}`;
  const bar = "█".repeat(Math.round((20 * done) / total)).padEnd(20, "·");
  showLine(`${bar} ${done}/${total}  ${text}  ${left} left`, done === total);
}

/** Within this time a second signal is the first one again: a terminal gives it to all, and npm or a parent passes it on. */
const ECHO_MS = 1000;

/** The exit status of a program that a signal ended. */
export const statusOf = (signal: NodeJS.Signals): number => (signal === "SIGINT" ? 130 : 143);

/** Aborts at the first interruption, whose name is the reason, saying what happens now; a second one ends the program at once. */
export function interruption(now: string): AbortSignal {
  const controller = new AbortController();
  let first = 0;
  const stop = (signal: NodeJS.Signals) => {
    if (controller.signal.aborted) {
      if (performance.now() - first > ECHO_MS) process.exit(statusOf(signal));
      return;
    }
    first = performance.now();
    process.stderr.write(`\n${now}; once more to quit at once\n`);
    controller.abort(signal);
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  return controller.signal;
}

/** Runs a command's main function; an error is one line that begins with the command's name. */
export function runMain(name: string, main: () => Promise<void>): void {
  main().catch((error: Error) => {
    process.stderr.write(`${name}: ${error.message.replace(`${name}: `, "")}\n`);
    process.exitCode = 1;
  });
}
