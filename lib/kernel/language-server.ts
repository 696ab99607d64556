/**
 * @file The language server's process: `node language-server.js SOCKET PROJECT`. The kernels of a project share it, for
 * the types that they check against are the same and fill 100 MB. It ends when the last of them has been gone a while.
 */
import { rmSync } from "node:fs";
import { createConnection, createServer } from "node:net";
import { loadWithCodeCache } from "./code-cache";
import { collectWhenIdle, thenTouch } from "./idle";
import { serve } from "./link";
import type { LanguageApi } from "./messages";
import { portOf } from "./socket";

/** A kernel that is started again finds the server still warm. */
const LINGER_MS = 10_000;

/** The API, whose module (TypeScript) is loaded only now: the socket must be there first. */
function loadLanguage(project: string): LanguageApi {
  const saveCode = loadWithCodeCache(require.resolve("typescript"), __dirname);
  const { createLanguage } = require("./language") as typeof import("./language");
  return createLanguage(project, saveCode);
}

/** Serves on this socket until the last client has gone; ends at once where another server serves there. */
export function startServer(address: string, project: string): void {
  let loaded: LanguageApi | undefined;
  const language = () => {
    loaded ??= thenTouch(loadLanguage(project), collectWhenIdle());
    return loaded;
  };
  let clients = 0;
  let end: NodeJS.Timeout | undefined;
  const endLater = () => {
    end = setTimeout(() => {
      rmSync(address, { force: true }); // where it lies, a kernel takes it that a server is there
      process.exit(0);
    }, LINGER_MS);
  };
  const server = createServer((socket) => {
    clients++;
    clearTimeout(end);
    serve<LanguageApi>(portOf(socket), language());
    socket.on("close", () => {
      if (--clients === 0) endLater();
    });
  });
  server.on("error", () => {
    const other = createConnection(address);
    other.on("connect", () => process.exit(0));
    other.on("error", () => {
      rmSync(address, { force: true }); // left by a server that was killed
      server.listen(address);
    });
  });
  server.on("listening", () => setImmediate(language)); // while the kernel that started this one comes
  server.listen(address);
  endLater();
}

if (require.main === module) startServer(process.argv[2], process.argv[3]);
