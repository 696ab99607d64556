/** @file The Wasserstein distance that score matching secretly bounds (Kwon, Fan and Lee 2022), part by part. */
export * from "./bound";
export * from "./certified";
export * from "./experiment";
export * from "./gaussian-dynamics";
export * from "./lipschitz";
export * from "./matching";
export { marginalAt, type ScoreAt, type Sde, simulateReverse, veSde, vpSde } from "./sde";
