/** @file Type errors as a reader wants them: where in the cell, what, the line itself and a caret under the place. */
import { relative } from "node:path";
import ts from "typescript";
import type { Failure } from "./messages";

/** A place in a cell or in a file, counted from 1. */
interface Place {
  where: string;
  line: number;
  column: number;
  text: string;
  width: number;
}

function placeOf(text: string, start: number, length: number, where: string): Place {
  const before = text.slice(0, start).split("\n");
  const line = text.split("\n")[before.length - 1] ?? "";
  const column = before[before.length - 1].length + 1;
  const width = Math.max(1, Math.min(length, line.length - column + 1));
  return { where, line: before.length, column, text: line, width };
}

/** The offending line with a caret under the place. */
function excerpt({ line, column, text, width }: Place): string {
  const number = `${line} `;
  const tabs = text.slice(0, column - 1).replace(/[^\t]/g, " ");
  return `${number}${text}\n${" ".repeat(number.length)}${tabs}${"~".repeat(width).replace("~", "^")}`;
}

/**
 * A cell's diagnostics as one error. `source` is the cell's text: a place after its end (where something is
 * missing) is shown at its end.
 */
export function failureOf(
  diagnostics: readonly ts.Diagnostic[],
  source: string,
  cellFile: string,
  cellName: string,
  folder: string,
): Failure {
  const parts = diagnostics.map(({ file, start = 0, length = 0, messageText, code }) => {
    const own = !file || file.fileName === cellFile;
    const text = own ? source : file.text;
    const where = own ? cellName : relative(folder, file.fileName);
    const place = placeOf(text, Math.min(start, text.trimEnd().length), length, where);
    const message = ts.flattenDiagnosticMessageText(messageText, "\n");
    return { place, message, code };
  });
  const lines = parts.map(
    ({ place, message, code }) =>
      `${place.where}:${place.line}:${place.column} - error TS${code}: ${message}\n\n${excerpt(place)}\n`,
  );
  const [{ place, message }] = parts;
  return {
    name: "TypeScriptError",
    message: `${place.where}:${place.line}:${place.column} - ${message}${parts.length > 1 ? ` (and ${parts.length - 1} more)` : ""}`,
    trace: lines.join("\n").split("\n"),
  };
}
