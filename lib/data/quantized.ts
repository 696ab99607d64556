/**
 * @file The sets in the plane as if stored in 8 bits per coordinate: x = 2k/255 − 1, like an image's pixels. The data then
 * are discrete: L_0 is the log-probability of a bin, bits/dim are finite, and the entropy is that of 256 × 256 cells.
 */
import { type Rng, tf } from "../tensor";
import { type ToyName, toy } from "./toys";

/** A quantized data set in the plane. */
export interface QuantizedToy {
  readonly name: ToyName;
  /** `sample` may stand inside a compiled function. */
  readonly recordable: true;
  /** Number of values of a coordinate. */
  readonly levels: number;
  /** The toy's coordinates are divided by this before they are rounded. */
  readonly scale: number;
  /** `count` independent points [count, 2], float32, coordinates 2k/(levels−1) − 1 in [−1, 1]. The caller disposes. */
  sample(rng: Rng, count: number): tf.Tensor2D;
  /** Where the toy is a mixture of Gaussians: the one whose points are rounded, in these coordinates; `cellProbabilities(mixture(…))` is exact. */
  readonly mixture?: {
    readonly weights: readonly number[];
    readonly means: readonly (readonly number[])[];
    readonly stds: readonly number[];
  };
}

export interface QuantizedToyOptions {
  /** Default 256: 8 bits. */
  levels?: number;
  /** Default 3: the toys have unit variance, and next to nothing of any lies beyond. */
  scale?: number;
}

/**
 * Each value as the nearest 2k/(levels−1) − 1, k = 0…levels−1, float32; values beyond [−1, 1] become ±1. Any shape. The
 * caller disposes.
 */
export function quantize<T extends tf.Tensor>(x: T, levels = 256): T {
  checkLevels("quantize", levels);
  const half = (levels - 1) / 2;
  return tf.tidy(() => x.clipByValue(-1, 1).add(1).mul(half).round().div(half).sub(1)) as T;
}

/** The toy of this name in `levels` values per coordinate. Throws on an unknown name, levels below 2, or a scale that is not positive. */
export function quantizedToy(
  name: ToyName,
  { levels = 256, scale = 3 }: QuantizedToyOptions = {},
): QuantizedToy {
  checkLevels("quantizedToy", levels);
  if (!(scale > 0)) throw new Error(`quantizedToy: scale is ${scale}, expected a number above 0.`);
  const { sample, mixture } = toy(name);
  return {
    name,
    recordable: true,
    levels,
    scale,
    sample: (rng, count) => tf.tidy(() => quantize(sample(rng, count).div(scale) as tf.Tensor2D, levels)),
    ...(mixture && {
      mixture: {
        weights: mixture.means.map(() => 1 / mixture.means.length),
        means: mixture.means.map((mean) => mean.map((m) => m / scale)),
        stds: mixture.means.map(() => mixture.std / scale),
      },
    }),
  };
}

function checkLevels(caller: string, levels: number): void {
  if (!(Number.isInteger(levels) && levels >= 2))
    throw new Error(`${caller}: levels is ${levels}, expected a whole number from 2 on.`);
}
