import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { create } from "tar";
import { numbersFrom } from "../testing";
import { type Cifar10Release, cifar10 } from "./cifar10";

const FOLDER = "cifar-10-batches-bin";
const RECORDS = 3;
const FILES = [...[1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`), "test_batch.bin"];

const root = mkdtempSync(join(tmpdir(), "cifar10 "));
after(() => rmSync(root, { recursive: true }));

/** A pixel that tells its place: its file, record, channel, row and column. */
const pixel = (file: number, record: number, c: number, row: number, column: number) =>
  (17 * file + 5 * record + 60 * c + 2 * row + 3 * column) % 256;

/** A file of the set's format with `RECORDS` records, labels counted up over all files. */
function records(file: number): Buffer {
  const bytes = Buffer.alloc(RECORDS * 3073);
  for (let record = 0, at = 0; record < RECORDS; record++) {
    bytes[at++] = (file * RECORDS + record) % 10;
    for (let c = 0; c < 3; c++)
      for (let row = 0; row < 32; row++)
        for (let column = 0; column < 32; column++) bytes[at++] = pixel(file, record, c, row, column);
  }
  return bytes;
}

let folders = 0;
/** A new folder that holds these files. */
function folderOf(files: Record<string, Uint8Array>): string {
  const folder = join(root, `data ${folders++}`);
  mkdirSync(folder);
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes);
  return folder;
}

const SMALL = Object.fromEntries(FILES.map((name, i) => [name, records(i)]));
const hash = (algorithm: string, bytes: Uint8Array) => createHash(algorithm).update(bytes).digest("hex");
const sha256 = Object.fromEntries(FILES.map((name) => [name, hash("sha256", SMALL[name])]));

describe("CIFAR-10 from a folder", () => {
  test("pixels are channels last, labels and files in order", async () => {
    const { train, test, whole, description } = await cifar10({ dir: folderOf(SMALL) });
    assert.deepEqual(train.shape, [15, 32, 32, 3]);
    assert.deepEqual([...train.labels], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4]);
    assert.deepEqual([...test.labels], [5, 6, 7]);
    assert.equal(train.classNames[train.labels[9]], "truck");
    for (const [n, row, column, c] of [
      [0, 0, 0, 0],
      [4, 3, 31, 2],
      [14, 31, 7, 1],
    ]) {
      const at = ((n * 32 + row) * 32 + column) * 3 + c;
      assert.equal(train.images[at], pixel(Math.floor(n / RECORDS), n % RECORDS, c, row, column));
    }
    assert.equal(whole, false);
    assert.match(description, /15 training and 3 test images, a part of the set's 50000 and 10000/);
  });

  test("the files may be in the archive's folder, and some may be missing", async () => {
    const folder = folderOf({});
    mkdirSync(join(folder, FOLDER));
    writeFileSync(join(folder, FOLDER, FILES[3]), SMALL[FILES[3]]);
    const { train, test } = await cifar10({ dir: folder });
    assert.deepEqual([...train.labels], [9, 0, 1]);
    assert.deepEqual(test.shape, [0, 32, 32, 3]);
  });

  const bad: [what: string, files: Record<string, Uint8Array>, message: RegExp][] = [
    [
      "a truncated file",
      { ...SMALL, "data_batch_2.bin": records(1).subarray(0, 5000) },
      /data_batch_2\.bin has 5000 bytes, expected 30730000, or .*multiple of 3073: truncated/,
    ],
    ["an empty file", { "data_batch_1.bin": Buffer.alloc(0) }, /has 0 bytes, expected 30730000/],
    [
      "a record of two label bytes, as in CIFAR-100",
      { "data_batch_1.bin": Buffer.alloc(3074) },
      /has 3074 bytes/,
    ],
    [
      "a label above 9",
      { "data_batch_1.bin": Buffer.concat([records(0), Buffer.alloc(3073, 77)]) },
      /has label 77 in record 3, expected 0 to 9: damaged/,
    ],
    [
      "CIFAR-100",
      { "train.bin": Buffer.alloc(3074), "test.bin": Buffer.alloc(3074) },
      /holds CIFAR-100, expected data_batch_1\.bin … test_batch\.bin/,
    ],
    [
      "the Python version",
      { data_batch_1: Buffer.alloc(9) },
      /holds the Python version of CIFAR-10, expected/,
    ],
    ["nothing", {}, /holds no file of CIFAR-10's binary version, expected .*Unpack https:/],
  ];
  for (const [what, files, message] of bad)
    test(`${what} is refused`, async () => {
      await assert.rejects(cifar10({ dir: folderOf(files) }), message);
    });

  test("a folder that is not there is named", async () => {
    await assert.rejects(cifar10({ dir: join(root, "nowhere") }), /nowhere does not exist, expected/);
  });

  test("a file of full length must be the original, unless told otherwise", async () => {
    const release = { recordsPerFile: RECORDS, sha256 };
    const { whole, description } = await cifar10({ dir: folderOf(SMALL), release });
    assert.ok(whole);
    assert.match(description, /15 training and 3 test images$/);
    const altered = Buffer.from(SMALL[FILES[0]]);
    altered[100]++;
    const dir = folderOf({ ...SMALL, [FILES[0]]: altered });
    await assert.rejects(cifar10({ dir, release }), (error: Error) => {
      assert.match(
        error.message,
        /data_batch_1\.bin has sha256 .* or, for pictures of your own, call cifar10 with verify: false/,
      );
      assert.ok(error.message.includes(`sha256 ${hash("sha256", altered)}, expected ${sha256[FILES[0]]}`));
      return true;
    });
    assert.equal((await cifar10({ dir, release, verify: false })).train.images[33 * 3], altered[34]);
  });
});

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

describe("CIFAR-10 from the network", () => {
  let answer: Answer = (_, response) => response.end();
  let ranges: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    ranges.push(request.headers.range);
    answer(request, response);
  });
  let url = "";
  const own = process.env.no_proxy;
  before(async () => {
    process.env.no_proxy = "127.0.0.1"; // whatever proxy the machine has
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/cifar-10-binary.tar.gz`;
  });
  after(() => {
    if (own === undefined) delete process.env.no_proxy;
    else process.env.no_proxy = own;
    server.close();
  });

  /** An archive as published, with files of the home's that are not wanted, and one that would leave the folder. */
  async function archiveOf(files: Record<string, Uint8Array>, folder = FOLDER): Promise<Buffer> {
    const base = folderOf({});
    mkdirSync(join(base, folder));
    const noise = numbersFrom(3); // so that the archive is not tiny
    const readme = Buffer.from(Array.from({ length: 50_000 }, () => 256 * noise()));
    for (const [name, bytes] of Object.entries({ ...files, "readme.html": readme }))
      writeFileSync(join(base, folder, name), bytes);
    writeFileSync(join(base, "outside"), "");
    const path = join(base, "archive.tar.gz");
    await create({ file: path, cwd: base, gzip: true, portable: true }, [folder, "outside"]);
    return readFileSync(path);
  }

  /** Serves the archive, ranges too; the connection breaks when the file `until.part` holds `until.size` bytes. */
  const serving =
    (archive: Buffer, until?: { part: string; size: number }): Answer =>
    (request, response) => {
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
      if (from >= archive.length) return response.writeHead(416).end();
      response.writeHead(from ? 206 : 200, { "content-length": archive.length - from });
      if (!until) return response.end(archive.subarray(from));
      const { part, size } = until;
      response.write(archive.subarray(from, size));
      const waiting = setInterval(() => {
        if (!existsSync(part) || statSync(part).size < size) return;
        clearInterval(waiting);
        response.destroy();
      }, 10);
    };

  const releaseOf = (archive: Buffer): Cifar10Release => ({
    url,
    md5: hash("md5", archive),
    sha256,
    recordsPerFile: RECORDS,
  });
  const newCache = () => join(root, `cache ${folders++}`);
  const inCache = (cache: string) => (existsSync(cache) ? readdirSync(cache) : []);

  test("the first call downloads, unpacks what belongs to it, and shows progress; the second reads", async () => {
    const archive = await archiveOf(SMALL);
    const [cache, release] = [newCache(), releaseOf(archive)];
    answer = serving(archive);
    ranges = [];
    const seen: number[] = [];
    const onProgress = ({ received, total }: { received: number; total?: number }) => {
      assert.equal(total, archive.length);
      seen.push(received);
    };
    const { train, test, whole } = await cifar10({ cache, release, onProgress });
    assert.ok(whole);
    assert.deepEqual([train.labels.length, test.labels.length], [15, 3]);
    assert.equal(seen[seen.length - 1], archive.length);
    assert.deepEqual(inCache(cache), [FOLDER]);
    assert.deepEqual(readdirSync(join(cache, FOLDER)).sort(), FILES);
    assert.deepEqual((await cifar10({ cache, release })).train.images, train.images);
    assert.equal(ranges.length, 1, "requests");
  });

  test("without leave to download nothing is asked for, and what is there is read", async () => {
    const archive = await archiveOf(SMALL);
    const [cache, release] = [newCache(), releaseOf(archive)];
    answer = serving(archive);
    ranges = [];
    await assert.rejects(
      cifar10({ cache, release, download: false }),
      /cifar10: the set is not in .*, and download is false\. Name a folder that has it \(dir\), or let it be downloaded\.$/,
    );
    assert.deepEqual(ranges, []);
    await cifar10({ cache, release });
    assert.equal((await cifar10({ cache, release, download: false })).train.labels.length, 15);
    assert.equal(ranges.length, 1, "requests");
  });

  test("a broken connection is continued where it broke", async () => {
    const archive = await archiveOf(SMALL);
    const [cache, release] = [newCache(), releaseOf(archive)];
    answer = serving(archive, { part: join(cache, `${FOLDER}.tar.gz.part`), size: 20_000 });
    ranges = [];
    await assert.rejects(
      cifar10({ cache, release }),
      /did not arrive \(.*\)\. 20000 bytes are kept: run it again to continue\. Or get the archive by other means/,
    );
    assert.deepEqual(inCache(cache), [`${FOLDER}.tar.gz.part`]);
    answer = serving(archive);
    assert.equal((await cifar10({ cache, release })).train.labels.length, 15);
    assert.deepEqual(ranges, [undefined, "bytes=20000-"]);
    assert.deepEqual(inCache(cache), [FOLDER]);
  });

  test("a server without ranges, a part that is whole, and one of another file, all end well", async () => {
    const archive = await archiveOf(SMALL);
    const release = releaseOf(archive);
    const wholeOnly: Answer = (_, response) => response.end(archive);
    for (const [part, from] of [
      [archive.subarray(0, 100), wholeOnly],
      [archive, serving(archive)],
      [Buffer.alloc(100, 1), serving(archive)],
      [Buffer.alloc(archive.length + 5, 1), serving(archive)],
    ] as const) {
      const cache = newCache();
      mkdirSync(cache);
      writeFileSync(join(cache, `${FOLDER}.tar.gz.part`), part);
      answer = from;
      assert.ok((await cifar10({ cache, release })).whole);
      assert.deepEqual(inCache(cache), [FOLDER]);
    }
  });

  test("an interrupted download keeps what has come", async () => {
    const archive = await archiveOf(SMALL);
    const [cache, release] = [newCache(), releaseOf(archive)];
    const interruption = new AbortController();
    answer = (_, response) => {
      response.writeHead(200, { "content-length": archive.length });
      response.write(archive.subarray(0, 10_000)); // and no more
    };
    const onProgress = () => setTimeout(() => interruption.abort(), 50);
    await assert.rejects(
      cifar10({ cache, release, onProgress, signal: interruption.signal }),
      /10000 bytes are kept/,
    );
    answer = serving(archive);
    assert.ok((await cifar10({ cache, release })).whole);
  });

  test("a wrong checksum leaves nothing", async () => {
    const archive = await archiveOf(SMALL);
    const [cache, release] = [newCache(), releaseOf(archive)];
    const altered = Buffer.from(archive);
    altered[500]++;
    answer = serving(altered);
    await assert.rejects(cifar10({ cache, release }), (error: Error) => {
      assert.ok(error.message.includes(`has md5 ${hash("md5", altered)}, expected ${hash("md5", archive)}`));
      return true;
    });
    assert.deepEqual(inCache(cache), []);
  });

  test("an archive of another data set leaves nothing", async () => {
    const cifar100 = { "train.bin": Buffer.alloc(3074), "test.bin": Buffer.alloc(3074) };
    const withoutTest = Object.fromEntries(Object.entries(SMALL).slice(0, 5));
    const truncated = { ...SMALL, "data_batch_4.bin": records(3).subarray(0, 3074) };
    const other = { ...SMALL, "data_batch_4.bin": records(7) };
    for (const [archive, message] of [
      [
        await archiveOf(cifar100, "cifar-100-binary"),
        /has no cifar-10-batches-bin\/data_batch_1\.bin.*another data set/,
      ],
      [await archiveOf(withoutTest), /has no cifar-10-batches-bin\/test_batch\.bin/],
      [await archiveOf(truncated), /data_batch_4\.bin has 3074 bytes, expected 9219/],
      [await archiveOf(other), /data_batch_4\.bin has sha256/],
      [Buffer.from("<html>Please log in</html>"), /has no cifar-10-batches-bin|TAR_BAD_ARCHIVE/],
    ] as const) {
      const cache = newCache();
      answer = serving(archive);
      await assert.rejects(cifar10({ cache, release: releaseOf(archive) }), message);
      assert.deepEqual(inCache(cache), []);
    }
  });

  test("a refusal, no server, and a second process are told apart", async () => {
    const release = releaseOf(Buffer.from("any"));
    const cache = newCache();
    answer = (_, response) => response.writeHead(404).end("not here");
    await assert.rejects(cifar10({ cache, release }), /did not arrive \(the server answered 404\)/);
    assert.deepEqual(inCache(cache), []);
    await assert.rejects(
      cifar10({ cache, release: { url: "http://127.0.0.1:1/a" } }),
      /did not arrive \(.*ECONNREFUSED/,
    );
    mkdirSync(cache, { recursive: true });
    const lock = join(cache, `${FOLDER}.lock`);
    writeFileSync(lock, `${hostname()} ${process.ppid} 0`); // running
    await assert.rejects(
      cifar10({ cache, release }),
      /process \d+ is at work on the same files\. Wait for it/,
    );
    writeFileSync(lock, `${hostname()} 2147483646 0`); // not running
    await assert.rejects(cifar10({ cache, release }), /404/);
    writeFileSync(lock, `${hostname()} ${process.pid} 1`); // of one that had our id before us
    await assert.rejects(cifar10({ cache, release }), /404/);
  });

  test("a damaged file in the cache is found, with the remedy", async () => {
    const archive = await archiveOf(SMALL);
    const [cache, release] = [newCache(), releaseOf(archive)];
    answer = serving(archive);
    await cifar10({ cache, release });
    writeFileSync(join(cache, FOLDER, FILES[2]), records(9));
    await assert.rejects(
      cifar10({ cache, release }),
      /data_batch_3\.bin has sha256 .* Remove its folder and run this again/,
    );
    rmSync(join(cache, FOLDER, FILES[2]));
    assert.ok((await cifar10({ cache, release })).whole, "a missing one is fetched again");
  });

  test("a proxy from the environment is used, but for the addresses that it excepts", async () => {
    const archive = await archiveOf(SMALL);
    const seen: string[] = [];
    const proxy = createServer((_, response) => response.writeHead(404).end());
    proxy.on("connect", (request: IncomingMessage, socket) => {
      seen.push(request.url ?? "");
      socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const { http_proxy, no_proxy } = process.env;
    process.env.no_proxy = "";
    process.env.http_proxy = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    try {
      const release = { ...releaseOf(archive), url: "http://data.example/set.tar.gz" };
      await assert.rejects(cifar10({ cache: newCache(), release }), /did not arrive/);
      assert.deepEqual(seen, ["data.example:80"]);
      process.env.no_proxy = "other.example, 127.0.0.1";
      answer = serving(archive);
      assert.ok((await cifar10({ cache: newCache(), release: releaseOf(archive) })).whole);
    } finally {
      for (const [name, value] of Object.entries({ http_proxy, no_proxy }))
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      proxy.close();
    }
  });
});
