/**
 * @file sin, cos, expm1 and log1p to float32's precision, in place of the npm package's kernels. A GPU may be off by 2^-11 in
 * a sine, which the embedding of time and normal random numbers would show; exp(x) − 1 and log(1 + x) leave few digits or
 * none of a small x, which Adam's bias correction and the tails of a discretized Gaussian need.
 */
import * as tf from "@tensorflow/tfjs";
import type { Program, ProgramBackend } from "./program";

/** a₀ + x (a₁ + x (a₂ + …)) in WGSL. */
const horner = (x: string, [first, ...rest]: readonly number[]): string =>
  rest.length === 0 ? `f32(${first})` : `fma(${x}, ${horner(x, rest)}, f32(${first}))`;

const factorial = (n: number): number => (n < 2 ? 1 : n * factorial(n - 1));

/** The first so many coefficients of a power series; how many are needed leaves an error below float32's rounding. */
const series = (length: number, coefficient: (n: number) => number): number[] =>
  Array.from({ length }, (_, n) => coefficient(n));

const sign = (n: number): number => 1 - 2 * (n % 2);
/** sin(r)/r and cos(r) of z = r², |r| ≤ π/4. */
const SINE = series(5, (n) => sign(n) / factorial(2 * n + 1));
const COSINE = series(6, (n) => sign(n) / factorial(2 * n));
/** (exp(x) − 1)/x, |x| < 1/2. */
const EXPM1 = series(9, (n) => 1 / factorial(n + 1));
/** log((1 + s)/(1 − s))/s of z = s², |s| < 1/4. */
const LOG1P = series(7, (n) => 2 / (2 * n + 1));

/**
 * WGSL functions `sine(x)` and `cosine(x)` for |x| up to some 8,000. π/2 is taken off in three parts, the first two so short
 * that their multiples are exact (Cody & Waite 1980).
 */
export const TRIGONOMETRY = `
  fn turned(x : f32, quarters : i32) -> f32 {
    let k = round(x * ${2 / Math.PI});
    let r = ((x - k * 1.5703125) - k * 4.837512969970703125e-4) - k * 7.54978995489188216e-8;
    let z = r * r;
    let turn = (i32(k) + quarters) & 3;
    let y = select(${horner("z", COSINE)}, r * ${horner("z", SINE)}, (turn & 1) == 0);
    return select(y, -y, turn > 1);
  }
  fn sine(x : f32) -> f32 { return turned(x, 0); }
  fn cosine(x : f32) -> f32 { return turned(x, 1); }`;

const BODIES: Record<string, string> = {
  Sin: "return sine(x);",
  Cos: "return cosine(x);",
  Expm1: `if (abs(x) < 0.5) { return x * ${horner("x", EXPM1)}; } return exp(x) - 1.0;`,
  Log1p: `if (x <= -0.4 || x >= 0.6) { return log(1.0 + x); }
    let s = x / (2.0 + x);
    let z = s * s;
    return s * ${horner("z", LOG1P)};`,
};

const WORKGROUP = 128;

const unaryProgram = (name: string, shape: number[]): Program => ({
  variableNames: ["A"],
  size: true,
  outputShape: shape,
  workgroupSize: [WORKGROUP, 1, 1],
  dispatchLayout: { x: shape.map((_, axis) => axis) },
  dispatch: [Math.ceil(tf.util.sizeFromShape(shape) / WORKGROUP), 1, 1],
  shaderKey: `lower-bound-${name}`,
  getUserCode: () => `
    ${TRIGONOMETRY}
    fn unary(x : f32) -> f32 { ${BODIES[name]} }
    fn main(index : i32) {
      if (index < uniforms.size) { setOutputAtIndex(index, unary(getAByOutputIndex(index))); }
    }`,
});

/** Puts these kernels in the place of the npm package's. */
export function registerUnary(backendName: string): void {
  for (const kernelName of Object.keys(BODIES)) {
    tf.unregisterKernel(kernelName, backendName);
    tf.registerKernel({
      kernelName,
      backendName,
      kernelFunc: ({ inputs: { x }, backend }) =>
        (backend as ProgramBackend).runWebGPUProgram(unaryProgram(kernelName, x!.shape), [x!], "float32"),
    });
  }
}
