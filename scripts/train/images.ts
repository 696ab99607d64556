/** @file The images of a run, loaded from a folder or downloaded, and checked against the net that is to see them. */
import { cifar10, type DownloadProgress, type ImageSet, mnist } from "../../lib/data";
import { imageShape, type RunConfig } from "../../lib/training";
import { mark } from "../../lib/training/mark";

export interface Images {
  train: ImageSet;
  test: ImageSet;
  /** One line for people. */
  description: string;
}

export interface ImageOptions {
  /** A folder with the set's files; without it they are downloaded, once. */
  dir?: string;
  onProgress?(progress: DownloadProgress): void;
}

/**
 * The images that a configuration names; MNIST's with background around them up to the net's size. Throws where they are
 * not what the net takes, and as the loaders do.
 */
export async function loadImages(config: RunConfig, options: ImageOptions): Promise<Images> {
  const [height, width, channels] = imageShape(config);
  const images = config.data === "mnist" ? await mnist({ ...options, side: height }) : await cifar10(options);
  const [, ...got] = images.train.shape;
  if (`${got}` !== `${[height, width, channels]}`)
    throw new Error(
      `the net takes images of ${height} × ${width} × ${channels}, ${config.data} has ${got.join(" × ")}. Set "imageSize" and "imageChannels" of the configuration's net.`,
    );
  const { classes = 0 } = config.net.kind === "unet" ? config.net : {};
  const known = images.train.classNames.length;
  if (classes !== 0 && classes !== known)
    throw new Error(
      `the net knows ${classes} classes, ${config.data} has ${known}. Set "classes" to that, or to 0.`,
    );
  return images;
}

/** The mark of all pixels and labels of these sets. */
export const markOf = (...sets: readonly ImageSet[]): string =>
  mark(...sets.flatMap(({ images, labels }) => [images, labels]));

/** Throws where a set, as part of it in a folder may, has fewer test images than what is asked of them needs. */
export function checkTestImages({ test }: { test: ImageSet }, least: number): void {
  const [count] = test.shape;
  if (count < least)
    throw new Error(
      `the set has ${count} test images, expected ${least} or more. Put its file of test images beside the others, such as test_batch.bin of CIFAR-10.`,
    );
}
