/**
 * @file What cells import: the project's TypeScript through a require hook that sees edits, packages of both kinds,
 * and JSON.
 */
import { statSync } from "node:fs";
import Module, { createRequire } from "node:module";
import { isAbsolute, join } from "node:path";
import { pathToFileURL } from "node:url";
import { isModuleNamespaceObject } from "node:util/types";
import vm from "node:vm";
import type { ModuleApi } from "./messages";
import { registerSource } from "./trace";

type Namespace = Record<string, unknown>;

// biome-ignore lint/suspicious/noExplicitAny: Node's module system has no public types for its hooks
const internals = Module as any;
const TYPESCRIPT = [".ts", ".tsx", ".mts", ".cts"];

const MAP_COMMENT = "//# sourceMappingURL=data:application/json;base64,";

export interface ModuleLoader {
  /** The module's namespace; a promise of it where it is an ES module that cannot be required. */
  load(specifier: string): Promise<Namespace>;
  /** Forgets modules whose files were edited and those that import them; the files' names. */
  refresh(): string[];
  /** What Node gives each CommonJS module: here that of a file `cell.ts` beside the notebook. */
  ofModule: { require: NodeJS.Require; __filename: string; __dirname: string };
  /** The `import.meta` of that file. */
  meta: ImportMeta;
}

const isProjectFile = (file: string) => !file.includes("/node_modules/");
const stamp = (file: string) => {
  const stat = statSync(file, { throwIfNoEntry: false });
  return stat ? `${stat.mtimeMs}:${stat.size}` : "gone";
};

function compileTypeScript(languages: ModuleApi, module: NodeJS.Module, file: string): void {
  const code = languages.transform(file);
  const at = code.lastIndexOf(MAP_COMMENT);
  if (at >= 0)
    registerSource(file, Buffer.from(code.slice(at + MAP_COMMENT.length).trim(), "base64").toString(), file);
  // biome-ignore lint/suspicious/noExplicitAny: as above
  (module as any)._compile(at < 0 ? code : code.slice(0, at), file);
}

/** Node's own resolution first; then TypeScript's, which knows tsconfig's paths and that `./x.js` may be `./x.ts`. */
function installResolution(languages: ModuleApi, folder: string): void {
  const resolveFilename = internals._resolveFilename;
  internals._resolveFilename = function (request: string, parent?: NodeJS.Module, ...rest: unknown[]) {
    try {
      return resolveFilename.call(this, request, parent, ...rest);
    } catch (error) {
      const from = parent?.filename;
      if ((error as NodeJS.ErrnoException).code !== "MODULE_NOT_FOUND" || !from || !isProjectFile(from))
        throw error;
      const found = languages.resolve(folder, request, from);
      if (!found) throw error;
      return resolveFilename.call(this, found, parent, ...rest);
    }
  };
}

/** Forgets `stale` and everything that imports one of them, directly or not. */
function forget(stale: Set<string>): void {
  for (let grew = true; grew; ) {
    grew = false;
    for (const [file, module] of Object.entries(require.cache)) {
      if (!module || stale.has(file) || !isProjectFile(file)) continue;
      if (!module.children.some((child) => stale.has(child.filename))) continue;
      stale.add(file);
      grew = true;
    }
  }
  for (const file of stale) delete require.cache[file];
}

const url = (file: string) => pathToFileURL(file).href;

/** Where `require` finds it; undefined where only `import()` can tell. */
function resolved(require: NodeJS.Require, specifier: string): string | undefined {
  try {
    return require.resolve(specifier);
  } catch {
    return undefined;
  }
}

const isEsModuleError = (error: unknown) =>
  ["ERR_REQUIRE_ESM", "ERR_PACKAGE_PATH_NOT_EXPORTED", "ERR_REQUIRE_ASYNC_MODULE"].includes(
    (error as NodeJS.ErrnoException).code ?? "",
  );

/** `import()` as if written in a file of this folder. */
function importer(folder: string): (specifier: string) => Promise<Namespace> {
  const { constants } = vm as unknown as { constants: { USE_MAIN_CONTEXT_DEFAULT_LOADER?: undefined } };
  return new vm.Script("(specifier) => import(specifier)", {
    filename: join(folder, "cell.js"),
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  }).runInThisContext();
}

/** A loader for cells of the notebook in `folder`. */
export function createLoader(folder: string, languages: ModuleApi): ModuleLoader {
  const file = join(folder, "cell.ts");
  const cellRequire = createRequire(file);
  const importModule = importer(folder);
  const stamps = new Map<string, string>();
  /** Of ES modules that `import()` loads, when they were loaded first. */
  const importStamps = new Map<string, string>();
  for (const extension of TYPESCRIPT)
    internals._extensions[extension] = (module: NodeJS.Module, file: string) => {
      stamps.set(file, stamp(file));
      compileTypeScript(languages, module, file);
    };
  for (const extension of [".js", ".cjs", ".json"]) {
    const compile = internals._extensions[extension] ?? internals._extensions[".js"];
    internals._extensions[extension] = (module: NodeJS.Module, file: string) => {
      if (isProjectFile(file)) stamps.set(file, stamp(file));
      compile(module, file);
    };
  }
  installResolution(languages, folder);

  /** The project's file that is meant, if it is one. */
  const projectFile = (specifier: string) => {
    const found = resolved(cellRequire, specifier);
    return found && isAbsolute(found) && isProjectFile(found) ? found : undefined;
  };
  /** Node never forgets an ES module: one that was edited since it was loaded is another one for it. */
  const importFile = (file: string): Promise<Namespace> => {
    const [now, first] = [stamp(file), importStamps.get(file) ?? stamp(file)];
    importStamps.set(file, first);
    return importModule(now === first ? url(file) : `${url(file)}?${now}`);
  };
  const load = async (specifier: string): Promise<Namespace> => {
    const file = projectFile(specifier);
    if (file && importStamps.has(file)) return importFile(file);
    try {
      const loaded = cellRequire(specifier);
      if (file && isModuleNamespaceObject(loaded)) importStamps.set(file, stamp(file));
      return loaded as Namespace;
    } catch (error) {
      if (!isEsModuleError(error)) throw error;
      return file ? importFile(file) : importModule(specifier);
    }
  };
  const refresh = () => {
    const edited = [...stamps].filter(([file, before]) => stamp(file) !== before).map(([file]) => file);
    if (edited.length > 0) forget(new Set(edited));
    for (const file of edited) stamps.delete(file);
    return edited;
  };
  const ofModule = { require: cellRequire, __filename: file, __dirname: folder };
  const resolve = (specifier: string) => {
    const found = cellRequire.resolve(specifier);
    return isAbsolute(found) ? url(found) : found; // `node:fs` is no file
  };
  const meta = { url: url(file), filename: file, dirname: folder, resolve } as ImportMeta;
  return { load, refresh, ofModule, meta };
}

/** What `exported` of a module is to one who imports it, with `default` as esModuleInterop has it. */
export function importedValue(namespace: Namespace, exported: string): unknown {
  const isEsModule = namespace?.__esModule === true || namespace?.[Symbol.toStringTag as never] === "Module";
  if (exported === "default") return isEsModule ? namespace.default : namespace;
  if (exported !== "*" || isEsModule) return exported === "*" ? namespace : namespace[exported];
  return typeof namespace === "object" || typeof namespace === "function"
    ? Object.assign({}, namespace, { default: namespace })
    : { default: namespace };
}
