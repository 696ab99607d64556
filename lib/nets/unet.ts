/**
 * @file DDPM's U-Net (Ho et al. 2020, appendix B) by configuration: residual blocks with group normalization and
 * swish, self-attention at chosen resolutions and in the middle, a skip from every output of the way down.
 *
 * `channels: 128, multipliers: [1, 2, 2, 2]` is the paper's net for CIFAR-10. Left out: dropout.
 */
import { swish, tf, upsample } from "../tensor";
import { attention, conv3, dense, type Layer, norm, residualBlock, timeEmbedding } from "./layers";
import type { Apply } from "./net";
import type { Parameters } from "./parameters";
import { depthToSpace, spaceToDepth } from "./patches";

export interface UnetOptions {
  /** Height and width of the images. Default 32. */
  imageSize?: number;
  /** Channels of the images. Default 3. */
  imageChannels?: number;
  /** Channels of the first level. Default 32. */
  channels?: number;
  /** Channels of each level in units of `channels`; each level but the last halves the resolution. Default [1, 2, 2]. */
  multipliers?: readonly number[];
  /** Residual blocks of each level on the way down; one more on the way up. Default 2. */
  blocks?: number;
  /** Resolutions with self-attention after each block; the middle always has it. Default [16]. */
  attention?: readonly number[];
  /** Squares of this many pixels become channels before the first layer (space to depth), 1 for none. Default 1. */
  patch?: number;
}

type Block = (x: tf.Tensor, time: tf.Tensor) => tf.Tensor;

/** The options with their defaults; throws where they do not fit each other. */
function checked(options: UnetOptions): Required<UnetOptions> {
  const sizes = { imageSize: 32, imageChannels: 3, channels: 32, blocks: 2, patch: 1 };
  const lists = { multipliers: [1, 2, 2], attention: [16] };
  const full = { ...sizes, ...lists, ...options };
  const numbers: Record<string, number> = Object.fromEntries(
    (Object.keys(sizes) as (keyof typeof sizes)[]).map((name) => [name, full[name]]),
  );
  full.multipliers.forEach((value, i) => {
    numbers[`multipliers[${i}]`] = value;
  });
  for (const [name, value] of Object.entries(numbers))
    if (!(Number.isInteger(value) && value > 0))
      throw new Error(`unet: ${name} is ${value}, expected a positive integer.`);
  const unit = full.patch * 2 ** (full.multipliers.length - 1);
  if (full.multipliers.length === 0 || full.imageSize % unit !== 0)
    throw new Error(
      `unet: imageSize is ${full.imageSize}, expected a multiple of ${unit} for patch ${full.patch} and ${full.multipliers.length} levels.`,
    );
  if (full.channels % 4 !== 0)
    throw new Error(`unet: channels is ${full.channels}, expected a multiple of 4.`);
  return full;
}

/** Where on its way down or up a net is being built. */
interface Place {
  width: number;
  resolution: number;
}

/** What builds one residual block, with attention where the resolution is among the chosen. */
function blockMaker(timeSize: number, attended: readonly number[]) {
  return (scope: Parameters, { width, resolution }: Place, outputs: number): Block => {
    const residual = residualBlock(scope, width, outputs, timeSize);
    if (!attended.includes(resolution)) return residual;
    const attend = attention(scope.scope("attention"), outputs);
    return (x, time) => attend(residual(x, time));
  };
}

type MakeBlock = ReturnType<typeof blockMaker>;

/** The layers of the way down, and the widths of their outputs; leaves `at` at the bottom. */
function wayDown(p: Parameters, at: Place, widths: readonly number[], blocks: number, make: MakeBlock) {
  const layers: Block[] = [];
  const skips: number[] = [];
  widths.forEach((outputs, level) => {
    for (let i = 0; i < blocks; i++) {
      layers.push(make(p.scope(`down.${level}.${i}`), at, outputs));
      at.width = outputs;
      skips.push(outputs);
    }
    if (level === widths.length - 1) return;
    layers.push(conv3(p.scope(`down.${level}.halve`), outputs, outputs, { stride: 2 }));
    at.resolution /= 2;
    skips.push(outputs);
  });
  return { layers, skips };
}

/** Blocks that each take one skip, then a layer that doubles the resolution, if not the last. */
interface Stage {
  blocks: Block[];
  enlarge: Layer | null;
}

/** The stages of the way up, from the bottom; leaves `at` at the top. */
function wayUp(
  p: Parameters,
  at: Place,
  widths: readonly number[],
  skips: number[],
  make: MakeBlock,
  blocks: number,
): Stage[] {
  return widths
    .map((outputs, level) => ({ outputs, level }))
    .reverse()
    .map(({ outputs, level }) => {
      const stage = Array.from({ length: blocks + 1 }, (_, i) => {
        const inputs = { ...at, width: at.width + skips.pop()! };
        at.width = outputs;
        return make(p.scope(`up.${level}.${i}`), inputs, outputs);
      });
      if (level === 0) return { blocks: stage, enlarge: null };
      at.resolution *= 2;
      const convolve = conv3(p.scope(`up.${level}.double`), outputs, outputs);
      return { blocks: stage, enlarge: (x: tf.Tensor) => convolve(upsample(x as tf.Tensor4D)) };
    });
}

/** Two residual blocks with attention between them. */
function middle(p: Parameters, width: number, timeSize: number): Block {
  const before = residualBlock(p.scope("0"), width, width, timeSize);
  const attend = attention(p.scope("attention"), width);
  const after = residualBlock(p.scope("1"), width, width, timeSize);
  return (x, time) => after(attend(before(x, time)), time);
}

/** The time as all blocks see it: its sinusoids through two dense layers, t [B] → [B, 4·channels]. */
function timeNet(p: Parameters, channels: number, timeSize: number): (t: tf.Tensor1D) => tf.Tensor {
  const first = dense(p.scope("0"), channels, timeSize);
  const second = dense(p.scope("1"), timeSize, timeSize);
  return (t) => swish(second(swish(first(timeEmbedding(t, channels)))));
}

/** The function of a U-Net whose weights come from `p`. Throws on sizes that do not fit. */
export function buildUnet(p: Parameters, options: UnetOptions): Apply {
  const full = checked(options);
  const { imageSize, imageChannels, channels, blocks, patch } = full;
  const [timeSize, depth] = [4 * channels, imageChannels * patch ** 2];
  const widths = full.multipliers.map((multiplier) => multiplier * channels);
  const make = blockMaker(timeSize, full.attention);
  const at: Place = { width: channels, resolution: imageSize / patch };

  const embedTime = timeNet(p.scope("time"), channels, timeSize);
  const first = conv3(p.scope("in"), depth, channels);
  const down = wayDown(p, at, widths, blocks, make);
  const bottom = middle(p.scope("middle"), at.width, timeSize);
  const up = wayUp(p, at, widths, [channels, ...down.skips], make, blocks);
  const lastNorm = norm(p.scope("out.norm"), at.width, { swish: true });
  const last = conv3(p.scope("out.conv"), at.width, depth, { zero: true });

  return (xt, t) => {
    checkImages(xt, [imageSize, imageSize, imageChannels]);
    const time = embedTime(t);
    let h = first(patch > 1 ? spaceToDepth(xt, patch) : xt);
    const kept = [h];
    for (const layer of down.layers) {
      h = layer(h, time);
      kept.push(h);
    }
    h = bottom(h, time);
    for (const stage of up) {
      for (const block of stage.blocks) h = block(tf.concat([h, kept.pop()!], 3), time);
      if (stage.enlarge) h = stage.enlarge(h);
    }
    const out = last(lastNorm(h));
    return patch > 1 ? depthToSpace(out, patch) : out;
  };
}

function checkImages(xt: tf.Tensor, want: number[]): void {
  if (xt.rank !== 4 || want.some((size, axis) => xt.shape[axis + 1] !== size))
    throw new Error(`unet: xt has shape [${xt.shape}], expected [B, ${want.join(", ")}].`);
}
