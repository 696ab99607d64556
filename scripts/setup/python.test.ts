/** @file Python in every state in which people have it, and what set-up then says. */
import assert from "node:assert/strict";
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { SetupError } from "./errors.mjs";
import { findPython, hasPython, installPython, pipFailure, pythonEnvironment } from "./python.mjs";
import { fakePath, makeProject, withEnvironment } from "./testing";

const OLD = 'case "$*" in *version_info*) echo 3.8.10;; esac';

/** A Python 3.12 whose `-m venv` and `-m pip` do as told. */
const python312 = (venv: string, pip = "exit 1") =>
  `case "$*" in *version_info*) echo 3.12.1;; *"-m venv"*) ${venv};; *"-m pip"*) ${pip};; *) exit 1;; esac`;

/** The SetupError that installing Python ends in with this PATH. */
async function failureOf(path: string): Promise<SetupError> {
  const at = makeProject();
  writeFileSync(join(at.requirements, "jupyter.txt"), "jupyterlab==4.6.6\n");
  const error = await withEnvironment({ PATH: path, LOWER_BOUND_PYTHON: undefined }, () =>
    installPython(at).then(
      () => undefined,
      (reason: unknown) => reason,
    ),
  );
  assert.ok(error instanceof SetupError, String(error));
  assert.equal(hasPython(at), false);
  return error;
}

test("no Python at all: the reason and how to install one", () => {
  assert.throws(
    () => findPython({ PATH: fakePath({}) }),
    (error: SetupError) =>
      /no Python answers/.test(error.message) && /apt-get install -y python3/.test(error.remedy),
  );
});

test("a Python that is too old is named with its version, and a newer one beside it is taken", () => {
  assert.throws(
    () => findPython({ PATH: fakePath({ python3: OLD }) }),
    /python3 is 3\.8\.10; expected 3\.10 or newer/,
  );
  const both = fakePath({ python3: OLD, "python3.12": "echo 3.12.1" });
  assert.deepEqual(findPython({ PATH: both }), { program: "python3.12", args: [], version: "3.12.1" });
});

test("LOWER_BOUND_PYTHON is asked alone", () => {
  const path = fakePath({ python3: "echo 3.12.1" });
  assert.throws(
    () => findPython({ PATH: path, LOWER_BOUND_PYTHON: "nopython" }),
    /no Python answers to nopython/,
  );
});

test("Debian without python3-venv: the package to install", async () => {
  const noVenv =
    'echo "The virtual environment was not created successfully because ensurepip is not available."; exit 1';
  const error = await failureOf(fakePath({ python3: python312(noVenv) }));
  assert.match(error.message, /cannot make virtual environments/);
  assert.match(error.remedy, /apt-get install -y python3-venv/);
});

test("without ensurepip the machine's own pip fills the environment, when it can reach into it", async () => {
  // `venv --without-pip` works, and pip is new enough to install into another interpreter; then the network fails.
  const venv = 'case "$*" in *--without-pip*) exit 0;; *) echo "No module named ensurepip"; exit 1;; esac';
  const pip =
    'case "$*" in *--version*) echo "pip 24.0 from x";; *) echo "NewConnectionError: --python"; exit 1;; esac';
  const error = await failureOf(fakePath({ python3: python312(venv, pip) }));
  assert.match(error.message, /could not download JupyterLab/);
});

test("a venv that fails for another reason shows that reason and the log", async () => {
  const error = await failureOf(
    fakePath({ python3: python312('echo "Error: read-only file system"; exit 1') }),
  );
  assert.match(error.message, /read-only file system/);
  assert.ok(error.log && /python\.log$/.test(error.log));
});

test("an environment whose Python has become another version is made again", async () => {
  const at = makeProject();
  const bin = fakePath({ python3: python312("exit 0"), "python3.11": "exit 0", "python3.13": "exit 0" });
  const link = (target: string, path: string) => {
    rmSync(path, { force: true });
    symlinkSync(target, path);
  };
  const system = join(bin, "system-python3");
  link("python3.11", system);
  mkdirSync(join(at.python, ".."), { recursive: true });
  link(system, at.python);
  await withEnvironment({ PATH: bin, LOWER_BOUND_PYTHON: undefined }, () => installPython(at));
  assert.equal(hasPython(at), true);
  link("python3.13", system);
  assert.equal(hasPython(at), false);
  link("python3.11", system);
  assert.equal(hasPython(at), true);
  assert.equal(hasPython(at, { retry: true }), true);
  writeFileSync(join(bin, "python3.11"), "#!/bin/sh\nexit 1\n"); // as where JupyterLab cannot be imported
  assert.deepEqual([hasPython(at), hasPython(at, { retry: true })], [true, false]);
  link("no-such-python", system);
  assert.equal(hasPython(at), false);
});

test("pip's troubles are told apart", () => {
  const of = (output: string) => pipFailure(output, "JupyterLab", "log");
  const retrying =
    "WARNING: Retrying after connection broken by 'NewConnectionError(...)'\nERROR: No matching distribution found";
  assert.match(of(retrying).message, /could not download/);
  assert.match(of(retrying).remedy, /index-url/);
  assert.match(of("ERROR: No matching distribution found for pyzmq").message, /no build of JupyterLab/);
  assert.match(of("THESE PACKAGES DO NOT MATCH THE HASHES").remedy, /pip cache purge/);
  assert.match(of("OSError: [Errno 28] No space left on device").message, /disk is full/);
  assert.match(of("ENOSPC").remedy, /^free 3 GB \(10 GB with CUDA\), then run the command again/);
  assert.match(of("ERROR: odd").message, /odd/);
});

test("a user's own Python settings do not lead out of the virtual environment, pip's mirror stays", () => {
  const { PIP_USER, PIP_REQUIRE_VIRTUALENV, PYTHONPATH, PIP_INDEX_URL, PIP_TARGET } = pythonEnvironment({
    PIP_USER: "1",
    PIP_REQUIRE_VIRTUALENV: "1",
    PIP_TARGET: "/elsewhere",
    PYTHONPATH: "/ros",
    PIP_INDEX_URL: "https://mirror.example/simple",
  });
  assert.deepEqual(
    { PIP_USER, PIP_REQUIRE_VIRTUALENV, PYTHONPATH, PIP_INDEX_URL, PIP_TARGET },
    {
      PIP_USER: "0",
      PIP_REQUIRE_VIRTUALENV: undefined,
      PYTHONPATH: undefined,
      PIP_INDEX_URL: "https://mirror.example/simple",
      PIP_TARGET: undefined,
    },
  );
});
