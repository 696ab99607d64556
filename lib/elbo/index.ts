/** @file The bound: its terms, the objectives derived from it, loss weights, sampling of t, and the analytic testing ground. */
export * from "./analytic";
export * from "./bound";
export * from "./coding";
export * from "./discretized";
export * from "./gaussian";
export { type Matrix, symmetricEigen } from "./linalg";
export * from "./objectives";
export { erf, erfc, logErfc, logSumExp } from "./special";
export * from "./statistics";
export * from "./steps";
export * from "./terms";
export * from "./units";
export * from "./weights";
