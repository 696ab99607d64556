/**
 * @file Expectations under a mixture by the trapezoidal rule, which for analytic integrands under a Gaussian converges
 * exponentially: halving the spacing squares the error. One and two dimensions.
 */
import { type Component, type Distribution, fromAxes } from "./distribution";

/** Standard deviations covered on each side: e^{−R²/2} is far below rounding. */
const REACH = 9;
/** Relative change on halving the spacing at which to stop; the error that is left is about its square, or, of a weak part of f that varies faster than the rest, below it. */
const CHANGE = 1e-8;
const MAX_HALVINGS = 9;

export interface ExpectationOptions {
  /** An error that does not matter. */
  negligible?: number;
  /** A length over which f varies where that is less than the mixture's narrowest standard deviation. */
  scale?: number;
}

/**
 * E f(x) for x from the mixture, for smooth f to about 1e-12 relative in one dimension and 1e-9 in two, or to `negligible`;
 * over points without noise a sum. Throws above two dimensions and where halving does not settle.
 */
export function expectation(
  distribution: Distribution,
  f: (x: readonly number[]) => number,
  { negligible = 1e-14, scale = Number.POSITIVE_INFINITY }: ExpectationOptions = {},
): number {
  const { components, dims } = distribution;
  if (dims > 2)
    throw new Error(
      `expectation: the mixture has ${dims} dimensions, expected 1 or 2. Average f over drawFrom(…) instead.`,
    );
  const narrowest = Math.min(scale, narrowestStd(distribution));
  return components.reduce(
    (sum, component) => sum + component.weight * underComponent(component, f, narrowest, negligible),
    0,
  );
}

/** The least standard deviation of any component that has one; infinite for points. */
export function narrowestStd({ components }: Distribution): number {
  const spreads = components.flatMap(({ variances }) => variances).filter((variance) => variance > 0);
  return Math.sqrt(Math.min(...spreads));
}

/** E f under one Gaussian; the first spacing is no wider than the narrowest component, lest its bump fall between nodes. */
function underComponent(
  component: Component,
  f: (x: readonly number[]) => number,
  narrowest: number,
  negligible: number,
): number {
  const stds = component.variances.map(Math.sqrt);
  if (stds.every((std) => std === 0)) return f(component.mean);
  let spacings = stds.map((std) => Math.min(1, narrowest / std));
  let value = gridSum(
    component,
    stds,
    spacings,
    spacings.map(() => 0),
    f,
  );
  let settled = false;
  for (let halving = 0; halving < MAX_HALVINGS || settled; halving++) {
    const shifts = corners(spacings.map((h) => h / 2));
    const between = shifts.map((offsets) => gridSum(component, stds, spacings, offsets, f));
    const finer = (value + between.reduce((sum, part) => sum + part, 0)) / (shifts.length + 1);
    const change = Math.abs(finer - value);
    value = finer;
    spacings = spacings.map((h) => h / 2);
    if (settled) return value;
    settled = change <= Math.max(CHANGE * Math.abs(value), negligible);
    if (settled && spacings.length > 1) return value; // on a line one halving more costs little
  }
  throw new Error("expectation: the quadrature did not settle; f is not smooth on the scale of the mixture.");
}

/** The trapezoidal sum over one grid, in standard deviations along the component's axes. */
function gridSum(
  component: Component,
  stds: readonly number[],
  spacings: readonly number[],
  offsets: readonly number[],
  f: (x: readonly number[]) => number,
): number {
  const axes = spacings.map((h, i) => gridLine(h, offsets[i]));
  const at = (u: readonly number[]) => {
    const shift = fromAxes(
      component,
      u.map((value, i) => value * stds[i]),
    );
    return f(component.mean.map((m, i) => m + shift[i]));
  };
  let sum = 0;
  for (const [u, weight] of axes[0]) {
    if (axes.length === 1) sum += weight * at([u]);
    else for (const [v, other] of axes[1]) sum += weight * other * at([u, v]);
  }
  return sum;
}

/** Nodes of one axis with their weights h·φ(u). */
function gridLine(h: number, offset: number): [number, number][] {
  const count = Math.floor(REACH / h);
  return Array.from({ length: 2 * count + 1 }, (_, i) => {
    const u = (i - count) * h + offset;
    return [u, (h * Math.exp(-0.5 * u * u)) / Math.sqrt(2 * Math.PI)];
  });
}

/** All choices of 0 or `steps[i]` for each axis but the choice of all zeros. */
function corners(steps: readonly number[]): number[][] {
  const all = steps.reduce<number[][]>(
    (list, step) =>
      list.flatMap((head) => [
        [...head, 0],
        [...head, step],
      ]),
    [[]],
  );
  return all.slice(1);
}
