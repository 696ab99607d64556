/** @file A local socket as a port: messages of any structured-cloneable kind, each behind its length. */
import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { deserialize, serialize } from "node:v8";
import type { Port } from "./link";

const LENGTH_BYTES = 4;

/** The whole messages at the front of `bytes`, and what is left. */
function takeMessages(bytes: Buffer): { messages: unknown[]; rest: Buffer } {
  const messages: unknown[] = [];
  let at = 0;
  while (bytes.length - at >= LENGTH_BYTES) {
    const end = at + LENGTH_BYTES + bytes.readUInt32LE(at);
    if (bytes.length < end) break;
    messages.push(deserialize(bytes.subarray(at + LENGTH_BYTES, end)));
    at = end;
  }
  return { messages, rest: bytes.subarray(at) };
}

/** Emits "message" and, once, "close". */
export function portOf(socket: Socket): Port {
  const events = new EventEmitter();
  let chunks: Buffer[] = [];
  let have = 0;
  let need = LENGTH_BYTES;
  socket.on("data", (chunk) => {
    chunks.push(chunk);
    have += chunk.length;
    if (have < need) return;
    const { messages, rest } = takeMessages(Buffer.concat(chunks));
    chunks = [rest];
    have = rest.length;
    need = LENGTH_BYTES + (have >= LENGTH_BYTES ? rest.readUInt32LE(0) : 0);
    for (const message of messages) events.emit("message", message);
  });
  socket.on("error", () => {}); // "close" follows
  socket.on("close", () => events.emit("close"));
  const postMessage = (message: unknown) => {
    const body = serialize(message);
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt32LE(body.length);
    socket.write(Buffer.concat([length, body]));
  };
  return { postMessage, on: (event, listener) => events.on(event, listener) };
}
