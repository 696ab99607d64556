/**
 * @file The native engine: TensorFlow's C library out of PyPI's wheel, and the Node addon compiled against it.
 *
 * `.cache/engine/<cpu|cuda>/tensorflow` holds the library and its headers, `.cache/engine/<cpu|cuda>/
 * tfjs_binding.node` the addon, where `lib/tensor/engine.ts` looks for it. Each has a stamp, so that a change of
 * our C++ sources compiles again but downloads nothing. Where neither engine can be made, the npm package's own
 * library is tried, and last the course runs on pure JavaScript. What failed, why, and what to do is kept in
 * `.cache/engine/engine.json`, for `npm start` and `npm run doctor` to say.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { delimiter, join } from "node:path";
import { getCompiler } from "./compiler.mjs";
import { diskFull, SetupError } from "./errors.mjs";
import { ask, lastWords, run } from "./process.mjs";
import { pipFailure, pythonEnvironment, runPip } from "./python.mjs";
import { hashOf, isStamped, readJson, writeJson } from "./stamp.mjs";

/** @typedef {import("./layout.mjs").Layout} Layout */
/** @typedef {"cuda" | "cpu"} NativeName */
/** @typedef {{ engine: string, reason: string, remedy: string }} EngineFailure */
/** @typedef {{ hash: string, gpu: boolean, engine: NativeName | "package" | "js", failures: EngineFailure[] }} EngineRecord */

/** The Python version whose wheel is taken, whatever Python runs here: the C library does not depend on it. */
const WHEEL_PYTHON = "3.11";

const WHEEL_PLATFORMS = /** @type {Record<string, string[]>} */ ({
  "linux-x64": ["manylinux_2_27_x86_64"],
  "linux-arm64": ["manylinux_2_27_aarch64"],
  "darwin-arm64": ["macosx_12_0_arm64"],
});

/** What NVIDIA's own wheels are tagged with: any Linux up to the one that TensorFlow's wheel asks for. */
const CUDA_PLATFORMS = [
  ...["manylinux2014", "manylinux2010", "manylinux1"],
  ...Array.from({ length: 23 }, (_, index) => `manylinux_2_${27 - index}`),
].map((tag) => `${tag}_x86_64`);

const LIBRARIES =
  process.platform === "darwin"
    ? ["libtensorflow_cc.2.dylib", "libtensorflow_framework.2.dylib"]
    : ["libtensorflow_cc.so.2", "libtensorflow_framework.so.2"];

/** What of the wheel's headers an addon with kernels of its own can need; the rest is 200 MB. */
const HEADERS = [
  "tensorflow/c/",
  "tensorflow/cc/",
  "tensorflow/core/",
  "xla/tsl/",
  "tsl/",
  "absl/",
  "Eigen/",
  "google/protobuf/",
  "ml_dtypes/",
];

const COMPILE_FLAGS = ["-std=c++17", "-O3", "-fno-math-errno", "-fPIC", "-shared", "-DNAPI_VERSION=8"];
const LINK_FLAGS =
  process.platform === "darwin"
    ? ["-undefined", "dynamic_lookup", "-Wl,-rpath,@loader_path/tensorflow"]
    : ["-Wl,-rpath,$ORIGIN/tensorflow", "-Wl,-z,nodelete"];

/** How a remedy ends here: `npm start` goes on without the engine that failed. */
const AGAIN = "then npm run setup";

const platformKey = () => `${process.platform}-${process.arch}`;

/** Whether an NVIDIA GPU answers through its driver. */
export const gpuName = () => ask("nvidia-smi", ["--query-gpu=name", "--format=csv,noheader"])?.split("\n")[0];

/** @param {Layout} at @param {NativeName} name */
const paths = (at, name) => {
  const folder = join(at.engine, name);
  const addon = join(folder, "tfjs_binding.node");
  return {
    folder,
    addon,
    library: join(folder, "tensorflow"),
    lock: join(at.requirements, `engine-${name}.txt`),
  };
};

/** @param {Layout} at @param {NativeName} name */
const libraryHash = (at, name) =>
  hashOf({ paths: [paths(at, name).lock], texts: [platformKey(), ...LIBRARIES, ...HEADERS] });

/**
 * Our own C++ files.
 * @param {Layout} at
 */
const ownSources = (at) =>
  existsSync(at.nativeSources)
    ? readdirSync(at.nativeSources)
        .filter((file) => /\.(cc|h|inc)$/.test(file))
        .sort()
        .map((file) => join(at.nativeSources, file))
    : [];

/** @param {Layout} at @param {NativeName} name */
const addonHash = (at, name) =>
  hashOf({
    paths: [...ownSources(at), join(at.enginePackage, "binding")],
    texts: [libraryHash(at, name), ...COMPILE_FLAGS, ...LINK_FLAGS],
  });

/** @param {Layout} at @param {NativeName} name */
const hasLibrary = (at, name) => {
  const { folder, library } = paths(at, name);
  const files = LIBRARIES.map((file) => join(library, file));
  if (name === "cuda") files.push(join(folder, "nvidia"));
  return (
    files.every((file) => existsSync(file)) &&
    isStamped(join(library, "lower-bound.json"), libraryHash(at, name))
  );
};

/** @param {Layout} at @param {NativeName} name */
const hasAddon = (at, name) => {
  const { addon } = paths(at, name);
  return hasLibrary(at, name) && existsSync(addon) && isStamped(`${addon}.json`, addonHash(at, name));
};

/**
 * Downloads the wheel and unpacks the two libraries and the headers; the folder appears whole or not at all.
 * @param {Layout} at
 * @param {NativeName} name
 * @param {string} log
 */
async function getLibrary(at, name, log) {
  const { folder, library, lock } = paths(at, name);
  if (name === "cuda" && platformKey() !== "linux-x64")
    throw new SetupError("the CUDA engine is for Linux on x86-64", "leave out --gpu");
  const platforms = [...(WHEEL_PLATFORMS[platformKey()] ?? []), ...(name === "cuda" ? CUDA_PLATFORMS : [])];
  if (platforms.length === 0)
    throw new SetupError(
      `PyPI has no TensorFlow for ${platformKey()}`,
      "use Linux or a Mac with an Apple chip",
    );
  const download = join(at.engine, `download.partial-${process.pid}`);
  const partial = `${library}.partial-${process.pid}`;
  const flags = [
    "--no-deps",
    "--require-hashes",
    "--only-binary=:all:",
    "--no-input",
    "-r",
    lock,
    "-d",
    download,
  ];
  const target = ["--implementation", "cp", "--python-version", WHEEL_PYTHON];
  for (const platform of platforms) target.push("--platform", platform);
  try {
    const fetched = await runPip(at, ["download", ...flags, ...target], log);
    if (!fetched.ok) throw pipFailure(fetched.output, "TensorFlow's library", log, AGAIN);
    const wheels = readdirSync(download).map((file) => join(download, file));
    await unpack(
      at,
      wheels.filter((file) => /tensorflow/.test(file.slice(download.length)))[0],
      partial,
      log,
    );
    if (name === "cuda") await unpackCuda(at, wheels, folder, log);
    writeJson(join(partial, "lower-bound.json"), { hash: libraryHash(at, name) });
    replaceFolder(library, partial);
  } finally {
    rmSync(download, { recursive: true, force: true });
    rmSync(partial, { recursive: true, force: true });
  }
}

/**
 * @param {Layout} at
 * @param {string} wheel
 * @param {string} folder
 * @param {string} log
 * @param {string[]} [prefixes]
 */
async function unpack(at, wheel, folder, log, prefixes) {
  const members = prefixes ?? [
    ...LIBRARIES.map((file) => `tensorflow/${file}`),
    ...HEADERS.map((path) => `tensorflow/include/${path}`),
  ];
  const script = join(at.requirements, "..", "unpack.py");
  const { ok, output } = await run(at.python, [script, wheel, folder, ...members], {
    env: pythonEnvironment(),
    log,
  });
  if (ok) return;
  if (/No space left/.test(output)) throw diskFull(AGAIN, { log });
  throw new SetupError(`a wheel could not be unpacked (${lastWords(output)})`, `look into ${log}`, { log });
}

/**
 * NVIDIA's libraries where TensorFlow's library looks for them: `../nvidia/<part>/lib` beside its own folder.
 * @param {Layout} at
 * @param {string[]} wheels
 * @param {string} folder
 * @param {string} log
 */
async function unpackCuda(at, wheels, folder, log) {
  const target = join(folder, "nvidia");
  const partial = `${target}.partial-${process.pid}`;
  try {
    for (const wheel of wheels)
      if (/nvidia_[^/\\]*\.whl$/.test(wheel)) await unpack(at, wheel, partial, log, ["nvidia/"]);
    replaceFolder(target, partial);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}

/** @param {string} folder @param {string} replacement */
function replaceFolder(folder, replacement) {
  const old = `${folder}.partial-old-${process.pid}`;
  if (existsSync(folder)) renameSync(folder, old);
  renameSync(replacement, folder);
  rmSync(old, { recursive: true, force: true });
}

/**
 * The addon's C++ files: the package's backend, and our own or else the package's entry point.
 * @param {Layout} at
 */
function addonSources(at) {
  const binding = join(at.enginePackage, "binding");
  const own = ownSources(at).filter((file) => file.endsWith(".cc"));
  const entry = own.includes(join(at.nativeSources, "binding.cc")) ? [] : [join(binding, "tfjs_binding.cc")];
  return [join(binding, "tfjs_backend.cc"), ...entry, ...own];
}

/**
 * Compiles the addon, loads it once in a process of its own, and only then puts it in its place.
 * @param {Layout} at
 * @param {NativeName} name
 * @param {string} log
 */
async function compileAddon(at, name, log) {
  const { addon, library } = paths(at, name);
  const hash = addonHash(at, name);
  const compiler = await getCompiler(at);
  const includes = [
    join(library, "include"),
    join(at.modules, "node-api-headers", "include"),
    join(at.enginePackage, "binding"),
  ];
  const partial = `${addon}.partial-${process.pid}.node`;
  const args = [
    ...compiler.args,
    ...COMPILE_FLAGS,
    ...includes.map((folder) => `-I${folder}`),
    ...addonSources(at),
    ...LIBRARIES.map((file) => join(library, file)),
    ...LINK_FLAGS,
    "-o",
    partial,
  ];
  try {
    const compiled = await run(compiler.program, args, { cwd: at.project, env: compiler.env, log });
    if (!compiled.ok)
      throw new SetupError(
        `${compiler.name} could not compile the addon (${lastWords(compiled.output)})`,
        `look into ${log}; another compiler can be named in CXX, then npm run setup`,
        { log },
      );
    await tryAddon(partial, name, log);
    renameSync(partial, addon);
    writeJson(`${addon}.json`, { hash, compiler: compiler.name });
  } finally {
    rmSync(partial, { force: true });
  }
}

const TRY_CODE = `
const binding = require(process.argv[1]);
if (process.argv[2] === "cuda" && !binding.isUsingGpuDevice()) throw new Error("TensorFlow sees no GPU");
console.log(binding.TF_Version);`;

/**
 * @param {string} addon
 * @param {string} name
 * @param {string} log
 */
async function tryAddon(addon, name, log) {
  const { ok, output } = await run(process.execPath, ["-e", TRY_CODE, addon, name], {
    log,
    timeoutMs: 120_000,
  });
  if (ok) return;
  const remedy =
    name === "cuda"
      ? "update NVIDIA's driver (525 or newer; nvidia-smi must answer), then npm run setup -- --gpu"
      : "report the log at the project's home; until then the course runs on a slower engine";
  throw new SetupError(`the addon was built but does not load (${lastWords(output)})`, remedy, { log });
}

/** @param {Layout} at */
const packageAddon = (at) => join(at.enginePackage, "lib", "napi-v8", "tfjs_binding.node");

/**
 * The npm package's own way: its install script, with the libtensorflow 2.9 that it downloads.
 * @param {Layout} at
 * @param {string} log
 */
async function installPackageEngine(at, log) {
  const env = { ...process.env, PATH: [join(at.modules, ".bin"), process.env.PATH].join(delimiter) };
  const script = join("scripts", "install.js");
  const options = { cwd: at.enginePackage, env, log, timeoutMs: 900_000 };
  const { ok, output } = await run(process.execPath, [script, "cpu", "download"], options);
  const addon = packageAddon(at);
  if (!ok || !existsSync(addon))
    throw new SetupError(
      `the npm package could not install its own library (${lastWords(output)})`,
      "see the engine before it",
      { log },
    );
  await tryAddon(addon, "package", log);
}

/** @param {Layout} at */
const recordPath = (at) => join(at.engine, "engine.json");

/**
 * What set-up found out about the engines, or undefined before it.
 * @param {Layout} at
 * @returns {EngineRecord | undefined}
 */
export const readEngineRecord = (at) => readJson(recordPath(at));

/** @param {Layout} at */
const recipeHash = (at) => hashOf({ texts: [addonHash(at, "cpu"), addonHash(at, "cuda")] });

/**
 * Whether the engines are as the last set-up could make them. A failure is not tried again by itself: that
 * would cost each later start its time. `npm run setup` does.
 * @param {Layout} at
 * @param {{ gpu?: boolean, retry?: boolean }} wishes
 */
export function hasEngine(at, { gpu = false, retry = false }) {
  const record = readEngineRecord(at);
  if (record?.hash !== recipeHash(at) || (gpu && !record.gpu)) return false;
  if (retry && record.failures.length > 0) return false;
  if (record.engine === "js") return true;
  // It lies in node_modules, which npm may have made again.
  if (record.engine === "package") return existsSync(packageAddon(at));
  // CUDA's stands beside the CPU's, which is for where no GPU answers.
  const both = record.engine === "cuda" && !record.failures.some(({ engine }) => engine === "cpu");
  const made = both ? /** @type {const} */ (["cuda", "cpu"]) : [record.engine];
  return made.every((name) => hasAddon(at, name) && (!retry || loads(at, name)));
}

/**
 * Whether the addon can be loaded with its library, wherever it then computes: either file may be damaged.
 * @param {Layout} at
 * @param {NativeName} name
 */
const loads = (at, name) =>
  ask(process.execPath, ["-e", TRY_CODE, paths(at, name).addon], { timeoutMs: 120_000 }) !== undefined;

/** @param {Layout} at @param {NativeName} name @param {(text: string) => void} tell */
async function makeNative(at, name, tell) {
  if (hasAddon(at, name) && !loads(at, name))
    rmSync(paths(at, name).folder, { recursive: true, force: true });
  const log = join(at.logs, `engine-${name}.log`);
  mkdirSync(paths(at, name).folder, { recursive: true });
  if (!hasLibrary(at, name)) {
    tell(name === "cuda" ? "downloading TensorFlow and CUDA, 3 GB" : "downloading TensorFlow, 274 MB");
    await getLibrary(at, name, log);
  }
  if (hasAddon(at, name)) return;
  tell("compiling the addon");
  await compileAddon(at, name, log);
}

/**
 * Makes every engine that can be made, best first, until one on the CPU is there. Throws nothing but what is
 * beyond repair: a failed engine is recorded, and the next one tried. After a file that was not the locked one no engine
 * is tried whose files are not locked. An addon of other sources than the present ones goes, also where it is not made anew.
 * @param {Layout} at
 * @param {{ gpu?: boolean }} wishes
 * @param {(text: string) => void} tell
 * @returns {Promise<EngineRecord>}
 */
export async function installEngine(at, { gpu = false }, tell) {
  const wantsCuda = gpu || (platformKey() === "linux-x64" && gpuName() !== undefined);
  for (const name of /** @type {const} */ (["cuda", "cpu"])) {
    const { addon } = paths(at, name);
    if (!hasAddon(at, name)) for (const file of [addon, `${addon}.json`]) rmSync(file, { force: true });
  }
  const log = join(at.logs, "engine-package.log");
  /** @type {["cpu" | "package", () => Promise<void>][]} */
  const engines = [
    ["cpu", () => makeNative(at, "cpu", tell)],
    ["package", () => installPackageEngine(at, log)],
  ];
  /** @type {EngineFailure[]} */
  const failures = [];
  let altered = false;
  const attempt = async (/** @type {string} */ engine, /** @type {() => Promise<void>} */ make) => {
    try {
      await make();
      return true;
    } catch (error) {
      const remedy = error instanceof SetupError ? error.remedy : "run npm run setup";
      altered ||= error instanceof SetupError && error.altered;
      failures.push({ engine, reason: /** @type {Error} */ (error).message, remedy });
      return false;
    }
  };
  const cuda = wantsCuda && (await attempt("cuda", () => makeNative(at, "cuda", tell)));
  /** @type {EngineRecord["engine"]} */
  let engine = "js";
  for (const [name, make] of engines)
    if (!(altered && name === "package") && (await attempt(name, make))) {
      engine = name;
      break;
    }
  if (cuda) engine = "cuda";
  const record = { hash: recipeHash(at), gpu: wantsCuda, engine, failures };
  writeJson(recordPath(at), record);
  return record;
}
