/**
 * @file The one door to TensorFlow.js: which backend computes, chosen once per process.
 *
 * Order: the native addon that set-up compiled against PyPI's TensorFlow (`.cache/engine/<cuda|cpu>`), the
 * addon that the npm package itself downloads, and last tfjs's pure JavaScript. `LOWER_BOUND_ENGINE` =
 * `cuda` | `cpu` | `package` | `js` asks for one by name and accepts no other.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import util from "node:util";

/** The engines by name, best first; the order in which they are tried. */
export const ENGINES = ["cuda", "cpu", "package", "js"] as const;
export type EngineName = (typeof ENGINES)[number];

/** What computes in this process. */
export interface Engine {
  name: EngineName;
  /** One line for people: what it is, and for a fallback what it costs and how to get the native one. */
  description: string;
  /** Whether TensorFlow's native kernels run (every engine but `js`). */
  native: boolean;
}

const DESCRIPTIONS: Record<EngineName, string> = {
  cuda: "native TensorFlow on an NVIDIA GPU (CUDA)",
  cpu: "native TensorFlow on the CPU (oneDNN)",
  package:
    "native TensorFlow 2.9 as downloaded by @tensorflow/tfjs-node-gpu (older and slower than the project's own)",
  js: "pure JavaScript, some 100 times slower than native TensorFlow on convolutions; `npm run doctor` says how to get the native engine",
};

/** The project's root: the nearest folder above this file that holds `package.json`. */
const projectRoot = resolve(__dirname, "../..");
const packageRequire = createRequire(join(projectRoot, "package.json"));

/** Path of an engine's compiled addon, whether or not it is there. `js` has none. */
export function addonPath(name: Exclude<EngineName, "js">): string {
  if (name !== "package") return join(projectRoot, ".cache", "engine", name, "tfjs_binding.node");
  const packageFolder = dirname(packageRequire.resolve("@tensorflow/tfjs-node-gpu/package.json"));
  return join(packageFolder, "lib", "napi-v8", "tfjs_binding.node");
}

function requested(): readonly EngineName[] {
  const asked = process.env.LOWER_BOUND_ENGINE;
  if (!asked) return ENGINES;
  if (!(ENGINES as readonly string[]).includes(asked))
    throw new Error(`LOWER_BOUND_ENGINE is "${asked}", expected one of ${ENGINES.join(", ")}.`);
  return [asked as EngineName];
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

function registerNative(name: Exclude<EngineName, "js">): void {
  const tfjs = packageRequire("@tensorflow/tfjs") as typeof import("@tensorflow/tfjs");
  const binding = packageRequire(addonPath(name));
  packageRequire("@tensorflow/tfjs-node-gpu/dist/register_all_kernels");
  const { NodeJSKernelBackend } = packageRequire("@tensorflow/tfjs-node-gpu/dist/nodejs_kernel_backend");
  tfjs.registerBackend("tensorflow", () => new NodeJSKernelBackend(binding, "@tensorflow/tfjs-node-gpu"), 3);
  tfjs.setBackend("tensorflow");
}

function start(): Engine {
  prepareEnvironment();
  const failures: string[] = [];
  for (const name of requested()) {
    if (name === "js") break;
    if (!existsSync(addonPath(name))) {
      failures.push(`${name}: no addon at ${addonPath(name)}`);
      continue;
    }
    try {
      registerNative(name);
      return { name, description: DESCRIPTIONS[name], native: true };
    } catch (error) {
      failures.push(`${name}: ${(error as Error).message}`);
    }
  }
  if (!requested().includes("js"))
    throw new Error(`No engine could start (${failures.join("; ")}). Run: npm run doctor`);
  (packageRequire("@tensorflow/tfjs") as typeof import("@tensorflow/tfjs")).setBackend("cpu");
  return { name: "js", description: DESCRIPTIONS.js, native: false };
}

/** The engine of this process. Starting it is a side effect of importing `lib/tensor`. */
export const engine: Engine = start();
