/**
 * @file The course's library, as the lessons import it: `import { qSample, tf } from "../lib"`.
 *
 * Figures come from `lib/notebook`; the kernel is a program of its own and imports nothing of this.
 */
export * from "./data";
export * from "./diffusion";
export * from "./elbo";
export * from "./metrics";
export { createNet, mlp, NETS, type Net, type NetConfig, parameterCount, unet } from "./nets";
export * from "./tensor";
export * from "./theory";
export * from "./training";
