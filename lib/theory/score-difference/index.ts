/** @file Flow along the difference of two scores (Weber 2023): known laws, samples, particles, generators, discriminators. */
export {
  blurred,
  type DiffusionMoves,
  denoiser,
  diffusionMoves,
  type FlowState,
  type GanDirections,
  ganDirections,
  gaussianFlow,
  type Normal,
  scoreDifference,
} from "./densities";
export * from "./flow";
export {
  type Discriminator,
  type DiscriminatorOptions,
  GAN_LOSSES,
  type GanLoss,
  type Generator as SmoothGenerator,
  type GeneratorOptions,
  trainDiscriminator,
  trainGenerator,
} from "./generator";
export { type BlockOptions, kernelMean, scoreDifferenceStep } from "./samples";
