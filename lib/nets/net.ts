/** @file What a net is to the rest of the library, and nets by configuration. */
import { type Rng, tf } from "../tensor";
import { buildMlp, limiter, MLP_OPTIONS, type MlpOptions } from "./mlp";
import { checkKeys } from "./options";
import { countParameters, type Parameters, trainableParameters } from "./parameters";
import { buildUnet, UNET_OPTIONS, type UnetOptions } from "./unet";

/** What a net may be told besides x_t and t. */
export interface Conditions {
  /** int32 [B] of 0…classes, `classes` meaning "of no known class"; default that, for every example. */
  labels?: tf.Tensor1D;
  /** Where dropout draws from; without it nothing is dropped. */
  draws?: Rng;
}

/** x_t [B, …] and t int32 [B] of 1…T → [B, …], of the same shape as x_t. The caller disposes the result. */
export type Apply = (xt: tf.Tensor, t: tf.Tensor1D, conditions?: Conditions) => tf.Tensor;

/** A network: its weights by name and what it computes. */
export interface Net {
  readonly variables: Record<string, tf.Variable>;
  readonly apply: Apply;
  /** Classes that it can be told; default 0, a net that knows of none. */
  readonly classes?: number;
  /** Brings weights that have a limit back within it: for after each training step, inside what is compiled. Absent where none has. */
  readonly constrain?: () => void;
  /** Disposes the weights. */
  dispose(): void;
}

/** All that it takes to build a net again; plain data. */
export type NetConfig = ({ kind: "mlp" } & MlpOptions) | ({ kind: "unet" } & UnetOptions);

const BUILDERS = {
  mlp: { build: (p: Parameters, config: NetConfig) => buildMlp(p, config as MlpOptions), known: MLP_OPTIONS },
  unet: {
    build: (p: Parameters, config: NetConfig) => buildUnet(p, config as UnetOptions),
    known: UNET_OPTIONS,
  },
};

/** The kinds of nets. */
export const NETS = Object.keys(BUILDERS) as (keyof typeof BUILDERS)[];

function builderOf(caller: string, config: NetConfig) {
  if (typeof config !== "object" || config === null)
    throw new Error(`${caller}: the net is ${JSON.stringify(config)}, expected an object with "kind", ….`);
  const { build, known } = BUILDERS[config.kind] ?? {};
  if (!build)
    throw new Error(`${caller}: unknown kind of net "${config.kind}", expected one of ${NETS.join(", ")}.`);
  checkKeys(`${caller} ("${config.kind}")`, config, ["kind", ...known]);
  return build;
}

/**
 * The net of this configuration, its weights drawn from `seed`. Throws on an unknown kind or option and on impossible
 * sizes. The caller disposes it.
 */
export function createNet(config: NetConfig, seed = 0): Net {
  const build = builderOf("createNet", config);
  const parameters = trainableParameters(seed);
  const { variables } = parameters;
  try {
    const apply = build(parameters, config);
    const constrain = config.kind === "mlp" ? limiter(config, variables) : undefined;
    constrain?.();
    return {
      variables,
      apply: (xt, t, conditions) => tf.tidy(() => apply(xt, t, conditions)),
      classes: config.kind === "unet" ? (config.classes ?? 0) : 0,
      constrain,
      dispose: () => tf.dispose(variables),
    };
  } catch (error) {
    tf.dispose(variables);
    throw error;
  }
}

/** How many weights the net of this configuration has; makes none of them. */
export const parameterCount = (config: NetConfig): number => {
  const build = builderOf("parameterCount", config);
  return countParameters((parameters) => build(parameters, config));
};

/** An MLP for points [B, D]; see `MlpOptions`. The caller disposes it. */
export const mlp = ({ seed, ...options }: MlpOptions & { seed?: number } = {}): Net =>
  createNet({ kind: "mlp", ...options }, seed);

/** A U-Net for images [B, H, W, C]; see `UnetOptions`. The caller disposes it. */
export const unet = ({ seed, ...options }: UnetOptions & { seed?: number } = {}): Net =>
  createNet({ kind: "unet", ...options }, seed);
