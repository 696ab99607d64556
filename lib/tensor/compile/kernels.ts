/** @file The one kernel of the npm package that reads its input back to JavaScript, for recording without it. */
import * as tf from "@tensorflow/tfjs";
import { nativeBackend, rawOp } from "../native";
import { isRecording } from "./recorder";

/**
 * `tf.gather` checks its indices in JavaScript. While recording, the indices are not known: TensorFlow's own op
 * checks them when it runs (on a CPU; on a GPU an index out of range gives zeros).
 */
function letGatherBeRecorded(): void {
  const backendName = "tensorflow";
  const eager = tf.getKernel("GatherV2", backendName);
  const kernelFunc: tf.KernelFunc = (args) => {
    if (!isRecording()) return eager.kernelFunc(args);
    const { x, indices } = args.inputs as { x: tf.Tensor; indices: tf.Tensor };
    const { axis, batchDims } = args.attrs as unknown as { axis: number; batchDims: number };
    tf.backend_util.segment_util.collectGatherOpShapeInfo(x, indices, axis, batchDims);
    const types = {
      Tparams: { type: x.dtype },
      Tindices: { type: indices.dtype },
      Taxis: { type: "int32" as const },
    };
    return tf.tidy(
      () =>
        rawOp("GatherV2", { ...types, batch_dims: { int: batchDims } }, [
          x,
          indices,
          tf.scalar(axis, "int32"),
        ])[0],
    );
  };
  tf.unregisterKernel("GatherV2", backendName);
  tf.registerKernel({ ...eager, kernelFunc });
}

if (nativeBackend) letGatherBeRecorded();
