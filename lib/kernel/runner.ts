/** @file Runs compiled cells in the main thread, where native addons are at home and a debugger can look. */
import { relative } from "node:path";
import vm from "node:vm";
import type { InterruptSwitch } from "./interrupt";
import type { CompiledCell, ImportedModule, Outcome } from "./messages";
import { importedValue, type ModuleLoader } from "./modules";
import { CELLS, CHECK_SYMBOL, IMPORT, META, REACHED } from "./names";
import type { Output } from "./output";
import { describe, show } from "./show";
import { failureOf, registerSource } from "./trace";

type Cells = Record<string, unknown>;

/** The cell as a function without parameters, inside one whose parameters are `known`: so a cell may declare a `require`. */
function toFunction(cell: CompiledCell, file: string, known: Record<string, unknown>): () => unknown {
  registerSource(file, cell.sourceMap, file, cell.source);
  const head = `(${Object.keys(known).join(", ")}) => ${cell.async ? "async " : ""}function () { "use strict";`;
  const script = new vm.Script(`${head}\n${cell.code}\n}`, { filename: file, lineOffset: -1 });
  return script.runInThisContext()(...Object.values(known));
}

/** `name` is what `get` returns, until it is declared anew or assigned. */
function define(cells: Cells, name: string, get: () => unknown): void {
  const set = (value: unknown) =>
    Object.defineProperty(cells, name, { value, writable: true, enumerable: true, configurable: true });
  Object.defineProperty(cells, name, { get, set, enumerable: true, configurable: true });
}

/** Names of a module as live bindings: an ES module may assign what it exports later. */
function bind(cells: Cells, { names }: ImportedModule, namespace: Record<string, unknown>): void {
  for (const { name, exported } of names) {
    const whole = exported === "*" || exported === "default" ? importedValue(namespace, exported) : undefined;
    define(cells, name, whole === undefined ? () => importedValue(namespace, exported) : () => whole);
  }
}

/** Names that a cell only says to be there are those of the global object, unless a cell has made one. */
function bindGlobals(cells: Cells, names: readonly string[]): void {
  for (const name of names.filter((one) => !Object.hasOwn(cells, one)))
    define(cells, name, () => (globalThis as Record<string, unknown>)[name]);
}

export interface Runner {
  run(cell: CompiledCell, name: string, request: string): Promise<Outcome>;
}

export function createRunner(
  interrupts: InterruptSwitch,
  loader: ModuleLoader,
  output: Output,
  builtins: Record<string, unknown>,
): Runner {
  const cells: Cells = Object.assign(Object.create(null), builtins);
  const warned = new Set<string>();
  const checks = (globalThis as Record<symbol, unknown>)[Symbol.for(CHECK_SYMBOL)] as Record<string, unknown>;
  /** From now on edited files are loaded anew; says so of each, once. */
  const takeEdits = () => {
    const edited = loader.refresh().filter((file) => !warned.has(file));
    for (const file of edited) {
      warned.add(file);
      const shown = relative(process.cwd(), file);
      output.print(
        "stderr",
        `${shown} was edited: it is loaded anew; objects made before keep their old class.\n`,
      );
    }
  };
  const importAtRunTime = async (specifier: string) => {
    takeEdits();
    return importedValue(await loader.load(specifier), "*");
  };
  const requireAtRunTime = (specifier: string) => {
    takeEdits();
    return loader.ofModule.require(specifier);
  };
  const ofModule = {
    ...loader.ofModule,
    require: Object.assign(requireAtRunTime, loader.ofModule.require),
  };

  const loadImports = async (imports: ImportedModule[], reached: Set<string>) => {
    if (imports.length > 0) takeEdits();
    for (const module of imports) {
      bind(cells, module, await loader.load(module.specifier));
      for (const { name } of module.names) reached.add(name);
    }
  };

  const evaluate = async (cell: CompiledCell, file: string, reached: Set<string>) => {
    await loadImports(cell.imports, reached);
    bindGlobals(cells, cell.ambient);
    const known = {
      ...checks,
      ...ofModule,
      [CELLS]: cells,
      [IMPORT]: importAtRunTime,
      [META]: loader.meta,
      [REACHED]: (name: string, value: unknown) => {
        reached.add(name);
        return value;
      },
    };
    return show(await toFunction(cell, file, known)());
  };

  const run = async (cell: CompiledCell, name: string, request: string): Promise<Outcome> => {
    const reached = new Set<string>();
    try {
      const result = await interrupts.run(request, () => evaluate(cell, name, reached));
      return { result, missing: [] };
    } catch (error) {
      const missing = cell.values.filter((value) => !reached.has(value));
      return { failure: failureOf(error, describe), missing };
    }
  };
  return { run };
}
