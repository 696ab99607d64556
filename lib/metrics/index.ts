/** @file Distances between what a model draws and the data, each to be shown beside its floor; bits per dimension of images. */
export { assignment } from "./assignment";
export {
  type BitsPart,
  type BitsSummary,
  bitsSummary,
  type ImageBits,
  type ImageBitsOptions,
  imageBits,
} from "./bits";
export {
  type Beside,
  type Evaluation,
  fidName,
  type NearestImages,
  type SampleMeasures,
} from "./evaluation";
export { type W2WithFloor, w2WithFloor } from "./floor";
export { frechetDistance, frechetTo } from "./frechet";
export { type Kid, type KidOptions, kid, kidTo } from "./kid";
export { covariance, type Moments, mergeMoments, momentsOf, spreadOf, standardErrors } from "./moments";
export { type Neighbours, nearest, type PrecisionRecall, precisionRecall } from "./neighbours";
export type { PointSet } from "./points";
export {
  DDPM_CIFAR10,
  DDPM_TABLE_2,
  DDPM_TABLE_4,
  DISTILLATION_TABLE_1,
  type PublishedRow,
} from "./published";
export { momentsOfRows, type Rows, rowsOf } from "./rows";
export {
  type GaussianMoments,
  slicedW2,
  w2,
  w2Gaussians,
  w2OneDimensional,
  w2Squared,
  w2SquaredGaussians,
} from "./wasserstein";
