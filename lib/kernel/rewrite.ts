/**
 * @file Turns a cell into the body of a function whose top-level names live in `$_cells`, shared by all cells:
 * `let late = 1` also sets `$_cells.late`, and each reference to `late` becomes `$_cells.late`. So a later cell can
 * assign or redeclare a name, and what was declared before sees it. Imports are taken out for the runner to load.
 */
import ts from "typescript";
import type { ImportedModule, ImportedName } from "./messages";
import { CELLS, IMPORT, META, REACHED } from "./names";

/** What the rewriting finds on its way. */
export interface Findings {
  imports: ImportedModule[];
  async: boolean;
}

/** The names that a binding declares: `{ a, b: [c] }` declares a and c. */
export function boundNames(name: ts.BindingName): ts.Identifier[] {
  if (ts.isIdentifier(name)) return [name];
  return name.elements.flatMap((element) =>
    ts.isOmittedExpression(element) ? [] : boundNames(element.name),
  );
}

/** The declaration that a name, maybe deep in a pattern, is declared by. */
const rootOf = (declaration: ts.Declaration): ts.Declaration =>
  ts.isBindingElement(declaration) ? ts.walkUpBindingElementsAndPatterns(declaration) : declaration;

const hasModifier = (node: ts.Node, kind: ts.SyntaxKind) =>
  ts.canHaveModifiers(node) && (ts.getModifiers(node)?.some((modifier) => modifier.kind === kind) ?? false);

export const isAmbient = (node: ts.Node) => hasModifier(node, ts.SyntaxKind.DeclareKeyword);

/** Whether this statement, being at the top, makes the cell a function that awaits. */
export function containsAwait(node: ts.Node): boolean {
  if (ts.isAwaitExpression(node)) return true;
  if (ts.isForOfStatement(node) && node.awaitModifier) return true;
  if (
    ts.isVariableDeclarationList(node) &&
    (node.flags & ts.NodeFlags.BlockScoped) === ts.NodeFlags.AwaitUsing
  )
    return true;
  if (ts.isFunctionLike(node) || ts.isClassStaticBlockDeclaration(node)) return false;
  return ts.forEachChild(node, containsAwait) ?? false;
}

/** The `f` of `(f as Task)` and of `f!`, which are `f` when called. */
function unwrapped(node: ts.Expression): ts.Expression {
  const isWrapping =
    ts.isParenthesizedExpression(node) ||
    ts.isAsExpression(node) ||
    ts.isSatisfiesExpression(node) ||
    ts.isTypeAssertionExpression(node) ||
    ts.isNonNullExpression(node);
  return isWrapping ? unwrapped(node.expression) : node;
}

/** The transformer of the cell that ends at `end`; what comes after it in the file are declarations of ours. */
export function rewriteCell(
  checker: ts.TypeChecker,
  file: ts.SourceFile,
  end: number,
  findings: Findings,
): ts.TransformerFactory<ts.SourceFile> {
  const locals = (file as unknown as { locals: Map<ts.__String, ts.Symbol> }).locals;

  return (context) => {
    const f = context.factory;
    const cellsDot = (name: string) => f.createPropertyAccessExpression(f.createIdentifier(CELLS), name);

    const symbolOf = (node: ts.Identifier) =>
      ts.isShorthandPropertyAssignment(node.parent)
        ? checker.getShorthandAssignmentValueSymbol(node.parent)
        : checker.getSymbolAtLocation(node);

    /** A class, enum or namespace refers to itself by its own binding. */
    const isWithinItself = (node: ts.Node, symbol: ts.Symbol) =>
      symbol.declarations?.some(
        (declaration) =>
          (ts.isClassDeclaration(declaration) ||
            ts.isEnumDeclaration(declaration) ||
            ts.isModuleDeclaration(declaration)) &&
          declaration.getSourceFile() === file &&
          node.pos >= declaration.pos &&
          node.end <= declaration.end,
      ) ?? false;

    const isDeclarationName = ({ parent }: ts.Identifier, node: ts.Identifier) =>
      parent && !ts.isShorthandPropertyAssignment(parent) && (parent as ts.NamedDeclaration).name === node;

    /** The symbol of a name that lives in `$_cells`. */
    const topLevelSymbol = (node: ts.Identifier): ts.Symbol | undefined => {
      const local = locals.get(node.escapedText) as (ts.Symbol & { exportSymbol?: ts.Symbol }) | undefined;
      const symbol = local && node.parent && symbolOf(node);
      if (!symbol || (symbol !== local && symbol !== local.exportSymbol)) return undefined;
      return isNestedVar(symbol) ? undefined : symbol;
    };

    const isTopLevelName = (name: ts.Identifier) => topLevelSymbol(name) !== undefined;

    const isTopLevel = (node: ts.Identifier): boolean => {
      if (node.parent && isDeclarationName(node, node)) return false;
      const symbol = topLevelSymbol(node);
      if (!symbol) return false;
      return !isWithinItself(node, symbol) && !isWithinItsPattern(node, symbol);
    };

    /** The last `q` of `{ q, r = q }` is bound but not yet in `$_cells`, where a function looks, for it may run later. */
    const isWithinItsPattern = (node: ts.Node, { declarations }: ts.Symbol) => {
      const around = ts.findAncestor(node, (outer) =>
        ts.isFunctionLike(outer) ? "quit" : ts.isVariableDeclaration(outer),
      ) as ts.VariableDeclaration | undefined;
      return (
        around !== undefined &&
        node.end <= around.name.end &&
        (declarations?.some((declaration) => rootOf(declaration) === around) ?? false)
      );
    };

    const isNested = (declaration: ts.Declaration) => {
      const root = rootOf(declaration);
      if (!ts.isVariableDeclaration(root)) return false;
      const statement = root.parent.parent;
      return !(ts.isVariableStatement(statement) && statement.parent === file);
    };

    /** A `var` that is declared only inside blocks or at the heads of loops stays with its cell. */
    const isNestedVar = ({ declarations }: ts.Symbol) => declarations?.every(isNested) ?? false;

    /** `$_cells.late = $_reached("late", late)`, or another value */
    const assignment = ({ text }: ts.Identifier, value: ts.Expression = f.createIdentifier(text)) => {
      const noted = f.createCallExpression(f.createIdentifier(REACHED), undefined, [
        f.createStringLiteral(text),
        value,
      ]);
      return f.createAssignment(cellsDot(text), noted);
    };

    const assign = (name: ts.Identifier, value?: ts.Expression) =>
      f.createExpressionStatement(assignment(name, value));

    const shorthand = (node: ts.ShorthandPropertyAssignment): ts.Node => {
      const target = cellsDot(node.name.text);
      const initializer = node.objectAssignmentInitializer;
      const value = initializer
        ? f.createAssignment(target, ts.visitNode(initializer, visit) as ts.Expression)
        : target;
      return f.createPropertyAssignment(f.createIdentifier(node.name.text), value);
    };

    /** `(0, $_cells.f)`: `f(x)` must not become a call of a method of `$_cells`. It maps to where `f` starts. */
    const detached = (name: ts.Identifier): ts.Expression => {
      const comma = f.createComma(f.createNumericLiteral(0), cellsDot(name.text));
      const callee = ts.setTextRange(f.createParenthesizedExpression(comma), name);
      return ts.setEmitFlags(callee, ts.EmitFlags.NoTrailingSourceMap);
    };

    const call = (node: ts.CallExpression): ts.Node => {
      const isImport = node.expression.kind === ts.SyntaxKind.ImportKeyword;
      const called = unwrapped(node.expression);
      if (!isImport && !(ts.isIdentifier(called) && isTopLevel(called)))
        return ts.visitEachChild(node, visit, context);
      const callee = isImport ? f.createIdentifier(IMPORT) : detached(called as ts.Identifier);
      const args = ts.visitNodes(node.arguments, visit) as ts.NodeArray<ts.Expression>;
      return ts.isCallChain(node)
        ? f.updateCallChain(node, callee, node.questionDotToken, undefined, args)
        : f.updateCallExpression(node, callee, undefined, args);
    };

    /** The default of `{ n, xs = list(n, (_, i) => i / n) }` calls functions, which look for `n` in `$_cells`: put there first. */
    const defaultOf = (node: ts.BindingElement): ts.Node => {
      const visited = ts.visitEachChild(node, visit, context);
      const { dotDotDotToken, propertyName, name, initializer } = visited;
      const before = boundNames((rootOf(node) as ts.VariableDeclaration).name).filter(
        (bound) => bound.end <= node.pos && isTopLevelName(bound),
      );
      // A function alone runs later, and keeps the name that it gets from the pattern.
      if (!initializer || ts.isFunctionLike(initializer) || before.length === 0) return visited;
      const value = f.createParenthesizedExpression(
        f.createCommaListExpression([...before.map((bound) => assignment(bound)), initializer]),
      );
      return f.updateBindingElement(visited, dotDotDotToken, propertyName, name, value);
    };

    /** `var i = 0, i = $_cells.i = i`: a `var` that is declared at the top, too, is set there wherever it is declared. */
    const nestedVars = (node: ts.VariableDeclarationList): ts.Node => {
      const visited = ts.visitEachChild(node, visit, context);
      const again = node.declarations
        .filter(({ initializer }) => initializer)
        .flatMap(({ name }) => boundNames(name).filter(isTopLevelName))
        .map((name) => f.createVariableDeclaration(name.text, undefined, undefined, assignment(name)));
      if (again.length === 0) return visited;
      return f.updateVariableDeclarationList(visited, [...visited.declarations, ...again]);
    };

    /** `for (var k of ks) { $_cells.k = k; … }`, as above. */
    const nestedVarOfLoop = (node: ts.ForOfStatement | ts.ForInStatement): ts.Node => {
      const visited = ts.visitEachChild(node, visit, context);
      const names = ts.isVariableDeclarationList(node.initializer)
        ? boundNames(node.initializer.declarations[0].name).filter(isTopLevelName)
        : [];
      if (names.length === 0) return visited;
      const body = f.createBlock([...names.map((name) => assign(name)), visited.statement], true);
      return ts.isForOfStatement(visited)
        ? f.updateForOfStatement(
            visited,
            visited.awaitModifier,
            visited.initializer,
            visited.expression,
            body,
          )
        : f.updateForInStatement(visited, visited.initializer, visited.expression, body);
    };

    const visit = (node: ts.Node): ts.Node => {
      if (ts.isTypeNode(node) && !ts.isExpressionWithTypeArguments(node)) return node;
      if (ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) return node;
      if (ts.isImportEqualsDeclaration(node)) return node;
      if (ts.isMetaProperty(node) && node.keywordToken === ts.SyntaxKind.ImportKeyword)
        return ts.setTextRange(f.createIdentifier(META), node);
      if (ts.isBindingElement(node)) return defaultOf(node);
      if (ts.isVariableDeclarationList(node) && node.declarations.some(isNested)) return nestedVars(node);
      if (ts.isForOfStatement(node) || ts.isForInStatement(node)) return nestedVarOfLoop(node);
      if (ts.isCallExpression(node)) return call(node);
      if (ts.isShorthandPropertyAssignment(node) && isTopLevel(node.name)) return shorthand(node);
      if (ts.isTaggedTemplateExpression(node) && ts.isIdentifier(node.tag) && isTopLevel(node.tag))
        return f.updateTaggedTemplateExpression(
          node,
          detached(node.tag),
          undefined,
          ts.visitNode(node.template, visit) as ts.TemplateLiteral,
        );
      if (ts.isIdentifier(node) && isTopLevel(node)) return ts.setTextRange(cellsDot(node.text), node);
      return ts.visitEachChild(node, visit, context);
    };

    /** Whether `var late;` comes after a mention of `late`, or where a function that was hoisted may have set it. */
    const isMentionedBefore = ({ name }: ts.VariableDeclaration): boolean => {
      if (!ts.isIdentifier(name)) return false;
      const symbol = topLevelSymbol(name);
      const mentions = (node: ts.Node, hoisted: boolean): boolean => {
        if (node.pos >= end || (node.pos >= name.pos && !hoisted && !ts.isFunctionDeclaration(node)))
          return false;
        if (ts.isIdentifier(node))
          return node !== name && node.text === name.text && topLevelSymbol(node) === symbol;
        const inside = hoisted || ts.isFunctionDeclaration(node);
        return ts.forEachChild(node, (child) => mentions(child, inside)) ?? false;
      };
      return symbol !== undefined && mentions(file, false);
    };

    /** What is set after a declarator; a `var` without a value leaves the name what it is, if it may be something. */
    const assignmentsAfter = (declaration: ts.VariableDeclaration, flags: ts.NodeFlags): ts.Statement[] => {
      const isVar = (flags & ts.NodeFlags.BlockScoped) === 0;
      const keeps = isVar && !declaration.initializer && isMentionedBefore(declaration);
      return boundNames(declaration.name).map((name) =>
        assign(name, keeps ? cellsDot(name.text) : undefined),
      );
    };

    /** A statement for each declarator, followed by its assignments: the next declarator finds its names in `$_cells`. */
    const assignEach = (node: ts.VariableStatement): ts.Statement[] => {
      const { modifiers, declarationList } = node;
      const { declarations, flags } = declarationList;
      return declarations.flatMap((one) => {
        const list = ts.setTextRange(f.createVariableDeclarationList([one], flags), one);
        const alone = ts.setTextRange(f.createVariableStatement(modifiers, list), one);
        return [declarations.length > 1 ? alone : node, ...assignmentsAfter(one, flags)];
      });
    };

    const withoutExport = <T extends ts.Statement>(node: T): T => {
      if (!ts.canHaveModifiers(node) || !hasModifier(node, ts.SyntaxKind.ExportKeyword)) return node;
      const kept = node.modifiers?.filter(
        ({ kind }) => kind !== ts.SyntaxKind.ExportKeyword && kind !== ts.SyntaxKind.DefaultKeyword,
      );
      if (ts.isVariableStatement(node))
        return f.updateVariableStatement(node, kept, node.declarationList) as never;
      if (ts.isFunctionDeclaration(node)) {
        const { asteriskToken, name, typeParameters, parameters, type, body } = node;
        return f.updateFunctionDeclaration(
          node,
          kept as ts.Modifier[],
          asteriskToken,
          name,
          typeParameters,
          parameters,
          type,
          body,
        ) as never;
      }
      if (ts.isClassDeclaration(node)) {
        const { name, typeParameters, heritageClauses, members } = node;
        return f.updateClassDeclaration(node, kept, name, typeParameters, heritageClauses, members) as never;
      }
      if (ts.isEnumDeclaration(node))
        return f.updateEnumDeclaration(node, kept as ts.Modifier[], node.name, node.members) as never;
      if (ts.isModuleDeclaration(node))
        return f.updateModuleDeclaration(node, kept as ts.Modifier[], node.name, node.body) as never;
      return node;
    };

    /** The class with `static { $_cells.C = this; }` first: what its static members call finds it. */
    const classInCells = (node: ts.ClassDeclaration, name: ts.Identifier): ts.Statement[] => {
      const { modifiers, typeParameters, heritageClauses, members } = node;
      const first = f.createClassStaticBlockDeclaration(f.createBlock([assign(name, f.createThis())]));
      const all = [first, ...members];
      return [
        f.updateClassDeclaration(node, modifiers, name, typeParameters, heritageClauses, all),
        assign(name), // a decorator may have put another in its place
      ];
    };

    /** The enum with `var E = $_cells.E = E || {}` before it: its members are put into that object. */
    const enumInCells = (node: ts.EnumDeclaration): ts.Statement[] => {
      const { text } = node.name;
      const object = f.createLogicalOr(f.createIdentifier(text), f.createObjectLiteralExpression());
      const variable = f.createVariableDeclaration(
        text,
        undefined,
        undefined,
        assignment(node.name, f.createParenthesizedExpression(object)),
      );
      return [f.createVariableStatement(undefined, [variable]), node];
    };

    /** The namespace with `$_cells.N = N` as its first statement, for the functions that it calls. */
    const namespaceInCells = <T extends ts.ModuleDeclaration>(node: T, name: ts.Identifier): T => {
      const { body } = node;
      const filled =
        body && ts.isModuleDeclaration(body)
          ? namespaceInCells(body as ts.NamespaceDeclaration, name)
          : f.createModuleBlock([assign(name), ...((body as ts.ModuleBlock | undefined)?.statements ?? [])]);
      return f.updateModuleDeclaration(node, node.modifiers, node.name, filled) as T;
    };

    /** What `import A = N.B` is another name of. */
    const entity = (name: ts.EntityName): ts.Expression =>
      ts.isQualifiedName(name)
        ? f.createPropertyAccessExpression(entity(name.left), name.right.text)
        : isTopLevel(name)
          ? cellsDot(name.text)
          : f.createIdentifier(name.text);

    /** `export default function () {}` without the first two words is no statement. */
    const nameless = (node: ts.Statement): ts.Statement => {
      if (ts.isClassDeclaration(node) && !node.name) {
        const { modifiers, typeParameters, heritageClauses, members } = node;
        return f.createExpressionStatement(
          f.createClassExpression(modifiers, undefined, typeParameters, heritageClauses, members),
        );
      }
      if (!ts.isFunctionDeclaration(node) || node.name || !node.body) return node;
      const { asteriskToken, typeParameters, parameters, type, body } = node;
      const modifiers = node.modifiers?.filter(ts.isModifier);
      return f.createExpressionStatement(
        f.createFunctionExpression(
          modifiers,
          asteriskToken,
          undefined,
          typeParameters,
          parameters,
          type,
          body,
        ),
      );
    };

    const statement = (node: ts.Statement, last: boolean): ts.Statement[] => {
      if (ts.isImportDeclaration(node)) {
        recordImport(checker, node, findings);
        return [];
      }
      if (ts.isExportDeclaration(node)) return [];
      if (ts.isImportEqualsDeclaration(node) && !ts.isExternalModuleReference(node.moduleReference))
        return isValue(checker, node.name) ? [assign(node.name, entity(node.moduleReference))] : [];
      if (ts.isExportAssignment(node))
        node = ts.setTextRange(f.createExpressionStatement(node.expression), node);
      if (containsAwait(node)) findings.async = true;
      const visited = nameless(withoutExport(visit(node) as ts.Statement));
      if (ts.isExpressionStatement(visited))
        return [last ? ts.setTextRange(f.createReturnStatement(visited.expression), visited) : visited];
      if (isAmbient(node)) return [visited];
      if (ts.isVariableStatement(visited)) return assignEach(visited);
      if (ts.isClassDeclaration(visited) && visited.name) return classInCells(visited, visited.name);
      if (ts.isEnumDeclaration(visited)) return enumInCells(visited);
      if (
        ts.isModuleDeclaration(node) &&
        ts.isModuleDeclaration(visited) &&
        ts.isIdentifier(node.name) &&
        isInstantiated(checker, node)
      )
        return [namespaceInCells(visited, node.name), assign(node.name)];
      return [visited];
    };

    return (source) => {
      const own = source.statements.filter((node) => node.getStart(source) < end);
      const hoisted = own.flatMap((node) =>
        ts.isFunctionDeclaration(node) && node.name && node.body ? [assign(node.name)] : [],
      );
      const statements = own.flatMap((node, index) => statement(node, index === own.length - 1));
      return f.updateSourceFile(source, [...hoisted, ...statements]);
    };
  };
}

function isInstantiated(checker: ts.TypeChecker, node: ts.ModuleDeclaration): boolean {
  const symbol = checker.getSymbolAtLocation(node.name);
  return symbol !== undefined && (symbol.flags & ts.SymbolFlags.ValueModule) !== 0;
}

/** Whether an imported name stands for a value at run time, and not only for a type. */
function isValue(checker: ts.TypeChecker, name: ts.Identifier): boolean {
  const symbol = checker.getSymbolAtLocation(name);
  if (!symbol) return true;
  const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  // A module without types resolves to the unknown symbol, which is a value like any other.
  return (target.flags & ts.SymbolFlags.Value) !== 0 || target.flags === ts.SymbolFlags.Property;
}

function recordImport(checker: ts.TypeChecker, node: ts.ImportDeclaration, findings: Findings): void {
  const specifier = (node.moduleSpecifier as ts.StringLiteral).text;
  const clause = node.importClause;
  if (clause?.isTypeOnly) return;
  const names: ImportedName[] = [];
  if (clause?.name && isValue(checker, clause.name))
    names.push({ name: clause.name.text, exported: "default" });
  const bindings = clause?.namedBindings;
  if (bindings && ts.isNamespaceImport(bindings)) names.push({ name: bindings.name.text, exported: "*" });
  if (bindings && ts.isNamedImports(bindings))
    for (const element of bindings.elements)
      if (!element.isTypeOnly && isValue(checker, element.name))
        names.push({ name: element.name.text, exported: (element.propertyName ?? element.name).text });
  // An import of types alone loads nothing; one without a clause is for its effect.
  if (names.length > 0 || !clause) findings.imports.push({ specifier, names });
}
