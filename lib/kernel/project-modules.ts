/** @file Project TypeScript to CommonJS for the runner, with the interrupt checks, kept on disk by content. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import ts from "typescript";
import { insertChecks } from "./checks";
import { CHECK_PRELUDE } from "./names";
import { markUsed } from "./prune";
import { containsAwait } from "./rewrite";

const placeIn = (file: ts.SourceFile, position: number): string => {
  const { line, character } = file.getLineAndCharacterOfPosition(position);
  return `${file.fileName}:${line + 1}:${character + 1}`;
};

/** What is loaded by `require` is there at once, so it cannot wait for anything. */
const refuseAwait: ts.TransformerFactory<ts.SourceFile> = () => (file) => {
  const waiting = file.statements.find(containsAwait);
  if (!waiting) return file;
  throw new SyntaxError(
    `${placeIn(file, waiting.getStart(file))} - this module awaits at its top, which a project file that a cell imports cannot do. Export an async function, and await it in the cell.`,
  );
};

/** Transforms a file's text; throws a SyntaxError that names the place. */
export function transformModule(file: string, source: string): string {
  const { outputText, sourceMapText, diagnostics } = ts.transpileModule(source, {
    fileName: file,
    reportDiagnostics: true,
    transformers: { before: [refuseAwait, insertChecks] },
    compilerOptions: {
      module: ts.ModuleKind.CommonJS,
      target: ts.ScriptTarget.ES2022,
      esModuleInterop: true,
      sourceMap: true,
      jsx: ts.JsxEmit.React,
    },
  });
  const error = diagnostics?.find(({ category }) => category === ts.DiagnosticCategory.Error);
  if (error?.file) {
    const message = ts.flattenDiagnosticMessageText(error.messageText, "\n");
    throw new SyntaxError(`${placeIn(error.file, error.start ?? 0)} - ${message}`);
  }
  const code = outputText.replace(/\n\/\/# sourceMappingURL=.*\s*$/, "\n");
  // On the first line, and after the directive that must stay first, so that no line moves.
  const checked = code.startsWith('"use strict";')
    ? `"use strict";${CHECK_PRELUDE}${code.slice('"use strict";'.length)}`
    : CHECK_PRELUDE + code;
  const map = Buffer.from(sourceMapText ?? "{}").toString("base64");
  return `${checked}//# sourceMappingURL=data:application/json;base64,${map}\n`;
}

/** Like `transformModule`, remembering results in `folder`, so that the second kernel need not transform again. */
export function createTransformer(folder: string, version: string): (file: string) => string {
  mkdirSync(folder, { recursive: true });
  return (file) => {
    const source = readFileSync(file, "utf8");
    const key = createHash("sha256").update(version).update(file).update(source).digest("hex").slice(0, 24);
    const kept = join(folder, `${basename(file)}.${key}.js`);
    if (existsSync(kept)) {
      markUsed(kept);
      return readFileSync(kept, "utf8");
    }
    const code = transformModule(file, source);
    writeFileSync(`${kept}.${process.pid}`, code);
    renameSync(`${kept}.${process.pid}`, kept);
    return code;
  };
}
