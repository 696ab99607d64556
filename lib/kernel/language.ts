/** @file The language thread: checks and compiles cells, completes, inspects, and compiles what cells import. */
import { join } from "node:path";
import { workerData } from "node:worker_threads";
import ts from "typescript";
import { createAssistant } from "./assist";
import { BUILTIN_DECLARATIONS } from "./builtins";
import { createCompiler } from "./compile";
import { serve, serveBlocking } from "./link";
import type { LanguageApi, LanguageData, ModuleApi } from "./messages";
import { createTransformer } from "./project-modules";
import { createService } from "./service";

const { project, modules, protocol } = workerData as LanguageData;
const folder = process.cwd();
const service = createService(folder);
const compiler = createCompiler(service, BUILTIN_DECLARATIONS);
const assistant = createAssistant(service, compiler);
const transform = createTransformer(
  join(project, ".cache", "kernel", "modules"),
  `1 ${ts.version} ${__dirname}`,
);

function resolve(specifier: string, from: string): string | undefined {
  const { resolvedModule } = ts.resolveModuleName(specifier, from, service.options, ts.sys);
  return resolvedModule && !resolvedModule.resolvedFileName.endsWith(".d.ts")
    ? resolvedModule.resolvedFileName
    : undefined;
}

const api: LanguageApi = {
  compile: compiler.compile,
  commit: compiler.commit,
  complete: assistant.complete,
  inspect: assistant.inspect,
  isComplete: assistant.isComplete,
};
const moduleApi: ModuleApi = { transform, resolve };

serve(protocol, { ...api });
serveBlocking(modules, moduleApi);
compiler.compile("0", "warm-up"); // the library's declarations are read now, not with the first cell
