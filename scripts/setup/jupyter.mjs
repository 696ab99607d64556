/**
 * @file JupyterLab's parts inside the virtual environment: the kernelspec, the prebuilt extension, settings, what
 * teaches papermill TypeScript; and the environment variables that keep JupyterLab away from the user's own Jupyter.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { SetupError } from "./errors.mjs";
import { pythonEnvironment, sitePackages } from "./python.mjs";
import { hashOf, isStamped, readJson, writeJson } from "./stamp.mjs";

/** @typedef {import("./layout.mjs").Layout} Layout */

export const KERNEL_NAME = "lower-bound";

/** No news, no update check, no extension manager asking PyPI; cells are indented as the project's TypeScript is. */
export const SETTINGS = {
  "@jupyterlab/apputils-extension:notification": { fetchNews: "false", checkForUpdates: false },
  "@jupyterlab/extensionmanager-extension:plugin": { enabled: false },
  "@jupyterlab/notebook-extension:tracker": {
    codeCellConfig: { lineNumbers: false, lineWrap: false, indentUnit: "2" },
  },
};

/** The server lists our kernel alone and calls nobody; exported HTML has its maths inside. */
const SERVER_CONFIG = {
  KernelSpecManager: { ensure_native_kernel: false, allowed_kernelspecs: [KERNEL_NAME] },
  MultiKernelManager: { default_kernel_name: KERNEL_NAME },
  LabApp: {
    news_url: null,
    check_for_updates_class: "jupyterlab.NeverCheckForUpdate",
    extension_manager: "readonly",
  },
  HTMLExporter: { template_name: "lower-bound" },
  SlidesExporter: { template_name: "reveal" },
};

/** @param {Layout} at */
const assets = (at) => ({
  kernelspec: join(at.project, "assets", "kernelspec"),
  labextensions: join(at.project, "assets", "labextension"),
  plotly: join(at.modules, "plotly.js-dist-min", "plotly.min.js"),
  katex: join(at.modules, "katex", "dist"),
  papermill: join(at.project, "assets", "papermill"),
  nbconvert: join(at.project, "assets", "nbconvert"),
});

/** @param {Layout} at */
const stampPath = (at) => join(at.share, "lower-bound.json");

/**
 * The inputs: paths are among them, since a moved checkout or another Node needs another kernelspec.
 * @param {Layout} at
 */
function partsHash(at) {
  const { kernelspec, labextensions, papermill, nbconvert } = assets(at);
  const [plotly, katex] = ["plotly.js-dist-min", "katex"].map(
    (name) => readJson(join(at.modules, name, "package.json"))?.version ?? "none",
  );
  const texts = [
    at.project,
    process.execPath,
    plotly,
    katex,
    JSON.stringify(SETTINGS),
    JSON.stringify(SERVER_CONFIG),
  ];
  return hashOf({ paths: [kernelspec, labextensions, papermill, nbconvert], texts });
}

/**
 * Whether JupyterLab will find the kernel.
 * @param {Layout} at
 */
export const hasKernelspec = (at) => existsSync(join(at.share, "kernels", KERNEL_NAME, "kernel.json"));

/**
 * The names of the extensions that assets/labextension holds.
 * @param {Layout} at
 */
export function extensionNames(at) {
  const { labextensions } = assets(at);
  return existsSync(labextensions)
    ? readdirSync(labextensions).filter((name) => existsSync(join(labextensions, name, "package.json")))
    : [];
}

/** @param {Layout} at @param {string} name */
const extensionFolder = (at, name) => join(at.share, "labextensions", name);

/**
 * Whether the plot renderer and its plotly.js are where JupyterLab looks.
 * @param {Layout} at
 */
export const hasRenderer = (at) =>
  extensionNames(at).length > 0 &&
  extensionNames(at).every((name) =>
    ["remoteEntry.js", "plotly.min.js", join("katex", "katex.min.js")].every((file) =>
      existsSync(join(extensionFolder(at, name), "static", file)),
    ),
  );

/**
 * Whether all parts are there, as their inputs make them.
 * @param {Layout} at
 */
export const hasJupyterParts = (at) =>
  isStamped(stampPath(at), partsHash(at)) &&
  hasKernelspec(at) &&
  (hasRenderer(at) || extensionNames(at).length === 0);

/** What of KaTeX a page loads: the script, the search for maths in a page, the style sheet and its fonts. */
const KATEX_FILES = ["katex.min.js", join("contrib", "auto-render.min.js"), "katex.min.css", "fonts"];

/** @param {Layout} at */
function copyExtensions(at) {
  const { labextensions, plotly, katex } = assets(at);
  for (const name of extensionNames(at)) {
    const target = extensionFolder(at, name);
    rmSync(target, { recursive: true, force: true });
    cpSync(join(labextensions, name), target, { recursive: true });
    cpSync(plotly, join(target, "static", "plotly.min.js"));
    for (const file of KATEX_FILES)
      cpSync(join(katex, file), join(target, "static", "katex", file), { recursive: true });
  }
}

/**
 * A kernel.json with its placeholders filled in, as values of the JSON and not of its text: a path may hold
 * quotes and backslashes.
 * @param {unknown} value
 * @param {Record<string, string>} places
 * @returns {any}
 */
export function fillTemplate(value, places) {
  if (typeof value === "string") return value.replaceAll(/\{(\w+)\}/g, (all, name) => places[name] ?? all);
  if (Array.isArray(value)) return value.map((item) => fillTemplate(item, places));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fillTemplate(item, places)]));
}

/** @param {Layout} at */
function copyKernelspec(at) {
  const { kernelspec } = assets(at);
  const target = join(at.share, "kernels", KERNEL_NAME);
  if (!existsSync(join(kernelspec, "kernel.json")))
    throw new SetupError(
      "assets/kernelspec/kernel.json is missing",
      "restore it with git checkout -- assets",
    );
  rmSync(target, { recursive: true, force: true });
  cpSync(kernelspec, target, { recursive: true });
  const template = JSON.parse(readFileSync(join(kernelspec, "kernel.json"), "utf8"));
  writeJson(
    join(target, "kernel.json"),
    fillTemplate(template, { project: at.project, node: process.execPath }),
  );
}

/**
 * KaTeX's style sheet with its fonts inside; only woff2, which every browser of this decade reads.
 * @param {string} katex
 */
function inlineKatexCss(katex) {
  const css = readFileSync(join(katex, "katex.min.css"), "utf8");
  const inline = (/** @type {string} */ _all, /** @type {string} */ font) =>
    `src:url(data:font/woff2;base64,${readFileSync(join(katex, font)).toString("base64")}) format("woff2")}`;
  return css.replaceAll(/src:url\((fonts\/[\w-]+\.woff2)\)[^}]*\}/g, inline);
}

/**
 * nbconvert's templates, with KaTeX in their folder `static`.
 * @param {Layout} at
 */
function copyTemplates(at) {
  const { nbconvert, katex, labextensions } = assets(at);
  if (!existsSync(nbconvert)) return;
  const target = join(at.share, "nbconvert", "templates");
  cpSync(nbconvert, target, { recursive: true });
  const folder = join(target, "lower-bound", "static");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "katex.css"), inlineKatexCss(katex));
  for (const script of [
    join(katex, "katex.min.js"),
    join(katex, "contrib", "auto-render.min.js"),
    join(labextensions, "lower-bound", "static", "typeset.js"),
  ])
    cpSync(script, join(folder, basename(script)));
}

/**
 * The package that papermill finds by its entry point, should a reader install papermill.
 * @param {Layout} at
 */
function copyPapermill(at) {
  const packages = sitePackages(at.venv);
  const { papermill } = assets(at);
  if (packages && existsSync(papermill)) cpSync(papermill, packages, { recursive: true });
}

/** @param {Layout} at */
export function installJupyterParts(at) {
  copyKernelspec(at);
  copyExtensions(at);
  copyPapermill(at);
  copyTemplates(at);
  const etc = join(at.venv, "etc", "jupyter");
  mkdirSync(etc, { recursive: true });
  for (const name of [
    "jupyter_server_config.json",
    "jupyter_lab_config.json",
    "jupyter_nbconvert_config.json",
  ])
    writeFileSync(join(etc, name), JSON.stringify(SERVER_CONFIG, null, 2));
  writeJson(join(at.share, "lab", "settings", "overrides.json"), SETTINGS);
  writeJson(stampPath(at), { hash: partsHash(at) });
}

/**
 * The environment for every Jupyter process of the project (JupyterLab, nbclient, nbconvert): kernels and
 * configuration of the virtual environment only, all that Jupyter writes inside `.cache/jupyter`.
 * @param {Layout} at
 * @param {NodeJS.ProcessEnv} [environment]
 * @returns {NodeJS.ProcessEnv}
 */
export function jupyterEnvironment(at, environment = process.env) {
  const { JUPYTER_PATH, JUPYTER_CONFIG_PATH, JUPYTERLAB_DIR, ...rest } = pythonEnvironment(environment);
  return {
    ...rest,
    JUPYTER_PREFER_ENV_PATH: "1",
    JUPYTER_CONFIG_DIR: join(at.jupyter, "config"),
    JUPYTER_DATA_DIR: join(at.jupyter, "data"),
    JUPYTER_RUNTIME_DIR: join(at.jupyter, "runtime"),
    JUPYTERLAB_SETTINGS_DIR: join(at.jupyter, "settings"),
    JUPYTERLAB_WORKSPACES_DIR: join(at.jupyter, "workspaces"),
    IPYTHONDIR: join(at.jupyter, "ipython"),
  };
}
