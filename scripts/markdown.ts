/** @file Tables as Markdown has them. */

/** Rows of named cells as a table; the names are the first row's. */
export function markdown(rows: readonly Record<string, string>[]): string {
  const names = Object.keys(rows[0]);
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(names), line(names.map(() => "---")), ...rows.map((row) => line(Object.values(row)))].join(
    "\n",
  );
}
