/** @file Two looks beyond the bound: the Wasserstein distance, and the flow along a difference of scores; and all three on one model. */
export * from "./score-difference";
export * from "./views";
export * from "./wasserstein-bound";
