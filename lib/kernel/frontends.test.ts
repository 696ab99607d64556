/**
 * @file Front ends other than JupyterLab, each as its users call it: start, run, stop, exit codes.
 *
 * VS Code cannot be run here. What it needs of a kernel is tested instead: that it finds the kernelspec in the virtual
 * environment, with the language that its editor knows, and that Stop works in the way that the kernelspec names.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { before, describe, test } from "node:test";
import { frontEndsEnvironment, noFrontEnds } from "../../scripts/setup/frontends.mjs";
import { layout } from "../../scripts/setup/layout.mjs";
import {
  executeContent,
  makeFolder,
  noJupyter,
  projectRoot,
  python,
  slowness,
  TestKernel,
  writeKernelspec,
} from "./testing/kernel";
import { notebookOf } from "./testing/lab";
import { type KernelSpec, RawClient } from "./testing/raw";

const at = layout(projectRoot);
const skip = noJupyter() ?? noFrontEnds(at);

interface Ended {
  status: number | null;
  stdout: string;
  /** Both streams, as a terminal shows them. */
  output: string;
}

interface Output {
  output_type: string;
  text?: string | string[];
  data?: Record<string, unknown>;
  ename?: string;
}
interface Notebook {
  cells: {
    cell_type: string;
    source: string | string[];
    outputs?: Output[];
    metadata: { tags?: string[] };
  }[];
}

const readNotebook = (file: string) => JSON.parse(readFileSync(file, "utf8")) as Notebook;

/** What the code cells of a notebook printed and ended with. */
const textsOf = ({ cells }: Notebook) =>
  cells.flatMap(({ outputs = [] }) =>
    outputs.map(
      ({ text, data, ename }) => ename ?? [text ?? data?.["text/plain"] ?? ""].flat().join("").trimEnd(),
    ),
  );

/** A notebook whose cell "parameters" is the first of these. */
function withParameters(cells: string[]): string {
  const notebook = JSON.parse(notebookOf(cells));
  notebook.cells[0].metadata.tags = ["parameters"];
  return JSON.stringify(notebook);
}

describe("front ends", { skip, timeout: 3_600_000 }, () => {
  const folder = makeFolder();
  const file = (name: string) => join(folder, name);
  const environment: NodeJS.ProcessEnv = skip ? {} : frontEndsEnvironment(at);

  before(() => {
    const kernelspec = file("share/kernels/lower-bound");
    mkdirSync(kernelspec, { recursive: true });
    writeKernelspec(kernelspec);
    environment.JUPYTER_PATH = file("share");
    for (const name of ["CONFIG", "DATA", "RUNTIME"]) environment[`JUPYTER_${name}_DIR`] = file(name);
    environment.IPYTHONDIR = file("ipython");
  });

  /** Runs one of Python's modules as a program, in the folder, until it ends. */
  function run(module: string, ...args: string[]): Promise<Ended> {
    const child = spawn(python, [...module.split(" "), ...args], { cwd: folder, env: environment });
    const ended: Ended = { status: null, stdout: "", output: "" };
    child.stdout.on("data", (chunk) => {
      ended.stdout += chunk;
      ended.output += chunk;
    });
    child.stderr.on("data", (chunk) => {
      ended.output += chunk;
    });
    return new Promise((done, failed) => {
      child.once("error", failed);
      child.once("close", (status) => done({ ...ended, status }));
    });
  }

  async function succeed(module: string, ...args: string[]): Promise<Ended> {
    const ended = await run(module, ...args);
    assert.equal(ended.status, 0, `${module} ${args.join(" ")} ended with ${ended.status}:\n${ended.output}`);
    return ended;
  }

  const GOOD = ["const half = (x: number) => x / 2;", "half(84)", `console.log("printed");`];
  const THROWS = ["1 + 1", `throw new RangeError("too far");`, `"never"`];
  const MISTYPED = ["1 + 1", `const n: number = "three";`, `"never"`];
  const ENDLESS = ["let turns = 0;", "while (true) turns++;", "turns > 0"];
  const NBCLIENT = "-m jupyter execute";
  const NBCONVERT = "-m jupyter nbconvert";
  const PAPERMILL = "-m papermill --no-progress-bar";

  before(() => {
    for (const [name, cells] of Object.entries({ GOOD, THROWS, MISTYPED, ENDLESS }))
      writeFileSync(file(`${name}.ipynb`), notebookOf(cells, "Half is $\\frac{1}{2}$."));
  });

  test("jupyter console: lines that continue, results, Ctrl-C, the end", async () => {
    const { stdout } = await succeed(
      join(__dirname, "testing/console.py"),
      String(Math.ceil(30 * slowness())),
    );
    assert.doesNotMatch(stdout, /Traceback|error TS/);
  });

  test("the pipe that a front end shares with its kernel stays as it was: its own lines would be lost", async () => {
    writeFileSync(
      file("shared_pipe.py"),
      `import os
from jupyter_client.manager import start_new_kernel
shared = os.pipe()[1]
manager, client = start_new_kernel(kernel_name="lower-bound", stdout=shared, stderr=shared)
client.execute_interactive("1 + 1", timeout=${Math.ceil(60 * slowness())})
print("blocking", os.get_blocking(shared))
client.stop_channels()
manager.shutdown_kernel(now=True)
`,
    );
    const { stdout, output } = await run("shared_pipe.py");
    assert.match(stdout, /blocking True/, output);
  });

  describe("nbclient (jupyter execute)", () => {
    test("runs a notebook and keeps its outputs", async () => {
      await succeed(NBCLIENT, "--output=run.ipynb", "GOOD.ipynb");
      assert.deepEqual(textsOf(readNotebook(file("run.ipynb"))), ["42", "printed"]);
    });

    for (const [name, ename] of [
      ["THROWS", "RangeError: too far"],
      ["MISTYPED", "error TS2322"],
    ])
      test(`ends with 1 at a cell that fails: ${name}`, async () => {
        const { status, output } = await run(NBCLIENT, `${name}.ipynb`);
        assert.equal(status, 1, output);
        assert.ok(output.includes(ename), output);
      });

    test("stops a cell that takes too long, and goes on where it may", async () => {
      const code = `import nbformat
from nbclient import NotebookClient
notebook = nbformat.read("ENDLESS.ipynb", as_version=4)
NotebookClient(notebook, timeout=${Math.ceil(10 * slowness())}, interrupt_on_timeout=True, allow_errors=True).execute()
nbformat.write(notebook, "stopped.ipynb")`;
      writeFileSync(file("stop.py"), code);
      await succeed("stop.py");
      assert.deepEqual(textsOf(readNotebook(file("stopped.ipynb"))), ["KeyboardInterrupt", "true"]);
    });
  });

  describe("nbconvert", () => {
    test("--execute --to html has the results", async () => {
      await succeed(NBCONVERT, "--execute", "--to=html", "--output=run.html", "GOOD.ipynb");
      const html = readFileSync(file("run.html"), "utf8");
      assert.match(html, /<pre>42<\/pre>/);
      assert.match(html, /<pre>printed\s*<\/pre>/);
      // Highlighted as TypeScript: the keyword and the type have classes of their own.
      assert.match(html, /<span class="kd">const<\/span>/);
      assert.match(html, /<span class="kt">number<\/span>/);
    });

    test("--execute ends with 1 at a cell that fails, with 0 where errors are allowed", async () => {
      const failing = await run(NBCONVERT, "--execute", "--to=html", "MISTYPED.ipynb");
      assert.equal(failing.status, 1, failing.output);
      assert.match(failing.output, /error TS2322: Type 'string' is not assignable to type 'number'/);
      await succeed(
        NBCONVERT,
        "--execute",
        "--allow-errors",
        "--to=notebook",
        "--output=all.ipynb",
        "THROWS.ipynb",
      );
      assert.deepEqual(textsOf(readNotebook(file("all.ipynb"))), ["2", "RangeError", "'never'"]);
    });

    test("--to script writes TypeScript", async () => {
      await succeed(NBCONVERT, "--to=script", "--output=script", "GOOD.ipynb");
      assert.match(readFileSync(file("script.ts"), "utf8"), /^const half = \(x: number\) => x \/ 2;$/m);
    });
  });

  describe("papermill", () => {
    const DEFAULTS = `const steps = 100; // how many
let rate: number = 0.5;
let schedule: "linear" | "cosine" = "linear";
let sizes = [1, 2];
let options: { depth: number; name?: string } = { depth: 1 };`;
    const USES = `const choose = (name: "linear" | "cosine") => name.length;
console.log(steps * rate, choose(schedule), schedule === "cosine", sizes.map((size) => size + 1).join("+"), options.depth)`;

    test("a parameters cell's defaults hold, and are listed", async () => {
      writeFileSync(file("parameters.ipynb"), withParameters([DEFAULTS, USES]));
      await succeed(PAPERMILL, "parameters.ipynb", "defaults.ipynb");
      assert.deepEqual(textsOf(readNotebook(file("defaults.ipynb"))), ["50 6 false 2+3 1"]);
      const { stdout } = await succeed("-m papermill", "--help-notebook", "parameters.ipynb");
      assert.match(stdout, /steps: Unknown type \(default 100\)\s+how many/);
      assert.match(stdout, /rate: number \(default 0\.5\)/);
    });

    test("parameters are written behind it, whatever their type", async () => {
      const yaml = "{rate: 2, schedule: cosine, sizes: [7, 8], options: {depth: 3, name: 'a \"b\"'}}";
      const { output } = await succeed(
        PAPERMILL,
        "parameters.ipynb",
        "given.ipynb",
        "-p",
        "steps",
        "4",
        "-y",
        yaml,
      );
      assert.doesNotMatch(output, /unknown parameter/i);
      const notebook = readNotebook(file("given.ipynb"));
      assert.deepEqual(textsOf(notebook), ["8 6 true 8+9 3"]);
      const injected = notebook.cells.filter(({ metadata }) =>
        metadata.tags?.includes("injected-parameters"),
      );
      assert.equal(injected.length, 1);
      assert.match(
        [injected[0].source].flat().join(""),
        /^\/\/ Parameters\nlet rate = 2;\nlet schedule: any = "cosine";/,
      );
    });

    test("a notebook without such a cell gets one; a name that is none is refused", async () => {
      writeFileSync(file("plain.ipynb"), notebookOf(["steps + 1"]));
      await succeed(PAPERMILL, "plain.ipynb", "plain-run.ipynb", "-p", "steps", "4");
      assert.deepEqual(textsOf(readNotebook(file("plain-run.ipynb"))), ["5"]);
      const refused = await run(PAPERMILL, "plain.ipynb", "refused.ipynb", "-p", "no-name", "4");
      assert.equal(refused.status, 1);
      assert.match(refused.output, /parameter 'no-name', expected a TypeScript name/);
    });

    test("ends with 1 at a cell that fails, and at one that takes too long", async () => {
      const failing = await run(PAPERMILL, "THROWS.ipynb", "failed.ipynb");
      assert.equal(failing.status, 1);
      assert.match(failing.output, /RangeError: too far/);
      assert.ok(textsOf(readNotebook(file("failed.ipynb"))).includes("RangeError"));
      const seconds = String(Math.ceil(10 * slowness()));
      const endless = await run(PAPERMILL, "ENDLESS.ipynb", "timeout.ipynb", "--execution-timeout", seconds);
      assert.equal(endless.status, 1);
      assert.match(endless.output, /CellTimeoutError/);
    });
  });

  describe("jupytext", () => {
    const SCRIPT = `// %% [markdown]
// # A lesson
//
// Half is $\\frac{1}{2}$.

// %%
const half = (x: number): number => x / 2;

// %% tags=["slow"]
half(84)
`;
    const HEADER = `// ---
// jupyter:
//   kernelspec:
//     display_name: TypeScript
//     language: typescript
//     name: lower-bound
// ---

`;

    test("a percent script becomes a notebook, runs, and comes back as it was", async () => {
      writeFileSync(file("lesson.ts"), HEADER + SCRIPT);
      await succeed("-m jupytext", "--to=ipynb", "--execute", "lesson.ts");
      const notebook = readNotebook(file("lesson.ipynb"));
      assert.deepEqual(
        notebook.cells.map(({ cell_type, source }) => [cell_type, [source].flat().join("")]),
        [
          ["markdown", "# A lesson\n\nHalf is $\\frac{1}{2}$."],
          ["code", "const half = (x: number): number => x / 2;"],
          ["code", "half(84)"],
        ],
      );
      assert.deepEqual(textsOf(notebook), ["42"]);
      const { stdout } = await succeed("-m jupytext", "--to=ts:percent", "--output=-", "lesson.ipynb");
      assert.equal(stdout.slice(stdout.indexOf("// %%")), SCRIPT);
    });

    test("--execute ends with 1 at a cell that fails", async () => {
      writeFileSync(file("failing.ts"), `${HEADER}// %%\nthrow new RangeError("too far");\n`);
      const { status, output } = await run("-m jupytext", "--to=ipynb", "--execute", "failing.ts");
      assert.equal(status, 1, output);
      assert.match(output, /RangeError: too far/);
    });

    test("paired, an edit of the script arrives in the notebook, whose outputs stay", async () => {
      writeFileSync(file("paired.ts"), HEADER + SCRIPT);
      await succeed("-m jupytext", "--set-formats=ipynb,ts:percent", "paired.ts");
      await succeed(NBCLIENT, "--inplace", "paired.ipynb");
      await succeed("-m jupytext", "--sync", "paired.ipynb");
      const script = readFileSync(file("paired.ts"), "utf8");
      writeFileSync(file("paired.ts"), `${script.trimEnd()}\n\n// %%\n"added"\n`);
      await succeed("-m jupytext", "--sync", "paired.ts");
      const notebook = readNotebook(file("paired.ipynb"));
      assert.equal([notebook.cells.at(-1)?.source].flat().join(""), `"added"`);
      assert.deepEqual(textsOf(notebook), ["42"]);
    });
  });

  describe("VS Code, by what it asks of a kernel", () => {
    interface Answer {
      status: string;
      language_info?: { name: string };
      matches?: string[];
    }
    interface Found {
      resource_dir: string;
      spec: KernelSpec;
    }

    /** The kernelspec that set-up installed, as VS Code finds it: in share/jupyter/kernels of the workspace's .venv. */
    async function installed(): Promise<Found> {
      delete environment.JUPYTER_PATH;
      try {
        const { stdout } = await succeed("-m jupyter_client.kernelspecapp", "list", "--json");
        return JSON.parse(stdout).kernelspecs["lower-bound"];
      } finally {
        environment.JUPYTER_PATH = file("share");
      }
    }

    test("the kernelspec in the virtual environment is found, names an absolute program and VS Code's language", async () => {
      const { resource_dir, spec } = await installed();
      assert.equal(dirname(dirname(resource_dir)), at.share);
      assert.equal(spec.language, "typescript", "the id of VS Code's language");
      assert.equal(spec.interrupt_mode, "message");
      assert.ok(
        spec.argv.slice(0, 2).every((path) => existsSync(path)),
        spec.argv.join(" "),
      );
      assert.ok(spec.argv.includes("{connection_file}"));
    });

    test("started without Jupyter's Python: cells, Tab, a prompt, Stop and the end over bare ZeroMQ", async () => {
      const client = await RawClient.start((await installed()).spec, folder);
      try {
        const ask = async (channel: "shell" | "control", type: string, content = {}) =>
          (await client.replyTo(client.send(channel, type, content))).content as unknown as Answer;
        const cell = (code: string) =>
          client.send("shell", "execute_request", { ...executeContent(code), stop_on_error: false });
        const outputOf = (id: string, type: string) =>
          client.wait(({ header, parent }) => header.msg_type === type && parent.msg_id === id);

        assert.equal((await ask("shell", "kernel_info_request")).language_info?.name, "typescript");
        assert.deepEqual((await outputOf(cell("6 * 7"), "execute_result")).content.data, {
          "text/plain": "42",
        });
        const completion = await ask("shell", "complete_request", { code: "Math.ma", cursor_pos: 7 });
        assert.deepEqual(completion.matches, ["max"]);

        const asking = cell(`(await prompt("name? ")).length`);
        const { header, content } = await client.wait(({ header }) => header.msg_type === "input_request");
        assert.equal(content.prompt, "name? ");
        client.send("stdin", "input_reply", { value: "Ada" }, header);
        assert.deepEqual((await outputOf(asking, "execute_result")).content.data, { "text/plain": "3" });

        const endless = cell(`console.log("begun"); while (true);`);
        await outputOf(endless, "stream");
        assert.equal((await ask("control", "interrupt_request")).status, "ok");
        assert.equal((await client.replyTo(endless)).content.ename, "KeyboardInterrupt");

        const ended = new Promise((done) => client.process.once("exit", done));
        client.send("control", "shutdown_request", { restart: false });
        await ended;
      } finally {
        client.close();
      }
    });

    test("kernel_info names the language; Stop by message, and by signal where a cell waits", async () => {
      const kernel = await TestKernel.start(folder);
      try {
        const { reply } = await kernel.request("kernel_info_request", {});
        assert.equal(reply.language_info.name, "typescript");
        assert.equal(reply.language_info.file_extension, ".ts");
        // A signal reaches the reader's thread where it waits; that is why the kernelspec asks for a message.
        for (const [endless, stop] of [
          ["while (true) {}", () => kernel.stop()],
          ["await new Promise(() => {})", () => process.kill(kernel.pid, "SIGINT")],
        ] as const) {
          const id = kernel.submit(`console.log("begun"); ${endless}`);
          await kernel.wait(({ parent, type }) => parent === id && type === "stream");
          stop();
          assert.equal((await kernel.result(id)).error?.ename, "KeyboardInterrupt");
          assert.equal(await kernel.text("6 * 7"), "42");
        }
      } finally {
        await kernel.close();
      }
    });
  });
});
