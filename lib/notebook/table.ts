/** @file A table of results, as HTML for the page and as aligned text everywhere else. */
import type { Bundle } from "./display";

export interface TableOptions {
  title?: string;
  /** Significant digits of numbers that are not whole. */
  digits?: number;
}

type Cell = string | number | boolean | null | undefined;

/** An output from rows of named cells; columns in order of first appearance, missing cells empty; without rows it says so. Give it to `show`. */
export function table(
  rows: readonly Record<string, Cell>[],
  { title, digits = 4 }: TableOptions = {},
): Bundle {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  if (columns.length === 0) return withoutRows(title);
  const cells = rows.map((row) => columns.map((column) => format(row[column], digits)));
  const isNumeric = columns.map((column) => rows.some((row) => typeof row[column] === "number"));
  return {
    "text/html": html(columns, cells, isNumeric, title),
    "text/plain": text(columns, cells, isNumeric, title),
  };
}

function format(cell: Cell, digits: number): string {
  if (cell === null || cell === undefined) return "";
  if (typeof cell !== "number" || Number.isInteger(cell)) return String(cell);
  if (!Number.isFinite(cell)) return Number.isNaN(cell) ? "not a number" : cell > 0 ? "∞" : "−∞";
  const size = Math.abs(cell);
  return size >= 1e-4 && size < 1e7
    ? String(Number(cell.toPrecision(digits)))
    : cell.toExponential(digits - 1);
}

function withoutRows(title?: string): Bundle {
  return {
    "text/html": `<table>${caption(title)}<tbody><tr><td>no rows</td></tr></tbody></table>`,
    "text/plain": [...(title ? [title] : []), "no rows"].join("\n"),
  };
}

const ESCAPES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escaped = (value: string): string => value.replace(/[&<>"]/g, (character) => ESCAPES[character]);

const caption = (title?: string): string => (title ? `<caption>${escaped(title)}</caption>` : "");

/** No style and no script: an untrusted notebook keeps it as it is. */
function html(columns: string[], cells: string[][], isNumeric: boolean[], title?: string): string {
  const align = (index: number) => (isNumeric[index] ? ' align="right"' : ' align="left"');
  const row = (tag: string, values: string[]) =>
    `<tr>${values.map((value, index) => `<${tag}${align(index)}>${escaped(value)}</${tag}>`).join("")}</tr>`;
  const body = cells.map((values) => row("td", values)).join("");
  return `<table>${caption(title)}<thead>${row("th", columns)}</thead><tbody>${body}</tbody></table>`;
}

function text(columns: string[], cells: string[][], isNumeric: boolean[], title?: string): string {
  const widths = columns.map((column, index) =>
    Math.max(column.length, ...cells.map((row) => row[index].length)),
  );
  const line = (values: string[]) =>
    values
      .map((value, index) => (isNumeric[index] ? value.padStart(widths[index]) : value.padEnd(widths[index])))
      .join("  ")
      .trimEnd();
  const rule = widths.map((width) => "-".repeat(width)).join("  ");
  return [...(title ? [title] : []), line(columns), rule, ...cells.map(line)].join("\n");
}
