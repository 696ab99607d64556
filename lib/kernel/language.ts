/** @file What the language server does: checks and compiles cells, completes, inspects, compiles what cells import. */
import { basename, join } from "node:path";
import ts from "typescript";
import { type Assistant, createAssistant, isComplete } from "./assist";
import { type CellCompiler, createCompiler } from "./compile";
import { createSpareTime, thenTouch } from "./idle";
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

/** Asks once for what a reader asks by Tab and Shift-Tab: the first answer takes V8 several times as long as later ones. */
function practise({ assistant }: Language, before: string, known: readonly Declaration[]): void {
  assistant.complete(`${before}.`, [...before].length + 1, known);
  assistant.inspect(before, 1, known);
}

/**
 * @param project Where `.cache` is.
 * @param whenWarm Called in spare time, after what readers usually ask was asked once.
 */
export function createLanguage(project: string, whenWarm = () => {}): LanguageApi {
  const cache = join(project, ".cache", "kernel");
  const sources = new Sources();
  /** By path, the last used at the end. */
  const folders = new Map<string, Folder>();
  const spare = createSpareTime();
  const practiseLater = (language: Language, before: string, known: readonly Declaration[]) =>
    spare.later(() => {
      const inUse = [...folders.values()].some(({ plain, full }) => language === plain || language === full);
      if (!inUse) return; // another took its place
      practise(language, before, known);
      whenWarm();
    });
  const transform = createTransformer(join(cache, "modules"), `1 ${ts.version} ${__dirname}`);
  spare.later(() => {
    prune(cache, CACHE_LIMITS, ["modules", basename(__dirname)]);
    prune(join(cache, "modules"), CACHE_LIMITS);
  });

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

  /** Imports bring another program, of which the first questions would be slow again. */
  const compile: LanguageApi["compile"] = ({ folder, started }, source, name, known) => {
    const language = languageFor(folder, source, known);
    const before = language.service.imports.size;
    const compilation = language.compiler.compile(source, name, known, started);
    const last = compilation.ok ? compilation.declared.at(-1) : undefined;
    if (compilation.ok && last && language.service.imports.size > before)
      practiseLater(language, last.name, [...known, ...compilation.declared]);
    return compilation;
  };

  const api: LanguageApi = {
    open: ({ folder: path, started }) => {
      sources.lookAtPackages();
      const old = folders.get(path);
      const plain = create(path);
      plain.compiler.compile("0", "warm-up", [], started);
      const full = old?.full && create(path, old.full.service.imports);
      full?.service.programFor("");
      keep(path, { plain, full });
      if (old) dispose(old); // only now: the trees that both use are kept by the others
      practiseLater(plain, "Math", []);
    },
    compile,
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
  return thenTouch(api, spare.touch);
}
