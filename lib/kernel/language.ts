/** @file What the language server does: checks and compiles cells, completes, inspects, compiles what cells import. */
import { basename, join } from "node:path";
import ts from "typescript";
import { type Assistant, createAssistant, isComplete } from "./assist";
import { type CellCompiler, createCompiler } from "./compile";
import type { LanguageApi } from "./messages";
import { createTransformer } from "./project-modules";
import { CACHE_LIMITS, prune } from "./prune";
import type { Declaration } from "./scope";
import { type CellService, createService, Sources } from "./service";

interface Language {
  service: CellService;
  compiler: CellCompiler;
  assistant: Assistant;
}

/**
 * Two services a folder: cells that use nothing imported are checked without the hundreds of files that a library
 * brings; the other service keeps these, also while cells come that import less.
 */
interface Folder {
  plain: Language;
  full?: Language;
}

/** Folders with notebooks of which the services are kept. */
const MAX_FOLDERS = 4;

const usesImports = (source: string, known: readonly Declaration[]) =>
  [source, ...known.map(({ text }) => text)].some((text) => /\bimport\b/.test(text));

const dispose = ({ plain, full }: Folder) => {
  for (const { service } of [plain, ...(full ? [full] : [])]) service.languageService.dispose();
};

/** @param project Where `.cache` is. */
export function createLanguage(project: string): LanguageApi {
  const cache = join(project, ".cache", "kernel");
  const sources = new Sources();
  /** By path, the last used at the end. */
  const folders = new Map<string, Folder>();
  const transform = createTransformer(join(cache, "modules"), `1 ${ts.version} ${__dirname}`);
  prune(cache, CACHE_LIMITS, ["modules", basename(__dirname)]);
  prune(join(cache, "modules"), CACHE_LIMITS);

  const create = (path: string, imports?: ReadonlySet<string>): Language => {
    const service = createService(path, sources, imports);
    const compiler = createCompiler(service);
    return { service, compiler, assistant: createAssistant(service, compiler) };
  };
  const keep = (path: string, folder: Folder): Folder => {
    folders.delete(path);
    folders.set(path, folder);
    const [oldest, unused] = folders.entries().next().value as [string, Folder];
    if (folders.size > MAX_FOLDERS) {
      folders.delete(oldest);
      dispose(unused);
    }
    return folder;
  };
  const folderOf = (path: string) => keep(path, folders.get(path) ?? { plain: create(path) });
  const languageFor = (path: string, source: string, known: readonly Declaration[]): Language => {
    const folder = folderOf(path);
    if (!usesImports(source, known)) return folder.plain;
    folder.full ??= create(path);
    return folder.full;
  };

  return {
    open: ({ folder: path, started }) => {
      sources.lookAtPackages();
      const old = folders.get(path);
      const plain = create(path);
      plain.compiler.compile("0", "warm-up", [], started);
      const full = old?.full && create(path, old.full.service.imports);
      full?.service.programFor("");
      keep(path, { plain, full });
      if (old) dispose(old); // only now: the trees that both use are kept by the others
    },
    compile: ({ folder, started }, source, name, known) =>
      languageFor(folder, source, known).compiler.compile(source, name, known, started),
    complete: ({ folder }, source, cursor, known) =>
      languageFor(folder, source, known).assistant.complete(source, cursor, known),
    inspect: ({ folder }, source, cursor, known) =>
      languageFor(folder, source, known).assistant.inspect(source, cursor, known),
    isComplete,
    transform,
    resolve: (folder, specifier, from) => {
      const { options } = folderOf(folder).plain.service;
      const { resolvedModule } = ts.resolveModuleName(specifier, from, options, ts.sys);
      return resolvedModule && !resolvedModule.resolvedFileName.endsWith(".d.ts")
        ? resolvedModule.resolvedFileName
        : undefined;
    },
  };
}
