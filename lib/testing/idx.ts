/** @file MNIST's file format, for tests that make a small data set themselves. */

/** An idx file of bytes: two zero bytes, the type (8: bytes), the number of dimensions, each of them, the entries. */
export function idxFile(shape: number[], entry: (i: number) => number): Buffer {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header.writeUInt8(8, 2);
  header.writeUInt8(shape.length, 3);
  shape.forEach((n, i) => {
    header.writeUInt32BE(n, 4 + 4 * i);
  });
  const size = shape.reduce((product, n) => product * n, 1);
  return Buffer.concat([header, Buffer.from(Array.from({ length: size }, (_, i) => entry(i)))]);
}
