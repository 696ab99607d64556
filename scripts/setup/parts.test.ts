/** @file Stamps, node_modules' freshness, JupyterLab's parts and arguments. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { describeFailure, SetupError } from "./errors.mjs";
import { fillTemplate, hasJupyterParts, installJupyterParts, jupyterEnvironment } from "./jupyter.mjs";
import { addressOf, jupyterArguments, waitForServer } from "./launch.mjs";
import { checkNode, installPackages, stalePackages } from "./node.mjs";
import { sitePackages } from "./python.mjs";
import { hashOf, isStamped, writeJson } from "./stamp.mjs";
import { fakePath, makeFolder, makeProject, withEnvironment } from "./testing";

test("a stamp's hash follows contents, names and missing files", () => {
  const folder = makeFolder();
  const file = join(folder, "a.cc");
  const hash = () => hashOf({ paths: [folder, file], texts: ["flags"] });
  const without = hash();
  writeFileSync(file, "int a;");
  const first = hash();
  writeFileSync(file, "int b;");
  const second = hash();
  writeFileSync(join(folder, "b.cc"), "");
  assert.equal(new Set([without, first, second, hash()]).size, 4);
  assert.equal(hash(), hash());
  const stamp = join(folder, "deep", "stamp.json");
  assert.equal(isStamped(stamp, first), false);
  writeJson(stamp, { hash: first });
  assert.equal(isStamped(stamp, first), true);
  assert.equal(isStamped(stamp, second), false);
});

test("a Node that is too old is told with its version", () => {
  assert.throws(() => checkNode("18.19.1"), /this is Node 18\.19\.1, expected 20\.6 or newer/);
  assert.throws(() => checkNode("20.5.1"), /this is Node 20\.5\.1, expected 20\.6 or newer/);
  for (const version of ["20.6.0", "20.20.2", "24.1.0"]) checkNode(version);
});

test("node_modules is stale when missing, interrupted, or in another version; absent optional packages are not", () => {
  const at = makeProject();
  const lock = {
    packages: {
      "": {},
      "node_modules/a": { version: "1.0.0" },
      "node_modules/b": { version: "1.0.0", optional: true },
    },
  };
  writeJson(join(at.project, "package-lock.json"), lock);
  assert.deepEqual(stalePackages(at), ["node_modules"]);
  const installed = (version: string) =>
    writeJson(join(at.modules, ".package-lock.json"), { packages: { "node_modules/a": { version } } });
  installed("1.0.0");
  assert.deepEqual(stalePackages(at), ["node_modules/a"], "listed, but its folder is not there");
  mkdirSync(join(at.modules, "a"));
  assert.deepEqual(stalePackages(at), []);
  installed("0.9.0");
  assert.deepEqual(stalePackages(at), ["node_modules/a"]);
});

test("a package-lock.json that is no JSON is told, not taken for everything installed", async () => {
  const at = makeProject();
  writeFileSync(join(at.project, "package-lock.json"), "<<<<<<< HEAD");
  assert.deepEqual(stalePackages(at), ["package-lock.json"]);
  await assert.rejects(installPackages(at), (error: SetupError) => {
    assert.match(error.message, /package-lock\.json is missing or no JSON/);
    assert.match(error.remedy, /^restore it with git checkout -- package-lock\.json/);
    return true;
  });
});

test("npm's failed download names the network and npm's proxy", async () => {
  const at = makeProject();
  writeJson(join(at.project, "package-lock.json"), { packages: {} });
  const npm = join(makeFolder(), "npm-cli.js");
  writeFileSync(
    npm,
    'console.error("npm error code ENOTFOUND\\nnpm error network request failed"); process.exit(1);',
  );
  await withEnvironment({ npm_execpath: npm, PATH: fakePath({}) }, () =>
    assert.rejects(installPackages(at), (error: SetupError) => {
      assert.match(error.message, /npm could not download the packages/);
      assert.match(error.remedy, /npm config set proxy/);
      return true;
    }),
  );
});

test("a failure reads: step, reason, remedy, log", () => {
  const error = new SetupError("the disk is full", "free 3 GB", { log: "x.log" });
  const lines = describeFailure("Engine", error).split("\n");
  assert.deepEqual(lines, [
    'Set-up stopped at "Engine": the disk is full',
    "To repair: free 3 GB",
    "Details: x.log",
  ]);
  const refused = (code: string) => Object.assign(new Error(`${code}: no`), { code, path: "/p/.cache" });
  assert.match(describeFailure("Engine", refused("ENOSPC")), /the disk is full\nTo repair: free 3 GB/);
  for (const code of ["EACCES", "EROFS"])
    assert.match(
      describeFailure("Beginning", refused(code)),
      /\/p\/\.cache may not be written \(E\w+\)\nTo repair: copy the project into a folder of your own/,
    );
});

test("a kernelspec's places are filled in as values, and other braces stay", () => {
  const filled = fillTemplate(
    { argv: ["{node}", "{project}/k.mjs", "{connection_file}"], n: [1, null] },
    { node: 'a"b\\c', project: "/p q" },
  );
  assert.deepEqual(filled, { argv: ['a"b\\c', "/p q/k.mjs", "{connection_file}"], n: [1, null] });
});

test("JupyterLab's parts land in the virtual environment, with plotly.js and KaTeX beside the renderer", () => {
  const at = makeProject();
  const put = (path: string, text: string) => {
    mkdirSync(join(at.project, path, ".."), { recursive: true });
    writeFileSync(join(at.project, path), text);
  };
  put("assets/kernelspec/kernel.json", '{"argv": ["{node}", "{project}"]}');
  put("assets/kernelspec/logo-64x64.png", "png");
  put("assets/labextension/figures/package.json", "{}");
  put("assets/papermill/translator.py", "python");
  put(".venv/lib/python3.12/site-packages/pip.py", "");
  put("assets/labextension/figures/static/remoteEntry.js", "entry");
  put("node_modules/plotly.js-dist-min/plotly.min.js", "plotly");
  put("node_modules/plotly.js-dist-min/package.json", '{"version": "1.0.0"}');
  for (const file of ["katex.min.js", "katex.min.css", "contrib/auto-render.min.js", "fonts/a.woff2"])
    put(`node_modules/katex/dist/${file}`, file);
  assert.equal(hasJupyterParts(at), false);
  installJupyterParts(at);
  assert.equal(hasJupyterParts(at), true);
  const kernel = join(at.share, "kernels", "lower-bound");
  assert.deepEqual(JSON.parse(readFileSync(join(kernel, "kernel.json"), "utf8")).argv, [
    process.execPath,
    at.project,
  ]);
  assert.equal(readFileSync(join(kernel, "logo-64x64.png"), "utf8"), "png");
  const renderer = join(at.share, "labextensions", "figures", "static");
  assert.equal(readFileSync(join(renderer, "plotly.min.js"), "utf8"), "plotly");
  assert.equal(readFileSync(join(renderer, "katex/fonts/a.woff2"), "utf8"), "fonts/a.woff2");
  assert.equal(readFileSync(join(sitePackages(at.venv)!, "translator.py"), "utf8"), "python");
  put("assets/labextension/figures/static/remoteEntry.js", "changed");
  assert.equal(hasJupyterParts(at), false);
  installJupyterParts(at);
  for (const part of [kernel, renderer]) {
    rmSync(part, { recursive: true });
    assert.equal(hasJupyterParts(at), false, "the stamp alone is not enough");
    installJupyterParts(at);
    assert.equal(hasJupyterParts(at), true);
  }
});

test("Jupyter reads and writes inside the project only", () => {
  const at = makeProject();
  const environment = jupyterEnvironment(at, {
    JUPYTER_PATH: "/home/u/jupyter",
    JUPYTER_CONFIG_DIR: "/home/u/.jupyter",
    PATH: "/bin",
  });
  assert.equal(environment.JUPYTER_PATH, undefined);
  for (const name of ["JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"])
    assert.ok(environment[name]?.startsWith(at.cache), name);
});

test("JupyterLab gets the user's arguments, and the first lesson unless another is named", () => {
  const at = makeProject();
  mkdirSync(join(at.project, "notebooks"));
  writeFileSync(join(at.project, "notebooks", "01-forward-process.ipynb"), "{}");
  const given = jupyterArguments(at.project, ["--no-browser", "--port", "9999"]);
  assert.deepEqual(given.slice(-4), ["--no-browser", "--port", "9999", "notebooks/01-forward-process.ipynb"]);
  assert.ok(given.includes(`--ServerApp.root_dir=${at.project}`));
  assert.deepEqual(
    jupyterArguments(at.project, ["notebooks/02-x.ipynb"]).filter((one) => /ipynb/.test(one)),
    ["notebooks/02-x.ipynb"],
  );
});

test("the address opens the lesson, with the token, below any base URL", () => {
  const info = { url: "http://localhost:8889/hub/", token: "abc" };
  assert.equal(
    addressOf(info, "notebooks/01 a.ipynb"),
    "http://localhost:8889/hub/lab/tree/notebooks/01%20a.ipynb?token=abc",
  );
  assert.equal(addressOf({ url: "http://localhost:8889/" }, undefined), "http://localhost:8889/lab");
});

test("a server's address is its own, not that of a killed one with the same process id", async () => {
  const folder = makeFolder();
  const file = join(folder, "jpserver-7.json");
  writeJson(file, { url: "http://localhost:1/" });
  const server = { pid: 7, exitCode: null as number | null, signalCode: null };
  const info = waitForServer(folder, server);
  writeJson(file, { url: "http://localhost:2/" });
  assert.deepEqual(await info, { url: "http://localhost:2/" });
  const ended = waitForServer(folder, server);
  server.exitCode = 1;
  assert.equal(await ended, undefined);
});
