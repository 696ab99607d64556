/** @file What a cell declares, as TypeScript's declaration emit prints it (`declare let late: number;`), or its import. */
import ts from "typescript";
import { boundNames } from "./rewrite";
import { type Declaration, Meaning } from "./scope";

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

/** `declare global { … }` and `declare module "…" { … }` */
const isAugmentation = (node: ts.Node): node is ts.ModuleDeclaration =>
  ts.isModuleDeclaration(node) &&
  (ts.isStringLiteral(node.name) || (node.flags & ts.NodeFlags.GlobalAugmentation) !== 0);

function namesOf(node: ts.Statement): string[] {
  if (isAugmentation(node)) return [];
  if (ts.isVariableStatement(node))
    return node.declarationList.declarations.flatMap(({ name }) => boundNames(name)).map(({ text }) => text);
  if (ts.isImportDeclaration(node)) return importTexts(node).map(([name]) => name);
  const name = (node as unknown as ts.NamedDeclaration).name;
  return name && ts.isIdentifier(name) ? [name.text] : [];
}

/** The names that these statements at the top of a cell declare. */
export const declaredNames = (statements: readonly ts.Statement[]): string[] => [
  ...new Set(statements.flatMap(namesOf)),
];

/** What each name that a cell declares means there. */
export function meaningsIn(file: ts.SourceFile): Map<string, number> {
  const meanings = new Map(varNames(file).map((name) => [name, Meaning.value as number]));
  for (const node of file.statements)
    for (const name of namesOf(node)) meanings.set(name, (meanings.get(name) ?? 0) | meaningOf(node));
  for (const { name, meaning } of file.statements.flatMap((node) => augmentations(node, file)))
    meanings.set(name, meaning);
  return meanings;
}

/** The `var`s of a cell, at the top or inside blocks and loops: names that no declaration put beside it may repeat. */
function varNames(node: ts.Node): string[] {
  if (ts.isFunctionLike(node) || ts.isClassStaticBlockDeclaration(node) || ts.isModuleDeclaration(node))
    return [];
  const names: string[] = [];
  if (ts.isVariableDeclarationList(node) && !(node.flags & ts.NodeFlags.BlockScoped))
    names.push(...node.declarations.flatMap(({ name }) => boundNames(name)).map(({ text }) => text));
  ts.forEachChild(node, (child) => void names.push(...varNames(child)));
  return names;
}

const meaningOf = (node: ts.Node) =>
  ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)
    ? Meaning.type
    : ts.isVariableStatement(node) || ts.isFunctionDeclaration(node)
      ? Meaning.value
      : Meaning.both;

/** The comment before a statement, which inspection shows in later cells. */
function docBefore(node: ts.Node, file: ts.SourceFile): string {
  const comments = ts.getLeadingCommentRanges(file.text, node.pos) ?? [];
  const doc = comments
    .map(({ pos, end }) => file.text.slice(pos, end))
    .findLast((text) => text.startsWith("/**"));
  return doc ? `${doc}\n` : "";
}

/** Each member of an interface with the interface's head around it, overloads together, by the member's name. */
function membersOf(node: ts.InterfaceDeclaration, file: ts.SourceFile): [name: string, text: string][] {
  const head = file.text.slice(node.getStart(file), node.members.pos);
  const texts = new Map<string, string>(node.members.length === 0 ? [["", ""]] : []);
  for (const member of node.members) {
    const name = member.name?.getText(file) ?? ts.SyntaxKind[member.kind];
    texts.set(name, `${texts.get(name) ?? ""}${docBefore(member, file)}${member.getText(file)}\n`);
  }
  return [...texts].map(([name, text]) => [`${node.name.text}.${name}`, `${head}\n${text}}`]);
}

/** What an augmentation adds to the global scope or to a module, each thing by itself: it counts until it is declared anew. */
function augmentations(node: ts.Statement, file: ts.SourceFile): Declaration[] {
  if (!isAugmentation(node) || !node.body || !ts.isModuleBlock(node.body)) return [];
  const of = ts.isStringLiteral(node.name) ? `module ${node.name.getText(file)}` : "global";
  const parts = node.body.statements.flatMap((part): [string, string][] =>
    ts.isInterfaceDeclaration(part) ? membersOf(part, file) : [[namesOf(part).join(), part.getText(file)]],
  );
  return parts.map(([name, text]) => ({
    name: `${of} ${name}`,
    text: `declare ${of} {\n${text}\n}`,
    meaning: Meaning.type,
  }));
}

function declarationsOf(node: ts.Statement, file: ts.SourceFile): Declaration[] {
  if (isAugmentation(node)) return augmentations(node, file);
  const doc = docBefore(node, file);
  if (ts.isVariableStatement(node)) {
    const { declarationList } = node;
    const keyword = declarationList.flags & ts.NodeFlags.Const ? "const" : "let";
    return declarationList.declarations.flatMap((declaration) =>
      ts.isIdentifier(declaration.name)
        ? {
            name: declaration.name.text,
            text: `${doc}declare ${keyword} ${declaration.getText(file)};`,
            meaning: Meaning.value,
          }
        : [],
    );
  }
  const name = (node as unknown as ts.NamedDeclaration).name;
  if (ts.isImportDeclaration(node) || !name || !ts.isIdentifier(name)) return [];
  const declare = ts.isImportEqualsDeclaration(node) ? "" : "declare ";
  const text = doc + node.getText(file).replace(/^(export\s+|default\s+|declare\s+)*/, declare);
  return [{ name: name.text, text, meaning: meaningOf(node) }];
}

/** What a cell declares: its imports from its own text, of which some are `values`, the rest from the declaration emit `dts`. */
export function collect(cell: ts.SourceFile, dts: string, values: ReadonlySet<string>): Declaration[] {
  const imports = cell.statements
    .filter(ts.isImportDeclaration)
    .flatMap(importTexts)
    .map(([name, text]) => ({ name, text, meaning: values.has(name) ? Meaning.both : Meaning.type }));
  const wanted = meaningsIn(cell);
  const file = ts.createSourceFile("emitted.d.ts", dts, ts.ScriptTarget.Latest, false);
  const others = file.statements.flatMap((node) => declarationsOf(node, file));
  return [...imports, ...others.filter(({ name, meaning }) => meaning & (wanted.get(name) ?? 0))];
}
