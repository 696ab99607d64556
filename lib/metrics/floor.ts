/** @file W2 with its floor: what two samples of the data themselves are apart at the same n. A bare W2 says little. */
import { estimate } from "../elbo/statistics";
import { type PointSet, toPoints } from "./points";
import { w2 } from "./wasserstein";

/** A distance between samples and data, beside what data and data come to. */
export interface W2WithFloor {
  /** Mean exact W2 between the samples and `repeats` fresh draws of n data. */
  w2: number;
  w2StandardError: number;
  /** Mean exact W2 between two independent draws of n data. */
  floor: number;
  floorStandardError: number;
  /** Points in each set. */
  n: number;
  repeats: number;
}

/**
 * W2 of `samples` `[n, D]` from the data, and the data-against-data floor at the same n. `drawData(n, draw)` gives
 * n fresh data for each of the 2·repeats numbers of a draw, independent of one another; a tensor that it returns is disposed here.
 * Costs 2·repeats exact assignments. Throws as `w2`, and on fewer than two repeats, which give no standard error.
 */
export function w2WithFloor(
  samples: PointSet,
  drawData: (n: number, draw: number) => PointSet,
  { repeats = 4 } = {},
): W2WithFloor {
  if (!(Number.isInteger(repeats) && repeats >= 2))
    throw new Error(`w2WithFloor: got ${repeats} repeats, expected a whole number of at least 2.`);
  const { values, n, dims } = toPoints("w2WithFloor", "samples", samples);
  const draw = (number: number) => owned(drawData(n, number));
  const own = { data: values, dims };
  const pairs = Array.from({ length: repeats }, (_, k) => {
    const [first, second] = [draw(2 * k), draw(2 * k + 1)];
    return { toData: w2(own, first), amongData: w2(first, second) };
  });
  const distance = estimate(pairs.map(({ toData }) => toData));
  const floor = estimate(pairs.map(({ amongData }) => amongData));
  return {
    w2: distance.mean,
    w2StandardError: distance.standardError,
    floor: floor.mean,
    floorStandardError: floor.standardError,
    n,
    repeats,
  };
}

/** The numbers of a drawn set, with its tensor disposed. */
function owned(set: PointSet): PointSet {
  try {
    const { values, dims } = toPoints("w2WithFloor", "drawn data", set);
    return { data: values, dims };
  } finally {
    (set as { dispose?: () => void }).dispose?.();
  }
}
