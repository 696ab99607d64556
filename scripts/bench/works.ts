/** @file What the bench measures: the nets, the batches and the steps, as data that both sides read. */
import type { NetConfig } from "../../lib/nets";

/** One net and what is done with it. */
export interface Work {
  name: string;
  net: NetConfig;
  /** One example's shape. */
  shape: number[];
  batch: number;
  /** Sampling: how many at once, by which walk, over how many steps. */
  sample: { count: number; walk: "ancestral" | "ddim"; steps: number };
  /** Measured in one turn, and how many turns: enough for a median on a busy machine. */
  trainSteps: number;
  turns: number;
  /** What the ratio to PyTorch is to be at most. */
  targets: { train: number; sample: number };
}

/** Steps of the forward process, linear β from 1e-4 to 0.02, as in DDPM. */
export const NUM_STEPS = 1000;
export const LEARNING_RATE = 2e-4;

const smallUnet: NetConfig = {
  kind: "unet",
  channels: 32,
  multipliers: [1, 2, 2],
  blocks: 2,
  attention: [16],
};
const ddpmUnet: NetConfig = {
  kind: "unet",
  channels: 128,
  multipliers: [1, 2, 2, 2],
  blocks: 2,
  attention: [16],
};

export const WORKS: Record<string, Work> = {
  mlp: {
    name: "2-D MLP, 3 hidden layers of 128",
    net: { kind: "mlp", hidden: 128, depth: 3, timeDim: 32 },
    shape: [2],
    batch: 512,
    sample: { count: 2000, walk: "ancestral", steps: NUM_STEPS },
    trainSteps: 200,
    turns: 5,
    targets: { train: 0.6, sample: 0.6 },
  },
  unet: {
    name: "U-Net 32 × (1, 2, 2), 2 blocks, attention at 16²",
    net: smallUnet,
    shape: [32, 32, 3],
    batch: 64,
    sample: { count: 64, walk: "ddim", steps: 50 },
    trainSteps: 3,
    turns: 5,
    targets: { train: 0.8, sample: 0.8 },
  },
  ddpm: {
    name: "DDPM's U-Net 128 × (1, 2, 2, 2), 2 blocks, attention at 16²",
    net: ddpmUnet,
    shape: [32, 32, 3],
    batch: 128,
    sample: { count: 64, walk: "ddim", steps: 50 },
    trainSteps: 10,
    turns: 3,
    targets: { train: 0.8, sample: 0.8 },
  },
};

/** The same work with the least that still exercises all of it, for tests. */
export const least = (work: Work): Work => ({
  ...work,
  batch: 4,
  sample: { ...work.sample, count: 2, steps: 3 },
  trainSteps: 2,
  turns: 1,
});
