/** @file What a cell means: scope across cells, redeclaration, top-level await, shown values. Through jupyter_client. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { makeFolder, noJupyter, TestKernel } from "./testing/kernel";

describe("cells", { skip: noJupyter(), timeout: 600_000 }, () => {
  let kernel: TestKernel;
  before(async () => {
    kernel = await TestKernel.start();
  });
  after(() => kernel?.close());

  /** Runs cells in a row, which must end well, and returns what the last one shows. */
  async function last(...cells: string[]): Promise<string | undefined> {
    let shown: string | undefined;
    for (const cell of cells) shown = await kernel.text(cell);
    return shown;
  }
  const write = (name: string, text: string) => {
    const file = join(kernel.folder, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  };

  test("a closure sees what a later cell assigns", async () => {
    assert.equal(await last("let late = 1; const get = () => late;", "late = 42; get()"), "42");
    assert.equal(await last("({ late } = { late: 7 }); [late] = [late + 1]; late++; get()"), "9");
  });

  test("a cell that fails keeps what it had declared and assigned, and declares nothing more", async () => {
    const { error } = await kernel.execute(
      `let reached = 1; reached = 2; throw new Error("half-way"); let missed = 3;`,
    );
    assert.equal(error?.evalue, "half-way");
    assert.equal(await last("reached"), "2");
    assert.match((await kernel.execute("missed")).error!.evalue, /Cannot find name 'missed'/);
    await kernel.execute(`const whole = 1;`);
    await kernel.execute(`throw new Error("before"); const whole = "text";`);
    assert.equal(await last("whole + 1"), "2");
  });

  test("a cell that fails keeps the types that it imports, which no run can miss", async () => {
    write(
      "types.ts",
      "export interface Sized { size: number } export interface Named { name: string } export const one = 1;",
    );
    await kernel.execute(`import { one, type Sized } from "./types"; import type { Named } from "./types"; import { Sized as Also } from "./types";
throw new Error("half-way");`);
    assert.equal(
      await last("const both: Sized & Named & Also = { size: 1, name: 'x' }; [both, one]"),
      "[ { size: 1, name: 'x' }, 1 ]",
    );
  });

  const redeclared: Record<string, [string, string, string]> = {
    const: ["const c = 1; const useC = () => c;", "const c = 2;", "2"],
    "const of another type": ["const d = 1; const useD = () => d;", `const d = "two";`, "'two'"],
    function: ["function f() { return 1; } const useF = () => f();", "function f() { return 2; }", "2"],
    class: ["class C { n = 1 } const useC2 = () => new C().n;", "class C { n = 2 }", "2"],
    enum: ["enum E { A = 1 } const useE = () => E.A;", "enum E { A = 2 }", "2"],
  };
  for (const [kind, [first, second, shown]] of Object.entries(redeclared))
    test(`the last ${kind} counts, also for functions declared before`, async () => {
      const use = /const (use\w+)/.exec(first)![1];
      assert.equal(await last(first, second, `${use}()`), shown);
    });

  test("the last type and interface count", async () => {
    await last(
      "interface Shape { a: number } type Name = string;",
      "interface Shape { b: string } type Name = number;",
    );
    assert.equal(
      await last(`const shape: Shape = { b: "x" }; const name: Name = 3; [shape, name]`),
      "[ { b: 'x' }, 3 ]",
    );
  });

  test("a value hides no earlier type of its name, nor a type a value", async () => {
    await last(
      "interface Place { x: number } const Size = (n: number) => ({ n });",
      "const Place = (x: number): Place => ({ x }); type Size = ReturnType<typeof Size>; export const Half = 0.5;",
      "type Half = number; const big: Size = Size(3);",
    );
    assert.equal(
      await last("const place: Place = Place(2); const half: Half = Half; [place, big, half]"),
      "[ { x: 2 }, { n: 3 }, 0.5 ]",
    );
    await last("class Place { y = 1 }");
    assert.match(
      (await kernel.execute("const wrong: Place = { x: 1 };")).error!.evalue,
      /'x' does not exist/,
    );
  });

  test("a class refers to itself, not to its successor", async () => {
    await last(
      "class Node1 { static make() { return new Node1(); } tag = 'old'; } const make2 = Node1.make;",
    );
    assert.equal(
      await last("class Node1 { tag = 'new' }", "[make2().tag, new Node1().tag]"),
      "[ 'old', 'new' ]",
    );
  });

  test("a var inside a block or at the head of a loop works, and stays in its cell", async () => {
    const cell = `let turns = "";
for (var turn = 0; turn < 3; turn++) turns += turn;
for (var item of ["a", "b"]) turns += (() => item)();
for (var key in { c: 1 }) turns += key;
if (turns) { var [first] = [turn]; turns += first; }
turns + turn`;
    assert.equal(await last(cell), "'012abc33'");
    assert.match((await kernel.execute("turn")).error!.evalue, /Cannot find name 'turn'/);
    assert.equal(await last("let turn = 'earlier'; const { length: item } = turn;", cell), "'012abc33'");
    assert.equal(await last("[turn, item]"), "[ 'earlier', 7 ]");
  });

  const inOneStatement: Record<string, [string, string]> = {
    "a later declarator": ["const a1 = 1, b1 = a1 + 1; b1", "2"],
    "one of let, var and export": [
      "let a2 = 1, b2 = a2 + 1; var a3 = b2 + 1, b3 = a3 + 1; export const a4 = b3 + 1, b4 = a4 + 1; [b2, b3, b4]",
      "[ 2, 4, 6 ]",
    ],
    "one that calls a function": [
      "const g1 = (n: number): number => n < 2 ? 1 : n * g1(n - 1), y1 = g1(5); y1",
      "120",
    ],
    "one of using": [
      "using u1 = { at: 3, [Symbol.dispose]() {} }, v1 = { at: u1.at, [Symbol.dispose]() {} }; v1.at",
      "3",
    ],
    "a pattern's default": [
      "const o1: any = { q1: 1 }, { q1, r1 = q1, s1 = { q1 } } = o1; [r1, s1]",
      "[ 1, { q1: 1 } ]",
    ],
    "a pattern's key": ["const { k1, [k1]: w1 } = { k1: 'x', x: 5 } as any; w1", "5"],
  };
  for (const [name, [cell, shown]] of Object.entries(inOneStatement))
    test(`${name} sees what its statement declared before it`, async () => {
      assert.equal(await last(cell), shown);
    });

  test("declarators of one statement see its new values when the cell is edited and run again", async () => {
    const cell = (steps: number) =>
      `const T1 = ${steps}, dt1 = 1 / T1; const { n1, m1 = n1 } = { n1: T1 } as any; [dt1, m1]`;
    assert.equal(await last(cell(1000), cell(500)), "[ 0.002, 500 ]");
  });

  test("a function in a pattern sees what a later cell assigns; an error has its declarator's line", async () => {
    assert.equal(await last("let { p1, get1 = () => p1 } = { p1: 1 } as any;", "p1 = 2; get1()"), "2");
    const { error } = await kernel.execute("const fine1 = 1,\n  bad1 = JSON.parse('{');");
    assert.match(error!.traceback.join("\n"), /at Cell \[\d+\]:2:15/);
    assert.equal(await last("fine1"), "1");
  });

  test("a function that a pattern's default calls sees what the pattern bound before it", async () => {
    const object = (n: number) =>
      `const { n, xs = Array.from({ length: n }, (_, i) => i / n) } = { n: ${n} } as { n: number; xs?: number[] }; xs`;
    assert.equal(await last(object(4)), "[ 0, 0.25, 0.5, 0.75 ]");
    assert.equal(await last(object(2)), "[ 0, 0.5 ]");
    const array = (n: number) =>
      `let [m, { deep: [k] }, ys = Array.from({ length: m }, (_, i) => i / m + k), zs = ys.map((y: number) => y * m)] = [${n}, { deep: [1] }] as any; zs`;
    assert.equal(await last(array(4)), "[ 4, 5, 6, 7 ]");
    assert.equal(await last(array(2)), "[ 2, 3 ]");
    await kernel.execute(
      "const { n, bad = [1].map(() => { throw new Error('at ' + n); }) } = { n: 7 } as any;",
    );
    assert.equal(await last("n"), "7");
  });

  test("a var declared at the top and again in a block or a loop is one variable, also for later cells", async () => {
    assert.equal(await last("var vv = 1; if (vv) { var vv = vv + 1; } vv", "vv"), "2");
    assert.equal(await last("var vi = 9; for (var vi = 0, vn = 3; vi < vn; vi++); vi", "vi"), "3");
    assert.equal(await last("var vo = 0; for (var vo of [4, 5]) vo; vo", "vo"), "5");
    assert.equal(
      await last("var vk = ''; for (var vk in { a: 1 }) { var [vk] = [vk + 'b']; } vk", "vk"),
      "'ab'",
    );
    assert.equal(
      await last("var vs = 1; const getVs = () => vs; if (vs) var vs = 2;", "vs = 7; getVs()"),
      "7",
    );
  });

  test("a var without a value keeps what the cell has set before, and is new where it has not", async () => {
    assert.equal(await last("var v1 = 1; v1 = 7; var v1: number; v1"), "7");
    assert.equal(await last("var v2 = 1; function more() { v2++; } more(); var v2: number; v2"), "2");
    assert.equal(await last("set3(); var v3: number | undefined; function set3() { v3 = 5; } v3"), "5");
    assert.equal(await last("v4 = 5; var v4: number; v4"), "5");
    assert.equal(await last("var v5 = 'text'", "var v5: number | undefined; v5"), undefined);
  });

  test("names that are only declared are those of the global object, also in later cells", async () => {
    assert.equal(
      await last("declare const WebAssembly: { validate: unknown }; typeof WebAssembly"),
      "'object'",
    );
    assert.equal(await last("typeof WebAssembly.validate"), "'function'");
    assert.equal(await last("declare var made: number; (globalThis as any).made = 7; made", "made + 1"), "8");
    assert.equal(
      await last("declare function called(): string; (globalThis as any).called = () => 'it'; called()"),
      "'it'",
    );
    assert.equal(await last("const made = 'own'; made"), "'own'");
    assert.equal(await last("[made, (globalThis as any).made]"), "[ 'own', 7 ]");
    assert.equal(await last("let typed = 1", "declare let typed: number; typed"), "1");
  });

  test("what is added to global types and to modules stays, each thing until it is added anew", async () => {
    write("shapes.ts", "export interface Circle { r: number }");
    await last(
      "declare global { interface Array<T> { lastOne(): T; firstOne(): T } var counted: number }\nArray.prototype.lastOne = function () { return this[this.length - 1]; };",
      `declare module "./shapes" { interface Circle { area: number } }`,
    );
    assert.equal(await last("globalThis.counted = 3; [[1, 2].lastOne(), counted]"), "[ 2, 3 ]");
    assert.equal(
      await last(
        `import type { Circle } from "./shapes"; const circle: Circle = { r: 1, area: 3 }; circle.area`,
      ),
      "3",
    );
    await last("declare global { interface Array<T> { firstOne(): string } }");
    assert.equal(
      await last("Array.prototype.firstOne = () => 'f'; [1].firstOne().length + [4].lastOne()"),
      "5",
    );
  });

  test("a call through parentheses, an assertion or ! is a call of the function", async () => {
    await kernel.execute("function self(this: unknown) { return this; }");
    assert.equal(
      await last("[(self)(), (self as any)(), self!(), self()]"),
      "[ undefined, undefined, undefined, undefined ]",
    );
  });

  test("a variable may have any name", async () => {
    const names = [
      "$load",
      "$flag",
      "$stop",
      "$reached",
      "$resumed",
      "$cells",
      "__own",
      "__proto__",
      "constructor",
    ];
    for (const name of names) {
      assert.equal(
        await last(`let ${name} = 5; for (let i = 0; i < 2; i++) await ${name}; ${name}`),
        "5",
        name,
      );
      assert.equal(await last(`${name} + 1`), "6", name);
    }
  });

  test("a cell that fails has redeclared what it reached, also with an equal value", async () => {
    await kernel.execute("const st = 0; const unreached = 1;");
    await kernel.execute(`let st = 0; throw new Error("x"); let unreached = 1;`);
    assert.equal(await last("st++; st"), "1");
    assert.match((await kernel.execute("unreached++")).error!.evalue, /it is a constant/);
    write("one.ts", "export const imported = 1;");
    const importing = `import { imported } from "./one"; throw new Error("x");`;
    await kernel.execute("const imported: string = 'text';");
    await kernel.execute(importing);
    await kernel.execute(importing);
    assert.equal(await last("imported + 1"), "2");
  });

  const usedWhileMade: Record<string, [cell: string, shown: string]> = {
    "a class": [
      `class Colour { static RED = makeColour("red"); constructor(readonly name: string) {} }
function makeColour(n: string) { return new Colour(n); }
Colour.RED.name`,
      "'red'",
    ],
    "an exported subclass": [
      `class Base1 {} export class Sub1 extends Base1 { static one = make1(); static { Sub1.one.tag = "set"; } tag = ""; }
function make1() { return new Sub1(); }
Sub1.one.tag`,
      "'set'",
    ],
    "a namespace": [
      `namespace Nn { export const v = 1; export const w = helper(); }
function helper() { return Nn.v; }
Nn.w`,
      "1",
    ],
    "a nested namespace": [
      `namespace Oo.Inner { export const v = 1; export const w = helper2() + 1; }
function helper2() { return Oo.Inner.v; }
Oo.Inner.w`,
      "2",
    ],
    "an enum": [
      `enum En { A = 1, B = helper3() }
function helper3(): number { return En.A + 1; }
[En.B, En[2]]`,
      "[ 2, 'B' ]",
    ],
  };
  for (const [kind, [cell, shown]] of Object.entries(usedWhileMade))
    test(`${kind} is there for functions that are called while it is made`, async () => {
      assert.equal(await last(cell, cell), shown);
    });

  const alsoModules: Record<string, [cell: string, shown: RegExp]> = {
    "a require of one's own": [
      `import { createRequire } from "node:module"; const require = createRequire(process.cwd() + "/x.js"); require("node:path").sep`,
      /^'\/'$/,
    ],
    "import.meta": [
      "[import.meta.url, (() => import.meta.dirname === __dirname)(), import.meta.filename === __filename]",
      /^\[ 'file:\/\/.*\/kernel-test-[^/]+\/[^/]+', true, true \]$/,
    ],
    "the notebook's folder": [
      "[__dirname === process.cwd(), __filename.startsWith(__dirname)]",
      /^\[ true, true \]$/,
    ],
    "a text with export {} in it": ["const text1 = `\nexport {};\n`; text1", /^'\\nexport \{\};\\n'$/],
    "a function without a name as default export": [
      "export default function () { return 1; }",
      /^\[Function/,
    ],
    "an async one": ["export default async function* () { yield 1; }", /^\[AsyncGeneratorFunction/],
    "a class without a name as default export": ["export default class { a = 1 }", /^\[class/],
    "an alias of a namespace's member": [
      "namespace N { export const B = { x: 1 }; export interface T { y: number } } import A = N.B; import T = N.T; const t: T = { y: 1 }; A.x + t.y",
      /^2$/,
    ],
  };
  for (const [kind, [cell, shown]] of Object.entries(alsoModules))
    test(`${kind} works in a cell`, async () => assert.match((await last(cell))!, shown));

  test("an edited file is seen by import(), by require, and where it is JavaScript of either kind", async () => {
    const versions = async (value: number) => {
      write("late/typed.ts", `export const value: number = ${value};`);
      write("late/plain.js", `exports.value = ${value};`);
      write("late/module.mjs", `export const value = ${value};`);
      const dynamic = "const { value: a } = await import('./late/typed');";
      const required = "const { value: b } = require('./late/plain.js') as any;";
      const both =
        "import { value as c } from './late/module.mjs'; import { value as d } from './late/plain.js';";
      return last(`${both} ${dynamic} ${required} [a, b, c, d]`);
    };
    assert.equal(await versions(1), "[ 1, 1, 1, 1 ]");
    assert.equal(await versions(22), "[ 22, 22, 22, 22 ]");
    write("late/typed.ts", "export const value = 333;");
    assert.equal(await last("(await import('./late/typed')).value"), "333");
  });

  test("an alias and a require of one's own are known to later cells", async () => {
    assert.equal(await last("namespace M1 { export const B = { x: 1 } } import A1 = M1.B;", "A1.x"), "1");
    assert.equal(await last("const require = (name: string) => name + '!';", "require('own')"), "'own!'");
  });

  test("names of the web's globals are free", async () => {
    assert.equal(
      await last(
        "const history = [1, 2]; let name = 'x'; const status = 3;",
        "history.length + name + status",
      ),
      "'2x3'",
    );
  });

  test("await, for await and using at the top; a promise as last expression", async () => {
    assert.equal(await last("const five = await Promise.resolve(5); five"), "5");
    assert.equal(await last("Promise.resolve({ a: 1 })"), "{ a: 1 }");
    const { stdout } = await kernel.execute(
      `using held = { [Symbol.dispose]() { console.log("disposed"); } };
for await (const v of [Promise.resolve(1), 2]) console.log(v);`,
    );
    assert.equal(stdout, "1\n2\ndisposed\n");
  });

  const shown: [code: string, shown: string | undefined][] = [
    ["null", "null"],
    ["undefined", undefined],
    ["'text'", "'text'"],
    ["new Map([['a', [1, 2]]])", "Map(1) { 'a' => [ 1, 2 ] }"],
    ["new Set([1])", "Set(1) { 1 }"],
    ["new Float32Array([0.1, 2])", "Float32Array(2) [ 0.1, 2 ]"],
    ["new Float32Array(1000)", `Float32Array(1000) [ ${"0, ".repeat(20)}… 980 more ]`],
    ["({ a: { b: { c: 1 } } })", "{ a: { b: { c: 1 } } }"],
    ["12345678901234567890n", "12345678901234567890n"],
    ["if (true) 5;", undefined],
  ];
  for (const [code, want] of shown)
    test(`${code} shows ${want}`, async () => assert.equal(await last(code), want));

  test("long arrays are shortened, and errors shown with their trace", async () => {
    const text = await last("Array.from({ length: 1000 }, (_, i) => i)");
    assert.match(text!, /\.\.\. 980 more items/);
    assert.match((await last("new RangeError('kept')"))!, /^RangeError: kept\n\s+at Cell \[\d+\]:1:1/);
  });

  const wide: Record<string, string> = {
    "nested arrays of 200,000 numbers":
      "Array.from({ length: 64 }, () => Array.from({ length: 32 }, () => Array.from({ length: 32 }, () => [1.5, 2.5, 3.5])))",
    "an object of 100,000 keys": "Object.fromEntries(Array.from({ length: 1e5 }, (_, i) => ['key' + i, i]))",
  };
  for (const [name, code] of Object.entries(wide))
    test(`the text of ${name} is cut, and says how to see all`, async () => {
      const text = (await last(code))!;
      const [more] = /\n… (\d+) more characters; console\.dir\(.*\) prints all$/
        .exec(text)!
        .slice(1)
        .map(Number);
      assert.ok(more > 10_000, `${more} more`);
      assert.ok(text.length < 20_200, `${text.length} characters`);
    });

  test("half a character is sent as the sign for what is none, and a text is cut between characters", async () => {
    const half = String.raw`"👍\\ud83d\ud83d\udc4d\ud83d" + "👍"[0]`;
    const { stdout, data } = await kernel.execute(
      `console.log(${half}); ({ toMimeBundle: () => ({ "text/plain": ${half} }) })`,
    );
    assert.equal(stdout, "👍\\ud83d👍\ufffd\ufffd\n");
    assert.equal(data["text/plain"], stdout.trimEnd());
    const long = `({ [Symbol.for("nodejs.util.inspect.custom")]: () => "x" + "👍".repeat(15_000) })`;
    assert.ok((await last(long))?.startsWith(`x${"👍".repeat(9999)}\n… 10002 more`));
  });

  test("a promise shows as in Node, without what the kernel follows it by", async () => {
    assert.equal((await kernel.execute("console.log(Promise.resolve(5))")).stdout, "Promise { 5 }\n");
    assert.equal(await last("[Promise.resolve(5)]"), "[ Promise { 5 } ]");
    assert.doesNotMatch((await last("[setTimeout(() => {}), setImmediate(() => {})]"))!, /kResourceStore/);
  });

  test("a tensor shows its shape, type and values", async () => {
    const text = await last(`import { tf } from "../../lib/tensor";`, "tf.tensor2d([[1, 2], [3, 4]])");
    assert.match(text!, /^Tensor float32 \[2, 2\]\n\s*\[\[1, 2\],\n\s*\[3, 4\]\]$/);
    assert.match((await last("const gone = tf.ones([3]); gone.dispose(); gone"))!, /\[3\] \(disposed\)/);
  });

  test("an object with a bundle of its own shows as that", async () => {
    const { data } = await kernel.execute(
      `({ toMimeBundle: () => ({ "text/html": "<b>x</b>", "text/plain": "x" }) })`,
    );
    assert.deepEqual(data, { "text/html": "<b>x</b>", "text/plain": "x" });
    const symbol = await kernel.execute(
      `({ [Symbol.for("Jupyter.display")]: () => ({ "text/markdown": "**y**" }) })`,
    );
    assert.deepEqual(symbol.data, { "text/markdown": "**y**" });
  });

  test("display shows what has a bundle of its own as that, and refuses what has none", async () => {
    const { messages, error } = await kernel.execute(
      `class Shown { toMimeBundle() { return { "text/plain": "own" }; } }
display(new Shown());
display(slider({ label: "t" }));`,
    );
    assert.equal(error, undefined);
    const [own, widget] = messages.filter(({ type }) => type === "display_data");
    assert.deepEqual(own.content.data, { "text/plain": "own" });
    assert.ok(widget.content.data["application/vnd.jupyter.widget-view+json"]);
    const refused = {
      "{ a: 1 }": /got an object with the key "a", expected data by MIME type/,
      "{}": /no keys/,
    };
    for (const [value, message] of Object.entries(refused))
      assert.match((await kernel.execute(`display(${value});`)).error!.evalue, message);
    assert.match((await kernel.execute("display(5 as never);")).error!.evalue, /^display: got number/);
  });

  test("bytes of a bundle become base64, typed arrays inside its JSON lists, in results and displays", async () => {
    const bundle = `{ "image/png": new Uint8Array([1, 2]), "application/json": { y: new Float32Array([1, 0.5]) } }`;
    const json = { "image/png": "AQI=", "application/json": { y: [1, 0.5] } };
    assert.deepEqual((await kernel.execute(`({ toMimeBundle: () => (${bundle}) })`)).data, json);
    const { messages } = await kernel.execute(`display(${bundle});`);
    assert.deepEqual(messages.find(({ type }) => type === "display_data")?.content.data, json);
  });

  test("a bundle that cannot be sent is the cell's error", async () => {
    const fails = async (bundle: string) =>
      (await kernel.execute(`({ toMimeBundle: () => (${bundle}) })`)).error!.evalue;
    assert.equal(
      await fails(`{ "text/plain": 5 }`),
      'display: "text/plain" is a number; expected text, a list of lines or bytes. Use String(…), or application/json for JSON.',
    );
    assert.match(await fails(`{ "text/html": undefined }`), /"text\/html" is undefined; expected text/);
    assert.match(
      await fails(`{ "application/json": undefined }`),
      /"application\/json" is undefined; expected JSON/,
    );
    assert.match(
      (await kernel.execute(`display({ "text/plain": { a: 1 } });`)).error!.evalue,
      /is an object/,
    );
    assert.equal(
      await fails(`{ "image/png": Promise.resolve("x") }`),
      'display: "image/png" is a promise; expected text, a list of lines or bytes. Await it.',
    );
    assert.match(
      await fails(`{ "text/html": () => "x" }`),
      /"text\/html" is a function; expected .*\. Call it\./,
    );
    assert.match(await fails(`{ "application/json": { big: 1n } }`), /BigInt/);
    assert.equal(await last("1 + 1"), "2");
  });

  test("packages of both kinds, JSON, paths of tsconfig and dynamic import", async () => {
    write(
      "node_modules/only-esm/package.json",
      `{ "name": "only-esm", "type": "module", "exports": { "./deep": { "import": "./deep.js", "types": "./deep.d.ts" } } }`,
    );
    write("node_modules/only-esm/deep.js", "export const deep = 1; export default 2;");
    write(
      "node_modules/only-esm/deep.d.ts",
      "export const deep: number; declare const value: number; export default value;",
    );
    write(
      "node_modules/plain/package.json",
      `{ "name": "plain", "main": "index.js", "types": "index.d.ts" }`,
    );
    write("node_modules/plain/index.js", "module.exports = { plain: 3 };");
    write("node_modules/plain/index.d.ts", "declare const value: { plain: number }; export = value;");
    write("data.json", `{ "answer": 4 }`);
    const shown = await last(
      `import two, { deep } from "only-esm/deep"; import plain, { plain as three } from "plain"; import data from "./data.json";
[deep, two, plain.plain, three, data.answer, (await import("./data.json")).default.answer]`,
    );
    assert.equal(shown, "[ 1, 2, 3, 3, 4, 4 ]");
  });

  test("tsconfig's paths and a package's exports, with their types and its types checked", async () => {
    const folder = makeFolder();
    const put = (name: string, text: string) => {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), text);
    };
    put(
      "tsconfig.json",
      JSON.stringify({
        compilerOptions: {
          strict: true,
          types: [],
          paths: { "@own/*": ["./src/*"], one: ["./src/one/index.ts"] },
        },
      }),
    );
    put(
      "src/shapes.ts",
      `import { unit } from "one";\nexport const double = (n: number): number => 2 * n * unit;`,
    );
    put("src/one/index.ts", "export const unit = 1;");
    put(
      "node_modules/parts/package.json",
      JSON.stringify({
        name: "parts",
        exports: {
          ".": { types: "./m.d.ts", default: "./m.js" },
          "./deep/*": { types: "./d/*.d.ts", default: "./d/*.js" },
        },
      }),
    );
    put("node_modules/parts/m.js", "exports.main = 5;");
    put("node_modules/parts/m.d.ts", "export const main: number;");
    put("node_modules/parts/d/leaf.js", "exports.leaf = 'green';");
    put("node_modules/parts/d/leaf.d.ts", "export const leaf: string;");
    put("node_modules/parts/hidden.js", "exports.hidden = 1;");
    const own = await TestKernel.start(folder);
    try {
      const cell = `import { double } from "@own/shapes"; import { unit } from "one";
import { main } from "parts"; import { leaf } from "parts/deep/leaf";
[double(4), unit, main, leaf.length]`;
      assert.equal(await own.text(cell), "[ 8, 1, 5, 5 ]");
      const wrong = await own.execute(`double(leaf);`);
      assert.match(wrong.error!.evalue, /'string' is not assignable to parameter of type 'number'/);
      const hidden = await own.execute(`import { hidden } from "parts/hidden"; hidden`);
      assert.match(hidden.error!.evalue, /Cannot find module 'parts\/hidden'/);
    } finally {
      await own.close();
    }
  });

  test("an edited library file, also one that is imported by another, is seen by the next import; a warning says so once", async () => {
    write("edit/inner.ts", `export class Part { size = 1 }`);
    write("edit/outer.ts", `import { Part } from "./inner"; export const make = () => new Part();`);
    const cell = `import { make } from "./edit/outer"; make().size`;
    assert.equal(await last(cell, "const kept = make();"), undefined);
    write("edit/inner.ts", `export class Part { size = 10; more = 1 }`);
    const edited = await kernel.execute(cell);
    assert.equal(edited.data["text/plain"], "10");
    assert.match(edited.stderr, /edit\/inner\.ts was edited.*old class/);
    assert.equal(await last("kept.size"), "1");
    write("edit/inner.ts", `export class Part { size = 100; more = 1; again = 2 }`);
    const again = await kernel.execute(cell);
    assert.equal(again.data["text/plain"], "100");
    assert.equal(again.stderr, "");
    write("edit/inner.ts", `export class Part { size: number = "wrong"; }`);
    assert.match((await kernel.execute(cell)).error!.evalue, /edit\/inner\.ts:1:21 - Type 'string'/);
  });

  test("a project file that awaits at its top is refused with the place and a remedy", async () => {
    write("late/waits.ts", "export const one = 1;\nexport const five = await Promise.resolve(5);");
    const { error } = await kernel.execute("import { five } from './late/waits'; five");
    assert.match(error!.evalue, /late\/waits\.ts:2:1 - this module awaits at its top.*async function/);
  });

  test("what is thrown may be anything; causes are shown", async () => {
    assert.equal((await kernel.execute(`throw { code: 5 };`)).error!.evalue, "{ code: 5 }");
    const { error } = await kernel.execute(`throw new Error("outer", { cause: new Error("inner") });`);
    assert.match(error!.traceback.join("\n"), /Error: outer\n[\s\S]*caused by:\nError: inner/);
  });

  test("is_complete: complete, invalid, or another line with its indentation", async () => {
    const ask = async (code: string) => (await kernel.request("is_complete_request", { code })).reply;
    assert.equal((await ask("1 + 1")).status, "complete");
    assert.deepEqual(await ask("function f() {").then(({ status, indent }) => [status, indent]), [
      "incomplete",
      "  ",
    ]);
    for (const code of ["f(1,", "`abc", "/* x", "const g = (x) =>", "class A {\n  m() {", "1 +", "await"])
      assert.equal((await ask(code)).status, "incomplete", code);
    for (const code of ["let x = )", "{ a: 1 }}", 'const s = "abc'])
      assert.equal((await ask(code)).status, "invalid", code);
  });
});
