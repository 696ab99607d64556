/** @file The one error that set-up shows to people: which step, why, and the one thing to do. */

/** How a remedy ends where what failed stopped the command. */
export const AGAIN = "then run the command again; it continues where it stopped";

export class SetupError extends Error {
  /**
   * @param {string} reason what went wrong, in one sentence
   * @param {string} remedy the one thing to do
   * @param {{ log?: string, altered?: boolean }} [details] `log`: a file with the whole story; `altered`: what was
   * downloaded is not what was locked
   */
  constructor(reason, remedy, details = {}) {
    super(reason);
    this.name = "SetupError";
    this.remedy = remedy;
    this.log = details.log;
    this.altered = details.altered ?? false;
  }
}

/**
 * @param {string} again how the remedy ends
 * @param {{ log?: string }} [details]
 */
export const diskFull = (again, details) =>
  new SetupError("the disk is full", `free 3 GB (10 GB with CUDA), ${again}`, details);

/**
 * What the file system refused, as an error with its remedy; any other error as it is.
 * @param {unknown} error
 */
function withRemedy(error) {
  const { code, path } = /** @type {NodeJS.ErrnoException} */ (error ?? {});
  if (error instanceof SetupError) return error;
  if (code === "ENOSPC" || code === "EDQUOT") return diskFull(AGAIN);
  if (code === "EACCES" || code === "EPERM" || code === "EROFS")
    return new SetupError(
      `${path ?? "the project's folder"} may not be written (${code})`,
      `copy the project into a folder of your own, or get the right to write in this one, ${AGAIN}`,
    );
  return error;
}

/**
 * An error as people read it, with the step that it stopped.
 * @param {string} step
 * @param {unknown} thrown
 */
export function describeFailure(step, thrown) {
  const error = withRemedy(thrown);
  const reason = error instanceof Error ? error.message : String(error);
  const lines = [`Set-up stopped at "${step}": ${reason}`];
  if (error instanceof SetupError) lines.push(`To repair: ${error.remedy}`);
  if (error instanceof SetupError && error.log) lines.push(`Details: ${error.log}`);
  return lines.join("\n");
}
