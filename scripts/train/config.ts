/** @file What a training run is made of, as plain data: it goes into the run's folder and into each checkpoint. */
import { PARAMETERIZATIONS, type Parameterization, scheduleByName } from "../../lib/diffusion";
import { WEIGHTINGS, type WeightingName } from "../../lib/elbo";
import { createNet, NETS, type Net, type NetConfig } from "../../lib/nets";

/** A run; everything but the data themselves. */
export interface RunConfig {
  data: "cifar10";
  net: NetConfig;
  schedule: "linear" | "cosine";
  numSteps: number;
  parameterization: Parameterization;
  weighting: WeightingName;
  batchSize: number;
  learningRate: number;
  warmupSteps: number;
  clipNorm: number;
  emaDecay: number;
  /** Whether images are mirrored at random. */
  flip: boolean;
  seed: number;
}

/** The nets that `--net` names. */
export const NET_CONFIGS = {
  small: { kind: "unet", channels: 32, multipliers: [1, 2, 2], blocks: 2, attention: [16] },
  patches: { kind: "unet", channels: 48, multipliers: [1, 2], blocks: 2, attention: [8], patch: 2 },
  ddpm: { kind: "unet", channels: 128, multipliers: [1, 2, 2, 2], blocks: 2, attention: [16] },
} as const satisfies Record<string, NetConfig>;
export type NetName = keyof typeof NET_CONFIGS;

/** The run that `npm run train -- cifar10` makes unless told otherwise. */
export const DEFAULT_RUN: RunConfig = {
  data: "cifar10",
  net: NET_CONFIGS.patches,
  schedule: "cosine",
  numSteps: 1000,
  parameterization: "eps",
  weighting: "simple",
  batchSize: 64,
  learningRate: 5e-4,
  warmupSteps: 100,
  clipNorm: 1,
  emaDecay: 0.995,
  flip: true,
  seed: 0,
};

/** A checkpoint's configuration, checked. Throws on one that this program cannot have written. */
export function checkedConfig(value: unknown, path: string): RunConfig {
  const config = value as RunConfig;
  const isKnown =
    typeof config === "object" &&
    config !== null &&
    NETS.includes(config.net?.kind) &&
    PARAMETERIZATIONS.includes(config.parameterization) &&
    WEIGHTINGS.includes(config.weighting) &&
    Number.isInteger(config.numSteps);
  if (!isKnown)
    throw new Error(`${path} has a configuration that is not of an image run: ${JSON.stringify(value)}.`);
  return config;
}

/** The schedule and the untrained net of a run. The caller disposes the net. */
export function build(config: RunConfig): { schedule: ReturnType<typeof scheduleByName>; net: Net } {
  const schedule = scheduleByName(config.schedule, { numSteps: config.numSteps });
  return { schedule, net: createNet(config.net, config.seed) };
}

/** The value of an option that is a whole number of 0 or more, such as a seed; 0 where it is not given. */
export function wholeFrom0(name: string, text = "0"): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 0 && text.trim() !== "") return value;
  throw new Error(`--${name} is "${text}", expected a whole number of 0 or more.`);
}
