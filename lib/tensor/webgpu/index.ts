/// <reference types="@webgpu/types" />
/**
 * @file The engine on WebGPU: tfjs's own backend on a GPU that Dawn opens, for GPUs without CUDA.
 *
 * Added to the npm package's backend: tensors can be read at once (`dataSync`), which it can in browsers alone; what the
 * GPU refuses is an error; TensorFlow's stateless random numbers (random.ts); precise sines and the like (unary.ts); sums in
 * a fixed order (sums.ts). Left out: compiled steps and fused ops, which are TensorFlow's; the kernels that the npm
 * package has not.
 */
import * as tf from "@tensorflow/tfjs";
import { type Gpu, openGpu } from "./dawn";
import { waitFor, whenDone } from "./events";
import { registerRandom } from "./random";
import { registerSums } from "./sums";
import { registerUnary } from "./unary";

const BACKEND = "webgpu";

/** The npm package's backend, as far as it is used here. */
interface Backend extends tf.KernelBackend {
  commandEncoder: GPUCommandEncoder;
  readonly bufferManager: {
    acquireBuffer(bytes: number, usage: number): GPUBuffer;
    releaseBuffer(buffer: GPUBuffer): void;
  };
  readonly tensorMap: {
    get(dataId: object): { dtype: tf.DataType; values: tf.BackendValues | null; resource: GPUBuffer };
  };
  ensureCommandEncoderReady(): void;
  endComputePassEncoder(): void;
  submitQueue(): void;
  getBufferData(buffer: GPUBuffer): Promise<ArrayBuffer>;
}

/** The package reads `navigator.gpu` when it makes a backend, and would otherwise open a GPU by itself. */
function newBackend({ device, info }: Gpu): Backend {
  const { WebGPUBackend } = require("@tensorflow/tfjs-backend-webgpu");
  const own = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  Object.defineProperty(globalThis, "navigator", { value: { gpu: {} }, configurable: true });
  try {
    return new WebGPUBackend(device, info);
  } finally {
    if (own) Object.defineProperty(globalThis, "navigator", own);
    else Reflect.deleteProperty(globalThis, "navigator");
  }
}

const LOST =
  "webgpu: the GPU was lost (its driver was reset, or a step took too long). Restart the kernel or the command; smaller batches help.";

/** Gives the backend its two ways of reading a buffer; both throw what the GPU has refused since the last read, or that it is gone. */
function addReading(backend: Backend, device: GPUDevice): void {
  let refused: string | undefined;
  device.addEventListener("uncapturederror", (event) => {
    event.preventDefault(); // it would be printed
    refused ??= (event as GPUUncapturedErrorEvent).error.message;
  });
  let lastWords = "";
  device.lost.then(({ message }) => {
    lastWords = message;
  });
  const { bufferManager, tensorMap } = backend;

  function throwRefused(): void {
    if (refused === undefined) return;
    const message = refused.replaceAll(/\s+/g, " ");
    refused = undefined;
    throw new Error(`webgpu: the GPU refused an op: ${message}`);
  }
  /** What Dawn rejects with has no message where the GPU was lost. */
  function throwLost(error: Error): never {
    throwRefused();
    const said = (lastWords || error.message).trim();
    throw new Error(said ? `${LOST} The driver says: ${said}` : LOST);
  }
  function copyOf(buffer: GPUBuffer): GPUBuffer {
    const copy = bufferManager.acquireBuffer(buffer.size, GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ);
    backend.ensureCommandEncoderReady();
    backend.endComputePassEncoder();
    backend.commandEncoder.copyBufferToBuffer(buffer, 0, copy, 0, buffer.size);
    backend.submitQueue();
    return copy;
  }
  function take(copy: GPUBuffer): ArrayBuffer {
    const bytes = copy.getMappedRange().slice(0);
    copy.unmap();
    bufferManager.releaseBuffer(copy);
    throwRefused();
    return bytes;
  }

  backend.getBufferData = async (buffer) => {
    const copy = copyOf(buffer);
    await whenDone(() => copy.mapAsync(GPUMapMode.READ)).catch(throwLost);
    return take(copy);
  };
  const readOnCpu = backend.readSync.bind(backend);
  backend.readSync = (dataId) => {
    const data = tensorMap.get(dataId);
    if (data.values || data.dtype === "string" || data.dtype === "complex64") return readOnCpu(dataId);
    const copy = copyOf(data.resource);
    try {
      waitFor(() => copy.mapAsync(GPUMapMode.READ));
    } catch (error) {
      throwLost(error as Error);
    }
    data.values = tf.util.convertBackendValuesAndArrayBuffer(take(copy), data.dtype);
    return data.values;
  };
}

/**
 * Makes WebGPU the backend of this process, and returns its GPU. Throws a sentence that says what is missing, or that the
 * only GPU is one that the processor imitates, where a real one is wanted.
 */
export function startWebGpu({ allowSoftware }: { allowSoftware: boolean }): Gpu {
  const gpu = openGpu();
  if (gpu.isSoftware && !allowSoftware) {
    gpu.device.destroy();
    throw new Error(`the only GPU is imitated by the processor (${gpu.name})`);
  }
  const backend = newBackend(gpu);
  addReading(backend, gpu.device);
  registerUnary(BACKEND);
  registerSums(BACKEND);
  registerRandom(BACKEND);
  tf.registerBackend(BACKEND, () => backend, 3);
  tf.setBackend(BACKEND);
  return gpu;
}
