/** @file Data: sets in the plane drawn on demand, and image sets from files. */
export { CIFAR10, type Cifar10, type Cifar10Options, type Cifar10Release, cifar10 } from "./cifar10";
export type { DownloadProgress } from "./download";
export { fromPixels, type ImageBatches, type ImageSet, imageBatches, toPixels } from "./images";
export { type Mnist, type MnistOptions, mnist } from "./mnist";
export { type QuantizedToy, type QuantizedToyOptions, quantize, quantizedToy } from "./quantized";
export { TOYS, type Toy, type ToyName, toy } from "./toys";
