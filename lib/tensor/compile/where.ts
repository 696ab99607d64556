/** @file Where in the user's code something happened, for the errors of `compile`. */
import { dirname, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

const ownFolder = dirname(__dirname) + sep;

function isOurs(path: string): boolean {
  return (
    path.startsWith("node:") ||
    path.includes(`${sep}node_modules${sep}`) ||
    /tfjs-[\w-]+\/src\//.test(path) || // where TensorFlow.js's source maps say that it was
    (path.startsWith(ownFolder) && !path.includes(".test."))
  );
}

/** File, line and column of a frame, `at f (/a b/x.ts:12:3)` or `at /a b/x.ts:12:3`, whatever characters the path has. */
function placeIn(line: string): [path: string, row: string, column: string] | undefined {
  const frame = /^\s+at (?:async )?(?:.*? \((.*)\)|(.*))$/.exec(line);
  const place = /^(?!eval at)(.+):(\d+):(\d+)$/.exec(frame?.[1] ?? frame?.[2] ?? "");
  if (!place) return undefined;
  const [, path, row, column] = place;
  return [path.startsWith("file://") ? fileURLToPath(path) : path, row, column];
}

/** `file.ts:12:3` of the innermost frame that is neither TensorFlow.js nor `lib/tensor`; "" if there is none. */
export function frameOf(trace: Error): string {
  for (const line of (trace.stack ?? "").split("\n").slice(1)) {
    const place = placeIn(line);
    if (!place) continue;
    const [path, row, column] = place;
    if (isOurs(path)) continue;
    const near = relative(process.cwd(), path);
    return `${near.startsWith("..") ? path : near}:${row}:${column}`;
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
