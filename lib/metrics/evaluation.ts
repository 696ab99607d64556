/** @file What an evaluation of a trained model says, as `npm run evaluate` writes it and lessons read it. Plain data. */
import type { BitsSummary } from "./bits";
import type { Kid } from "./kid";
import type { PrecisionRecall } from "./neighbours";

/** A distance of samples from the reference, and what real images that are no part of it come to. */
export interface Beside<Value> {
  samples: Value;
  /** Real against real. */
  floor: Value;
}

/** The training images nearest to one sample. */
export interface NearestImages {
  sample: number;
  /** By the root of the mean squared difference of pixel values 0…255. */
  pixels: { image: number; distance: number };
  /** By Euclidean distance of features. */
  features: { image: number; distance: number };
}

/** How samples compare with real images. */
export interface SampleMeasures {
  /** Samples. */
  n: number;
  extractor: string;
  reference: string;
  /** Real images that the floor is made of: n, or as many as the test set has. */
  floorN: number;
  fid: Beside<number>;
  kid: Beside<Kid>;
  precisionRecall: Beside<PrecisionRecall>;
  neighbours: NearestImages[];
}

/** What an evaluation says. */
export interface Evaluation {
  checkpoint: string;
  /** Of the checkpoint's file: which weights were evaluated. */
  mark: string;
  /** Training steps. */
  step: number;
  /** Of all draws. */
  seed: number;
  /** Images given to the net at once for the bound: the draws' order follows from it. */
  rows: number;
  sampler: string;
  /** Of a model that was told classes the bound is the one without a class. */
  bits: BitsSummary & { draws: number; clip: boolean; withoutClass: boolean };
  samples: SampleMeasures;
  /** What each stage took. */
  seconds: Record<string, number>;
  /** The most memory that the process which ended the evaluation had at any time, in MB. */
  peakMemoryMB: number;
}

/** The name of a Fréchet distance, without which its number says nothing: FID[n, extractor, reference]. */
export const fidName = ({
  n,
  extractor,
  reference,
}: Pick<SampleMeasures, "n" | "extractor" | "reference">): string =>
  `FID[n = ${n}, ${extractor}, ${reference}]`;
