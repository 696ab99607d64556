/** @file A cell from its text to JavaScript, or to the type errors that keep it from running. */
import { dirname } from "node:path";
import ts from "typescript";
import { insertChecks } from "./checks";
import { collect, type Declared, declaredNames, Scope, wordsIn } from "./declarations";
import { failureOf } from "./diagnostics";
import type { Compilation, CompiledCell } from "./messages";
import { type Findings, rewriteCell } from "./rewrite";
import type { CellService } from "./service";

/** Compiles cells one after another, each knowing what was committed before it. */
export interface CellCompiler {
  compile(source: string, cellName: string): Compilation;
  commit(missing: string[]): void;
  /** The cell's text with the declarations of all names after it, and where the cell ends. */
  withScope(source: string): string;
}

const parse = (source: string) =>
  ts.createSourceFile("cell.ts", source, ts.ScriptTarget.Latest, true, ts.ScriptKind.TS);

const syntaxErrors = (file: ts.SourceFile) =>
  (file as unknown as { parseDiagnostics: ts.Diagnostic[] }).parseDiagnostics;

function exportsOf(file: ts.SourceFile, names: string[]): string {
  const exported = new Set(
    file.statements
      .filter(
        (node) =>
          ts.canHaveModifiers(node) &&
          ts.getModifiers(node)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword),
      )
      .flatMap((node) => declaredNames({ statements: [node] } as unknown as ts.SourceFile)),
  );
  for (const node of file.statements)
    if (ts.isExportDeclaration(node) && node.exportClause && ts.isNamedExports(node.exportClause))
      for (const { name } of node.exportClause.elements) exported.add(name.text);
  return `export { ${names.filter((name) => !exported.has(name)).join(", ")} };`;
}

export function createCompiler(service: CellService, builtin: Record<string, string>): CellCompiler {
  const scope = new Scope(builtin);
  let last: Declared = new Map();

  const suffix = (file: ts.SourceFile, names: string[], words: Iterable<string>) =>
    `\n;${exportsOf(file, names)}\n${scope.textFor(words, new Set(names))}\n`;

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
  const editedFilesErrors = (program: ts.Program) =>
    service.changedFiles().flatMap((name) => {
      const file = program.getSourceFile(name);
      if (!file) return [];
      return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)];
    });

  const compile = (source: string, cellName: string): Compilation => {
    last = new Map();
    const parsed = parse(source);
    const fail = (diagnostics: readonly ts.Diagnostic[]): Compilation => ({
      ok: false,
      failure: failureOf(diagnostics, source, service.file, cellName, dirname(service.file)),
    });
    if (syntaxErrors(parsed).length > 0)
      return fail(syntaxErrors(parsed).map((one) => ({ ...one, file: undefined })));
    const names = declaredNames(parsed);
    const program = service.programFor(source + suffix(parsed, names, wordsIn(source)));
    const file = program.getSourceFile(service.file) as ts.SourceFile;
    const errors = [
      ...editedFilesErrors(program),
      ...[...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].filter(
        ({ start = 0 }) => start <= source.length,
      ),
    ].filter(({ category }) => category === ts.DiagnosticCategory.Error);
    if (errors.length > 0) return fail(errors);
    const findings: Findings = { imports: [], async: false };
    const { js, dts, map } = emit(program, file, source.length, findings);
    last = collect(parsed, dts);
    const cell: CompiledCell = {
      code: js.replace(/^export \{\};$/m, "").replace(/\n\/\/# sourceMappingURL=.*\s*$/, "\n"),
      sourceMap: map,
      source,
      imports: findings.imports,
      values: names,
      async: findings.async,
    };
    return { ok: true, cell };
  };

  return {
    compile,
    commit: (missing) => scope.commit(last, new Set(missing)),
    withScope: (source) => {
      const parsed = parse(source);
      const names = declaredNames(parsed);
      return source + suffix(parsed, names, scope.names());
    },
  };
}
