/**
 * @file A table of bytes that stays in TensorFlow's memory at a byte a value, so that rows of it can be gathered inside a
 * compiled step. tfjs has no such tensor: its int32 would be four times as large.
 */
import * as tf from "@tensorflow/tfjs";
import { addon, heldTensor, nativeBackend, rawOp } from "./native";

/** Rows of bytes. */
export interface ByteRows {
  /** The rows at these places, int32 [B] of 0…count−1, as int32 [B, ...]. May stand inside a compiled function. The caller disposes. */
  gather(indices: tf.Tensor1D): tf.Tensor;
  /** Frees TensorFlow's copy. */
  dispose(): void;
}

/** TensorFlow's number for the type. */
const UINT8 = 4;

/** Whether this engine has tensors of bytes. */
export const hasByteRows = nativeBackend !== null;

/**
 * A copy of `bytes` [count, ...] in TensorFlow's memory. Native engines only; throws elsewhere, and where the shape does
 * not fit. The caller disposes.
 */
export function byteRows(bytes: Uint8Array, shape: readonly number[]): ByteRows {
  if (!nativeBackend)
    throw new Error("byteRows: this engine has no tensors of bytes. Ask hasByteRows first.");
  const size = shape.reduce((product, length) => product * length, 1);
  if (bytes.length !== size)
    throw new Error(`byteRows: got ${bytes.length} bytes, expected ${size} for the shape [${shape}].`);
  const id = addon.createTensor([...shape], UINT8, bytes);
  const table = tf.keep(heldTensor({ id, shape: [...shape], dtype: UINT8 }));
  const gatherTypes = {
    Tparams: { number: UINT8 },
    Tindices: { type: "int32" },
    Taxis: { type: "int32" },
  } as const;
  const castTypes = { SrcT: { number: UINT8 }, DstT: { type: "int32" } } as const;
  return {
    gather: (indices) =>
      tf.tidy(() => {
        const rows = rawOp("GatherV2", { ...gatherTypes, batch_dims: { int: 0 } }, [
          table,
          indices,
          tf.scalar(0, "int32"),
        ]);
        return rawOp("Cast", castTypes, rows)[0];
      }),
    dispose: () => table.dispose(),
  };
}
