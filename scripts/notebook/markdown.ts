/**
 * @file What the Markdown of a lesson says in formulas, and the tests that it names for them.
 *
 * A mention stands in `<small>…</small>`: code spans, each test file followed by the names of its tests.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PROJECT } from "../setup/layout.mjs";

/** The formulas of a Markdown text: $$…$$, then $…$ in what is left, code spans and blocks aside. */
export function formulas(markdown: string): { tex: string; display: boolean }[] {
  const prose = markdown.replace(/```[\s\S]*?```|`[^`\n]*`/g, "");
  const shown = [...prose.matchAll(/\$\$([\s\S]+?)\$\$/g)].map(([, tex]) => ({ tex, display: true }));
  const inline = prose.replace(/\$\$[\s\S]+?\$\$/g, "").matchAll(/\$([^$\n]+)\$/g);
  return [...shown, ...[...inline].map(([, tex]) => ({ tex, display: false }))];
}

/** The test files that a Markdown text mentions, each with the names that follow it. */
export function testsNamed(markdown: string): { file: string; names: string[] }[] {
  const found: { file: string; names: string[] }[] = [];
  for (const [, small] of markdown.matchAll(/<small>([\s\S]*?)<\/small>/g)) {
    const first = found.length;
    for (const [, code] of small.matchAll(/`([^`]+)`/g))
      if (code.endsWith(".test.ts")) found.push({ file: code, names: [] });
      else if (found.length > first) found[found.length - 1].names.push(code);
  }
  return found;
}

/** The names of the tests in a file's source, as patterns: what a template fills in may be anything. */
export function testNames(source: string): RegExp[] {
  const literals = source.matchAll(/\btest\(\s*(?:("(?:[^"\\]|\\.)*")|`([^`]*)`)/g);
  return [...literals].map(([, plain, template]) => {
    const parts: string[] = plain ? [JSON.parse(plain)] : template.split(/\$\{[^}]*\}/);
    return new RegExp(`^${parts.map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")).join(".+")}$`);
  });
}

/** What is missing or wrong in the mentions of one Markdown cell, a line each. */
export function mentionProblems(markdown: string): string[] {
  const named = testsNamed(markdown);
  const display = formulas(markdown).find(({ display }) => display);
  if (display && named.length === 0) return [`names no test for $$${display.tex.trim()}$$`];
  return named.flatMap(({ file, names }) => {
    if (!existsSync(join(PROJECT, file))) return [`names ${file}, which does not exist`];
    if (names.length === 0) return [`names no test of ${file}`];
    const known = testNames(readFileSync(join(PROJECT, file), "utf8"));
    const unknown = names.filter((name) => !known.some((pattern) => pattern.test(name)));
    return unknown.map((name) => `${file} has no test "${name}"`);
  });
}
