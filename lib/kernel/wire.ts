/**
 * @file Jupyter's wire format: frames to message and back, signed and checked.
 * https://jupyter-client.readthedocs.io/en/stable/messaging.html#the-wire-protocol
 */
import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";

export const PROTOCOL_VERSION = "5.4";
const DELIMITER = Buffer.from("<IDS|MSG>");

export interface Header {
  msg_id: string;
  msg_type: string;
  session: string;
  username: string;
  date: string;
  version: string;
}

export interface Message {
  /** The routing prefix: whom to answer, or on iopub the topic. */
  identities: Buffer[];
  header: Header;
  parent: Header | Record<string, never>;
  metadata: Record<string, unknown>;
  content: Record<string, unknown>;
  buffers: Uint8Array[];
}

/** Signs and checks with the connection file's key; an empty key means unsigned, as Jupyter has it. */
export interface Signer {
  sign(parts: Uint8Array[]): string;
  /** Throws when the signature is wrong or was seen before. */
  check(signature: Buffer, parts: Uint8Array[]): void;
}

/** How many signatures are remembered to refuse replays; the older half is forgotten when they are full. */
const REMEMBERED = 65536;

export function createSigner(key: string): Signer {
  let seen = new Set<string>();
  const sign = (parts: Uint8Array[]) => {
    if (!key) return "";
    const hmac = createHmac("sha256", key);
    for (const part of parts) hmac.update(part);
    return hmac.digest("hex");
  };
  const check = (signature: Buffer, parts: Uint8Array[]) => {
    if (!key) return;
    const want = Buffer.from(sign(parts));
    if (signature.length !== want.length || !timingSafeEqual(signature, want))
      throw new Error("wire: wrong signature");
    const text = signature.toString();
    if (seen.has(text)) throw new Error("wire: message was sent twice");
    if (seen.size >= REMEMBERED) seen = new Set([...seen].slice(REMEMBERED / 2));
    seen.add(text);
  };
  return { sign, check };
}

function parseObject(frame: Uint8Array, what: string): Record<string, unknown> {
  const value: unknown = JSON.parse(Buffer.from(frame).toString("utf8"));
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Error(`wire: ${what} is not an object`);
  return value as Record<string, unknown>;
}

/** Frames to message. The signature is checked before anything is parsed; throws on whatever is malformed. */
export function decode(frames: Buffer[], signer: Signer): Message {
  const start = frames.findIndex((frame) => frame.equals(DELIMITER));
  if (start < 0) throw new Error("wire: no delimiter");
  const [signature, ...parts] = frames.slice(start + 1);
  if (parts.length < 4) throw new Error(`wire: ${parts.length} parts, expected at least 4`);
  signer.check(signature, parts.slice(0, 4));
  const header = parseObject(parts[0], "header") as unknown as Header;
  if (typeof header.msg_type !== "string" || typeof header.msg_id !== "string")
    throw new Error("wire: header without msg_type or msg_id");
  return {
    identities: frames.slice(0, start),
    header,
    parent: parseObject(parts[1], "parent header") as unknown as Header,
    metadata: parseObject(parts[2], "metadata"),
    content: parseObject(parts[3], "content"),
    buffers: parts.slice(4),
  };
}

/** As JSON in UTF-8, which has no half a pair of surrogates: a notebook that held one could not be saved. */
const toFrame = (part: object): Buffer => {
  const text = JSON.stringify(part);
  if (!text.includes("\\ud")) return Buffer.from(text);
  return Buffer.from(text.replace(/(?<!\\)((?:\\\\)*)\\ud[89a-f][0-9a-f]{2}/g, "$1\\ufffd"));
};

/** Message to frames, signed. */
export function encode(message: Message, signer: Signer): (Buffer | string | Uint8Array)[] {
  const parts = [message.header, message.parent, message.metadata, message.content].map(toFrame);
  return [...message.identities, DELIMITER, signer.sign(parts), ...parts, ...message.buffers];
}

/**
 * The kernel's, not the asking client's: JupyterLab takes another session for another kernel, and drops what it has not
 * yet handled of the one before.
 */
const SESSION = randomUUID();

/** A message of ours of this type, in answer to `parent` (its header), with a header of its own. */
export function createMessage(
  type: string,
  parent: Header | Record<string, never>,
  content: Record<string, unknown>,
  extra: Partial<Pick<Message, "identities" | "metadata" | "buffers">> = {},
): Message {
  const header: Header = {
    msg_id: randomUUID(),
    msg_type: type,
    session: SESSION,
    username: "kernel",
    date: new Date().toISOString(),
    version: PROTOCOL_VERSION,
  };
  return { identities: [], metadata: {}, buffers: [], header, parent, content, ...extra };
}
