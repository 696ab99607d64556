/** @file Nats and bits; sums and means over dimensions; a density on scaled data against the probability of 8-bit data. */

/** Nats as bits. */
export function natsToBits(nats: number): number {
  return nats / Math.LN2;
}

/** A negative log-probability summed over D dimensions, in nats, as bits per dimension. */
export function bitsPerDim(totalNats: number, dims: number): number {
  return natsToBits(totalNats / dims);
}

/**
 * What a density on data scaled to [−1, 1] lacks to be one on the bins of `levels` values: log2 of the number of bins
 * per unit, (levels − 1)/2; 6.994 bits for 8-bit data, since x = 2k/255 − 1 makes bins of width 2/255. Throws unless
 * `levels` is a whole number of at least 2.
 */
export function binOffsetBits(levels = 256): number {
  checkLevels("binOffsetBits", levels);
  return Math.log2((levels - 1) / 2);
}

/** Throws unless data can take so many values in [−1, 1]. */
export function checkLevels(caller: string, levels: number): void {
  if (!(Number.isInteger(levels) && levels >= 2))
    throw new Error(`${caller}: levels is ${levels}, expected a whole number of at least 2, such as 256.`);
}

/** Nats/dim of a density on [−1, 1]-scaled data as bits/dim of the data in `levels` values (small-bin approximation). */
export function densityBitsPerDim(natsPerDim: number, levels = 256): number {
  return natsToBits(natsPerDim) + binOffsetBits(levels);
}
