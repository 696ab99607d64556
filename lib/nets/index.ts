/** @file Networks: an MLP for points and DDPM's U-Net for images, from layers over named weights. */
export {
  type Classifier,
  type ClassifierOptions,
  classifier,
  classifierParameterCount,
  FILTER_SIZE,
} from "./classifier";
export { attention, conv3, dense, groupsOf, type Layer, norm, residualBlock, timeEmbedding } from "./layers";
export type { MlpOptions } from "./mlp";
export { type Apply, createNet, mlp, NETS, type Net, type NetConfig, parameterCount, unet } from "./net";
export { countParameters, glorotUniform, type Parameters, trainableParameters } from "./parameters";
export { depthToSpace, spaceToDepth } from "./patches";
export type { UnetOptions } from "./unet";
