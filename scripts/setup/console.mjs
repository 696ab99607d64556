/** @file Progress of the set-up: one line per step, with the time it takes. */

const SPIN_MS = 1000;

/**
 * Tells of one step at a time. On a terminal the line grows older while the step runs; elsewhere it is written
 * once it is over.
 * @param {NodeJS.WriteStream} [out]
 */
export function progress(out = process.stdout) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  let began = 0;
  let label = "";
  let detail = "";
  const seconds = () => `${((Date.now() - began) / 1000).toFixed(0)} s`;
  const line = (/** @type {string} */ state) =>
    `${label}${detail ? ` (${detail})` : ""} … ${state}${seconds()}`;
  const draw = () => out.isTTY && out.write(`\r\x1b[2K${line("")}`);
  const finish = (/** @type {string} */ state) => {
    clearInterval(timer);
    detail = "";
    out.write(`${out.isTTY ? "\r\x1b[2K" : ""}${line(state)}\n`);
  };
  return {
    /** @param {string} text */
    say: (text) => void out.write(`${text}\n`),
    /** @param {string} name */
    start(name) {
      label = name;
      detail = "";
      began = Date.now();
      draw();
      timer = setInterval(draw, SPIN_MS);
    },
    /**
     * What the step is at, on a terminal in the same line, elsewhere in a line of its own.
     * @param {string} text
     */
    tell(text) {
      detail = text;
      if (out.isTTY) draw();
      else out.write(`${label}: ${text}\n`);
    },
    done: () => finish("done, "),
    failed: () => finish("failed after "),
  };
}

/** @typedef {ReturnType<typeof progress>} Progress */
