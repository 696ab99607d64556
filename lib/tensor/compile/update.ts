/** @file TensorFlow ops that update variables in place, eagerly or as part of a recording. */
import type * as tf from "@tensorflow/tfjs";
import { attributes, requireBackend } from "../native";
import { adopt, knownCell, prepareWrite } from "../variables";
import { currentRecorder } from "./recorder";

function handleOf(variable: tf.Variable): number {
  const recorder = currentRecorder();
  if (recorder) return recorder.handleForWrite(variable);
  const cell = adopt(variable);
  prepareWrite(cell);
  return cell.handle;
}

/**
 * Runs an op of TensorFlow's `Resource…` family, which takes the handles of `variables` first and then `inputs`,
 * and returns nothing. Native engines only.
 */
export function updateInPlace(
  op: string,
  attrs: Parameters<typeof attributes>[0],
  variables: readonly tf.Variable[],
  inputs: readonly tf.Tensor[],
): void {
  const backend = requireBackend();
  const handles = variables.map(handleOf);
  backend.binding.executeOp(op, attributes(attrs), [...handles, ...backend.getInputTensorIds(inputs)], 0);
  for (const variable of variables) knownCell(variable)?.dropSnapshot(); // it may be among the inputs
}
