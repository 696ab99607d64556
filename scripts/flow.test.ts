import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { idxFile } from "../lib/testing/idx";
import { PROJECT } from "./setup/layout.mjs";

const folder = mkdtempSync(join(tmpdir(), "flow-"));
after(() => rmSync(folder, { recursive: true }));

/** "Digits": image k is all of grey level 10 + 20 (k mod 12). */
const grey = (i: number) => 10 + 20 * (Math.floor(i / 784) % 12);
for (const part of ["train", "t10k"]) {
  writeFileSync(join(folder, `${part}-images-idx3-ubyte`), idxFile([12, 28, 28], grey));
  writeFileSync(
    join(folder, `${part}-labels-idx1-ubyte`),
    idxFile([12], (i) => i % 10),
  );
}

const flow = (...args: string[]) =>
  promisify(execFile)(process.execPath, ["--import", "tsx", "scripts/flow.ts", ...args], { cwd: PROJECT });

test("particles end at the images of a folder, as a PNG with its figures; the same seed gives the same picture", async () => {
  const run = async (name: string, seed: string) => {
    const out = join(folder, name);
    const options = ["--count", "9", "--steps", "40", "--batch", "64", "--to", "0.5", "--seed", seed];
    const { stdout } = await flow("--data", folder, "--out", out, ...options);
    return { stdout, picture: readFileSync(out) };
  };
  const first = await run("a.png", "1");
  assert.equal(first.picture.subarray(1, 4).toString(), "PNG");
  const nearest = Number(/nearest training digit ([\d.]+);/.exec(first.stdout)?.[1]);
  assert.ok(nearest <= 2, `the images are 20 grey levels apart, the particles ${nearest} from one`);
  assert.ok(Number(/W2 to 9 test digits ([\d.]+)/.exec(first.stdout)?.[1]) > 0);
  const again = await run("b.png", "1");
  assert.ok(again.picture.equals(first.picture));
  assert.ok(!(await run("c.png", "2")).picture.equals(first.picture));
});

test("what is wrong is said in one line", async () => {
  const failed = async (...args: string[]) => (await flow(...args).catch((error) => error)).stderr as string;
  assert.match(await failed("--data", join(folder, "none")), /flow: mnist: no file .*train-images.*\n$/);
  assert.match(await failed("--data", folder, "--to", "30"), /flow: annealing: goes from 20 to 30/);
});
