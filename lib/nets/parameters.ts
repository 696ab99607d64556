/** @file The named weights of a net: made one by one from a seed, counted, disposed together. */
import { rng, tf } from "../tensor";

/** How a weight begins: draws for a shape. */
export type Initializer = (shape: number[], source: ReturnType<typeof rng>) => tf.Tensor;

export const zeros: Initializer = (shape) => tf.zeros(shape);
export const ones: Initializer = (shape) => tf.ones(shape);
export const normal: Initializer = (shape, source) => source.normal(shape);
export const uniform: Initializer = (shape, source) => source.uniform(shape);

/** Uniform within ±limit. */
export const within =
  (limit: number): Initializer =>
  (shape, source) =>
    source
      .uniform(shape)
      .mul(2 * limit)
      .sub(limit);

/** Uniform of variance 1 / ((fanIn + fanOut) / 2), the last two axes being in and out (Glorot & Bengio 2010; Ho et al.'s default). */
export const glorotUniform: Initializer = (shape, source) => {
  const receptive = shape.slice(0, -2).reduce((product, size) => product * size, 1);
  const fans = receptive * (shape[shape.length - 2] + shape[shape.length - 1]);
  return within(Math.sqrt(6 / fans))(shape, source);
};

/** Where layers get their weights; names are paths such as "down.0.1.conv1.kernel". */
export interface Parameters {
  /** A new weight, read by calling the returned function. Throws on a name taken. */
  create(name: string, shape: number[], initializer: Initializer): () => tf.Tensor;
  /** The same store, with `prefix` and a dot before each name. */
  scope(prefix: string): Parameters;
}

/** A store whose weights are variables, drawn from `seed` in order of creation. The caller disposes the variables. */
export function trainableParameters(seed: number): Parameters & { variables: Record<string, tf.Variable> } {
  const source = rng(seed);
  const variables: Record<string, tf.Variable> = {};
  const create: Parameters["create"] = (name, shape, initializer) => {
    if (name in variables) throw new Error(`parameters: the name "${name}" is taken. Use another scope.`);
    const variable = tf.tidy(() => tf.variable(initializer(shape, source)));
    variables[name] = variable;
    return () => variable;
  };
  return { ...scoped(create, ""), variables };
}

/** How many numbers a net's weights hold, from building it with a store that makes none. */
export function countParameters(build: (parameters: Parameters) => unknown): number {
  let count = 0;
  build(
    scoped((name, shape) => {
      count += shape.reduce((product, size) => product * size, 1);
      return () => {
        throw new Error(`countParameters: the weight "${name}" has no value here.`);
      };
    }, ""),
  );
  return count;
}

function scoped(create: Parameters["create"], prefix: string): Parameters {
  return {
    create: (name, shape, initializer) => create(prefix + name, shape, initializer),
    scope: (inner) => scoped(create, `${prefix}${inner}.`),
  };
}
