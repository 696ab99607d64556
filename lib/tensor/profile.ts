/**
 * @file Which TensorFlow op takes how long, by TensorFlow's own profiler: a table for the bench. Native engine, and
 * an addon built with the profiler (native/profile.cc).
 *
 * What comes from the profiler is a serialized `XSpace`: planes of lines of events, each with the number of a name
 * and a duration in picoseconds. An op's event is named "node:Op".
 */
import { nativeBackend } from "./native";

export interface OpTime {
  op: string;
  /** Milliseconds, summed over the op's runs and over threads. */
  ms: number;
  count: number;
}

interface Profiler {
  startProfile?(): void;
  stopProfile?(): Uint8Array;
}

type Field = readonly [field: number, value: number | Uint8Array];

/** The fields of a serialized protobuf message: numbers and bytes; fixed-width ones are passed over. */
function* fieldsOf(bytes: Uint8Array): Generator<Field> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let unit = 1; ; unit *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * unit;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const kind = key & 7;
    if (kind === 0) yield [key >> 3, varint()];
    else if (kind === 2) {
      const length = varint();
      yield [key >> 3, bytes.subarray(at, at + length)];
      at += length;
    } else at += kind === 1 ? 8 : 4;
  }
}

const messages = (bytes: Uint8Array, field: number): Uint8Array[] =>
  [...fieldsOf(bytes)].flatMap(([number, value]) =>
    number === field && typeof value !== "number" ? [value] : [],
  );

const numberIn = (bytes: Uint8Array, field: number): number =>
  ([...fieldsOf(bytes)].find(([number]) => number === field)?.[1] as number | undefined) ?? 0;

// Field numbers of tensorflow/tsl/profiler/protobuf/xplane.proto.
const SPACE = { planes: 1 };
const PLANE = { lines: 3, eventMetadata: 4 };
const LINE = { events: 4 };
const EVENT = { metadata: 1, duration: 3 };
const ENTRY = { value: 2 };
const METADATA = { id: 1, name: 2 };

/** Names of a plane's events by their number. */
function namesIn(plane: Uint8Array): Map<number, string> {
  const names = new Map<number, string>();
  for (const entry of messages(plane, PLANE.eventMetadata))
    for (const metadata of messages(entry, ENTRY.value)) {
      const [name] = messages(metadata, METADATA.name);
      names.set(numberIn(metadata, METADATA.id), name ? new TextDecoder().decode(name) : "");
    }
  return names;
}

/** Time by op, longest first, from a serialized XSpace. */
export function opTimes(space: Uint8Array): OpTime[] {
  const times = new Map<string, OpTime>();
  for (const plane of messages(space, SPACE.planes)) {
    const names = namesIn(plane);
    for (const line of messages(plane, PLANE.lines))
      for (const event of messages(line, LINE.events)) {
        const op = /^[^:]+:(\w+)$/.exec(names.get(numberIn(event, EVENT.metadata)) ?? "")?.[1];
        if (!op) continue;
        const time = times.get(op) ?? { op, ms: 0, count: 0 };
        time.ms += numberIn(event, EVENT.duration) / 1e9;
        time.count++;
        times.set(op, time);
      }
  }
  return [...times.values()].sort((a, b) => b.ms - a.ms);
}

/**
 * Profiles `run`; the op that is a compiled function as a whole is among the result under the function's name. TensorFlow's
 * sequential executor says nothing of its ops: what is to be looked into is compiled with `sequential: false`.
 */
export function profile(run: () => void): OpTime[] {
  const profiler = nativeBackend?.binding as (Profiler & object) | undefined;
  if (!profiler?.startProfile || !profiler.stopProfile)
    throw new Error("profile: this engine was built without TensorFlow's profiler. Run: npm run setup");
  let space: Uint8Array = new Uint8Array();
  profiler.startProfile();
  try {
    run();
  } finally {
    space = profiler.stopProfile();
  }
  return opTimes(space);
}
