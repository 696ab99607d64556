/**
 * @file What a kernel of our own needs of the WebGPU backend: the description of a GPU program, and how it is run. The
 * backend turns it into WGSL with the declarations of its inputs, uniforms and output (`uniforms`, `getXByOutputIndex`,
 * `setOutputAtIndex`), and keeps what it compiled under `shaderKey`.
 */
import type * as tf from "@tensorflow/tfjs";

export interface Program {
  /** Names of the inputs. */
  variableNames: string[];
  /** Declarations of further uniforms: "key : i32, …". */
  uniforms?: string;
  /** Whether the number of output values is wanted, as `uniforms.size`. */
  size?: boolean;
  outputShape: number[];
  workgroupSize: [x: number, y: number, z: number];
  dispatchLayout: { x: number[] };
  /** How many workgroups. */
  dispatch: [x: number, y: number, z: number];
  /** Programs with different code have different keys. */
  shaderKey: string;
  /** WGSL with a function `main(index : i32)`, called once for each index. */
  getUserCode(): string;
}

export interface ProgramBackend {
  runWebGPUProgram(
    program: Program,
    inputs: tf.TensorInfo[],
    outputDtype: tf.DataType,
    uniforms?: { type: "int32" | "float32"; data: number[] }[],
  ): tf.TensorInfo;
}
