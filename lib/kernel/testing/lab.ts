/** @file A real JupyterLab in a real Chromium, with the checkout's own kernelspec and renderer, for tests. */
import { type ChildProcess, spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Browser, chromium, type Page } from "playwright-core";
import { BROWSER_ARGUMENTS, findBrowser } from "../../../scripts/browser.mjs";
import { SETTINGS as OURS } from "../../../scripts/setup/jupyter.mjs";
import { noJupyter, projectRoot, python, slowness, writeKernelspec } from "./kernel";

/** Why a test in the Lab cannot run, or undefined. */
export const noLab = (): string | undefined => noJupyter() ?? findBrowser().reason;

const SETTINGS = { ...OURS, "@jupyterlab/docmanager-extension:plugin": { autosave: false } };

/** Kernelspec and extension as set-up installs them, from the working tree. */
function installParts(share: string): void {
  const kernelspec = join(share, "kernels", "lower-bound");
  mkdirSync(kernelspec, { recursive: true });
  writeKernelspec(kernelspec);
  const extensions = join(projectRoot, "assets/labextension");
  for (const name of readdirSync(extensions)) {
    const target = join(share, "labextensions", name);
    cpSync(join(extensions, name), target, { recursive: true });
    const plotly = join(projectRoot, "node_modules/plotly.js-dist-min/plotly.min.js");
    cpSync(plotly, join(target, "static", "plotly.min.js"));
    cpSync(join(projectRoot, "node_modules/katex/dist"), join(target, "static", "katex"), {
      recursive: true,
    });
  }
}

export interface Lab {
  /** A page with this notebook open (a path below the project), its kernel ready. */
  open(notebook: string): Promise<LabPage>;
  /** Another page with no network, and what it asked for. */
  openOffline(url: string): Promise<{ page: Page; requests: string[] }>;
  close(): Promise<void>;
}

interface Server {
  process: ChildProcess;
  url: string;
  token: string;
}

async function startServer(home: string, jupyterPaths: string[]): Promise<Server> {
  installParts(join(home, "share"));
  mkdirSync(join(home, "settings"), { recursive: true });
  for (const [plugin, settings] of Object.entries(SETTINGS)) {
    const [name, file] = plugin.split(":");
    mkdirSync(join(home, "settings", name), { recursive: true });
    writeFileSync(join(home, "settings", name, `${file}.jupyterlab-settings`), JSON.stringify(settings));
  }
  const server = spawn(
    python,
    [
      "-m",
      "jupyterlab",
      "--no-browser",
      "--allow-root",
      "--ServerApp.port=0",
      "--ServerApp.log_level=WARN",
      `--ServerApp.root_dir=${projectRoot}`,
      "--LabApp.expose_app_in_browser=True",
      "--LabApp.news_url=",
      "--ContentsManager.allow_hidden=True",
    ],
    {
      stdio: ["ignore", "ignore", process.env.LOWER_BOUND_TEST_VERBOSE ? "inherit" : "ignore"],
      env: {
        ...process.env,
        LOWER_BOUND_FAST: "1",
        JUPYTER_PATH: [join(home, "share"), ...jupyterPaths].join(delimiter),
        JUPYTER_CONFIG_DIR: join(home, "config"),
        JUPYTER_DATA_DIR: join(home, "data"),
        JUPYTER_RUNTIME_DIR: join(home, "runtime"),
        JUPYTERLAB_SETTINGS_DIR: join(home, "settings"),
        JUPYTERLAB_WORKSPACES_DIR: join(home, "workspaces"),
      },
    },
  );
  const info = join(home, "runtime", `jpserver-${server.pid}.json`);
  for (let waited = 0; waited < 60_000 * slowness(); waited += 100) {
    if (server.exitCode !== null) throw new Error(`JupyterLab ended with ${server.exitCode}`);
    if (existsSync(info)) {
      const text = readFileSync(info, "utf8");
      if (text.trimEnd().endsWith("}")) return { process: server, ...JSON.parse(text) };
    }
    await sleep(100);
  }
  throw new Error("JupyterLab did not start in time");
}

/**
 * Starts JupyterLab on a free port, with all its files in a temporary folder.
 * @param jupyterPaths where more extensions are, besides the virtual environment
 */
export async function startLab(jupyterPaths: string[] = []): Promise<Lab> {
  const home = mkdtempSync(join(tmpdir(), "lower-bound-lab-"));
  const server = await startServer(home, jupyterPaths);
  const browser: Browser = await chromium.launch({
    executablePath: findBrowser().path,
    args: BROWSER_ARGUMENTS,
    headless: true,
  });
  return {
    open: async (notebook) => {
      const page = await browser.newPage({ viewport: { width: 1280, height: 1000 } });
      page.setDefaultTimeout(30_000 * slowness());
      const path = relative(projectRoot, join(projectRoot, notebook))
        .split(/[\\/]/)
        .map(encodeURIComponent)
        .join("/");
      await page.goto(`${server.url}lab/tree/${path}?token=${server.token}&reset`);
      const lab = new LabPage(page);
      await lab.waitForKernel();
      return lab;
    },
    openOffline: async (url) => {
      const page = await browser.newPage({ offline: true });
      page.setDefaultTimeout(30_000 * slowness());
      const requests: string[] = [];
      page.on("request", (request) => requests.push(request.url()));
      await page.goto(url);
      return { page, requests };
    },
    close: async () => {
      await browser.close();
      const ended = new Promise((done) => server.process.once("exit", done));
      server.process.kill("SIGTERM");
      const timer = setTimeout(() => server.process.kill("SIGKILL"), 10_000);
      await ended;
      clearTimeout(timer);
      rmSync(home, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

export class LabPage {
  constructor(readonly page: Page) {}

  /** Starts one of JupyterLab's commands; its end is not waited for, as that of a cell may never come. */
  async command(id: string, args: object = {}): Promise<void> {
    await this.page.evaluate(
      // biome-ignore lint/suspicious/noExplicitAny: JupyterLab's application object has no types here
      ([name, given]) => void (window as any).jupyterapp.commands.execute(name, given),
      [id, args] as const,
    );
  }

  /** The kernel's state as the page knows it: idle, busy, starting, unknown. */
  kernelStatus(): Promise<string | undefined> {
    return this.page.evaluate(() => {
      // biome-ignore lint/suspicious/noExplicitAny: as above
      const widget = (window as any).jupyterapp?.shell?.currentWidget;
      return widget?.context?.sessionContext?.session?.kernel?.status as string | undefined;
    });
  }

  async waitForKernel(timeoutMs = 60_000 * slowness()): Promise<void> {
    for (let waited = 0; waited < timeoutMs; waited += 100) {
      if ((await this.kernelStatus()) === "idle") return;
      await sleep(100);
    }
    throw new Error(`the kernel is ${await this.kernelStatus()}, expected idle within ${timeoutMs} ms`);
  }

  /** Runs all cells and waits until each with code ran. The model is asked: cells out of sight are not in the page. */
  async runAll(timeoutMs = 120_000 * slowness()): Promise<void> {
    await this.command("runmenu:run-all");
    let left: number | undefined;
    for (const until = Date.now() + timeoutMs; Date.now() < until; await sleep(300)) {
      const cells = await this.cells();
      left = cells.filter(({ ran, source }) => !ran && source.trim() !== "").length;
      if (
        (left === 0 || cells.some(({ errors }) => errors.length > 0)) &&
        (await this.kernelStatus()) === "idle"
      )
        return;
    }
    throw new Error(`${left} cells have not run within ${timeoutMs} ms`);
  }

  /** The code cells as the notebook's model has them. */
  cells(): Promise<{ source: string; ran: boolean; errors: string[] }[]> {
    return this.page.evaluate(() => {
      // biome-ignore lint/suspicious/noExplicitAny: as above
      const { cells } = (window as any).jupyterapp.shell.currentWidget.content.model.sharedModel;
      return cells
        .filter((cell: { cell_type: string }) => cell.cell_type === "code")
        .map(
          (cell: {
            source: string;
            execution_count: number | null;
            outputs: { ename?: string; evalue?: string }[];
          }) => ({
            source: cell.source,
            ran: cell.execution_count !== null,
            errors: cell.outputs.flatMap(({ ename, evalue }) => (ename ? [`${ename}: ${evalue}`] : [])),
          }),
        );
    });
  }

  /** Waits until `look` sees what `holds`; a failure says what was seen last. */
  async waitUntil<T>(
    expected: string,
    look: () => Promise<T>,
    holds: (seen: T) => boolean,
    timeoutMs = 60_000 * slowness(),
  ): Promise<T> {
    let seen: T | undefined;
    for (const until = Date.now() + timeoutMs; Date.now() < until; await sleep(100)) {
      seen = await look();
      if (holds(seen)) return seen;
    }
    throw new Error(`expected ${expected} within ${timeoutMs} ms, saw ${JSON.stringify(seen)}`);
  }

  /** Whether JupyterLab trusts all code cells. */
  trusted(): Promise<boolean> {
    return this.page.evaluate(() => {
      // biome-ignore lint/suspicious/noExplicitAny: as above
      const { cells } = (window as any).jupyterapp.shell.currentWidget.content.model;
      return [...cells].filter(({ type }) => type === "code").every(({ trusted }) => trusted);
    });
  }

  /** Changes to one of JupyterLab's themes. */
  async theme(name: string): Promise<void> {
    await this.command("apputils:change-theme", { theme: name });
    await this.page.locator(`body[data-jp-theme-name="${name}"]`).waitFor({ state: "attached" });
  }

  /** Keeps what is seen, for a person to look at, where LOWER_BOUND_TEST_PICTURES names a folder. */
  async picture(name: string): Promise<void> {
    const folder = process.env.LOWER_BOUND_TEST_PICTURES;
    if (folder) await this.page.screenshot({ path: join(folder, `${name}.png`) });
  }

  /** Saves the notebook. */
  save(): Promise<void> {
    // biome-ignore lint/suspicious/noExplicitAny: as above
    return this.page.evaluate(() => (window as any).jupyterapp.shell.currentWidget.context.save());
  }

  /** Loads the page anew; the notebook's kernel lives on. */
  async reload(): Promise<void> {
    await this.page.reload();
    await this.waitForKernel();
  }

  /** The ids of the comms to this target that the kernel has open. */
  comms(target: string): Promise<string[]> {
    return this.page.evaluate(async (target_name) => {
      // biome-ignore lint/suspicious/noExplicitAny: as above
      const { kernel } = (window as any).jupyterapp.shell.currentWidget.context.sessionContext.session;
      const { content } = await kernel.requestCommInfo({ target_name });
      return Object.keys(content.comms);
    }, target);
  }

  /** Presses the toolbar's Stop button. */
  async pressStop(): Promise<void> {
    await this.page.locator('[data-jp-item-name="interrupt"]').first().click();
  }

  /** Selects a cell by its place among the code cells and runs it, without waiting for its end. */
  async runCell(index: number): Promise<void> {
    await this.select(index);
    await this.command("notebook:run-cell");
  }

  /** Puts the cursor at the end of a code cell's text. */
  async edit(index: number): Promise<void> {
    await this.select(index);
    const cell = this.page.locator(`[data-code-cell="${index}"]`);
    await cell.locator(".cm-content").first().click();
    await this.page.keyboard.press("Control+End");
  }

  /** Scrolls to a code cell, so that it is laid out; its outputs. */
  async show(index: number) {
    await this.select(index);
    return this.outputs(index);
  }

  /** Brings the notebook to the front, where a panel was opened. */
  focusNotebook(): Promise<void> {
    return this.page.evaluate(() => {
      // biome-ignore lint/suspicious/noExplicitAny: as above
      const { shell } = (window as any).jupyterapp;
      for (const widget of shell.widgets("main")) if (widget.context) shell.activateById(widget.id);
    });
  }

  /** Waits until a code cell that was run has ended. */
  async waitForRun(index: number, timeoutMs?: number): Promise<void> {
    const ended = async () => ({ ran: (await this.cells())[index].ran, kernel: await this.kernelStatus() });
    await this.waitUntil(
      `cell ${index} to end`,
      ended,
      ({ ran, kernel }) => ran && kernel === "idle",
      timeoutMs,
    );
  }

  /** All that a code cell printed, from the notebook's model. */
  outputText(index: number): Promise<string> {
    return this.page.evaluate((wanted) => {
      // biome-ignore lint/suspicious/noExplicitAny: as above
      const { cells } = (window as any).jupyterapp.shell.currentWidget.content.model.sharedModel;
      const code = cells.filter((cell: { cell_type: string }) => cell.cell_type === "code");
      return code[wanted].outputs.map(({ text = "" }) => [text].flat().join("")).join("");
    }, index);
  }

  /** Makes a code cell the active one and scrolls to it. */
  private select(index: number): Promise<void> {
    return this.page.evaluate(async (wanted) => {
      // biome-ignore lint/suspicious/noExplicitAny: as above
      const { content } = (window as any).jupyterapp.shell.currentWidget;
      const code = content.widgets.filter((cell: { model: { type: string } }) => cell.model.type === "code");
      content.activeCellIndex = content.widgets.indexOf(code[wanted]);
      await content.scrollToItem(content.activeCellIndex, "center");
      code[wanted].node.setAttribute("data-code-cell", String(wanted));
    }, index);
  }

  /** Runs code in the notebook's kernel without a cell; what it shows as text. */
  execute(code: string): Promise<string | undefined> {
    return this.page.evaluate(async (source) => {
      // biome-ignore lint/suspicious/noExplicitAny: as above
      const widget = (window as any).jupyterapp.shell.currentWidget;
      const future = widget.context.sessionContext.session.kernel.requestExecute({ code: source });
      let text: string | undefined;
      future.onIOPub = (message: {
        header: { msg_type: string };
        content: { data: Record<string, string> };
      }) => {
        if (message.header.msg_type === "execute_result") text = message.content.data["text/plain"];
      };
      await future.done;
      return text;
    }, code);
  }

  /** The outputs of a code cell that was run or selected here. */
  outputs(index: number) {
    return this.page.locator(`[data-code-cell="${index}"]`).locator(".jp-OutputArea-child");
  }
}

/** A notebook in nbformat 4 with these code cells, after a Markdown cell if there is text for one. */
export function notebookOf(cells: string[], markdown?: string): string {
  const text = { id: "text", cell_type: "markdown", source: markdown, metadata: {} };
  return JSON.stringify({
    nbformat: 4,
    nbformat_minor: 5,
    metadata: {
      kernelspec: { name: "lower-bound", display_name: "TypeScript", language: "typescript" },
      language_info: { name: "typescript", mimetype: "application/typescript", file_extension: ".ts" },
    },
    cells: [
      ...(markdown ? [text] : []),
      ...cells.map((source, index) => ({
        id: `cell-${index}`,
        cell_type: "code",
        source,
        metadata: {},
        outputs: [],
        execution_count: null,
      })),
    ],
  });
}
