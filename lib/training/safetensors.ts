/**
 * @file The safetensors file format (huggingface/safetensors): 8 bytes with the header's length, a JSON header, then the
 * tensors' numbers, little-endian. Reads and writes F32 and F16, all that checkpoints need.
 */

/** Numbers with their shape. */
export interface ArrayEntry {
  shape: number[];
  data: Float32Array;
}

export interface SafetensorsFile {
  tensors: Record<string, ArrayEntry>;
  /** Texts by name, as the format has them. */
  metadata: Record<string, string>;
}

/** How numbers are stored; "F16" rounds them to 11 bits. */
export type Precision = "F32" | "F16";

const BYTES: Record<Precision, number> = { F32: 4, F16: 2 };
const METADATA = "__metadata__";

interface HeaderEntry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/** The bytes of a file with these tensors, in order of their names. Throws where data and shape do not agree. */
export function encodeSafetensors(file: SafetensorsFile, precision: Precision = "F32"): Buffer {
  const header: Record<string, HeaderEntry | Record<string, string>> = { [METADATA]: file.metadata };
  const names = Object.keys(file.tensors).sort();
  let end = 0;
  for (const name of names) {
    const { shape, data } = file.tensors[name];
    if (data.length !== sizeOf(shape))
      throw new Error(`encodeSafetensors: "${name}" has ${data.length} numbers, expected shape [${shape}].`);
    const start = end;
    end += data.length * BYTES[precision];
    header[name] = { dtype: precision, shape, data_offsets: [start, end] };
  }
  const text = Buffer.from(JSON.stringify(header));
  const headerLength = Math.ceil(text.length / 8) * 8; // so that the numbers are aligned
  const bytes = Buffer.alloc(8 + headerLength + end, " ");
  bytes.writeBigUInt64LE(BigInt(headerLength), 0);
  text.copy(bytes, 8);
  let at = 8 + headerLength;
  for (const name of names) {
    const stored = precision === "F32" ? file.tensors[name].data : toHalf(file.tensors[name].data);
    Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength).copy(bytes, at);
    at += stored.byteLength;
  }
  return bytes;
}

/** The tensors of a file, as float32. Throws, saying what is wrong, on bytes that are not a whole file of F32 and F16. */
export function decodeSafetensors(bytes: Uint8Array): SafetensorsFile {
  const { header, start } = readHeader(bytes);
  const { [METADATA]: metadata = {}, ...entries } = header;
  const tensors: Record<string, ArrayEntry> = {};
  let last = 0;
  for (const [name, entry] of Object.entries(entries) as [string, HeaderEntry][]) {
    const [from, to] = checkedEntry(name, entry);
    last = Math.max(last, to);
    if (start + to > bytes.length)
      throw new Error(
        `the file has ${bytes.length} bytes, expected ${start + to} or more for "${name}": it is truncated.`,
      );
    const numbers = Uint8Array.prototype.slice.call(bytes, start + from, start + to).buffer; // an aligned copy
    const data = entry.dtype === "F32" ? new Float32Array(numbers) : fromHalf(new Uint16Array(numbers));
    tensors[name] = { shape: entry.shape, data };
  }
  if (bytes.length !== start + last)
    throw new Error(`the file has ${bytes.length} bytes, expected ${start + last}: it is damaged.`);
  return { tensors, metadata: metadata as Record<string, string> };
}

function readHeader(bytes: Uint8Array): { header: Record<string, unknown>; start: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = bytes.length >= 8 ? Number(view.getBigUint64(0, true)) : Number.NaN;
  if (!(length <= 100_000_000))
    throw new Error(`the file (${bytes.length} bytes) does not begin as a safetensors file does.`);
  const start = 8 + length;
  if (start > bytes.length)
    throw new Error(`the file has ${bytes.length} bytes, its header alone ${start}: it is truncated.`);
  try {
    const header = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset + 8, length).toString());
    if (typeof header === "object" && header !== null && !Array.isArray(header)) return { header, start };
  } catch {}
  throw new Error("the file's header is not JSON as safetensors has it: it is damaged.");
}

function checkedEntry(name: string, entry: HeaderEntry): [number, number] {
  if (!(entry?.dtype in BYTES))
    throw new Error(`"${name}" has type ${entry?.dtype}, expected ${Object.keys(BYTES).join(" or ")}.`);
  const [from, to] = entry.data_offsets ?? [];
  const wanted = sizeOf(entry.shape) * BYTES[entry.dtype as Precision];
  if (!(from >= 0 && to - from === wanted))
    throw new Error(`"${name}" lies at ${from} to ${to}, expected ${wanted} bytes: the file is damaged.`);
  return [from, to];
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

/** To IEEE 754 binary16, rounded to nearest, ties to even; too large becomes infinite. */
export function toHalf(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(bits, (word) => {
    const sign = (word >>> 16) & 0x8000;
    const magnitude = word & 0x7fffffff;
    if (magnitude >= 0x47800000) return sign | (magnitude > 0x7f800000 ? 0x7e00 : 0x7c00);
    if (magnitude < 0x38800000) return sign | roundEven(subnormalUnits(magnitude));
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  });
}

const scratch = new Uint32Array(1);
const scratchFloat = new Float32Array(scratch.buffer);

/** A float32's magnitude, by its bits, in units of the smallest half, 2⁻²⁴. */
function subnormalUnits(magnitude: number): number {
  scratch[0] = magnitude;
  return scratchFloat[0] * 2 ** 24;
}

function roundEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

/** From IEEE 754 binary16. */
export function fromHalf(values: Uint16Array): Float32Array {
  return Float32Array.from(values, (half) => {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >>> 10) & 0x1f;
    const fraction = half & 0x3ff;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
}
