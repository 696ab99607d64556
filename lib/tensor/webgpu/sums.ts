/**
 * @file Sums as the library needs them, by the npm package's own programs.
 *
 * A product of matrices is summed in the same order each time: where a long sum makes few numbers, such as a dense layer's
 * gradient, the package has parts of it added by whichever comes first, and a run could not be repeated bit for bit. And
 * `tf.addN` takes any number of tensors: the package hands the GPU all at once, which takes some eight.
 */
import * as tf from "@tensorflow/tfjs";

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

/** Puts a kernel made of the npm package's in its place. */
function replaceKernel(name: string, backendName: string, make: (own: tf.KernelFunc) => tf.KernelFunc): void {
  const own = tf.getKernel(name, backendName);
  tf.unregisterKernel(name, backendName);
  tf.registerKernel({ ...own, kernelFunc: make(own.kernelFunc) });
}

const inFixedOrder =
  (product: tf.KernelFunc): tf.KernelFunc =>
  (args) => {
    if (!wouldSplit(args as unknown as Product)) return product(args);
    tf.env().set(FLAG, SMALL_OUTPUT_SIZE);
    try {
      return product(args);
    } finally {
      tf.env().set(FLAG, CHOOSE);
    }
  };

/** Tensors that a program may read besides the one that it writes: what every GPU has. */
const MOST_TERMS = 7;

/** Adds some, then the sum and some more, and so on. */
const inParts =
  (add: tf.KernelFunc): tf.KernelFunc =>
  ({ inputs, backend, attrs }) => {
    const addSome = (terms: tf.TensorInfo[]) =>
      add({ inputs: terms as unknown as tf.NamedTensorInfoMap, backend, attrs }) as tf.TensorInfo;
    const rest = [...(inputs as unknown as tf.TensorInfo[])];
    let sum = addSome(rest.splice(0, MOST_TERMS));
    while (rest.length > 0) {
      const part = sum;
      sum = addSome([part, ...rest.splice(0, MOST_TERMS - 1)]);
      (backend as tf.KernelBackend).disposeData(part.dataId);
    }
    return sum;
  };

/** Puts both in the place of the npm package's kernels. */
export function registerSums(backendName: string): void {
  replaceKernel("BatchMatMul", backendName, inFixedOrder);
  replaceKernel("AddN", backendName, inParts);
}
