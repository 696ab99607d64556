/**
 * @file Data sets in the plane, drawn on demand: as many points as asked for, never the same twice.
 *
 * Every set is centred and scaled, by its exact moments, so that the mean is 0 and the variance averaged over both
 * coordinates is 1: what a schedule's L_T is reported for. The draws are tensor operations, so they can stand inside
 * a compiled step. For images see `cifar10`.
 */
import { type Rng, tf } from "../tensor";

/** A data set in the plane. */
export interface Toy {
  readonly name: ToyName;
  /** `sample` may stand inside a compiled function. */
  readonly recordable: true;
  /** `count` independent points [count, 2]. The caller disposes them. */
  sample(rng: Rng, count: number): tf.Tensor2D;
  /** Where the set is a mixture of equally likely, isotropic Gaussians: their centres and common standard deviation. */
  readonly mixture?: { readonly means: readonly (readonly [number, number])[]; readonly std: number };
}

/** Points before they are centred and scaled, with their exact moments. */
interface Raw {
  mean: readonly [number, number];
  /** E‖x‖², about the origin. */
  secondMoment: number;
  sample(rng: Rng, count: number): tf.Tensor2D;
  mixture?: { means: [number, number][]; std: number };
}

const MOONS_NOISE_STD = 0.1;
const ROLL_NOISE_STD = 0.3;
const RING_RADIUS = 2;
const RING_STD = 0.1;
const GRID_STD = 0.05;

const columns = (x: tf.Tensor, y: tf.Tensor): tf.Tensor2D => tf.stack([x, y], 1) as tf.Tensor2D;

/** Two interleaved half circles of radius 1 with a little noise. */
function moons(): Raw {
  const height = 2 / Math.PI; // the mean of sin on [0, π]
  return {
    mean: [0.5, 0.25],
    // upper: E(cos² + sin²) = 1; lower: E((1 − cos)² + (½ − sin)²) = 1 + 1 + ¼ − E sin
    secondMoment: (1 + (2.25 - height)) / 2 + 2 * MOONS_NOISE_STD ** 2,
    sample(rng, count) {
      const angle = rng.uniform([count]).mul(Math.PI);
      const isLower = rng.integers([count], 0, 2).toFloat();
      const sign = tf.sub(1, isLower.mul(2));
      const arc = columns(angle.cos().mul(sign).add(isLower), angle.sin().mul(sign).add(isLower.mul(0.5)));
      return arc.add(rng.normal([count, 2]).mul(MOONS_NOISE_STD));
    },
  };
}

/** One and a half turns of a spiral, from angle 1.5π to 4.5π, its radius equal to its angle. */
function swissRoll(): Raw {
  const [from, to] = [1.5 * Math.PI, 4.5 * Math.PI];
  const average = (antiderivative: (angle: number) => number) =>
    (antiderivative(to) - antiderivative(from)) / (to - from);
  return {
    mean: [
      average((angle) => angle * Math.sin(angle) + Math.cos(angle)),
      average((angle) => Math.sin(angle) - angle * Math.cos(angle)),
    ],
    secondMoment: average((angle) => angle ** 3 / 3) + 2 * ROLL_NOISE_STD ** 2,
    sample(rng, count) {
      const angle = rng
        .uniform([count])
        .mul(to - from)
        .add(from);
      const spiral = columns(angle.mul(angle.cos()), angle.mul(angle.sin()));
      return spiral.add(rng.normal([count, 2]).mul(ROLL_NOISE_STD));
    },
  };
}

/** Equally likely Gaussians of one standard deviation around the given centres. */
function gaussians(means: [number, number][], std: number): Raw {
  const average = (value: (mean: [number, number]) => number) =>
    means.reduce((sum, mean) => sum + value(mean), 0) / means.length;
  return {
    mean: [average(([x]) => x), average(([, y]) => y)],
    secondMoment: average(([x, y]) => x * x + y * y) + 2 * std ** 2,
    mixture: { means, std },
    sample(rng, count) {
      const centre = tf.gather(tf.tensor2d(means), rng.integers([count], 0, means.length).as1D());
      return centre.add(rng.normal([count, 2]).mul(std));
    },
  };
}

/** The dark squares of a 4 × 4 board over [−2, 2]², uniformly. */
function checkerboard(): Raw {
  return {
    mean: [0, 0],
    secondMoment: (2 * 16) / 12, // each coordinate alone is uniform on [−2, 2]
    sample(rng, count) {
      const x = rng.uniform([count]).mul(4).sub(2);
      const isOdd = x.floor().abs().mod(2); // which column of squares
      const row = rng.integers([count], 0, 2).toFloat().mul(2).sub(2).add(isOdd);
      return columns(x, row.add(rng.uniform([count])));
    },
  };
}

const RING = Array.from({ length: 8 }, (_, i): [number, number] => {
  const angle = (i * Math.PI) / 4;
  return [RING_RADIUS * Math.cos(angle), RING_RADIUS * Math.sin(angle)];
});
const AXIS = [-4, -2, 0, 2, 4];
const GRID = AXIS.flatMap((x) => AXIS.map((y): [number, number] => [x, y]));

const RAW = {
  moons,
  swissroll: swissRoll,
  "8gaussians": () => gaussians(RING, RING_STD),
  "25gaussians": () => gaussians(GRID, GRID_STD),
  checkerboard,
} satisfies Record<string, () => Raw>;

export type ToyName = keyof typeof RAW;

/** The names of the data sets. */
export const TOYS = Object.keys(RAW) as ToyName[];

/** The data set of this name, of mean 0 and unit variance per coordinate on average. Throws on an unknown name and lists the choices. */
export function toy(name: ToyName): Toy {
  if (!TOYS.includes(name))
    throw new Error(`toy: unknown data set "${name}", expected one of ${TOYS.join(", ")}.`);
  const { mean, secondMoment, sample, mixture } = RAW[name]();
  const [meanX, meanY] = mean;
  const std = Math.sqrt((secondMoment - meanX ** 2 - meanY ** 2) / 2);
  return {
    name,
    recordable: true,
    sample(rng, count) {
      if (!(Number.isInteger(count) && count > 0))
        throw new Error(`toy.sample: count is ${count}, expected a positive integer.`);
      return tf.tidy(() => sample(rng, count).sub([meanX, meanY]).div(std));
    },
    ...(mixture && {
      mixture: {
        means: mixture.means.map(([x, y]) => [(x - meanX) / std, (y - meanY) / std] as const),
        std: mixture.std / std,
      },
    }),
  };
}
