import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { idxFile as idx } from "../testing/idx";
import { mnist } from "./mnist";

const root = mkdtempSync(join(tmpdir(), "mnist "));
after(() => rmSync(root, { recursive: true }));

const pixel = (i: number) => (5 * i + Math.floor(i / 784)) % 251;
const GOOD = {
  "train-images-idx3-ubyte": idx([4, 28, 28], pixel),
  "train-labels-idx1-ubyte": idx([4], (i) => 9 - i),
  "t10k-images-idx3-ubyte.gz": gzipSync(idx([2, 28, 28], pixel)),
  "t10k-labels-idx1-ubyte.gz": gzipSync(idx([2], (i) => i)),
};

let folders = 0;
function folderOf(files: Record<string, Uint8Array | undefined>): string {
  const folder = join(root, `data ${folders++}`);
  mkdirSync(folder);
  for (const [name, bytes] of Object.entries(files)) if (bytes) writeFileSync(join(folder, name), bytes);
  return folder;
}

test("images and labels, gzipped or not", async () => {
  const { train, test, description } = await mnist({ dir: folderOf(GOOD) });
  assert.deepEqual(train.shape, [4, 28, 28, 1]);
  assert.deepEqual(test.shape, [2, 28, 28, 1]);
  assert.deepEqual([...train.labels], [9, 8, 7, 6]);
  assert.deepEqual([...test.labels], [0, 1]);
  assert.deepEqual(
    train.images,
    Uint8Array.from({ length: 4 * 784 }, (_, i) => pixel(i)),
  );
  assert.deepEqual(test.images, train.images.slice(0, 2 * 784));
  assert.match(description, /4 training and 2 test images/);
});

test("padded images have the digit in the middle and background around it", async () => {
  const { train } = await mnist({ dir: folderOf(GOOD), side: 32 });
  assert.deepEqual(train.shape, [4, 32, 32, 1]);
  for (let n = 0, at = 0; n < 4; n++)
    for (let row = 0; row < 32; row++)
      for (let column = 0; column < 32; column++, at++) {
        const inside = row >= 2 && row < 30 && column >= 2 && column < 30;
        const want = inside ? pixel((n * 28 + row - 2) * 28 + column - 2) : 0;
        assert.equal(train.images[at], want, `image ${n}, row ${row}, column ${column}`);
      }
});

const images = GOOD["train-images-idx3-ubyte"];
const bad: [what: string, files: Record<string, Uint8Array | undefined>, message: RegExp][] = [
  [
    "a missing file",
    { "train-labels-idx1-ubyte": undefined },
    /no file .*train-labels-idx1-ubyte or .*\.gz\. Get it/,
  ],
  [
    "a truncated file",
    { "train-images-idx3-ubyte": images.subarray(0, 1000) },
    /has 1000 bytes, expected 3152 for shape \[4,28,28\]: truncated/,
  ],
  [
    "a truncated gzip file",
    { "t10k-images-idx3-ubyte.gz": GOOD["t10k-images-idx3-ubyte.gz"].subarray(0, 200) },
    /t10k-images-idx3-ubyte\.gz cannot be unpacked \(unexpected end of file\)/,
  ],
  [
    "labels in the place of images",
    { "train-images-idx3-ubyte": idx([4], () => 1) },
    /begins with 00000801, expected 00000803/,
  ],
  ["an empty file", { "train-labels-idx1-ubyte": Buffer.alloc(0) }, /begins with nothing, expected 00000801/],
  [
    "images of another size",
    { "train-images-idx3-ubyte": idx([4, 32, 32], () => 1) },
    /has images of 32 × 32, expected 28 × 28/,
  ],
  [
    "fewer labels than images",
    { "train-labels-idx1-ubyte": idx([3], () => 1) },
    /train-labels-idx1-ubyte has 3 labels, expected one for each image of .*, 4/,
  ],
  [
    "a label above 9",
    { "train-labels-idx1-ubyte": idx([4], (i) => 10 * i) },
    /has label 10 at place 1, expected 0 to 9/,
  ],
];
for (const [what, files, message] of bad)
  test(`${what} is refused`, async () => {
    await assert.rejects(mnist({ dir: folderOf({ ...GOOD, ...files }) }), message);
  });

test("a side that the images do not fit is refused", async () => {
  for (const side of [20, 29, 28.5])
    await assert.rejects(mnist({ dir: folderOf(GOOD), side }), /side is .*, expected an even number from 28/);
});

test("without a folder the files are downloaded once and checked; one that is another is refused", async () => {
  const zipped = Object.fromEntries(
    Object.entries(GOOD).map(([name, bytes]) =>
      name.endsWith(".gz") ? [name, bytes] : [`${name}.gz`, gzipSync(bytes)],
    ),
  );
  let asked: string[] = [];
  const server = createServer(({ url = "" }, response) => {
    asked.push(url);
    response.end(zipped[url.slice("/mnist/".length)]);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const own = process.env.no_proxy;
  process.env.no_proxy = "127.0.0.1"; // whatever proxy the machine has
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/mnist/`;
    const md5 = Object.fromEntries(
      Object.entries(zipped).map(([name, bytes]) => [name, createHash("md5").update(bytes).digest("hex")]),
    );
    const options = { cache: join(root, "cache"), release: { url, md5 } };
    let received = 0;
    const first = await mnist({
      ...options,
      onProgress: (progress) => {
        received = progress.received;
      },
    });
    assert.ok(received > 0);
    assert.deepEqual([...first.train.labels], [9, 8, 7, 6]);
    assert.deepEqual(
      asked.sort(),
      Object.keys(zipped)
        .map((name) => `/mnist/${name}`)
        .sort(),
    );
    asked = [];
    assert.deepEqual((await mnist(options)).train, first.train);
    assert.deepEqual(asked, [], "the second call downloads nothing");
    assert.deepEqual(readdirSync(options.cache), ["mnist"], "no lock or part is left");
    const lock = join(options.cache, "mnist.lock");
    writeFileSync(lock, String(process.ppid)); // another that is at work on them, which reading does not disturb
    assert.deepEqual((await mnist(options)).train, first.train);
    rmSync(lock);
    zipped["t10k-labels-idx1-ubyte.gz"] = gzipSync(Buffer.from("another file"));
    await assert.rejects(
      mnist({ ...options, cache: join(root, "cache of another") }),
      /mnist: download: .*t10k-labels-idx1-ubyte\.gz has md5 \w+, expected \w+.*Or get the four files by other means/,
    );
  } finally {
    if (own === undefined) delete process.env.no_proxy;
    else process.env.no_proxy = own;
    server.close();
  }
});
