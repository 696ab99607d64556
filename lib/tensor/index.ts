/** @file `tf` with its backend chosen, and what else the rest of the library needs of the engine. */

export * as tf from "@tensorflow/tfjs";
export { type ByteRows, byteRows, hasByteRows } from "./bytes";
export {
  type Compiled,
  type CompiledGraph,
  type CompileOptions,
  compile,
  PRODUCT_PRECISIONS,
  type ProductPrecision,
} from "./compile";
export { ENGINES, type Engine, type EngineName, engine } from "./engine";
export {
  type Affine,
  addBias,
  attention,
  convolve,
  dense,
  denseChain,
  type GroupNormOptions,
  groupNorm,
  swish,
  upsample,
} from "./ops";
export { type AdamOptions, adam, type Optimizer } from "./optimizer";
export { type Rng, rng, type Step } from "./random";
