/** @file What an evaluation found: the measures from the features and the pixels, and their lines for people. */
import {
  type Beside,
  type Evaluation,
  fidName,
  frechetTo,
  kidTo,
  momentsOfRows,
  type NearestImages,
  nearest,
  type PrecisionRecall,
  precisionRecall,
  type Rows,
  type SampleMeasures,
} from "../../lib/metrics";
import { plusMinus } from "../markdown";

/** Features of samples, of the reference, and of real images that are not in it; and the pictures themselves. */
export interface Measured {
  sampleFeatures: Rows;
  referenceFeatures: Rows;
  realFeatures: Rows;
  /** Pixels 0…255, of the samples and of the training images. */
  samples: Rows;
  train: Rows;
  extractor: string;
  reference: string;
  k: number;
  neighbours: number;
}

/** Gives a measure that is known already, or has it made and keeps it. */
export type Keep = <Value>(name: string, make: () => Promise<Value>) => Promise<Value>;

/** How many measures `sampleMeasures` asks `keep` for. */
export const MEASURES = 7;

/** All measures of the samples, one after the other. */
export async function sampleMeasures(measured: Measured, keep: Keep): Promise<SampleMeasures> {
  const {
    sampleFeatures: samples,
    referenceFeatures: known,
    realFeatures: real,
    extractor,
    reference,
    k,
  } = measured;
  const toKnown = once(async () => frechetTo(await momentsOfRows(known)));
  const fid = async (features: Rows) => (await toKnown())(await momentsOfRows(features));
  const kid = kidTo(known);
  const balls = (set: Rows) => precisionRecall(firstOf(known, set.count), set, k);
  const both = async <Value>(name: string, of: (set: Rows) => Promise<Value>): Promise<Beside<Value>> => ({
    samples: await keep(name, () => of(samples)),
    floor: await keep(`${name} of real images`, () => of(real)),
  });
  return {
    n: samples.count,
    extractor,
    reference,
    floorN: real.count,
    fid: await both("FID", fid),
    kid: await both("KID", kid),
    precisionRecall: await both(`precision and recall, k = ${k}`, balls),
    neighbours: await keep(`neighbours of ${measured.neighbours}`, () => nearestImages(measured)),
  };
}

/** What `make` gives, made when it is first asked for. */
function once<Value>(make: () => Promise<Value>): () => Promise<Value> {
  let made: Promise<Value> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** The first `count` rows, or all. */
const firstOf = ({ count: all, dims, slice }: Rows, count: number): Rows => ({
  count: Math.min(all, count),
  dims,
  slice,
});

async function nearestImages({
  samples,
  train,
  sampleFeatures,
  referenceFeatures,
  neighbours,
}: Measured): Promise<NearestImages[]> {
  const count = Math.min(neighbours, samples.count);
  const byPixels = await nearest(firstOf(samples, count), firstOf(train, referenceFeatures.count));
  const byFeatures = await nearest(firstOf(sampleFeatures, count), referenceFeatures);
  return Array.from({ length: count }, (_, sample) => ({
    sample,
    pixels: {
      image: byPixels.places[sample],
      distance: byPixels.distances[sample] / Math.sqrt(samples.dims),
    },
    features: { image: byFeatures.places[sample], distance: byFeatures.distances[sample] },
  }));
}

/** The lines for people. */
export function reportLines({
  checkpoint,
  step,
  sampler,
  bits,
  samples,
  seconds,
  peakMemoryMB,
}: Evaluation): string[] {
  const { floorN, fid, kid, precisionRecall, neighbours } = samples;
  const floor = `real against real at n = ${floorN}`;
  const percent = ({ precision, recall }: PrecisionRecall) => `${precision.toFixed(3)}, ${recall.toFixed(3)}`;
  const { parts } = bits;
  const [largest] = [...parts].sort((a, b) => b.bits - a.bits); // none where T = 1
  const most = largest && `(the most at t = ${largest.from}…${largest.to}: ${largest.bits.toFixed(4)})`;
  return [
    `${checkpoint}, ${step} training steps; ${sampler}`,
    "",
    `bits/dim            ${plusMinus(bits.bitsPerDim, 4)}  (± standard error over ${bits.images} test images, ${bits.draws} draw${bits.draws > 1 ? "s" : ""} of ${parts.length} t each; x̂0 ${bits.clip ? "clipped" : "as it is"}${bits.withoutClass ? "; without a class" : ""})`,
    `  L_T               ${plusMinus(bits.L_T, 6)}`,
    `  Σ L_{t-1}         ${(bits.rate - bits.L_T.mean).toFixed(4)}  ${most ?? ""}`,
    `  L_0, discretized  ${plusMinus(bits.L_0, 4)}`,
    `rate + distortion   ${bits.rate.toFixed(4)} + ${bits.distortion.toFixed(4)} bits/dim, RMSE of x̂0 at t = 1: ${bits.rmse.toFixed(3)} of 255`,
    "",
    `${fidName(samples)}  ${fid.samples.toFixed(3)}   (${floor}: ${fid.floor.toFixed(3)})`,
    `KID                 ${plusMinus(kid.samples, 5)}   (${kid.samples.count} against ${kid.samples.reference} of the reference; ${floor}: ${plusMinus(kid.floor, 5)})`,
    `precision, recall   ${percent(precisionRecall.samples)}   (against as many of the reference, k = ${precisionRecall.samples.k}; ${floor}: ${percent(precisionRecall.floor)})`,
    "",
    "nearest training image of each sample: by pixels (RMS of 255), by features",
    ...neighbours.map(
      ({ sample, pixels, features }) =>
        `  sample ${sample}: ${pixels.image} (${pixels.distance.toFixed(1)}), ${features.image} (${features.distance.toFixed(2)})`,
    ),
    "",
    `seconds: ${Object.entries(seconds)
      .map(([stage, value]) => `${stage} ${value.toFixed(0)}`)
      .join(", ")}; at most ${peakMemoryMB.toFixed(0)} MB of memory`,
  ];
}
