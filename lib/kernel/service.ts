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
  return { ...options, ...CELL_OPTIONS, lib: [...lib] };
}

export interface CellService {
  readonly file: string;
  readonly options: ts.CompilerOptions;
  readonly languageService: ts.LanguageService;
  /** The program in which the cell's file has this text. */
  programFor(text: string): ts.Program;
  /** Project files whose text changed since the kernel first read them. */
  changedFiles(): string[];
}

const isProjectFile = (file: string) => !file.includes("/node_modules/");

/** A language service for a cell in `folder`. The first program takes a second; the next ones are increments. */
export function createService(folder: string): CellService {
  const file = join(folder, "__cell__.ts").replaceAll("\\", "/");
  const options = readOptions(folder);
  let text = "";
  let version = 0;
  const firstVersions = new Map<string, string>();

  /** Files of packages do not change while a kernel lives; those of the project may. */
  const versionOf = (name: string): string => {
    if (name === file) return String(version);
    if (!isProjectFile(name)) return "1";
    const stat = statSync(name, { throwIfNoEntry: false });
    const now = stat ? `${stat.mtimeMs}:${stat.size}` : "gone";
    if (!firstVersions.has(name)) firstVersions.set(name, now);
    return now;
  };
  const read = (name: string) => (name === file ? text : ts.sys.readFile(name));
  const host: ts.LanguageServiceHost = {
    getCompilationSettings: () => options,
    getScriptFileNames: () => [file],
    getScriptVersion: versionOf,
    getScriptSnapshot: (name) => {
      const content = read(name);
      return content === undefined ? undefined : ts.ScriptSnapshot.fromString(content);
    },
    getCurrentDirectory: () => folder,
    getDefaultLibFileName: (settings) => ts.getDefaultLibFilePath(settings),
    fileExists: (name) => name === file || ts.sys.fileExists(name),
    readFile: read,
    directoryExists: ts.sys.directoryExists,
    getDirectories: ts.sys.getDirectories,
    readDirectory: ts.sys.readDirectory,
    realpath: ts.sys.realpath,
    useCaseSensitiveFileNames: () => ts.sys.useCaseSensitiveFileNames,
  };
  const languageService = ts.createLanguageService(host);
  const programFor = (content: string): ts.Program => {
    text = content;
    version++;
    return languageService.getProgram() as ts.Program;
  };
  const changedFiles = () =>
    [...firstVersions].filter(([name, first]) => versionOf(name) !== first).map(([name]) => name);
  return { file, options, languageService, programFor, changedFiles };
}
