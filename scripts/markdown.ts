/** @file Tables as Markdown has them, and numbers in them. */

/** `20,000`. */
export const thousands = (value: number): string => value.toLocaleString("en");

/** `4.357 ± 0.034`, or without ± where no standard error is known. */
export function plusMinus(
  { mean, standardError }: { mean: number; standardError: number },
  digits: number,
): string {
  return `${mean.toFixed(digits)}${Number.isFinite(standardError) ? ` ± ${standardError.toFixed(digits)}` : ""}`;
}

/** Rows of named cells as a table; the names are the first row's. */
export function markdown(rows: readonly Record<string, string>[]): string {
  const names = Object.keys(rows[0]);
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(names), line(names.map(() => "---")), ...rows.map((row) => line(Object.values(row)))].join(
    "\n",
  );
}
