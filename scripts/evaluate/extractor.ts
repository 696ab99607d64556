/**
 * @file What features images are compared by: a classifier of `npm run classifier`, or Inception-v3 with weights that
 * the user supplies, whichever the file holds.
 */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { INCEPTION_FEATURES, inception, inceptionTensors } from "../../lib/nets";
import { compile, type tf } from "../../lib/tensor";
import { decodeSafetensors, loadClassifier } from "../../lib/training";

/** An extractor of features, compiled. */
export interface Extractor {
  /** As a FID's name has it. */
  name: string;
  dims: number;
  /** Images that it takes at once. */
  rows: number;
  /** [B, dims] of images [B, H, W, C] in [−1, 1]. The caller disposes. */
  features(images: tf.Tensor): tf.Tensor;
}

/** The extractor in a file, for images of this shape [H, W, C]. Throws one line on what is none, or takes other images. */
export function openExtractor(path: string, shape: readonly number[]): Extractor {
  return holdsInception(path) ? openInception(path) : openClassifier(path, shape);
}

function openClassifier(path: string, shape: readonly number[]): Extractor {
  const { net, record } = loadClassifier(path);
  const { imageSize, imageChannels, widths } = net.options;
  const seen = [imageSize, imageSize, imageChannels];
  if (`${seen}` !== `${shape}`)
    throw new Error(
      `${path} sees images of ${seen.join(" × ")}, the checkpoint's are ${shape.join(" × ")}. Give another --classifier.`,
    );
  return {
    name: `${basename(path, ".safetensors")}, ${(100 * record.testAccuracy).toFixed(1)} % right`,
    dims: widths.at(-1) as number,
    rows: 250,
    features: compile((images: tf.Tensor) => net.features(images)),
  };
}

/** The file's header alone tells: it begins with the header's length and lists the tensors. */
function holdsInception(path: string): boolean {
  try {
    return readFileSync(path)
      .subarray(0, 1e6)
      .includes(`"${Object.keys(inceptionTensors())[0]}"`);
  } catch {
    return false; // whoever opens it says why
  }
}

function openInception(path: string): Extractor {
  try {
    const net = inception(decodeSafetensors(readFileSync(path)).tensors);
    return {
      name: "Inception-v3",
      dims: INCEPTION_FEATURES,
      rows: 25,
      features: compile((images: tf.Tensor) => net.features(images)),
    };
  } catch (error) {
    throw new Error(`${path}: ${(error as Error).message}`, { cause: error });
  }
}
