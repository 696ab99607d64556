/**
 * @file Finds the language server that the kernels of a project share, or starts it, or where that cannot be has one in
 * a thread. A server that dies is started again, and asked again: it keeps nothing that would be lost.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, lstatSync, mkdirSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { ConnectionLost, connect, type Port, type Remote } from "./link";
import type { LanguageApi } from "./messages";
import { portOf } from "./socket";

/** What a Unix socket's path may be long, on every system. */
const MAX_ADDRESS = 100;

/** The socket of these sources' server, in a folder that is ours alone; undefined where there cannot be one. */
function serverAddress(project: string): string | undefined {
  const user = process.getuid?.();
  if (process.platform === "win32" || user === undefined) return undefined;
  const folder = join(process.env.XDG_RUNTIME_DIR ?? tmpdir(), `typescript-kernel-${user}`);
  const identity = [__dirname, project, process.version].join("\n");
  const address = join(folder, createHash("sha256").update(identity).digest("hex").slice(0, 16));
  if (Buffer.byteLength(address) > MAX_ADDRESS) return undefined;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const stat = lstatSync(folder);
    // In a folder that others can write to, somebody else's server might answer.
    return stat.isDirectory() && stat.uid === user && (stat.mode & 0o077) === 0 ? address : undefined;
  } catch {
    return undefined;
  }
}

const tryConnect = (address: string): Promise<Socket | undefined> =>
  new Promise((resolve) => {
    const socket = createConnection(address);
    socket.once("connect", () => resolve(socket));
    socket.once("error", () => resolve(undefined));
  });

function spawnServer(address: string, project: string): ChildProcess {
  // A small nursery costs the checker nothing and keeps 20 MB free.
  const args = [
    "--expose-gc",
    "--max-semi-space-size=4",
    join(__dirname, "language-server.js"),
    address,
    project,
  ];
  const env = { ...process.env, NODE_OPTIONS: "" }; // a limit to this kernel's memory is none to the server's
  const server = spawn(process.execPath, args, { detached: true, stdio: "ignore", cwd: project, env });
  server.on("error", () => {}); // whoever waits for it starts another, and hears of it
  server.unref();
  return server;
}

/**
 * Starts the project's server where none can be, so that it reads the types while this kernel's own threads start.
 * Whether it did.
 */
export function startServerEarly(project: string): boolean {
  const address = serverAddress(project);
  if (!address || existsSync(address)) return false;
  spawnServer(address, project);
  return true;
}

const RETRY_MS = 20;
const PATIENCE_MS = 120_000;
/** After this long a server that was started early is given up, and another started. */
const EARLY_PATIENCE_MS = 5000;

/** A connection to the server at `address`; undefined where there is none within `patienceMs` or `isOver` says so. */
async function waitForServer(
  address: string,
  patienceMs: number,
  isOver = () => false,
): Promise<Socket | undefined> {
  for (const until = performance.now() + patienceMs; performance.now() < until; await sleep(RETRY_MS)) {
    const wasOver = isOver();
    const socket = await tryConnect(address);
    if (socket || wasOver) return socket;
  }
  return undefined;
}

/** A connection to the server at `address`, which is started if need be; undefined if it cannot be. */
async function reachServer(
  address: string,
  project: string,
  isStarting: boolean,
): Promise<Socket | undefined> {
  const there = await (isStarting ? waitForServer(address, EARLY_PATIENCE_MS) : tryConnect(address));
  if (there) return there;
  const server = spawnServer(address, project);
  let over = false;
  server.on("error", () => {
    over = true;
  });
  server.on("exit", () => {
    over = true; // maybe because another kernel's server was there first
  });
  return waitForServer(address, PATIENCE_MS, () => over);
}

function startThread(project: string): Port {
  const worker = new Worker(join(__dirname, "language-thread.js"), { workerData: { project } });
  worker.on("error", (error) => {
    throw error; // ends the thread that asks, and with it the kernel
  });
  return worker;
}

/** Calls are sent again this often when the server dies over them. */
const ATTEMPTS = 3;

/**
 * The language server's methods. `greet` is called first on each new connection.
 * @param wasStarted what `startServerEarly` answered
 */
export function connectLanguage(
  project: string,
  wasStarted: boolean,
  greet: (language: Remote<LanguageApi>) => void,
): Remote<LanguageApi> {
  let isStarting = wasStarted;
  const open = async (): Promise<Remote<LanguageApi>> => {
    const address = serverAddress(project);
    const socket = address ? await reachServer(address, project, isStarting) : undefined;
    isStarting = false;
    const port = socket ? portOf(socket) : startThread(project);
    port.on("close", () => {
      connection = undefined;
    });
    const remote = connect<LanguageApi>(port);
    greet(remote);
    return remote;
  };
  let connection: Promise<Remote<LanguageApi>> | undefined;
  const call = async (method: keyof LanguageApi, args: unknown[]): Promise<unknown> => {
    for (let attempt = 1; ; attempt++) {
      connection ??= open();
      const remote = await connection;
      try {
        return await (remote[method] as (...args: unknown[]) => Promise<unknown>)(...args);
      } catch (error) {
        if (!(error instanceof ConnectionLost) || attempt === ATTEMPTS) throw error;
      }
    }
  };
  return new Proxy({} as Remote<LanguageApi>, {
    get:
      (_, method) =>
      (...args: unknown[]) =>
        call(method as keyof LanguageApi, args),
  });
}
