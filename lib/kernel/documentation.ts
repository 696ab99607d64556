/** @file The doc comment of what is inspected, parsed when it is asked for: the trees are read without comments. */
import ts from "typescript";

export interface Documentation {
  text: string;
  tags: { name: string; text: string }[];
}

/** The node before which a declaration's comment stands. */
function commented(declaration: ts.Declaration): ts.Node {
  const list = declaration.parent;
  return ts.isVariableDeclaration(declaration) && ts.isVariableDeclarationList(list)
    ? list.parent
    : declaration;
}

function commentBefore(declaration: ts.Declaration): string | undefined {
  const { text } = declaration.getSourceFile();
  return ts
    .getLeadingCommentRanges(text, commented(declaration).pos)
    ?.map(({ pos, end }) => text.slice(pos, end))
    .findLast((comment) => comment.startsWith("/**"));
}

function tagText(tag: ts.JSDocTag): string {
  const name = (tag as Partial<ts.JSDocParameterTag>).name?.getText() ?? "";
  return [name, ts.getTextOfJSDocComment(tag.comment) ?? ""].filter(Boolean).join(" ");
}

function parseComment(comment: string): Documentation {
  const file = ts.createSourceFile("doc.ts", `${comment}\nlet it;`, ts.ScriptTarget.Latest, true);
  const parts = ts.getJSDocCommentsAndTags(file.statements[0]).filter(ts.isJSDoc);
  return {
    text: parts.map(({ comment }) => ts.getTextOfJSDocComment(comment) ?? "").join("\n"),
    tags: parts.flatMap(({ tags = [] }) =>
      [...tags].map((tag) => ({ name: tag.tagName.text, text: tagText(tag) })),
    ),
  };
}

/** The smallest node that holds this place. */
function nodeAt(file: ts.SourceFile, position: number): ts.Node {
  const inside = (node: ts.Node): ts.Node =>
    ts.forEachChild(node, (child) =>
      child.getStart(file) <= position && position < child.end ? inside(child) : undefined,
    ) ?? node;
  return inside(file);
}

/** Of `units` in `{ units: 3 }` what the type says that is expected there, which has the comment. */
function expectedAt(checker: ts.TypeChecker, node: ts.Node): readonly ts.Declaration[] {
  const { parent } = node;
  const isName =
    parent &&
    (ts.isPropertyAssignment(parent) || ts.isShorthandPropertyAssignment(parent)) &&
    parent.name === node;
  if (!isName) return [];
  return checker.getContextualType(parent.parent)?.getProperty(parent.name.getText())?.declarations ?? [];
}

/** Of a function that is called here, the overload that is; else all declarations of the name. */
function declarationsAt(checker: ts.TypeChecker, node: ts.Node): readonly ts.Declaration[] {
  const found = checker.getSymbolAtLocation(node);
  const symbol = found && found.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(found) : found;
  const callee = ts.isPropertyAccessExpression(node.parent) ? node.parent : node;
  const call = callee.parent;
  const signature =
    call && ts.isCallExpression(call) && call.expression === callee
      ? checker.getResolvedSignature(call)?.declaration
      : undefined;
  const signatures = symbol ? checker.getTypeOfSymbolAtLocation(symbol, node).getCallSignatures() : [];
  return [
    signature,
    ...expectedAt(checker, node),
    ...(symbol?.declarations ?? []),
    ...signatures.map(({ declaration }) => declaration),
  ].filter(
    (declaration) => declaration !== undefined && !ts.isJSDocSignature(declaration),
  ) as ts.Declaration[];
}

/** What is written about the name at this place of the program's file. */
export function documentationAt(program: ts.Program, file: ts.SourceFile, position: number): Documentation {
  const declarations = declarationsAt(program.getTypeChecker(), nodeAt(file, position));
  const comment = declarations.map(commentBefore).find((one) => one !== undefined);
  return comment ? parseComment(comment) : { text: "", tags: [] };
}
