/** @file Where in the user's code something happened, for the errors of `compile`. */
import { dirname, relative, sep } from "node:path";

const ownFolder = dirname(__dirname) + sep;

function isOurs(path: string): boolean {
  return (
    path.startsWith("node:") ||
    path.includes(`${sep}node_modules${sep}`) ||
    /tfjs-[\w-]+\/src\//.test(path) || // where TensorFlow.js's source maps say that it was
    (path.startsWith(ownFolder) && !path.includes(".test."))
  );
}

/** `file.ts:12:3` of the innermost frame that is neither TensorFlow.js nor `lib/tensor`; "" if there is none. */
export function frameOf(trace: Error): string {
  for (const line of (trace.stack ?? "").split("\n").slice(1)) {
    const match = /\(?((?:file:\/\/)?[^()\s]+):(\d+):(\d+)\)?$/.exec(line);
    if (!match) continue;
    const path = match[1].replace("file://", "");
    if (isOurs(path)) continue;
    const near = relative(process.cwd(), path);
    return `${near.startsWith("..") ? path : near}:${match[2]}:${match[3]}`;
  }
  return "";
}

/** A marker of the present place; cheap, since a trace is formatted only when it is read. */
export function mark(): Error {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 40; // tfjs puts some twenty frames of its own between an op and who called it
  const marker = new Error();
  Error.stackTraceLimit = limit;
  return marker;
}

/** ` at file.ts:12:3`, or nothing where the place is unknown. */
export function at(trace: Error): string {
  const frame = frameOf(trace);
  return frame && ` at ${frame}`;
}
