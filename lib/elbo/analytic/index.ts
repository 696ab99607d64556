/** @file The analytic testing ground: data with a known answer to every question asked of a network. */
export {
  type Component,
  type Distribution,
  dataSet,
  diffused,
  drawFrom,
  gaussian,
  logDensityOf,
  mixture,
  type NumberOrVector,
  noised,
  responsibilities,
  scoreOf,
  secondMoment,
} from "./distribution";
export * from "./exact";
export * from "./optimal";
export { expectation, narrowestStd } from "./quadrature";
export * from "./quantized";
