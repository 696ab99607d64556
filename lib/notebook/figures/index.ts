/** @file Figures: numbers in, Plotly JSON out, all in one house style. */
export {
  type BarOptions,
  type Bars,
  bars,
  type HistogramOptions,
  histogram,
  type LineOptions,
  lines,
  type Series,
} from "./charts";
export { type AnimationOptions, animation, type PanelOptions, panels } from "./compose";
export { type ImageOptions, type Images, imageGrid, type Picture, packImages } from "./images";
export type { Numbers, Points, TensorLike } from "./numbers";
export { type Field, type FieldOptions, heatmap, type ScatterOptions, scatter } from "./planes";
export { colour, type FigureOptions, PALETTE } from "./style";
