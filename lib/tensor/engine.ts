/**
 * @file The one door to TensorFlow.js: which backend computes, chosen once per process.
 *
 * Order: the native addon that set-up compiled against PyPI's TensorFlow with CUDA (`.cache/engine/cuda`), a GPU without
 * CUDA by way of WebGPU, the native addon on the CPU (`.cache/engine/cpu`), the addon that the npm package itself
 * downloads, and last tfjs's pure JavaScript. `LOWER_BOUND_ENGINE` names the one to take and accepts no other, or
 * several in order: `cuda,cpu,js`.
 */
import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import util from "node:util";

/** The engines by name, best first; the order in which they are tried. */
export const ENGINES = ["cuda", "webgpu", "cpu", "package", "js"] as const;
export type EngineName = (typeof ENGINES)[number];

/** What computes in this process. */
export interface Engine {
  name: EngineName;
  /** One line for people: what it is, and for a fallback what it costs and how to get the native one. */
  description: string;
  /** Whether TensorFlow's native kernels run (every engine but `webgpu` and `js`). */
  native: boolean;
}

type NativeName = Exclude<EngineName, "webgpu" | "js">;

const DESCRIPTIONS: Record<Exclude<EngineName, "webgpu">, string> = {
  cuda: "native TensorFlow on an NVIDIA GPU (CUDA)",
  cpu: "native TensorFlow on the CPU (oneDNN)",
  package:
    "native TensorFlow 2.9 as downloaded by @tensorflow/tfjs-node-gpu (older and slower than the project's own)",
  js: "pure JavaScript, some 100 times slower than native TensorFlow on convolutions; `npm run doctor` says how to get the native engine",
};

/** The project's root: the nearest folder above this file that holds `package.json`. */
const projectRoot = resolve(__dirname, "../..");
const packageRequire = createRequire(join(projectRoot, "package.json"));

/** Path of a native engine's compiled addon, whether or not it is there. */
export function addonPath(name: NativeName): string {
  if (name !== "package") return join(projectRoot, ".cache", "engine", name, "tfjs_binding.node");
  const packageFolder = dirname(packageRequire.resolve("@tensorflow/tfjs-node-gpu/package.json"));
  return join(packageFolder, "lib", "napi-v8", "tfjs_binding.node");
}

/** The engines that were asked for by name, or undefined. */
function requested(): readonly EngineName[] | undefined {
  const asked = process.env.LOWER_BOUND_ENGINE;
  if (!asked) return undefined;
  return asked.split(",").map((name) => {
    if ((ENGINES as readonly string[]).includes(name)) return name as EngineName;
    throw new Error(
      `engine "${name}" (--engine, LOWER_BOUND_ENGINE): expected one of ${ENGINES.join(", ")}.`,
    );
  });
}

/** Set before TensorFlow's library is loaded, each only where the user has not set it. */
function prepareEnvironment(): void {
  process.env.TF_ENABLE_ONEDNN_OPTS ??= "1"; // off by default on some CPUs; halves a convolution's gradient
  process.env.TF_CPP_MIN_LOG_LEVEL ??= "2"; // errors only
  process.env.TF_FORCE_GPU_ALLOW_GROWTH ??= "true"; // else one kernel takes the whole GPU
  // Node 23 removed two helpers that tfjs-node 4.22 calls.
  const legacy = util as unknown as Record<string, (value: unknown) => boolean>;
  legacy.isNullOrUndefined ??= (value) => value === null || value === undefined;
  legacy.isArray ??= Array.isArray;
}

/** TensorFlow's CUDA build computes on the CPU where it sees no GPU; a second addon cannot be loaded in its place. */
function describeNative(
  name: NativeName,
  { usesGpu, mayBeCpu }: Record<"usesGpu" | "mayBeCpu", boolean>,
): Engine {
  if (name !== "cuda" || usesGpu) return { name, description: DESCRIPTIONS[name], native: true };
  if (!mayBeCpu) throw new Error("TensorFlow sees no GPU here");
  return { name: "cpu", description: "the CUDA build on the CPU: TensorFlow sees no GPU here", native: true };
}

function startNative(name: NativeName, mayBeCpu: boolean): Engine {
  if (!existsSync(addonPath(name))) throw new Error(`no addon at ${addonPath(name)}`);
  const tfjs = packageRequire("@tensorflow/tfjs") as typeof import("@tensorflow/tfjs");
  const binding = packageRequire(addonPath(name));
  packageRequire("@tensorflow/tfjs-node-gpu/dist/register_all_kernels");
  const { NodeJSKernelBackend } = packageRequire("@tensorflow/tfjs-node-gpu/dist/nodejs_kernel_backend");
  const backend = new NodeJSKernelBackend(binding, "@tensorflow/tfjs-node-gpu");
  const engine = describeNative(name, { usesGpu: backend.isUsingGpuDevice, mayBeCpu });
  tfjs.registerBackend("tensorflow", () => backend, 3);
  tfjs.setBackend("tensorflow");
  return engine;
}

/** Whether a look for a GPU is worth loading what it takes, a tenth of a second: on Linux its device file is there. */
function mayHaveGpu(): boolean {
  if (process.platform !== "linux") return true;
  const files = existsSync("/dev/dri") ? readdirSync("/dev/dri") : [];
  return files.some((name) => name.startsWith("render")) || existsSync("/dev/nvidia0");
}

function startWebGpu(byName: boolean): Engine {
  if (!byName && !mayHaveGpu()) throw new Error("no GPU");
  const webGpu = require("./webgpu") as typeof import("./webgpu"); // loaded where it is wanted, since Dawn is optional
  const { name, isSoftware } = webGpu.startWebGpu({ allowSoftware: byName });
  const cost = isSoftware ? "; the processor imitates this GPU, slower than the cpu engine" : "";
  const description = `WebGPU on ${name}: compile runs its function op by op here, without fused ops${cost}`;
  return { name: "webgpu", description, native: false };
}

function startJs(): Engine {
  (packageRequire("@tensorflow/tfjs") as typeof import("@tensorflow/tfjs")).setBackend("cpu");
  return { name: "js", description: DESCRIPTIONS.js, native: false };
}

function startOne(name: EngineName, names: readonly EngineName[] | undefined): Engine {
  if (name === "js") return startJs();
  if (name === "webgpu") return startWebGpu(names !== undefined);
  return startNative(name, (names ?? ENGINES).includes("cpu"));
}

function start(): Engine {
  prepareEnvironment();
  const failures: string[] = [];
  const names = requested();
  for (const name of names ?? ENGINES) {
    try {
      return startOne(name, names);
    } catch (error) {
      failures.push(`${name}: ${(error as Error).message}`);
    }
  }
  throw new Error(`No engine could start (${failures.join("; ")}). Run: npm run doctor`);
}

/** The engine of this process. Starting it is a side effect of importing `lib/tensor`. */
export const engine: Engine = start();
