/** @file A cell from its text to JavaScript, or to the type errors that keep it from running. */
import { dirname } from "node:path";
import ts from "typescript";
import { insertChecks } from "./checks";
import { collect, declaredNames, meaningsIn } from "./declarations";
import { failureOf } from "./diagnostics";
import type { Compilation, CompiledCell } from "./messages";
import { type Findings, isAmbient, rewriteCell } from "./rewrite";
import type { Declaration } from "./scope";
import { type CellService, importedSince } from "./service";

/** Compiles cells that know what is declared in `known`. */
export interface CellCompiler {
  /** Also reports type errors in project files that changed after `since`, in ms since 1970. */
  compile(source: string, cellName: string, known: readonly Declaration[], since: number): Compilation;
  /** The cell's text with these declarations after it. */
  withScope(source: string, known: readonly Declaration[]): string;
}

/** The tree of a cell, which is a module also without imports: `await` is no name in it. */
export function parse(source: string): ts.SourceFile {
  const setExternalModuleIndicator = (file: ts.SourceFile) => {
    (file as { externalModuleIndicator?: unknown }).externalModuleIndicator = true;
  };
  const options = { languageVersion: ts.ScriptTarget.Latest, setExternalModuleIndicator };
  return ts.createSourceFile("cell.ts", source, options, true, ts.ScriptKind.TS);
}

export const syntaxErrors = (file: ts.SourceFile) =>
  (file as unknown as { parseDiagnostics: ts.Diagnostic[] }).parseDiagnostics;

/** What TypeScript writes behind a module's code. */
const ENDING = /(?:^|\n)(?:export \{\};\s*)?(?:\/\/# sourceMappingURL=.*\s*)?$/;

const isExported = (node: ts.Statement) =>
  ts.canHaveModifiers(node) &&
  ts.getModifiers(node)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword);

function exportsOf(file: ts.SourceFile): string {
  const exported = new Set(declaredNames(file.statements.filter(isExported)));
  for (const node of file.statements)
    if (ts.isExportDeclaration(node) && node.exportClause && ts.isNamedExports(node.exportClause))
      for (const { name } of node.exportClause.elements) exported.add(name.text);
  const others = declaredNames(file.statements).filter((name) => !exported.has(name));
  return `export { ${others.join(", ")} };`;
}

/** What is put after a cell: a name that it declares itself, with the same meaning, is not declared once more. */
function suffix(file: ts.SourceFile, known: readonly Declaration[]): string {
  const own = meaningsIn(file);
  const texts = known
    .filter(({ name, meaning }) => ((own.get(name) ?? 0) & meaning) === 0)
    .map(({ text }) => text);
  return `\n;${exportsOf(file)}\n${texts.join("\n")}\n`;
}

export function createCompiler(service: CellService): CellCompiler {
  const emit = (program: ts.Program, file: ts.SourceFile, end: number, findings: Findings) => {
    const out = { js: "", dts: "", map: "" };
    const write: ts.WriteFileCallback = (name, text) => {
      if (name.endsWith(".d.ts")) out.dts = text;
      else if (name.endsWith(".map")) out.map = text;
      else out.js = text;
    };
    const before = [rewriteCell(program.getTypeChecker(), file, end, findings), insertChecks];
    // The last argument forces declarations out even where TypeScript would have them annotated.
    (program.emit as (...args: unknown[]) => void)(file, write, undefined, false, { before }, true);
    return out;
  };

  /** Errors in project files that were edited since the kernel started; the others are the project's own affair. */
  const editedFilesErrors = (program: ts.Program, cell: ts.SourceFile, since: number) =>
    importedSince(program, cell, since).flatMap((file) => [
      ...program.getSyntacticDiagnostics(file),
      ...program.getSemanticDiagnostics(file),
    ]);

  const compile: CellCompiler["compile"] = (source, cellName, known, since) => {
    const parsed = parse(source);
    const fail = (diagnostics: readonly ts.Diagnostic[]): Compilation => ({
      ok: false,
      failure: failureOf(diagnostics, source, service.file, cellName, dirname(service.file)),
    });
    if (syntaxErrors(parsed).length > 0)
      return fail(syntaxErrors(parsed).map((one) => ({ ...one, file: undefined })));
    const text = source + suffix(parsed, known);
    service.keepImports(text); // before the program is made: one made after it would be made from the ground up
    const program = service.programFor(text);
    const file = program.getSourceFile(service.file) as ts.SourceFile;
    const errors = [
      ...editedFilesErrors(program, file, since),
      ...[...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].filter(
        ({ start = 0 }) => start <= source.length,
      ),
    ].filter(({ category }) => category === ts.DiagnosticCategory.Error);
    if (errors.length > 0) return fail(errors);
    const findings: Findings = { imports: [], async: false };
    const { js, dts, map } = emit(program, file, source.length, findings);
    const cell: CompiledCell = {
      code: js.replace(ENDING, "\n"),
      sourceMap: map,
      source,
      imports: findings.imports,
      values: declaredNames(parsed.statements),
      ambient: declaredNames(parsed.statements.filter(isAmbient)),
      async: findings.async,
    };
    const imported = new Set(findings.imports.flatMap((one) => one.names.map(({ name }) => name)));
    return { ok: true, cell, declared: collect(parsed, dts, imported) };
  };

  const withScope: CellCompiler["withScope"] = (source, known) => source + suffix(parse(source), known);
  return { compile, withScope };
}
