/**
 * @file One process at a time, in a download, in a run's folder, or in a checkout's set-up: a lock file with its holder's
 * process id and a heartbeat. Plain JavaScript, for the set-up begins with nothing else.
 *
 * A lock is stale when its holder on this machine is gone, or when its heartbeat (the file's time) stopped, as
 * it does when the holder ran on another machine that shares the folder, or when its id was given to another process.
 */
const {
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} = require("node:fs");
const { hostname } = require("node:os");
const { dirname, join } = require("node:path");
const { setTimeout: sleep } = require("node:timers/promises");

const BEAT_MS = 5_000;
/** After so many beats without the file it was taken away by hand. */
const UNSEEN = 3;
/** So long without a heartbeat, and a holder on another machine counts as gone. */
const SILENT_MS = 60_000;
/** On this machine its process is looked for as well; a long computation may keep it from beating. */
const SILENT_HERE_MS = 600_000;

/** @param {number} pid */
function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === "EPERM";
  }
}

/**
 * Whether a process of this machine still holds what was taken under its id at that time. One that has our own id was
 * another if it took it before we began: in a container that is begun again ids repeat.
 * @param {number} pid
 * @param {number} taken
 */
function holds(pid, taken) {
  if (pid === process.pid) return taken >= performance.timeOrigin;
  return isRunning(pid);
}

/**
 * The lock as it lies there, or undefined when there is none.
 * @param {string} path
 */
function look(path) {
  try {
    const text = readFileSync(path, "utf8");
    const [host, pid, taken] = text.split(" ");
    const silence = Date.now() - statSync(path).mtimeMs;
    const isHere = host === hostname();
    const gone = isHere && !holds(Number(pid), Number(taken));
    return { text, stale: gone || silence > (isHere ? SILENT_HERE_MS : SILENT_MS) };
  } catch {
    return undefined;
  }
}

/**
 * Takes a stale lock away, but not the fresh one that another process may have put there meanwhile.
 * @param {string} path
 * @param {string} text the stale lock's content
 */
function removeStale(path, text) {
  const aside = `${path}.stale-${process.pid}`;
  try {
    renameSync(path, aside);
    if (readFileSync(aside, "utf8") !== text) linkSync(aside, path);
  } catch {
    // Another process was quicker, in either step: the next look tells.
  }
  rmSync(aside, { force: true });
}

/** @param {string} path @param {string} text */
function tryToTake(path, text) {
  try {
    writeFileSync(path, text, { flag: "wx" });
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === "EEXIST") return false;
    rmSync(path, { force: true }); // made, but not written: the disk is full
    throw error;
  }
}

/** @param {string} path */
function touch(path) {
  const now = new Date();
  try {
    utimesSync(path, now, now);
  } catch {
    // Taken away by hand just now: nothing to keep fresh.
  }
}

/**
 * Waits for the lock and takes it. The returned function gives it back.
 * @param {string} path
 * @param {object} [hears]
 * @param {(pid: string) => void} [hears.onWait] called once when another process holds it; throws to give up
 * @param {() => void} [hears.onLost] called when another process took it over, as from one that was stopped for long
 * @returns {Promise<() => void>}
 */
async function takeLock(path, { onWait, onLost } = {}) {
  mkdirSync(dirname(path), { recursive: true });
  const text = `${hostname()} ${process.pid} ${Date.now()}`;
  let waiting = false;
  while (!tryToTake(path, text)) {
    const found = look(path);
    if (found?.stale) removeStale(path, found.text);
    else {
      if (!waiting) onWait?.(found?.text.split(" ")[1] ?? "of another");
      waiting = true;
      await sleep(300);
    }
  }
  let unseen = 0;
  const beat = setInterval(() => {
    const found = look(path);
    if (found?.text === text) {
      unseen = 0;
      return touch(path);
    }
    if (!found && ++unseen < UNSEEN) return; // a disk far away may fail to answer once
    clearInterval(beat);
    if (found) onLost?.(); // without a file it was taken away by hand
  }, BEAT_MS);
  beat.unref();
  return () => {
    clearInterval(beat);
    if (look(path)?.text === text) rmSync(path, { force: true });
  };
}

/**
 * Does what only one process may do at a time. Rejects, naming the holder, where another does it.
 * @template Result
 * @param {string} path of the lock
 * @param {() => Promise<Result>} work
 * @returns {Promise<Result>}
 */
async function locked(path, work) {
  const release = await takeLock(path, {
    onWait(pid) {
      throw new Error(
        `process ${pid} is at work on the same files. Wait for it; if it hangs, stop it and remove ${path}.`,
      );
    },
  });
  try {
    return await work();
  } finally {
    release();
  }
}

/**
 * Works in a folder that is this process's alone until the work ends, and removes it where nothing was put into it.
 * Rejects, naming the folder, where another process is at work in it. Ends the process where another took the folder
 * over, as it may from one that was stopped for ten minutes: nothing of this one may go into its files.
 * @template Result
 * @param {string} folder made if need be
 * @param {() => Promise<Result>} work
 * @returns {Promise<Result>}
 */
async function withFolder(folder, work) {
  const release = await takeLock(join(folder, "lock"), {
    onWait() {
      throw new Error(`another process is at work in ${folder}. Wait for its end, or choose another --out.`);
    },
    onLost() {
      console.error(
        `\n${folder} was taken over by another process while this one was stopped; this one ends.`,
      );
      process.exit(1);
    },
  });
  try {
    return await work();
  } finally {
    release();
    if (readdirSync(folder).length === 0) rmdirSync(folder);
  }
}

module.exports = { locked, takeLock, withFolder };
