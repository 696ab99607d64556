/**
 * @file Puts the interrupt check into the reader's and the project's TypeScript: at the head of each loop's body, of
 * each function's and of each catch block, and after each `await` and `for await`. It reads one shared word; what it costs and what else
 * was tried is in README.md.
 */
import ts from "typescript";
import { CHECK_NAMES } from "./names";

type Visitor = (node: ts.Node) => ts.VisitResult<ts.Node>;

/** `if ($_load($_flag, 0) !== 0) $_stop();` */
function checkStatement(f: ts.NodeFactory): ts.Statement {
  return f.createIfStatement(
    f.createStrictInequality(loadCall(f), f.createNumericLiteral(0)),
    f.createExpressionStatement(stopCall(f)),
  );
}

/** `$_load($_flag, 0) !== 0 && $_stop()` */
function checkExpression(f: ts.NodeFactory): ts.Expression {
  return f.createLogicalAnd(f.createStrictInequality(loadCall(f), f.createNumericLiteral(0)), stopCall(f));
}

const stopCall = (f: ts.NodeFactory) =>
  f.createCallExpression(f.createIdentifier(CHECK_NAMES.stop), undefined, []);

const loadCall = (f: ts.NodeFactory) =>
  f.createCallExpression(f.createIdentifier(CHECK_NAMES.load), undefined, [
    f.createIdentifier(CHECK_NAMES.flag),
    f.createNumericLiteral(0),
  ]);

function guardBlock(f: ts.NodeFactory, block: ts.Block): ts.Block {
  const prologue = block.statements.findIndex(
    (statement) => !(ts.isExpressionStatement(statement) && ts.isStringLiteral(statement.expression)),
  );
  const at = prologue < 0 ? block.statements.length : prologue;
  const statements = [...block.statements.slice(0, at), checkStatement(f), ...block.statements.slice(at)];
  return ts.setTextRange(f.createBlock(statements, true), block);
}

function guardBody(f: ts.NodeFactory, body: ts.Statement): ts.Block {
  return ts.isBlock(body) ? guardBlock(f, body) : f.createBlock([checkStatement(f), body], true);
}

function guardLoop(f: ts.NodeFactory, node: ts.IterationStatement): ts.Node {
  const body = guardBody(f, node.statement);
  if (ts.isForStatement(node))
    return f.updateForStatement(node, node.initializer, node.condition, node.incrementor, body);
  if (ts.isForOfStatement(node))
    return f.updateForOfStatement(node, node.awaitModifier, node.initializer, node.expression, body);
  if (ts.isForInStatement(node)) return f.updateForInStatement(node, node.initializer, node.expression, body);
  if (ts.isWhileStatement(node)) return f.updateWhileStatement(node, node.expression, body);
  return f.updateDoStatement(node as ts.DoStatement, body, (node as ts.DoStatement).expression);
}

function guardArrow(f: ts.NodeFactory, node: ts.ArrowFunction): ts.Node {
  const body = ts.isBlock(node.body)
    ? guardBlock(f, node.body)
    : f.createParenthesizedExpression(f.createComma(checkExpression(f), node.body));
  const { modifiers, typeParameters, parameters, type, equalsGreaterThanToken } = node;
  return f.updateArrowFunction(
    node,
    modifiers,
    typeParameters,
    parameters,
    type,
    equalsGreaterThanToken,
    body,
  );
}

function guardFunction(f: ts.NodeFactory, node: ts.Node): ts.Node {
  if (ts.isArrowFunction(node)) return guardArrow(f, node);
  const { body } = node as ts.FunctionLikeDeclaration;
  if (!body || !ts.isBlock(body)) return node;
  const guarded = guardBlock(f, body);
  if (ts.isFunctionDeclaration(node))
    return f.updateFunctionDeclaration(
      node,
      node.modifiers,
      node.asteriskToken,
      node.name,
      node.typeParameters,
      node.parameters,
      node.type,
      guarded,
    );
  if (ts.isFunctionExpression(node))
    return f.updateFunctionExpression(
      node,
      node.modifiers,
      node.asteriskToken,
      node.name,
      node.typeParameters,
      node.parameters,
      node.type,
      guarded,
    );
  if (ts.isMethodDeclaration(node))
    return f.updateMethodDeclaration(
      node,
      node.modifiers,
      node.asteriskToken,
      node.name,
      node.questionToken,
      node.typeParameters,
      node.parameters,
      node.type,
      guarded,
    );
  if (ts.isConstructorDeclaration(node))
    // also before super(): the check knows no `this`
    return f.updateConstructorDeclaration(node, node.modifiers, node.parameters, guarded);
  const { modifiers, name, parameters, type } = node as ts.AccessorDeclaration;
  if (ts.isGetAccessorDeclaration(node))
    return f.updateGetAccessorDeclaration(
      node,
      modifiers,
      name as ts.PropertyName,
      parameters,
      type,
      guarded,
    );
  if (ts.isSetAccessorDeclaration(node))
    return f.updateSetAccessorDeclaration(node, modifiers, name as ts.PropertyName, parameters, guarded);
  return node;
}

/** `$_resumed(await …)`: code that waited while its cell was stopped does not go on. */
function guardAwait(f: ts.NodeFactory, node: ts.AwaitExpression): ts.Expression {
  const call = f.createCallExpression(f.createIdentifier(CHECK_NAMES.resumed), undefined, [node]);
  return ts.setTextRange(call, node);
}

/** Whether the check stands behind this loop, which waits once more after its last turn. After a label there is no place. */
const waitsAtItsEnd = (node: ts.Node) =>
  ts.isForOfStatement(node) &&
  node.awaitModifier !== undefined &&
  !ts.isLabeledStatement(ts.getOriginalNode(node).parent);

/** The transformer that inserts the checks; it runs before TypeScript's own. */
export const insertChecks: ts.TransformerFactory<ts.SourceFile> = (context) => {
  const visit: Visitor = (node) => {
    if (ts.isTypeNode(node) && !ts.isExpressionWithTypeArguments(node)) return node;
    const visited = ts.visitEachChild(node, visit, context);
    if (ts.isIterationStatement(visited, false)) {
      const loop = guardLoop(context.factory, visited);
      return waitsAtItsEnd(node) ? [loop, checkStatement(context.factory)] : loop;
    }
    if (ts.isAwaitExpression(visited)) return guardAwait(context.factory, visited);
    if (ts.isCatchClause(visited)) {
      const { variableDeclaration, block } = visited; // an await that fails comes out here
      return context.factory.updateCatchClause(
        visited,
        variableDeclaration,
        guardBlock(context.factory, block),
      );
    }
    return guardFunction(context.factory, visited);
  };
  return (file) => ts.visitEachChild(file, visit, context);
};
