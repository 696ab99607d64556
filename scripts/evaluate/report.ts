/** @file What an evaluation found: the measures from the features and the pixels, and their lines for people. */
import type { ImageSet } from "../../lib/data";
import {
  type BitsSummary,
  frechetDistance,
  type Kid,
  kid,
  momentsOf,
  nearest,
  type PrecisionRecall,
  precisionRecall,
  type Rows,
  rowsOf,
} from "../../lib/metrics";

/** A distance of samples from the reference, and what as many real images that are no part of it come to. */
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
export interface Report {
  checkpoint: string;
  step: number;
  sampler: string;
  bits: BitsSummary & { draws: number; clip: boolean };
  samples: SampleMeasures;
  seconds: Record<string, number>;
}

/** Features of samples, of the reference, and of real images that are not in it; and the pictures themselves. */
export interface Measured {
  dims: number;
  sampleFeatures: Float32Array;
  referenceFeatures: Float32Array;
  realFeatures: Float32Array;
  samples: Uint8Array;
  train: ImageSet;
  extractor: string;
  reference: string;
  k: number;
  neighbours: number;
}

/** All measures of the samples. */
export async function sampleMeasures(measured: Measured): Promise<SampleMeasures> {
  const { dims, extractor, reference, k } = measured;
  const rows = (features: Float32Array) => rowsOf(features, dims);
  const [samples, known, real] = [
    rows(measured.sampleFeatures),
    rows(measured.referenceFeatures),
    rows(measured.realFeatures),
  ];
  const knownMoments = momentsOf(measured.referenceFeatures, dims);
  const fid = (features: Float32Array) => frechetDistance(momentsOf(features, dims), knownMoments);
  const balls = (set: Rows) => precisionRecall(firstOf(known, set.count), set, k);
  return {
    n: samples.count,
    extractor,
    reference,
    floorN: real.count,
    fid: { samples: fid(measured.sampleFeatures), floor: fid(measured.realFeatures) },
    kid: { samples: await kid(samples, known), floor: await kid(real, known) },
    precisionRecall: { samples: await balls(samples), floor: await balls(real) },
    neighbours: await nearestImages(measured, samples, known),
  };
}

/** The first `count` rows, or all. */
const firstOf = ({ count: all, dims, slice }: Rows, count: number): Rows => ({
  count: Math.min(all, count),
  dims,
  slice,
});

async function nearestImages(measured: Measured, samples: Rows, known: Rows): Promise<NearestImages[]> {
  const { train, neighbours } = measured;
  const size = train.images.length / train.shape[0];
  const pixels = rowsOf(train.images.subarray(0, known.count * size), size);
  const count = Math.min(neighbours, samples.count);
  const byPixels = await nearest(rowsOf(measured.samples.subarray(0, count * size), size), pixels);
  const byFeatures = await nearest(firstOf(samples, count), known);
  return Array.from({ length: count }, (_, sample) => ({
    sample,
    pixels: { image: byPixels.places[sample], distance: byPixels.distances[sample] / Math.sqrt(size) },
    features: { image: byFeatures.places[sample], distance: byFeatures.distances[sample] },
  }));
}

const plusMinus = ({ mean, standardError }: { mean: number; standardError: number }, digits: number) =>
  `${mean.toFixed(digits)} ± ${standardError.toFixed(digits)}`;

/** The lines for people. */
export function reportLines({ checkpoint, step, sampler, bits, samples, seconds }: Report): string[] {
  const { n, extractor, reference, floorN, fid, kid, precisionRecall, neighbours } = samples;
  const floor = `real against real at n = ${floorN}`;
  const percent = ({ precision, recall }: PrecisionRecall) => `${precision.toFixed(3)}, ${recall.toFixed(3)}`;
  const { parts } = bits;
  const largest = parts.reduce((best, part) => (part.bits > best.bits ? part : best));
  return [
    `${checkpoint}, ${step} training steps; ${sampler}`,
    "",
    `bits/dim            ${plusMinus(bits.bitsPerDim, 4)}  (± standard error over ${bits.images} test images, ${bits.draws} draw${bits.draws > 1 ? "s" : ""} of ${parts.length} t each; x̂0 ${bits.clip ? "clipped" : "as it is"})`,
    `  L_T               ${plusMinus(bits.L_T, 6)}`,
    `  Σ L_{t-1}         ${(bits.rate - bits.L_T.mean).toFixed(4)}  (the most at t = ${largest.from}…${largest.to}: ${largest.bits.toFixed(4)})`,
    `  L_0, discretized  ${plusMinus(bits.L_0, 4)}`,
    `rate + distortion   ${bits.rate.toFixed(4)} + ${bits.distortion.toFixed(4)} bits/dim, RMSE of x̂0 at t = 1: ${bits.rmse.toFixed(3)} of 255`,
    "",
    `FID[n = ${n}, ${extractor}, ${reference}]  ${fid.samples.toFixed(3)}   (${floor}: ${fid.floor.toFixed(3)})`,
    `KID, the same       ${plusMinus(kid.samples, 5)}   (${floor}: ${plusMinus(kid.floor, 5)})`,
    `precision, recall   ${percent(precisionRecall.samples)}   (${floor}: ${percent(precisionRecall.floor)}; k = ${precisionRecall.samples.k})`,
    "",
    "nearest training image of each sample: by pixels (RMS of 255), by features",
    ...neighbours.map(
      ({ sample, pixels, features }) =>
        `  sample ${sample}: ${pixels.image} (${pixels.distance.toFixed(1)}), ${features.image} (${features.distance.toFixed(2)})`,
    ),
    "",
    `seconds: ${Object.entries(seconds)
      .map(([stage, value]) => `${stage} ${value.toFixed(0)}`)
      .join(", ")}`,
  ];
}
