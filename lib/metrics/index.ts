/** @file Distances between what a model draws and the data, each to be shown beside its floor. */
export { assignment } from "./assignment";
export { type W2WithFloor, w2WithFloor } from "./floor";
export type { PointSet } from "./points";
export {
  type GaussianMoments,
  slicedW2,
  w2,
  w2Gaussians,
  w2OneDimensional,
  w2Squared,
  w2SquaredGaussians,
} from "./wasserstein";
