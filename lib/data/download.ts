/**
 * @file One file from the network: continued where it was interrupted, checked, and there under its name only when whole.
 *
 * What has arrived is in `<path>.part`. A proxy is taken from where npm and other tools take it.
 */
import { closeSync, existsSync, mkdirSync, openSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { md5OfFile } from "./checksums";

/** How far a download is, in bytes; `total` is left out where the server does not say. */
export interface DownloadProgress {
  received: number;
  total?: number;
}

export interface DownloadOptions {
  url: string;
  /** Where the file will be. */
  path: string;
  md5: string;
  /** Called with each piece that arrives. */
  onProgress?(progress: DownloadProgress): void;
  /** Interrupts; what has arrived is kept for the next time. */
  signal?: AbortSignal;
}

const SILENCE_MS = 60_000;

/**
 * Downloads a file, unless it is there; where a previous download has left part of it, only the rest. Not for two
 * processes at once. Throws where the server does not answer or refuses, the connection breaks (the next call
 * continues), or the checksum is wrong; then nothing is left.
 */
export async function download(options: DownloadOptions): Promise<void> {
  const { url, path, md5 } = options;
  if (existsSync(path) && (await md5OfFile(path)) === md5) return;
  mkdirSync(dirname(path), { recursive: true });
  const part = `${path}.part`;
  const continued = existsSync(part);
  await receive(part, options);
  let got = await md5OfFile(part);
  if (got !== md5 && continued) {
    rmSync(part); // its first piece may be of something else
    await receive(part, options);
    got = await md5OfFile(part);
  }
  if (got === md5) return renameSync(part, path);
  rmSync(part);
  throw new Error(
    `download: what came from ${url} has md5 ${got}, expected ${md5}: another file, or altered on the way. Try again.`,
  );
}

/** Appends to `part` what is missing of the file. */
async function receive(part: string, options: DownloadOptions): Promise<void> {
  const { url, onProgress } = options;
  const there = existsSync(part) ? statSync(part).size : 0;
  try {
    const { status, headers, body } = await get(url, there, options.signal);
    if (status === 416) return await body.dump(); // nothing is missing, or too much is there: the checksum tells
    if (status !== 200 && status !== 206) {
      await body.dump();
      throw new Error(`the server answered ${status}`);
    }
    const from = status === 206 ? there : 0;
    const length = Number(headers["content-length"]);
    const total = Number.isFinite(length) ? from + length : undefined;
    const file = openSync(part, from ? "a" : "w");
    let received = from;
    try {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        writeAll(file, chunk); // at once, so that a connection that breaks later takes nothing with it
        received += chunk.length;
        onProgress?.({ received, total });
      }
    } finally {
      closeSync(file);
    }
    const size = statSync(part).size;
    if (total !== undefined && size < total)
      throw new Error(`the connection closed after ${size} of ${total} bytes`);
  } catch (error) {
    const kept = existsSync(part) ? ` ${statSync(part).size} bytes are kept: run it again to continue.` : "";
    throw new Error(`download: ${url} did not arrive (${reason(error)}).${kept}`, { cause: error });
  }
}

/** The answer to a request for the file from byte `from` on. */
async function get(url: string, from: number, signal?: AbortSignal) {
  const { Agent, ProxyAgent, request } = await import("undici"); // not loaded unless something is downloaded
  const proxy = proxyFor(new URL(url));
  const { statusCode, headers, body } = await request(url, {
    dispatcher: proxy ? new ProxyAgent(proxy) : new Agent(),
    signal,
    maxRedirections: 5,
    reset: true, // no connection is kept open afterwards
    bodyTimeout: SILENCE_MS,
    headersTimeout: SILENCE_MS,
    headers: from ? { range: `bytes=${from}-` } : {},
  });
  return { status: statusCode, headers, body };
}

/** The proxy that the environment, or npm's configuration by way of `npm run`, names for this address. */
function proxyFor({ protocol, hostname }: URL): string | undefined {
  const env = process.env;
  const direct = (env.no_proxy ?? env.NO_PROXY ?? env.npm_config_noproxy ?? "")
    .split(/[\s,]+/)
    .filter(Boolean);
  const isDirect = direct.some((entry) => {
    const host = entry.replace(/^\*?\./, "");
    return entry === "*" || hostname === host || hostname.endsWith(`.${host}`);
  });
  if (isDirect) return undefined;
  const ofProtocol =
    protocol === "https:" ? (env.https_proxy ?? env.HTTPS_PROXY) : (env.http_proxy ?? env.HTTP_PROXY);
  return ofProtocol || env.npm_config_https_proxy || env.npm_config_proxy || undefined;
}

function writeAll(file: number, bytes: Buffer): void {
  for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written);
}

function reason(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException;
  return message || code || String(error); // a refused connection to several addresses has no message
}
