/** @file Classifier-free guidance (Ho & Salimans 2022): a net told a class, pushed away from itself told none. */
import { tf } from "../tensor";
import type { Net } from "./net";

export interface Guidance {
  /** The class of each example, 0…classes−1. */
  labels: readonly number[];
  /**
   * How far along from the prediction without a class (0) to the one with it (1) and beyond; the paper's w is scale − 1.
   * Default 1.
   */
  scale?: number;
}

/**
 * The net as a function of x_t [B, …] and t [B] alone, for B examples of these classes: unconditional +
 * scale·(conditional − unconditional) (Ho & Salimans 2022, eq. 6). Since what a net may predict are affine functions
 * of one another whose factors the two share, this guides ε whatever the net predicts. Two nets' worth of work unless
 * `scale` is 0 or 1. Throws on a net without classes and on a label that it has not. The caller disposes the results.
 */
export function guided(
  net: Net,
  { labels, scale = 1 }: Guidance,
): (xt: tf.Tensor, t: tf.Tensor1D) => tf.Tensor {
  const { classes = 0, apply } = net;
  if (classes === 0)
    throw new Error("guided: this net has no classes. Use net.apply, or train one with classes.");
  const wrong = labels.find((label) => !(Number.isInteger(label) && label >= 0 && label < classes));
  if (wrong !== undefined)
    throw new Error(`guided: label ${wrong}, expected whole numbers from 0 to ${classes - 1}.`);
  if (!Number.isFinite(scale)) throw new Error(`guided: scale is ${scale}, expected a number such as 1.5.`);
  const none = labels.map(() => classes);
  if (scale === 0 || scale === 1) {
    const told = scale === 1 ? labels : none;
    return (xt, t) => tf.tidy(() => apply(xt, t, { labels: toLabels(told) }));
  }
  return (xt, t) =>
    tf.tidy(() => {
      const twice = { labels: toLabels([...labels, ...none]) };
      const both = apply(tf.concat([xt, xt]), tf.concat([t, t]) as tf.Tensor1D, twice);
      const [told, untold] = tf.split(both, 2);
      return tf.add(untold, tf.mul(tf.sub(told, untold), scale));
    });
}

const toLabels = (labels: readonly number[]) => tf.tensor1d([...labels], "int32");
