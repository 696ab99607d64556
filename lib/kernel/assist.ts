/** @file What the front end asks about code that is not run: completion, inspection, completeness. */
import ts from "typescript";
import { type CellCompiler, parse, syntaxErrors } from "./compile";
import { documentationAt } from "./documentation";
import type { Bundle, Completeness, Completion } from "./messages";
import type { Declaration } from "./scope";
import type { CellService } from "./service";

export interface Assistant {
  complete(source: string, cursor: number, known: readonly Declaration[]): Completion;
  inspect(source: string, cursor: number, known: readonly Declaration[]): Bundle | undefined;
}

/** Jupyter counts code points, JavaScript UTF-16 units. */
const toUnits = (source: string, points: number) => [...source].slice(0, points).join("").length;
const toPoints = (source: string, units: number) => [...source.slice(0, units)].length;

const isWordCharacter = (character: string | undefined) =>
  character !== undefined && /[\p{ID_Continue}$]/u.test(character);

function wordStart(source: string, cursor: number): number {
  let start = cursor;
  while (isWordCharacter(source[start - 1])) start--;
  return start;
}

/** The identifier at, or just before, the cursor; in `f(x, |` the function that is called. */
function placeToInspect(source: string, cursor: number): number {
  if (isWordCharacter(source[cursor]) || isWordCharacter(source[cursor - 1]))
    return wordStart(source, cursor);
  let depth = 0;
  for (let at = cursor - 1; at >= 0; at--) {
    if (")]}".includes(source[at])) depth++;
    else if ("([{".includes(source[at]) && depth-- === 0) return wordStart(source, at);
  }
  return cursor;
}

const MAX_MATCHES = 500;

export function createAssistant(service: CellService, compiler: CellCompiler): Assistant {
  const { languageService, file } = service;

  const complete: Assistant["complete"] = (source, cursorPoints, known) => {
    const cursor = toUnits(source, cursorPoints);
    service.programFor(compiler.withScope(source, known));
    const found = languageService.getCompletionsAtPosition(file, cursor, {
      includeCompletionsWithInsertText: false,
    });
    const usual = found?.optionalReplacementSpan?.start ?? wordStart(source, cursor);
    /** Where what the entry replaces begins: in a string not always with a word (`node:fs`, `foo-bar`). */
    const startOf = ({ replacementSpan }: ts.CompletionEntry) => replacementSpan?.start ?? usual;
    const entries = (found?.entries ?? [])
      .filter((entry) => {
        const typed = source.slice(startOf(entry), cursor).toLowerCase();
        return entry.kind !== ts.ScriptElementKind.warning && entry.name.toLowerCase().startsWith(typed);
      })
      .sort((a, b) => a.sortText.localeCompare(b.sortText) || a.name.localeCompare(b.name))
      .slice(0, MAX_MATCHES);
    const from = Math.min(cursor, ...entries.map(startOf)); // Jupyter has one for all
    const [start, end] = [toPoints(source, from), cursorPoints];
    const types = entries.map((entry) => {
      const text = source.slice(from, startOf(entry)) + entry.name;
      return { start, end, text, type: entry.kind };
    });
    return { start, end, matches: types.map(({ text }) => text), types };
  };

  const inspect: Assistant["inspect"] = (source, cursorPoints, known) => {
    const cursor = toUnits(source, cursorPoints);
    const place = placeToInspect(source, cursor);
    const program = service.programFor(compiler.withScope(source, known));
    const info = languageService.getQuickInfoAtPosition(file, place);
    if (!info) return undefined;
    const signature = ts.displayPartsToString(info.displayParts);
    const sourceFile = program.getSourceFile(file) as ts.SourceFile;
    const { text: doc, tags } = documentationAt(program, sourceFile, place);
    return {
      "text/plain": [signature, doc, ...tags.map(({ name, text }) => `@${name} ${text}`)]
        .filter(Boolean)
        .join("\n\n"),
      "text/markdown": [
        `\`\`\`typescript\n${signature}\n\`\`\``,
        doc,
        ...tags.map(({ name, text }) => `*@${name}* ${text}`),
      ]
        .filter(Boolean)
        .join("\n\n"),
    };
  };

  return { complete, inspect };
}

/** A template literal or a comment that was not closed: more lines may follow. */
const OPEN_TO_THE_END = [1160, 1010];
/** A string that was not closed: the next line cannot close it. */
const UNTERMINATED_STRING = 1002;

/** Whether Enter in a console should run the code or ask for another line. */
export function isComplete(source: string): Completeness {
  const errors = syntaxErrors(parse(source));
  if (errors.length === 0) return { status: "complete" };
  const end = source.trimEnd().length;
  // What is missing at the very end may still come; what is wrong before it stays wrong.
  const onlyMissing = errors.every(
    ({ start = 0, code }) => (start >= end && code !== UNTERMINATED_STRING) || OPEN_TO_THE_END.includes(code),
  );
  return onlyMissing ? { status: "incomplete", indent: indentAfter(source) } : { status: "invalid" };
}

/** Two more than the last line's when it opens a bracket. */
function indentAfter(source: string): string {
  const line = source.trimEnd().split("\n").at(-1) ?? "";
  const indent = /^\s*/.exec(line)?.[0] ?? "";
  return /[{([]$/.test(line) ? `${indent}  ` : indent;
}
