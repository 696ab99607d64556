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
 * per unit, (levels − 1)/2; 6.994 bits for 8-bit data, since x = 2k/255 − 1 makes bins of width 2/255.
 */
export function binOffsetBits(levels = 256): number {
  return Math.log2((levels - 1) / 2);
}

/** Nats/dim of a density on [−1, 1]-scaled data as bits/dim of the data in `levels` values (small-bin approximation). */
export function densityBitsPerDim(natsPerDim: number, levels = 256): number {
  return natsToBits(natsPerDim) + binOffsetBits(levels);
}
