/** @file What a lesson shows with: figures, live figures, tables, maths, progress, checks. Knows no tensors and no nets. */
import { inKernel } from "./display";
import { warmUp } from "./render";

export { budget, isFast } from "./budget";
export { type Answer, type CheckOptions, check, type Hints } from "./checks";
export { type Bundle, display, inKernel } from "./display";
export { describe, type Figure } from "./figure";
export * from "./figures";
export { type CurveOptions, type Live, type LiveCurve, live, liveCurve } from "./live";
export { duration, type ProgressLine, type ProgressOptions, progress, progressLine } from "./progress";
export { type RenderSize, render } from "./render";
export { type Showable, show } from "./show";
export { type TableOptions, table } from "./table";
export { math, tex } from "./tex";

if (inKernel()) warmUp(); // the first figure of a lesson then need not wait for Plotly to load
