/**
 * @file MNIST, and other sets in its idx format: 70,000 handwritten digits of 28 × 28 (LeCun, Cortes & Burges 1998),
 * http://yann.lecun.com/exdb/mnist/, from a folder, or downloaded once. Nothing of the set is part of this project.
 *
 * An idx file: two zero bytes, the type of the entries (8: bytes), the number of dimensions, each dimension as four
 * bytes, most significant first, then the entries.
 */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { type DownloadProgress, download } from "./download";
import type { ImageSet } from "./images";
import { locked } from "./lock.cjs";

/** What is published, and where. */
export interface MnistRelease {
  /** The folder with the files, ending in a slash. */
  readonly url: string;
  /** Of each gzipped file. */
  readonly md5: Readonly<Record<string, string>>;
}

/** The set as mirrored for PyTorch: its home has no longer been open to all since 2022. */
export const MNIST: MnistRelease = {
  url: "https://ossci-datasets.s3.amazonaws.com/mnist/",
  md5: {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
  },
};

export interface Mnist {
  readonly train: ImageSet;
  readonly test: ImageSet;
  /** One line for people: where it is from and what is there. */
  readonly description: string;
}

export interface MnistOptions {
  /**
   * The folder with `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, and the same of `t10k`; each also as `.gz`.
   * Without it the set is downloaded, once.
   */
  dir?: string;
  /** Side of the images, 28 or more, filled up with background on all sides; 32 suits a U-Net. Default 28. */
  side?: number;
  /** Called while the files arrive, 12 MB in all. */
  onProgress?(progress: DownloadProgress): void;
  /** Interrupts the download; the next call continues it. */
  signal?: AbortSignal;
  /** Where downloads are kept. Default `.cache/data` of the project. */
  cache?: string;
  /** Another place that has the files (`{ url }`), or in tests other files. */
  release?: Partial<MnistRelease>;
}

const SIDE = 28;
const CLASS_NAMES = Array.from("0123456789");
const CACHE = resolve(__dirname, "../../.cache/data");

/**
 * MNIST, images [N, side, side, 1], from the folder `dir`, else from the cache, else downloaded. In `dir` sets of the same
 * files and format, such as Fashion-MNIST or a part of MNIST, are read alike; what is downloaded must have the published
 * checksums. Throws where a file is missing, truncated or of another format, a label is above 9, images and labels
 * differ in number, or a download fails or is not what it should be.
 */
export async function mnist(options: MnistOptions = {}): Promise<Mnist> {
  const { side = SIDE } = options;
  if (!(Number.isInteger(side) && side >= SIDE && side % 2 === 0))
    throw new Error(`mnist: side is ${side}, expected an even number from ${SIDE} on.`);
  const dir = options.dir ?? (await cached(options));
  const [train, test] = [readSet(dir, "train", side), readSet(dir, "t10k", side)];
  const description = `MNIST from ${dir}: ${train.labels.length} training and ${test.labels.length} test images`;
  return { train, test, description };
}

/** What to do about a damaged file. */
const GET_AGAIN = `Remove it, and get it again from ${MNIST.url}, or run this again if it was downloaded.`;

function readSet(dir: string, part: string, side: number): ImageSet {
  const images = readIdx(join(dir, `${part}-images-idx3-ubyte`), 3);
  const labels = readIdx(join(dir, `${part}-labels-idx1-ubyte`), 1);
  const [count, height, width] = images.shape;
  const refuse = ({ path }: Idx, got: string, expected: string): never => {
    throw new Error(`mnist: ${path} has ${got}, expected ${expected}. ${GET_AGAIN}`);
  };
  if (height !== SIDE || width !== SIDE)
    refuse(images, `images of ${height} × ${width}`, `${SIDE} × ${SIDE}`);
  if (labels.shape[0] !== count)
    refuse(labels, `${labels.shape[0]} labels`, `one for each image of ${images.path}, ${count}`);
  const wrong = labels.values.findIndex((label) => label > 9);
  if (wrong >= 0) refuse(labels, `label ${labels.values[wrong]} at place ${wrong}`, "0 to 9");
  return {
    images: padded(images.values, count, side),
    shape: [count, side, side, 1],
    labels: labels.values,
    classNames: CLASS_NAMES,
  };
}

interface Idx {
  path: string;
  shape: number[];
  values: Uint8Array;
}

/** An idx file of bytes with this many dimensions, plain or gzipped. */
function readIdx(plain: string, rank: number): Idx {
  const path = [plain, `${plain}.gz`].find(existsSync);
  if (!path)
    throw new Error(
      `mnist: no file ${plain} or ${plain}.gz. Get it from ${MNIST.url}, or name its folder (dir).`,
    );
  const refuse = (got: string, expected: string): never => {
    throw new Error(`mnist: ${path} ${got}, expected ${expected}. ${GET_AGAIN}`);
  };
  const bytes = unzipped(readFileSync(path), (why) =>
    refuse(`cannot be unpacked (${why})`, "a whole gzip file"),
  );
  const header = 4 + 4 * rank;
  const magic = bytes.subarray(0, 4).toString("hex");
  const expected = `0000080${rank}`;
  if (magic !== expected || bytes.length < header)
    refuse(`begins with ${magic || "nothing"}`, `${expected}, an idx file of bytes in ${rank} dimensions`);
  const shape = Array.from({ length: rank }, (_, i) => bytes.readUInt32BE(4 + 4 * i));
  const size = shape.reduce((product, n) => product * n, 1);
  if (bytes.length !== header + size)
    refuse(`has ${bytes.length} bytes`, `${header + size} for shape [${shape}]: truncated, or too long`);
  return { path, shape, values: new Uint8Array(bytes.subarray(header)) };
}

function unzipped(bytes: Buffer, refuse: (why: string) => never): Buffer {
  if (!(bytes[0] === 0x1f && bytes[1] === 0x8b)) return bytes; // not gzip, whatever its name
  try {
    return gunzipSync(bytes);
  } catch (error) {
    return refuse((error as Error).message);
  }
}

/** Images of 28 × 28 in the middle of ones of `side` × `side`, the rest 0. */
function padded(values: Uint8Array, count: number, side: number): Uint8Array {
  if (side === SIDE) return values;
  const margin = (side - SIDE) / 2;
  const images = new Uint8Array(count * side * side);
  for (let n = 0; n < count; n++)
    for (let row = 0; row < SIDE; row++) {
      const from = (n * SIDE + row) * SIDE;
      images.set(values.subarray(from, from + SIDE), (n * side + margin + row) * side + margin);
    }
  return images;
}

// ---- the download ----

/** The folder of the cache that holds the files, which are downloaded if need be. */
async function cached({ cache = CACHE, release, onProgress, signal }: MnistOptions): Promise<string> {
  const { url, md5 } = { ...MNIST, ...release };
  const folder = join(cache, "mnist");
  if (Object.keys(md5).every((name) => existsSync(join(folder, name)))) return folder;
  await locked(`${folder}.lock`, async () => {
    for (const [name, sum] of Object.entries(md5)) {
      const file = { url: new URL(name, url).href, path: join(folder, name), md5: sum, onProgress, signal };
      await download(file).catch((error: Error) => {
        throw new Error(
          `mnist: ${error.message} Or get the four files by other means, and name their folder (dir; --data on the command line).`,
          { cause: error },
        );
      });
    }
  });
  return folder;
}
