/** @file Two looks beyond the bound: the Wasserstein distance, and the flow along a difference of scores. */
export * from "./score-difference";
export * from "./wasserstein-bound";
