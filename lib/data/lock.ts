/** @file One process at a time: a lock file that names its process. */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** Runs `action` while holding the lock file; one whose process is gone does not count. Throws where another process holds it. */
export async function locked<T>(path: string, action: () => Promise<T>): Promise<T> {
  mkdirSync(dirname(path), { recursive: true });
  if (existsSync(path) && !isHeld(path)) rmSync(path, { force: true });
  try {
    writeFileSync(path, String(process.pid), { flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new Error(
      `process ${readFileSync(path, "utf8")} is at work on the same files. Wait for it; if it hangs, stop it and remove ${path}.`,
    );
  }
  try {
    return await action();
  } finally {
    rmSync(path, { force: true });
  }
}

/** Whether the process that a lock names is there; one with our own id that took it before we began was another: in a container that is begun again ids repeat. */
function isHeld(path: string): boolean {
  const pid = Number(readFileSync(path, "utf8"));
  return pid === process.pid ? statSync(path).mtimeMs >= performance.timeOrigin : isRunning(pid);
}

function isRunning(pid: number): boolean {
  if (!(Number.isInteger(pid) && pid > 0)) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"; // somebody else's
  }
}
