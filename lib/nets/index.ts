/** @file Networks: an MLP for points and DDPM's U-Net for images, from layers over named weights. */
export {
  type Classifier,
  type ClassifierOptions,
  classifier,
  classifierParameterCount,
  FILTER_SIZE,
} from "./classifier";
export { type Guidance, guided } from "./guidance";
export { INCEPTION_FEATURES, type Inception, inception, inceptionTensors } from "./inception";
export {
  attention,
  conv3,
  dense,
  dropout,
  embedding,
  groupsOf,
  type Layer,
  norm,
  type ResidualBlock,
  type ResidualSizes,
  residualBlock,
  timeEmbedding,
} from "./layers";
export { ACTIVATIONS, type MlpLayer, type MlpOptions, mlpLayers } from "./mlp";
export {
  type Apply,
  type Conditions,
  createNet,
  mlp,
  NETS,
  type Net,
  type NetConfig,
  parameterCount,
  unet,
} from "./net";
export { checkKeys } from "./options";
export { countParameters, glorotUniform, type Parameters, trainableParameters } from "./parameters";
export { depthToSpace, spaceToDepth } from "./patches";
export { spectrallyNormalized, spectralNorm } from "./spectral";
export { type UnetOptions, unetOptions } from "./unet";
