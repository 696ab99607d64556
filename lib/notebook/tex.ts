/**
 * @file Formulas, checked before they are shown: what KaTeX cannot parse, or MathJax would keep for later cells, is an error.
 *
 * JupyterLab sets maths with MathJax and other viewers with KaTeX; a formula here is in the subset of both.
 */
import { type Bundle, display } from "./display";

/** Commands that only one of the two knows, or that leak from one cell into the next. */
const BARRED = [
  "label",
  "ref",
  "eqref",
  "def",
  "gdef",
  "edef",
  "let",
  "newcommand",
  "renewcommand",
  "require",
];

/**
 * A displayed formula as an output for `show`, from TeX without dollar signs. Throws with the place of the first
 * mistake, and on commands that only one of KaTeX and MathJax knows or that would outlive the cell.
 */
export function math(formula: string): Bundle {
  const source = formula.trim();
  checkFormula(source);
  return { "text/latex": `$$${source}$$`, "text/plain": source };
}

/**
 * Shows a formula: tex`L_T = \mathrm{KL}(q(x_T|x_0) \,\|\, p(x_T))`. Backslashes stand as they are; numbers put in
 * with \${…} are shown to four digits. Throws as `math`.
 */
export function tex(strings: TemplateStringsArray, ...values: (number | string)[]): void {
  display(math(String.raw(strings, ...values.map(inTex))));
}

function inTex(value: number | string): string {
  if (typeof value === "string") return value;
  if (Number.isNaN(value)) return "\\text{not a number}";
  if (!Number.isFinite(value)) return value > 0 ? "\\infty" : "-\\infty";
  const [digits, exponent] = String(Number(value.toPrecision(4))).split("e");
  return exponent ? `${digits} \\cdot 10^{${Number(exponent)}}` : digits;
}

function checkFormula(source: string): void {
  const barred = new RegExp(`\\\\(${BARRED.join("|")})(?![a-zA-Z])`).exec(source);
  if (barred)
    throw new Error(
      `math: ${barred[0]} at position ${barred.index + 1} does not work in every notebook viewer; write the formula without it.`,
    );
  const dollar = source.indexOf("$");
  if (dollar >= 0)
    throw new Error(`math: got a dollar sign at position ${dollar + 1}, expected the formula without any.`);
  const katex: typeof import("katex") = require("katex"); // only lessons that show formulas pay for it
  try {
    katex.renderToString(source, { displayMode: true, throwOnError: true, strict: "ignore" });
  } catch (error) {
    throw explained(source, error);
  }
}

/** KaTeX counts from 0 and underlines with combining marks; learners get the place and an arrow. */
function explained(source: string, error: unknown): Error {
  const { message, position, rawMessage } = error as {
    message: string;
    position?: number;
    rawMessage?: string;
  };
  if (position === undefined) return new Error(`math: ${message}`);
  const excerpt = source.slice(Math.max(0, position - 20), position);
  const rest = source.slice(position, position + 20);
  return new Error(
    `math: ${rawMessage ?? message} at position ${position + 1}: ${excerpt} ⟶ ${rest}`.trimEnd(),
  );
}
