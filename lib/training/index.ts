/** @file Training: one step and its loop, checkpoints, the comparison of parameterizations and weightings. */
export {
  type Checkpoint,
  checkpointOf,
  loadCheckpoint,
  loadWeights,
  previousPath,
  resume,
  saveAverages,
  saveCheckpoint,
  writeWhole,
} from "./checkpoint";
export {
  accuracy,
  CLASSIFIER_RUN,
  CLASSIFIER_RUNS,
  type ClassifierConfig,
  type ClassifierRecord,
  type ClassifierTrainer,
  classifierConfig,
  classifierTrainer,
  loadClassifier,
  saveClassifier,
} from "./classifier";
export * from "./comparison";
export {
  buildRun,
  DEFAULT_RUN,
  IMAGE_DATA,
  type ImageData,
  imageShape,
  modelOf,
  openModel,
  type RunConfig,
  runConfig,
  type TrainedModel,
} from "./config";
export { readOut } from "./readout";
export { type ArrayEntry, decodeSafetensors, encodeSafetensors, type Precision } from "./safetensors";
export {
  type AboutModel,
  assetPath,
  type Curve,
  classifierPath,
  isShipped,
  type ShippedModel,
  shipped,
} from "./shipped";
export {
  type DataSource,
  type Resumable,
  type RunOptions,
  run,
  type Stepping,
  type Trainer,
  type TrainerOptions,
  type TrainingProgress,
  train,
  trainer,
} from "./trainer";
