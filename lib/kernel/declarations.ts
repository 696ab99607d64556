/**
 * @file What earlier cells declared, as text that is put after a cell's own so that the checker knows it.
 *
 * Each name keeps its declaration as TypeScript's declaration emit prints it (`declare let late: number;`), or its
 * import. Only what a cell mentions, directly or through other declarations, is put after it: the hundredth cell
 * is checked as fast as the tenth.
 */
import ts from "typescript";
import { boundNames } from "./rewrite";

/** A name can mean a value, a type or both; a new declaration replaces the old ones that mean the same. */
export const Meaning = { value: 1, type: 2, both: 3 } as const;

interface Declaration {
  text: string;
  meaning: number;
  mentions: ReadonlySet<string>;
}

export type Declared = Map<string, Declaration[]>;

const WORD = /[\p{ID_Start}$_][\p{ID_Continue}$]*/gu;

/** The identifiers, and maybe more words, in this text. */
export const wordsIn = (text: string): Set<string> => new Set(text.match(WORD));

function add(declared: Declared, name: string, text: string, meaning: number): void {
  const all = declared.get(name) ?? [];
  all.push({ text, meaning, mentions: wordsIn(text) });
  declared.set(name, all);
}

function importTexts(node: ts.ImportDeclaration): [name: string, text: string][] {
  const clause = node.importClause;
  if (!clause) return [];
  const type = clause.isTypeOnly ? "type " : "";
  const specifier = node.moduleSpecifier.getText();
  const attributes = (node as { attributes?: ts.Node }).attributes?.getText() ?? "";
  const from = `from ${specifier} ${attributes};`;
  const texts: [string, string][] = [];
  if (clause.name) texts.push([clause.name.text, `import ${type}${clause.name.text} ${from}`]);
  const bindings = clause.namedBindings;
  if (bindings && ts.isNamespaceImport(bindings))
    texts.push([bindings.name.text, `import ${type}* as ${bindings.name.text} ${from}`]);
  if (bindings && ts.isNamedImports(bindings))
    for (const element of bindings.elements)
      texts.push([element.name.text, `import ${type}{ ${element.getText()} } ${from}`]);
  return texts;
}

/** The names that the top-level statements of a cell declare. */
export function declaredNames(file: ts.SourceFile): string[] {
  const names = file.statements.flatMap((node) => {
    if (ts.isVariableStatement(node))
      return node.declarationList.declarations
        .flatMap(({ name }) => boundNames(name))
        .map(({ text }) => text);
    if (ts.isImportDeclaration(node)) return importTexts(node).map(([name]) => name);
    const name = (node as unknown as ts.NamedDeclaration).name;
    return name && ts.isIdentifier(name) ? [name.text] : [];
  });
  return [...new Set(names)];
}

const meaningOf = (node: ts.Node) =>
  ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)
    ? Meaning.type
    : ts.isVariableStatement(node) || ts.isFunctionDeclaration(node)
      ? Meaning.value
      : Meaning.both;

function collectStatement(
  declared: Declared,
  node: ts.Statement,
  file: ts.SourceFile,
  wanted: Set<string>,
): void {
  const plain = (text: string) => `declare ${text.replace(/^(export\s+|default\s+|declare\s+)*/, "")}`;
  if (ts.isVariableStatement(node)) {
    const { declarationList } = node;
    const keyword = declarationList.flags & ts.NodeFlags.Const ? "const" : "let";
    for (const declaration of declarationList.declarations)
      if (ts.isIdentifier(declaration.name) && wanted.has(declaration.name.text))
        add(
          declared,
          declaration.name.text,
          `declare ${keyword} ${declaration.getText(file)};`,
          Meaning.value,
        );
    return;
  }
  const name = (node as unknown as ts.NamedDeclaration).name;
  if (name && ts.isIdentifier(name) && wanted.has(name.text))
    add(declared, name.text, plain(node.getText(file)), meaningOf(node));
}

/** What a cell declares: its imports from its own text, the rest from the declaration emit `dts`. */
export function collect(cell: ts.SourceFile, dts: string): Declared {
  const declared: Declared = new Map();
  const wanted = new Set(declaredNames(cell));
  for (const node of cell.statements)
    if (ts.isImportDeclaration(node))
      for (const [name, text] of importTexts(node)) add(declared, name, text, Meaning.both);
  const file = ts.createSourceFile("emitted.d.ts", dts, ts.ScriptTarget.Latest, false);
  for (const node of file.statements)
    if (!ts.isImportDeclaration(node)) collectStatement(declared, node, file, wanted);
  return declared;
}

/** All names known to the next cell. */
export class Scope {
  readonly #names: Declared = new Map();

  constructor(builtin: Record<string, string> = {}) {
    for (const [name, text] of Object.entries(builtin)) add(this.#names, name, text, Meaning.both);
  }

  /** Takes in what a cell declared, but for the values in `missing`, which it did not reach. */
  commit(declared: Declared, missing: ReadonlySet<string>): void {
    for (const [name, news] of declared) {
      const kept = news.filter(({ meaning }) => meaning === Meaning.type || !missing.has(name));
      const meaning = kept.reduce((sum, one) => sum | one.meaning, 0);
      const olds = (this.#names.get(name) ?? []).filter((old) => (old.meaning & meaning) === 0);
      if (kept.length > 0) this.#names.set(name, [...olds, ...kept]);
    }
  }

  /** The declarations that text mentioning these words needs, less those of the names it declares itself. */
  textFor(words: Iterable<string>, own: ReadonlySet<string>): string {
    const taken = new Set<string>(own);
    const texts: string[] = [];
    const queue = [...words];
    for (let word = queue.pop(); word !== undefined; word = queue.pop()) {
      if (taken.has(word)) continue;
      taken.add(word);
      for (const { text, mentions } of this.#names.get(word) ?? []) {
        texts.push(text);
        queue.push(...mentions);
      }
    }
    return texts.join("\n");
  }

  names(): Iterable<string> {
    return this.#names.keys();
  }
}
