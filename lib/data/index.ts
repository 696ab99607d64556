/** @file Data: sets in the plane drawn on demand, and image sets from files. */
export {
  CIFAR10,
  CIFAR10_CLASSES,
  type Cifar10,
  type Cifar10Options,
  type Cifar10Release,
  cifar10,
} from "./cifar10";
export type { DownloadProgress } from "./download";
export {
  type BatchOptions,
  fromPixels,
  type ImageBatches,
  type ImageSet,
  imageBatches,
  type LabelledImages,
  toPixels,
} from "./images";
export { MNIST, type Mnist, type MnistOptions, type MnistRelease, mnist } from "./mnist";
export { type QuantizedToy, type QuantizedToyOptions, quantize, quantizedToy } from "./quantized";
export { TOYS, type Toy, type ToyName, toy } from "./toys";
