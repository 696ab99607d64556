/**
 * @file The product of matrices, summed in the same order each time. Where a long sum makes few numbers, such as a dense
 * layer's gradient, the npm package's kernel has parts of it added by whichever comes first, and a run could not be
 * repeated bit for bit; it is told to take its program for small results instead.
 */
import * as tf from "@tensorflow/tfjs";

const KERNEL = "BatchMatMul";
const FLAG = "WEBGPU_MATMUL_PROGRAM_TYPE";
/** The package's numbers of its programs. */
const SMALL_OUTPUT_SIZE = 2;
const CHOOSE = -1;

/** Where the package splits a sum: it is this long, for a result of at most so many tiles and more than so few numbers. */
const LONG = 2000;
const TILE = 32;
const FEW_TILES = 16;
const FEWEST = 128;

interface Product {
  inputs: { a: tf.TensorInfo; b: tf.TensorInfo };
  attrs: { transposeA: boolean; transposeB: boolean };
}

function wouldSplit({ inputs: { a, b }, attrs: { transposeA, transposeB } }: Product): boolean {
  const [outer, inner] = transposeA ? [1, 2] : [2, 1]; // places from the end of a's shape
  const rows = a.shape[a.shape.length - outer];
  const sum = a.shape[a.shape.length - inner];
  const columns = b.shape[b.shape.length - (transposeB ? 2 : 1)];
  const tiles = Math.ceil(rows / TILE) * Math.ceil(columns / TILE);
  return sum >= LONG && tiles <= FEW_TILES && rows * columns > FEWEST;
}

/** Puts the product in a fixed order in the place of the npm package's. */
export function registerMatMul(backendName: string): void {
  const kernel = tf.getKernel(KERNEL, backendName);
  const kernelFunc: tf.KernelFunc = (args) => {
    if (!wouldSplit(args as unknown as Product)) return kernel.kernelFunc(args);
    tf.env().set(FLAG, SMALL_OUTPUT_SIZE);
    try {
      return kernel.kernelFunc(args);
    } finally {
      tf.env().set(FLAG, CHOOSE);
    }
  };
  tf.unregisterKernel(KERNEL, backendName);
  tf.registerKernel({ ...kernel, kernelFunc });
}
