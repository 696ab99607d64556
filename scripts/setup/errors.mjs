/** @file The one error that set-up shows to people: which step, why, and the one thing to do. */

/** How a remedy ends where what failed stopped the command. */
export const AGAIN = "then run the command again; it continues where it stopped";

export class SetupError extends Error {
  /**
   * @param {string} reason what went wrong, in one sentence
   * @param {string} remedy the one thing to do
   * @param {{ log?: string }} [details] `log`: a file with the whole story
   */
  constructor(reason, remedy, details = {}) {
    super(reason);
    this.name = "SetupError";
    this.remedy = remedy;
    this.log = details.log;
  }
}

/**
 * @param {string} again how the remedy ends
 * @param {{ log?: string }} [details]
 */
export const diskFull = (again, details) =>
  new SetupError("the disk is full", `free 3 GB (10 GB with CUDA), ${again}`, details);

/**
 * An error as people read it, with the step that it stopped.
 * @param {string} step
 * @param {unknown} error
 */
export function describeFailure(step, error) {
  const reason = error instanceof Error ? error.message : String(error);
  const lines = [`Set-up stopped at "${step}": ${reason}`];
  if (error instanceof SetupError) lines.push(`To repair: ${error.remedy}`);
  if (error instanceof SetupError && error.log) lines.push(`Details: ${error.log}`);
  return lines.join("\n");
}
