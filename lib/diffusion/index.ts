/** @file Schedules, the forward process and its posterior, parameterizations, the reverse process, samplers. */
export * from "./forward";
export * from "./parameterization";
export * from "./plan";
export * from "./reverse";
export * from "./sample";
export {
  type BetaRangeOptions,
  type CosineOptions,
  cosineSchedule,
  evenSteps,
  linearSchedule,
  MAX_PRIOR_MISMATCH,
  priorMismatch,
  respace,
  SCHEDULES,
  type Schedule,
  type ScheduleName,
  type ScheduleOptions,
  scheduleByName,
  scheduleFromBetas,
  sigmoidSchedule,
} from "./schedule";
export { atStep, dimsOf, sumDims } from "./tables";
