/** @file A grid of pictures as one figure: pixels packed into a single PNG, laid under empty axes. Pure. */
import type { Layout } from "plotly.js";
import type { Figure } from "../figure";
import { encodePng } from "../render/png.cjs";
import { noticeIfNoneFinite } from "./notice";
import { extent, isTensorLike, type TensorLike } from "./numbers";
import { baseLayout, type FigureOptions, INK, PAPER } from "./style";

/** Pictures `[n, height, width, channels]`, one channel or three: a tensor, or flat pixels with their shape. */
export type Images = TensorLike | { readonly shape: readonly number[]; readonly data: ArrayLike<number> };

export interface ImageOptions extends FigureOptions {
  /** Pictures in a row; by default the squarest grid. */
  columns?: number;
  /** The values shown as black and as white; by default 0 and 255 for whole numbers up to 255, else -1 and 1. */
  range?: [number, number];
  /** A title above each column. */
  columnNames?: readonly string[];
}

const GAP = 2; // pixels of the enlarged grid between pictures
const TARGET_CELL = 64; // small pictures are enlarged by a whole factor to about this many pixels

/** Pixels of a picture, row-major [height, width, 4], 0…255. */
export interface Picture {
  width: number;
  height: number;
  rgba: Uint8ClampedArray;
}

/**
 * A grid of pictures in reading order; values beyond the range are clipped. Throws on other shapes than
 * [n, h, w, 1 or 3], and without a range on values that are neither bytes nor around [-1, 1].
 */
export function imageGrid(images: Images, options: ImageOptions = {}): Figure {
  const { width, height, rgba } = packImages(images, options);
  const png = encodePng(width, height, rgba).toString("base64");
  const [count] = images.shape;
  const figure = gridFigure(png, width, height, columnsOf(count, options), count, options);
  return withNotice(figure, pixelsOf(images), options);
}

const pixelsOf = (images: Images): ArrayLike<number> =>
  isTensorLike(images) ? images.dataSync() : images.data;

const NOTICE_WIDTH = 180;

/** On pictures of NaN alone the reason, dark on light whatever the page's theme, with room for its words. */
function withNotice({ data, layout }: Figure, pixels: ArrayLike<number>, { width }: ImageOptions): Figure {
  const { annotations } = noticeIfNoneFinite(pixels);
  if (!annotations) return { data, layout };
  const readable = annotations.map((one) => ({ ...one, bgcolor: PAPER, font: { color: INK } }));
  const room = { width: width ?? Math.max(layout.width ?? 0, NOTICE_WIDTH) };
  return {
    data,
    layout: { ...layout, ...room, annotations: [...(layout.annotations ?? []), ...readable] },
  };
}

const columnsOf = (count: number, { columns }: ImageOptions): number =>
  columns ?? Math.ceil(Math.sqrt(count));

/** The pixels of `imageGrid`, for files. */
export function packImages(images: Images, options: Pick<ImageOptions, "columns" | "range"> = {}): Picture {
  const [count, height, width, channels] = checkedShape(images.shape);
  const pixels = pixelsOf(images);
  if (pixels.length !== count * height * width * channels)
    throw new Error(`packImages: got ${pixels.length} values, expected ${images.shape.join("×")}.`);
  const columns = columnsOf(count, options);
  const rows = Math.ceil(count / columns);
  const factor = Math.max(1, Math.round(TARGET_CELL / Math.max(height, width)));
  const [cellWidth, cellHeight] = [width * factor + GAP, height * factor + GAP];
  const [totalWidth, totalHeight] = [columns * cellWidth - GAP, rows * cellHeight - GAP];
  const rgba = new Uint8ClampedArray(totalWidth * totalHeight * 4).fill(255);
  const toByte = byteScale(options.range ?? rangeOf(pixels));
  for (let image = 0; image < count; image++) {
    const left = (image % columns) * cellWidth;
    const top = Math.floor(image / columns) * cellHeight;
    for (let y = 0; y < height * factor; y++)
      for (let x = 0; x < width * factor; x++) {
        const source =
          ((image * height + Math.floor(y / factor)) * width + Math.floor(x / factor)) * channels;
        const target = 4 * ((top + y) * totalWidth + left + x);
        for (let channel = 0; channel < 3; channel++)
          rgba[target + channel] = toByte(pixels[source + (channels === 3 ? channel : 0)]);
      }
  }
  return { width: totalWidth, height: totalHeight, rgba };
}

function checkedShape(shape: readonly number[]): [number, number, number, number] {
  if (shape.length !== 4 || (shape[3] !== 1 && shape[3] !== 3) || shape[0] === 0)
    throw new Error(
      `packImages: got shape [${shape}], expected [n, height, width, channels] with n ≥ 1 and 1 or 3 channels.`,
    );
  return shape as unknown as [number, number, number, number];
}

const isBytes = (pixels: ArrayLike<number>): boolean =>
  pixels instanceof Uint8Array || pixels instanceof Uint8ClampedArray;

/** Noise and what a net draws reach far beyond [-1, 1] on both sides; what is never negative and as large is of another kind. */
const MOST_WITHOUT_NEGATIVES = 10;

function rangeOf(pixels: ArrayLike<number>): [black: number, white: number] {
  if (isBytes(pixels)) return [0, 255];
  const values = Array.from(pixels);
  const [low, high] = extent(values);
  if (low >= 0 && high > 1 && high <= 255 && values.every(Number.isInteger)) return [0, 255];
  if (low >= 0 && high > MOST_WITHOUT_NEGATIVES)
    throw new Error(
      `packImages: got values from ${low} to ${high}, expected -1 to 1, or whole numbers from 0 to 255. For others name what is black and white: { range: [${low}, ${high}] }.`,
    );
  return [-1, 1];
}

const byteScale =
  ([black, white]: [number, number]) =>
  (value: number): number =>
    Math.round((255 * (value - black)) / (white - black)); // the clamped array clips

function gridFigure(
  base64: string,
  width: number,
  height: number,
  columns: number,
  count: number,
  { columnNames, ...options }: ImageOptions,
): Figure {
  const base = baseLayout(options);
  const scale = Math.min(1.5, Math.max(1, 640 / width));
  const margin = { l: 12, r: 12, t: (options.title ? 56 : 12) + (columnNames ? 24 : 0), b: 12 };
  const bare = { visible: false, range: [0, 1], fixedrange: true };
  const layout: Partial<Layout> = {
    ...base,
    width: options.width ?? Math.round(width * scale) + 24,
    height: options.height ?? Math.round(height * scale) + margin.t + margin.b,
    margin,
    xaxis: bare,
    yaxis: bare,
    images: [
      {
        source: `data:image/png;base64,${base64}`,
        xref: "paper",
        yref: "paper",
        x: 0,
        y: 1,
        sizex: 1,
        sizey: 1,
        sizing: "contain",
        layer: "below",
      },
    ],
    annotations: columnNames?.map((text, index) => ({
      text,
      x: (index + 0.5) / columns,
      y: 1,
      xref: "paper",
      yref: "paper",
      yanchor: "bottom",
      showarrow: false,
    })),
  };
  if (!columnNames) delete layout.annotations;
  // Without a trace Plotly draws default axes; this one is invisible and carries the count into the description.
  return {
    data: [
      { type: "scatter", mode: "markers", name: `${count} images`, x: [null], y: [null], hoverinfo: "skip" },
    ],
    layout,
  };
}
