/**
 * @file The checker of cells: one warm TypeScript language service over the project's tsconfig, in which the cell
 * is a file beside the notebook that changes with each request.
 */
import { statSync } from "node:fs";
import { dirname, join } from "node:path";
import ts from "typescript";

/** What a cell is checked with besides the project's own strictness; unused names are no error in a notebook. */
const CELL_OPTIONS: ts.CompilerOptions = {
  noEmit: false,
  declaration: true,
  declarationMap: false,
  emitDeclarationOnly: false,
  sourceMap: true,
  inlineSourceMap: false,
  composite: false,
  incremental: false,
  outDir: undefined,
  rootDir: undefined,
  noUnusedLocals: false,
  noUnusedParameters: false,
  isolatedModules: false,
  verbatimModuleSyntax: false,
  isolatedDeclarations: false,
  allowUnreachableCode: true,
  noImplicitReturns: false,
  preserveConstEnums: true,
  removeComments: false,
  allowImportingTsExtensions: false,
  module: ts.ModuleKind.ESNext,
  moduleDetection: ts.ModuleDetectionKind.Force,
  target: ts.ScriptTarget.ES2022,
};

const DEFAULT_OPTIONS: ts.CompilerOptions = {
  strict: true,
  esModuleInterop: true,
  resolveJsonModule: true,
  skipLibCheck: true,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
};

/** The options of the tsconfig nearest above `folder`, made fit for cells. */
export function readOptions(folder: string): ts.CompilerOptions {
  const file = ts.findConfigFile(folder, ts.sys.fileExists);
  const options = file
    ? ts.parseJsonConfigFileContent(ts.readConfigFile(file, ts.sys.readFile).config, ts.sys, dirname(file))
        .options
    : DEFAULT_OPTIONS;
  const lib = new Set([
    ...(options.lib ?? ["lib.es2022.d.ts", "lib.dom.d.ts"]),
    "lib.esnext.disposable.d.ts",
  ]);
  // Without one in the tsconfig, the cells' kind of module would mean TypeScript's oldest, which knows no `exports`.
  const { moduleResolution = ts.ModuleResolutionKind.Bundler } = options;
  return { ...options, ...CELL_OPTIONS, moduleResolution, lib: [...lib] };
}

const isProjectFile = (file: string) => !file.includes("/node_modules/");

function stamp(name: string): string {
  const stat = statSync(name, { throwIfNoEntry: false });
  return stat ? `${stat.mtimeMs}:${stat.size}` : "gone";
}

/**
 * Doc comments are a third of the trees' memory and half of the time to read them; `documentation` reads the few that
 * are asked for.
 */
const JSDOC = ts.JSDocParsingMode.ParseForTypeInfo;

/** The texts of files, each read once per version, and what the services of several folders share of them. */
export class Sources {
  /** One syntax tree of each file, whichever service asks. */
  readonly registry = ts.createDocumentRegistry(ts.sys.useCaseSensitiveFileNames, "", JSDOC);
  readonly #snapshots = new Map<string, { version: string; snapshot: ts.IScriptSnapshot }>();
  readonly #packageVersions = new Map<string, string>();

  /** Files of the project may change at any time, those of packages from one start of a kernel to the next. */
  versionOf(name: string): string {
    if (isProjectFile(name)) return stamp(name);
    const known = this.#packageVersions.get(name) ?? stamp(name);
    this.#packageVersions.set(name, known);
    return known;
  }

  lookAtPackages(): void {
    this.#packageVersions.clear();
  }

  snapshotOf(name: string): ts.IScriptSnapshot | undefined {
    const version = this.versionOf(name);
    const kept = this.#snapshots.get(name);
    if (kept?.version === version) return kept.snapshot;
    const text = ts.sys.readFile(name);
    if (text === undefined) return undefined;
    const snapshot = ts.ScriptSnapshot.fromString(text);
    this.#snapshots.set(name, { version, snapshot });
    return snapshot;
  }
}

export interface CellService {
  readonly file: string;
  readonly options: ts.CompilerOptions;
  readonly languageService: ts.LanguageService;
  /** The program in which the cell's file has this text. */
  programFor(text: string): ts.Program;
  /** From now on what this text imports is kept, also while other cells do not import it. */
  keepImports(text: string): void;
  /** What is kept, for a service that takes this one's place. */
  readonly imports: ReadonlySet<string>;
}

let versions = 0;

/** A language service for a cell in `folder`. The first program takes a second; the next ones are increments. */
export function createService(
  folder: string,
  sources: Sources,
  kept: ReadonlySet<string> = new Set(),
): CellService {
  const fileOfCells = (name: string) => join(folder, name).replaceAll("\\", "/");
  const file = fileOfCells("__cell__.ts");
  const importsFile = fileOfCells("__imports__.ts");
  const options = readOptions(folder);
  const imports = new Set(kept);
  const virtual = new Map<string, { text: string; version: number }>();
  const write = (name: string, text: string) => {
    if (virtual.get(name)?.text !== text) virtual.set(name, { text, version: ++versions });
  };
  const writeImports = () =>
    write(importsFile, [...imports].map((specifier) => `import ${JSON.stringify(specifier)};\n`).join(""));
  write(file, "");
  writeImports();

  const host: ts.LanguageServiceHost = {
    getCompilationSettings: () => options,
    jsDocParsingMode: JSDOC,
    getScriptFileNames: () => [file, importsFile],
    getScriptVersion: (name) => String(virtual.get(name)?.version ?? sources.versionOf(name)),
    getScriptSnapshot: (name) => {
      const own = virtual.get(name);
      return own ? ts.ScriptSnapshot.fromString(own.text) : sources.snapshotOf(name);
    },
    getCurrentDirectory: () => folder,
    getDefaultLibFileName: (settings) => ts.getDefaultLibFilePath(settings),
    fileExists: (name) => virtual.has(name) || ts.sys.fileExists(name),
    readFile: (name) => virtual.get(name)?.text ?? ts.sys.readFile(name),
    directoryExists: ts.sys.directoryExists,
    getDirectories: ts.sys.getDirectories,
    readDirectory: ts.sys.readDirectory,
    realpath: ts.sys.realpath,
    useCaseSensitiveFileNames: () => ts.sys.useCaseSensitiveFileNames,
  };
  const languageService = ts.createLanguageService(host, sources.registry);
  const programFor = (text: string): ts.Program => {
    write(file, text);
    return languageService.getProgram() as ts.Program;
  };
  const keepImports = (text: string) => {
    for (const { fileName } of ts.preProcessFile(text).importedFiles) imports.add(fileName);
    writeImports();
  };
  return { file, options, languageService, programFor, keepImports, imports };
}

const moduleSpecifiers = (file: ts.SourceFile): ts.StringLiteral[] =>
  file.statements.flatMap((node) => {
    if (!ts.isImportDeclaration(node) && !ts.isExportDeclaration(node)) return [];
    return node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier) ? node.moduleSpecifier : [];
  });

const wasWrittenAfter = (file: ts.SourceFile, since: number): boolean =>
  (statSync(file.fileName, { throwIfNoEntry: false })?.mtimeMs ?? 0) > since;

/** The project's files that were written after `since`, in ms since 1970, among those that `file` imports, directly or not. */
export function importedSince(program: ts.Program, file: ts.SourceFile, since: number): ts.SourceFile[] {
  const ofProject = program.getSourceFiles().filter(({ fileName }) => isProjectFile(fileName));
  if (!ofProject.some((one) => one !== file && wasWrittenAfter(one, since))) return [];
  const checker = program.getTypeChecker();
  const reached = new Set([file]);
  for (const one of reached)
    for (const specifier of moduleSpecifiers(one)) {
      const target = checker.getSymbolAtLocation(specifier)?.valueDeclaration;
      if (target && ts.isSourceFile(target) && isProjectFile(target.fileName)) reached.add(target);
    }
  reached.delete(file);
  return [...reached].filter((one) => wasWrittenAfter(one, since));
}
