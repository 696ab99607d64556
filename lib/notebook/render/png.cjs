/** @file An RGBA picture, or several that follow each other, as PNG bytes: enough of the format for figures and image grids. Plain JavaScript, for the renderer's process loads it too. */
const { deflateSync, crc32: zlibCrc32 } = require("node:zlib");

const SIGNATURE = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]);

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

/** @param {Buffer} bytes */
function crc32(bytes) {
  if (zlibCrc32) return zlibCrc32(bytes); // Node 22.2 and later
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/**
 * @param {string} type
 * @param {Buffer} content
 */
function chunk(type, content) {
  const body = Buffer.concat([Buffer.from(type, "latin1"), content]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(content.length, 0);
  body.copy(framed, 4);
  framed.writeUInt32BE(crc32(body), body.length + 4);
  return framed;
}

/**
 * Some numbers of 32 bits, most significant byte first.
 * @param {number[]} values
 */
function words(...values) {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => {
    bytes.writeUInt32BE(value, 4 * i);
  });
  return bytes;
}

/**
 * The header of 8 bits a channel, colour type 6, red, green, blue and opacity.
 * @param {number} width
 * @param {number} height
 */
const header = (width, height) =>
  chunk("IHDR", Buffer.concat([words(width, height), Buffer.from([8, 6, 0, 0, 0])]));

/**
 * The compressed rows of one picture.
 * @param {string} caller
 * @param {number} width
 * @param {number} height
 * @param {Uint8Array | Uint8ClampedArray} rgba
 */
function compressed(caller, width, height, rgba) {
  if (rgba.length !== width * height * 4)
    throw new Error(
      `${caller}: got ${rgba.length} bytes, expected ${width}×${height}×4. Give row-major RGBA.`,
    );
  const stride = width * 4;
  const rows = Buffer.alloc((stride + 1) * height); // each row opens with its filter: 0, none
  for (let y = 0; y < height; y++)
    rows.set(rgba.subarray(y * stride, (y + 1) * stride), y * (stride + 1) + 1);
  return deflateSync(rows);
}

const end = () => chunk("IEND", Buffer.alloc(0));

/**
 * PNG of `rgba`, row-major `[height, width, 4]`, 0..255 (W3C PNG, third edition: 8 bits, colour type 6).
 * @param {number} width
 * @param {number} height
 * @param {Uint8Array | Uint8ClampedArray} rgba
 * @returns {Buffer}
 */
function encodePng(width, height, rgba) {
  const rows = compressed("encodePng", width, height, rgba);
  return Buffer.concat([SIGNATURE, header(width, height), chunk("IDAT", rows), end()]);
}

/**
 * Animated PNG of pictures as `encodePng` takes them, shown for `ms` milliseconds each, over and over (W3C PNG, third
 * edition, section 11.3.7); a program that knows no animation shows the first.
 * @param {number} width
 * @param {number} height
 * @param {readonly { rgba: Uint8Array | Uint8ClampedArray, ms: number }[]} frames
 * @returns {Buffer}
 */
function encodeApng(width, height, frames) {
  if (frames.length === 0) throw new Error("encodeApng: got no frames, expected at least one.");
  let sequence = 0; // counts control and data chunks alike
  const chunks = frames.flatMap(({ rgba, ms }, i) => {
    const placeAndDelay = words(sequence++, width, height, 0, 0, ms * 65536 + 1000); // ms thousandths of a second
    const replaceAll = Buffer.alloc(2);
    const rows = compressed("encodeApng", width, height, rgba);
    const data = i === 0 ? chunk("IDAT", rows) : chunk("fdAT", Buffer.concat([words(sequence++), rows]));
    return [chunk("fcTL", Buffer.concat([placeAndDelay, replaceAll])), data];
  });
  const control = chunk("acTL", words(frames.length, 0));
  return Buffer.concat([SIGNATURE, header(width, height), control, ...chunks, end()]);
}

module.exports = { encodeApng, encodePng };
