/// <reference types="@webgpu/types" />
/**
 * @file A GPU by way of Dawn (Chromium's WebGPU, npm package `webgpu`): Vulkan on Linux, Metal on macOS, Direct3D 12 on
 * Windows. The package is optional, and so is a driver: each thing that can be missing has its sentence.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { waitFor } from "./events";

/** A device of the GPU, for as long as the process runs. */
export interface Gpu {
  device: GPUDevice;
  info: Info;
  /** The GPU's or the driver's own name. */
  name: string;
  /** Whether a driver computes on the CPU what a GPU should. */
  isSoftware: boolean;
}

/** What Dawn tells of an adapter; the package of WebGPU's types that tfjs is built with is older. */
type Info = GPUAdapterInfo & { isFallbackAdapter: boolean };

interface DawnBinding {
  create(options: string[]): GPU;
  /** WebGPU's classes and constants. */
  globals: Record<string, unknown>;
}

/** What of WebGPU's global names the backend reads. */
const GLOBALS = [
  "GPUBuffer",
  "GPUTexture",
  "GPUBufferUsage",
  "GPUTextureUsage",
  "GPUMapMode",
  "GPUShaderStage",
];

/** The limits that decide how large a tensor and a program may be; a device has less unless it is asked. */
const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeWorkgroupsPerDimension",
  "maxComputeWorkgroupSizeX",
  "maxComputeInvocationsPerWorkgroup",
] as const;

/** Path of Dawn's Node binding for this platform. Throws where the package, or its build for the platform, is missing. */
function bindingPath(): string {
  const platform = `${process.platform}-${process.platform === "darwin" ? "universal" : process.arch}`;
  let folder: string;
  try {
    folder = dirname(createRequire(__filename).resolve("webgpu/package.json"));
  } catch {
    throw new Error("the npm package webgpu is not installed");
  }
  const path = join(folder, "dist", platform, "dawn.node");
  if (!existsSync(path)) throw new Error(`the npm package webgpu has no build for ${platform}`);
  return path;
}

function loadBinding(): DawnBinding {
  const path = bindingPath();
  try {
    return require(path);
  } catch (error) {
    throw new Error(`Dawn does not load (${(error as Error).message.split("\n")[0]})`);
  }
}

/** Opens the GPU that Dawn thinks best. Throws a sentence without a full stop that says what is missing. */
export function openGpu(): Gpu {
  const { create, globals } = loadBinding();
  for (const name of GLOBALS) (globalThis as Record<string, unknown>)[name] = globals[name];
  const instance = create([]);
  const adapter = waitFor(() => instance.requestAdapter({ powerPreference: "high-performance" }));
  if (!adapter) throw new Error("Dawn finds no GPU, or no driver for it (Linux: Vulkan)");
  const requiredLimits = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]]));
  const device = waitFor(() => adapter.requestDevice({ requiredLimits }));
  process.once("exit", () => device.destroy()); // a device that outlives its driver crashes the process
  const { info } = adapter as unknown as { info: Info };
  const name = info.description || info.device || info.architecture || info.vendor;
  return { device, info, name, isSoftware: info.isFallbackAdapter };
}
