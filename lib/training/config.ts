/**
 * @file What a training run on images is made of, as plain data: the file that an experiment is, what its checkpoints
 * hold, and the model that one of them makes.
 */
import {
  type Model,
  PARAMETERIZATIONS,
  type Parameterization,
  SCHEDULES,
  type Schedule,
  type ScheduleName,
  scheduleByName,
  VARIANCES,
  type Variance,
} from "../diffusion";
import { WEIGHTINGS, type WeightingName } from "../elbo";
import {
  checkKeys,
  createNet,
  type Guidance,
  guided,
  type Net,
  type NetConfig,
  parameterCount,
  type UnetOptions,
  unetOptions,
} from "../nets";
import { compile, PRODUCT_PRECISIONS, type ProductPrecision, type tf } from "../tensor";
import { type Checkpoint, loadCheckpoint, loadWeights } from "./checkpoint";
import { readOut } from "./readout";

/** The sets of images that a run can be of. */
export const IMAGE_DATA = ["cifar10", "mnist"] as const;
export type ImageData = (typeof IMAGE_DATA)[number];

/** A run; everything but the data themselves and the machine. */
export interface RunConfig {
  data: ImageData;
  net: NetConfig;
  schedule: ScheduleName;
  /** T. */
  numSteps: number;
  /** What the net predicts; how its output is read as that, `readOut` says. */
  parameterization: Parameterization;
  weighting: WeightingName;
  /** σ_t² of the bound, which the weighting "vlb" and ancestral sampling use. */
  variance: Variance;
  /** Training steps to have taken in the end. */
  steps: number;
  batchSize: number;
  /** Of Adam. */
  learningRate: number;
  /** Steps over which the learning rate grows linearly at first. */
  warmupSteps: number;
  /** The step at which the learning rate has fallen to 0 along half a cosine; null for one that stays. */
  decaySteps: number | null;
  /** The gradient's norm is limited to this. */
  clipNorm: number;
  /** Decay of the average of the weights. */
  emaDecay: number;
  /** Whether images are mirrored at random. */
  flip: boolean;
  /** In a net with classes: the share of examples whose class is hidden, so that it can be guided. */
  labelDropout: number;
  /** What products and convolutions are computed in; "bfloat16" gains on a GPU and on processors with instructions for it. */
  precision: ProductPrecision;
  /** Of the first weights and of all draws. */
  seed: number;
}

/** What a configuration that leaves a key out means. */
export const DEFAULT_RUN: RunConfig = {
  data: "cifar10",
  net: {
    kind: "unet",
    ...unetOptions({ channels: 48, multipliers: [1, 2], blocks: 2, attention: [8], patch: 2 }),
  },
  schedule: "cosine",
  numSteps: 1000,
  parameterization: "eps",
  weighting: "simple",
  variance: "beta",
  steps: 2000,
  batchSize: 64,
  learningRate: 5e-4,
  warmupSteps: 100,
  decaySteps: null,
  clipNorm: 1,
  emaDecay: 0.995,
  flip: true,
  labelDropout: 0.1,
  precision: "float32",
  seed: 0,
};

/** Whether a value is in order, and in words what is expected. */
type Rule = [holds: (value: unknown) => boolean, expected: string];

const oneOf = (choices: readonly string[]): Rule => [
  (value) => choices.includes(value as string),
  `one of ${choices.join(", ")}`,
];
const number = (holds: (value: number) => boolean, expected: string): Rule => [
  (value) => typeof value === "number" && Number.isFinite(value) && holds(value),
  expected,
];
const whole = (least: number): Rule =>
  number((value) => Number.isSafeInteger(value) && value >= least, `a whole number of ${least} or more`);
const positive = number((value) => value > 0, "a number above 0");

const RULES: Record<keyof Omit<RunConfig, "net">, Rule> = {
  data: oneOf(IMAGE_DATA),
  schedule: oneOf(SCHEDULES),
  numSteps: whole(1),
  parameterization: oneOf(PARAMETERIZATIONS),
  weighting: oneOf(WEIGHTINGS),
  variance: oneOf(VARIANCES),
  steps: whole(1),
  batchSize: whole(1),
  learningRate: positive,
  warmupSteps: whole(0),
  decaySteps: [(value) => value === null || whole(1)[0](value), "null or a whole number of 1 or more"],
  clipNorm: positive,
  emaDecay: number((value) => value > 0 && value < 1, "a number between 0 and 1"),
  flip: [(value) => typeof value === "boolean", "true or false"],
  labelDropout: number((value) => value >= 0 && value <= 1, "a share from 0 to 1"),
  precision: oneOf(PRODUCT_PRECISIONS),
  seed: whole(0),
};

/**
 * A run's configuration from plain data, what it and its net leave out filled in, so that one of an older checkpoint
 * still serves and two that mean the same are written alike.
 * Throws one line that begins with `where` on an unknown key, naming it and listing the known ones, on a value out of
 * range, and on a net that cannot be built or is not of images.
 */
export function runConfig(value: unknown, where: string): RunConfig {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Error(`${where}: it is ${JSON.stringify(value)}, expected an object with "data", "net", ….`);
  checkKeys(where, value, Object.keys(DEFAULT_RUN));
  const flip = (value as Partial<RunConfig>).data !== "mnist"; // a mirrored digit is none
  const config: RunConfig = { ...DEFAULT_RUN, flip, ...value };
  for (const [name, [holds, expected]] of Object.entries(RULES)) {
    const got = config[name as keyof RunConfig];
    if (!holds(got)) throw new Error(`${where}: "${name}" is ${JSON.stringify(got)}, expected ${expected}.`);
  }
  try {
    parameterCount(config.net);
  } catch (error) {
    throw new Error(`${where}: "net": ${(error as Error).message}`, { cause: error });
  }
  imageShape(config, where);
  return { ...config, net: { kind: "unet", ...unetOptions(config.net as UnetOptions) } };
}

/** The shape [H, W, C] of the images that a run's net takes. Throws for a net of points. */
export function imageShape({ net }: RunConfig, where = "imageShape"): [number, number, number] {
  if (net.kind !== "unet")
    throw new Error(`${where}: the net is of points ("${net.kind}"), expected "unet".`);
  const { imageSize = 32, imageChannels = 3 } = net;
  return [imageSize, imageSize, imageChannels];
}

/** The schedule and the untrained net of a run, its output read as the run's parameterization. The caller disposes the net. */
export function buildRun(config: RunConfig): { schedule: Schedule; net: Net } {
  const schedule = scheduleByName(config.schedule, { numSteps: config.numSteps });
  const net = createNet(config.net, config.seed);
  return { schedule, net: { ...net, apply: readOut({ ...config, schedule }, net.apply) } };
}

/** A trained net with what it was trained as. */
export interface TrainedModel {
  readonly config: RunConfig;
  /** Steps that it was trained for. */
  readonly step: number;
  readonly net: Net;
  /** The net as a p_θ, compiled; of no class in particular. */
  readonly model: Model;
  /** The same p_θ for as many examples as there are labels, guided towards their classes. */
  guidedModel(guidance: Guidance): Model;
  /** The p_θ for `count` samples: where it knows classes, of all of them in turn and guided by `scale` (default 1). */
  forSamples(count: number, scale?: number): Model;
  /** Disposes the weights. */
  dispose(): void;
}

/**
 * The model of a checkpoint file, with the averaged weights where it has them. Throws one line on a file that is damaged,
 * not finite, of another net than its configuration says, or not of a run on images. The caller disposes it.
 */
export function openModel(path: string): TrainedModel {
  return modelOf(loadCheckpoint(path), path);
}

/** As `openModel`, of a checkpoint that was read already; `where` begins the messages. */
export function modelOf(checkpoint: Checkpoint, where: string): TrainedModel {
  const config = runConfig(checkpoint.config, where);
  const { schedule, net } = buildRun(config);
  try {
    loadWeights(net.variables, checkpoint);
  } catch (error) {
    net.dispose();
    throw new Error(`${where}: ${(error as Error).message}`, { cause: error });
  }
  const { parameterization, variance } = config;
  const asModel = (apply: (xt: tf.Tensor, t: tf.Tensor1D) => tf.Tensor): Model => {
    const predict = compile((xt: tf.Tensor, t: tf.Tensor1D) => apply(xt, t));
    return { schedule, parameterization, variance, predict };
  };
  const model = asModel(net.apply);
  const guidedModel = (guidance: Guidance) => asModel(guided(net, guidance));
  return {
    config,
    step: checkpoint.step,
    net,
    model,
    guidedModel,
    forSamples(count, scale) {
      const { classes = 0 } = net;
      if (classes === 0) return model;
      return guidedModel({ labels: Array.from({ length: count }, (_, i) => i % classes), scale });
    },
    dispose: () => net.dispose(),
  };
}
