/**
 * @file CIFAR-10 in its binary format: 60,000 pictures of 32 × 32 in ten classes (Krizhevsky 2009), from a folder, or
 * downloaded once from the set's own home. A record is a label byte and 3072 pixel bytes: red, green, blue plane, each
 * row by row. Nothing of the set is part of this project.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { sha256 } from "./checksums";
import { type DownloadProgress, download } from "./download";
import type { ImageSet } from "./images";
import { locked } from "./lock.cjs";

/** What is published, and where. */
export interface Cifar10Release {
  /** The archive, a gzipped tar. */
  readonly url: string;
  /** The archive's checksum, as its home states it. */
  readonly md5: string;
  /** Of each file in the archive's folder. */
  readonly sha256: Readonly<Record<string, string>>;
  readonly recordsPerFile: number;
}

/** The set as published at https://www.cs.toronto.edu/~kriz/cifar.html, "CIFAR-10 binary version". */
export const CIFAR10: Cifar10Release = {
  url: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
  md5: "c32a1d4ab5d03f1284b67883e8d87530",
  sha256: {
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
  },
  recordsPerFile: 10_000,
};

/** The set, or a part of it. */
export interface Cifar10 {
  readonly train: ImageSet;
  readonly test: ImageSet;
  /** Whether all images are there. */
  readonly whole: boolean;
  /** One line for people: where it is from and what is there. */
  readonly description: string;
}

export interface Cifar10Options {
  /** A folder that holds the files, or holds `cifar-10-batches-bin`. Without it the set is downloaded, once. */
  dir?: string;
  /** Whether a file in `dir` of full length must be the original. Default true; false for pictures of one's own. */
  verify?: boolean;
  /** Whether the set may be downloaded where it is not there. Default true. */
  download?: boolean;
  /** Called while the archive arrives, 170 MB. */
  onProgress?(progress: DownloadProgress): void;
  /** Interrupts the download; the next call continues it. */
  signal?: AbortSignal;
  /** Where downloads are kept. Default `.cache/data` of the project. */
  cache?: string;
  /** Another place that has the archive (`{ url }`), or in tests another archive. */
  release?: Partial<Cifar10Release>;
}

const SIDE = 32;
const PIXELS = SIDE * SIDE;
const CHANNELS = 3;
const RECORD = 1 + CHANNELS * PIXELS;
const FOLDER = "cifar-10-batches-bin";
const TRAIN_FILES = [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`);
const TEST_FILES = ["test_batch.bin"];
const FILES = [...TRAIN_FILES, ...TEST_FILES];
const CACHE = resolve(__dirname, "../../.cache/data");

/** The names of the labels 0…9. */
export const CIFAR10_CLASSES: readonly string[] =
  "airplane automobile bird cat deer dog frog horse ship truck".split(" ");

/**
 * CIFAR-10, images [N, 32, 32, 3], from the folder `dir`, else from the cache, else downloaded.
 *
 * In `dir` a file of 10,000 records must be the original, by its sha256 (unless `verify` is false); a shorter one of
 * whole records is taken as a part of the set, and a file may be missing as long as one of the training set is there:
 * `whole` and `description` tell. Throws on a file that is no whole number of records, on a label above 9, and where
 * a download fails or is not what it should be; then the cache holds nothing of it but what a download can continue.
 */
export async function cifar10(options: Cifar10Options = {}): Promise<Cifar10> {
  const release = { ...CIFAR10, ...options.release };
  if (options.dir === undefined) return load(await cached(release, options), release, "every file");
  const { verify = true } = options;
  return load(findFolder(options.dir, release), release, verify ? "full files" : "none");
}

type Sums = "every file" | "full files" | "none";

function load(folder: string, release: Cifar10Release, sums: Sums): Cifar10 {
  const read = (names: string[]) =>
    toImageSet(names.map((name) => join(folder, name)).filter(existsSync), (path) =>
      readRecords(path, release, sums),
    );
  const [train, test] = [read(TRAIN_FILES), read(TEST_FILES)];
  const full = release.recordsPerFile;
  const [numTrain, numTest] = [train.labels.length, test.labels.length];
  const whole = numTrain === TRAIN_FILES.length * full && numTest === full;
  const part = whole ? "" : `, a part of the set's ${TRAIN_FILES.length * full} and ${full}`;
  const description = `CIFAR-10 from ${folder}: ${numTrain} training and ${numTest} test images${part}`;
  return { train, test, whole, description };
}

/** The folder with the files: `dir` itself or its subfolder. Throws with what is there instead. */
function findFolder(dir: string, { url }: Cifar10Release): string {
  const folders = [dir, join(dir, FOLDER)];
  const holds = (name: string) => (folder: string) => existsSync(join(folder, name));
  const found = folders.find((folder) => TRAIN_FILES.some((name) => holds(name)(folder)));
  if (found) return found;
  const got = !existsSync(dir)
    ? "does not exist"
    : folders.some(holds("data_batch_1")) // whose files have no extension
      ? "holds the Python version of CIFAR-10"
      : folders.some(holds("train.bin"))
        ? "holds CIFAR-100"
        : "holds no file of CIFAR-10's binary version";
  throw new Error(
    `cifar10: ${dir} ${got}, expected ${TRAIN_FILES[0]} … ${FILES[FILES.length - 1]}, there or in its folder ${FOLDER}. Unpack ${url} there.`,
  );
}

/** The bytes of one file, checked. */
function readRecords(path: string, release: Cifar10Release, sums: Sums): Uint8Array {
  const bytes = readFileSync(path);
  const count = bytes.length / RECORD;
  const refuse = (got: string, remedy = `Get it again from ${release.url}.`): never => {
    throw new Error(`cifar10: ${path} ${got}. ${remedy}`);
  };
  if (!(Number.isInteger(count) && count > 0))
    refuse(
      `has ${bytes.length} bytes, expected ${release.recordsPerFile * RECORD}, or for a part of the set another multiple of ${RECORD}: truncated, or of another data set`,
    );
  for (let i = 0; i < count; i++)
    if (bytes[i * RECORD] >= CIFAR10_CLASSES.length)
      refuse(
        `has label ${bytes[i * RECORD]} in record ${i}, expected 0 to 9: damaged, or of another data set`,
      );
  if (sums === "every file" || (sums === "full files" && count >= release.recordsPerFile)) {
    const [got, want] = [sha256(bytes), release.sha256[basename(path)]];
    const remedy =
      sums === "every file"
        ? "Remove its folder and run this again."
        : `Get it again from ${release.url}, or, for pictures of your own, call cifar10 with verify: false.`;
    if (got !== want) refuse(`has sha256 ${got}, expected ${want}: damaged, or altered`, remedy);
  }
  return bytes;
}

/** All records of some files as one set, the colour planes made channels; one file at a time is in memory. */
function toImageSet(paths: string[], read: (path: string) => Uint8Array): ImageSet {
  const count = paths.reduce((sum, path) => sum + Math.floor(statSync(path).size / RECORD), 0);
  const images = new Uint8Array(count * CHANNELS * PIXELS);
  const labels = new Uint8Array(count);
  let at = 0;
  for (const path of paths) {
    const bytes = read(path);
    for (let from = 0; from < bytes.length; from += RECORD, at++) {
      labels[at] = bytes[from];
      for (let c = 0; c < CHANNELS; c++)
        for (let p = 0; p < PIXELS; p++)
          images[(at * PIXELS + p) * CHANNELS + c] = bytes[from + 1 + c * PIXELS + p];
    }
  }
  return { images, labels, shape: [count, SIDE, SIDE, CHANNELS], classNames: CIFAR10_CLASSES };
}

// ---- the download ----

/** The folder of the cache that holds the files, which are downloaded if need be. */
async function cached(release: Cifar10Release, options: Cifar10Options): Promise<string> {
  const folder = join(options.cache ?? CACHE, FOLDER);
  const isThere = () => FILES.every((name) => existsSync(join(folder, name)));
  if (!isThere() && options.download === false)
    throw new Error(
      `cifar10: the set is not in ${folder}, and download is false. Name a folder that has it (dir), or let it be downloaded.`,
    );
  if (!isThere())
    await locked(`${folder}.lock`, async () => {
      if (!isThere()) await fetchInto(folder, release, options);
    });
  return folder;
}

async function fetchInto(folder: string, release: Cifar10Release, options: Cifar10Options): Promise<void> {
  const { url, md5 } = release;
  const { onProgress, signal } = options;
  const archive = `${folder}.tar.gz`;
  try {
    await download({ url, path: archive, md5, onProgress, signal });
  } catch (error) {
    throw new Error(
      `cifar10: ${(error as Error).message} Or get the archive by other means, unpack it, and name its folder (dir; --data on the command line).`,
      { cause: error },
    );
  }
  try {
    await unpack(archive, folder, release);
  } finally {
    rmSync(archive, { force: true });
  }
}

/** Unpacks the six files, checks them, and only then gives their folder its name. */
async function unpack(archive: string, folder: string, release: Cifar10Release): Promise<void> {
  const { x: extract } = await import("tar"); // not loaded unless something is unpacked
  const partial = `${folder}.partial`;
  const isWanted = (path: string, entry: unknown) =>
    FILES.some((name) => path === `${FOLDER}/${name}`) && /File$/.test((entry as { type: string }).type);
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial);
  try {
    await extract({ file: archive, cwd: partial, strip: 1, filter: isWanted });
    const missing = FILES.find((name) => !existsSync(join(partial, name)));
    if (missing)
      throw new Error(
        `cifar10: the archive from ${release.url} has no ${FOLDER}/${missing}, expected CIFAR-10's binary version: it is of another data set. Use the one of https://www.cs.toronto.edu/~kriz/cifar.html.`,
      );
    for (const name of FILES) readRecords(join(partial, name), release, "every file");
    rmSync(folder, { recursive: true, force: true }); // it may be there and lack a file
    renameSync(partial, folder);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}
