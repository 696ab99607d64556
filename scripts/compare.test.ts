/** @file The command as a user runs it: its rows, where it goes on after an interruption, and what it says of mistakes. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { engine } from "../lib/tensor";
import { parseRequest } from "./compare";

const project = join(__dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "lower-bound-compare-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const argv = (args: readonly string[]) => ["--import", "tsx", join("scripts", "compare.ts"), ...args];
const compare = (...args: string[]) =>
  spawnSync(process.execPath, argv(args), { cwd: project, encoding: "utf8" });

const small = (name: string, ...more: string[]) => [
  ..."--data 8gaussians --parameterizations eps,v --weightings snr+1 --seeds 2 --steps 20 --points 40".split(
    " ",
  ),
  ...["--out", join(folder, name), ...more],
];
const rowFiles = (name: string) => {
  const rows = join(folder, name, "rows");
  return existsSync(rows) ? readdirSync(rows).filter((file) => file.endsWith(".json")) : [];
};

const slow = { skip: !engine.native && "slow without the native engine" };

test("--json: the rows of the grid with their columns, and nothing else on standard output", slow, () => {
  const { status, stdout, stderr } = compare(...small("json", "--json"));
  assert.equal(status, 0, stderr);
  const { rows, ...rest } = JSON.parse(stdout);
  assert.deepEqual(rest, {});
  assert.deepEqual(
    rows.map((row: Record<string, unknown>) => [row.parameterization, row.weighting, row.seed, row.steps]),
    [0, 1].flatMap((seed) => ["eps", "v"].map((kind) => [kind, "snr+1", seed, 20])),
  );
  const columns = "parameterization weighting seed steps bound boundStandardError w2 w2Floor seconds";
  for (const row of rows) {
    assert.deepEqual(Object.keys(row), columns.split(" "));
    for (const name of columns.split(" ").slice(4)) assert.ok(Number.isFinite(row[name]), name);
  }
  assert.match(stderr, /\[4\/4\] v, snr\+1, seed 1: bound/);
  for (const name of ["bound", "w2", "samples", "loss", "terms"]) {
    const png = readFileSync(join(folder, "json", `${name}.png`));
    assert.equal(png.subarray(1, 4).toString(), "PNG", name);
    const figure = JSON.parse(readFileSync(join(folder, "json", `${name}.json`), "utf8"));
    assert.ok(figure.data.length > 0 && figure.layout, name);
  }
  assert.match(readFileSync(join(folder, "json", "table.md"), "utf8"), /\| eps \| snr\+1 \|/);
});

test(
  "killed, it goes on where it was: what was finished is not touched, and the rows are the same",
  slow,
  async () => {
    const child = spawn(process.execPath, argv(small("killed", "--json")), { cwd: project, stdio: "ignore" });
    const ended = new Promise((resolve) => child.on("exit", resolve));
    while (rowFiles("killed").length < 2 && child.exitCode === null)
      await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill("SIGKILL");
    await ended;
    const finished = rowFiles("killed");
    const times = finished.map((file) => statSync(join(folder, "killed", "rows", file)).mtimeMs);
    assert.ok(finished.length >= 2 && finished.length < 4, `${finished.length} rows when it was killed`);
    const { status, stdout, stderr } = compare(...small("killed", "--json"));
    assert.equal(status, 0, stderr);
    assert.equal(stderr.match(/\(kept\)/g)?.length, finished.length);
    assert.deepEqual(
      finished.map((file) => statSync(join(folder, "killed", "rows", file)).mtimeMs),
      times,
    );
    const timeless = (text: string) =>
      JSON.parse(text).rows.map((row: { seconds: number }) => ({ ...row, seconds: 0 }));
    assert.deepEqual(timeless(stdout), timeless(readFileSync(join(folder, "json", "rows.json"), "utf8")));
  },
);

test("without --json a table for people, from the rows that are there", slow, () => {
  const { status, stdout } = compare(...small("json"));
  assert.equal(status, 0);
  assert.match(stdout, /^8gaussians, 20 steps, judged on 40 points/);
  assert.match(stdout, /predicts +weighting +bound \(nats\/dim\) +above the optimal network +W2 +its floor/);
});

test("a folder with rows of another comparison is refused", slow, () => {
  const { status, stderr } = compare(...small("json", "--steps", "21"));
  assert.equal(status, 1);
  assert.match(stderr, /^compare: --out .* holds rows of .*"steps":20.*expected .*"steps":21.*\n$/);
});

const MISTAKES: [string[], RegExp][] = [
  [
    ["--data", "suns"],
    /--data is "suns", expected one of moons, swissroll, 8gaussians, 25gaussians, checkerboard\./,
  ],
  [["--parameterizations", "eps,noise"], /"noise", expected one of mean, x0, eps, v, score\./],
  [
    ["--weightings", "vlb,"],
    /--weightings is "", expected one of vlb, simple, snr, truncated-snr, snr\+1, min-snr\./,
  ],
  [["--seeds", "0"], /--seeds is "0", expected a whole number from 1 to/],
  [["--steps", "1e99"], /--steps is "1e99", expected a whole number from 1 to/],
  [["--steps", "many"], /--steps is "many"/],
  [["--points", "3000"], /--points is "3000", expected a whole number from 1 to 2000/],
  [["--steps"], /--steps has no value/],
  [["--json=yes"], /--json takes no value/],
  [["--epochs", "3"], /unknown option --epochs, expected one of --data, --parameterizations,/],
  [["moons"], /unexpected "moons", expected options: --data,/],
];

test("each mistake is named with its choices", () => {
  for (const [args, message] of MISTAKES) assert.throws(() => parseRequest(args), message, args.join(" "));
});

test("a mistake gets one line, nothing on standard output, and a non-zero exit", () => {
  const { status, stdout, stderr } = compare("--weightings", "elbo");
  assert.equal(status, 1);
  assert.equal(stdout, "");
  assert.match(stderr, /^compare: --weightings is "elbo", expected one of vlb, simple, .*\n$/);
});

test("the whole grid of lesson 04 is what no options ask for", () => {
  const request = parseRequest([]);
  assert.ok(request !== "help");
  assert.equal(request.cells.length, 24);
  assert.deepEqual(request.settings, { data: "moons", steps: 4000, points: 1000 });
});
