/**
 * @file DDPM's U-Net (Ho et al. 2020, appendix B) by configuration: residual blocks with group normalization and
 * swish, self-attention at chosen resolutions and in the middle, a skip from every output of the way down.
 *
 * `channels: 128, multipliers: [1, 2, 2, 2], dropout: 0.1` is the paper's net for CIFAR-10. With `classes` it is told
 * what is in the picture: a vector for each class, and one for "of no known class", is added to the time's.
 */
import { swish, tf, upsample } from "../tensor";
import {
  attention,
  conv3,
  dense,
  embedding,
  type Layer,
  norm,
  type ResidualBlock,
  residualBlock,
  timeEmbedding,
} from "./layers";
import type { Apply, Conditions } from "./net";
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
  /** Resolutions with self-attention after each block, of those that the net has; the middle always has it. Default [16]. */
  attention?: readonly number[];
  /** Squares of this many pixels become channels before the first layer (space to depth), 1 for none. Default 1. */
  patch?: number;
  /** Rate of the dropout in each residual block while training. Default 0. */
  dropout?: number;
  /** Classes that it can be told, 0 for an unconditional net. Default 0. */
  classes?: number;
}

const DEFAULTS: Required<UnetOptions> = {
  imageSize: 32,
  imageChannels: 3,
  channels: 32,
  multipliers: [1, 2, 2],
  blocks: 2,
  attention: [16],
  patch: 1,
  dropout: 0,
  classes: 0,
};
const SIZES = ["imageSize", "imageChannels", "channels", "blocks", "patch"] as const;

/** The names of the options. */
export const UNET_OPTIONS = Object.keys(DEFAULTS) as readonly (keyof UnetOptions)[];

/** The resolutions that a net comes through, level by level. */
const resolutionsOf = ({ imageSize, patch, multipliers }: Required<UnetOptions>): number[] =>
  multipliers.map((_, level) => imageSize / patch / 2 ** level);

/** The options with their defaults, always in the same order; throws where they do not fit each other. */
export function unetOptions(options: UnetOptions): Required<UnetOptions> {
  const full: Required<UnetOptions> = { ...DEFAULTS, ...options };
  for (const name of ["multipliers", "attention"] as const)
    if (!Array.isArray(full[name]))
      throw new Error(`unet: ${name} is ${JSON.stringify(full[name])}, expected a list such as [1, 2].`);
  const numbers: Record<string, number> = Object.fromEntries(SIZES.map((name) => [name, full[name]]));
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
  if (options.attention) checkAttention(full);
  else full.attention = DEFAULTS.attention.filter((resolution) => resolutionsOf(full).includes(resolution));
  if (!(typeof full.dropout === "number" && full.dropout >= 0 && full.dropout < 1))
    throw new Error(`unet: dropout is ${full.dropout}, expected a rate from 0 to below 1.`);
  if (!(Number.isInteger(full.classes) && full.classes >= 0))
    throw new Error(`unet: classes is ${full.classes}, expected their number, or 0 for none.`);
  return full;
}

/** Throws on a resolution that the net does not come through: it would have no attention there, without a word. */
function checkAttention(options: Required<UnetOptions>): void {
  const resolutions = resolutionsOf(options);
  const strange = options.attention.find((resolution) => !resolutions.includes(resolution));
  if (strange !== undefined)
    throw new Error(
      `unet: attention is at ${strange}, expected some of its resolutions ${resolutions.join(", ")}.`,
    );
}

/** Where on its way down or up a net is being built. */
interface Place {
  width: number;
  resolution: number;
}

/** What builds one residual block, with attention where the resolution is among the chosen. */
function blockMaker(timeSize: number, { attention: attended, dropout }: Required<UnetOptions>) {
  return (scope: Parameters, { width, resolution }: Place, outputs: number): ResidualBlock => {
    const residual = residualBlock(scope, { inputs: width, outputs, timeSize, dropout });
    if (!attended.includes(resolution)) return residual;
    const attend = attention(scope.scope("attention"), outputs);
    return (x, time, draws) => attend(residual(x, time, draws));
  };
}

type MakeBlock = ReturnType<typeof blockMaker>;

/** The layers of the way down, and the widths of their outputs; leaves `at` at the bottom. */
function wayDown(p: Parameters, at: Place, widths: readonly number[], blocks: number, make: MakeBlock) {
  const layers: ResidualBlock[] = [];
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
  blocks: ResidualBlock[];
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
function middle(p: Parameters, width: number, timeSize: number, dropout: number): ResidualBlock {
  const sizes = { inputs: width, outputs: width, timeSize, dropout };
  const before = residualBlock(p.scope("0"), sizes);
  const attend = attention(p.scope("attention"), width);
  const after = residualBlock(p.scope("1"), sizes);
  return (x, time, draws) => after(attend(before(x, time, draws)), time, draws);
}

/**
 * The time as all blocks see it: its sinusoids through two dense layers, t [B] → [B, 4·channels]; in a net with classes
 * plus the class's vector (Dhariwal & Nichol 2021, section 3.1, without its scale-shift norm).
 */
function timeNet(p: Parameters, channels: number, timeSize: number, classes: number) {
  const first = dense(p.scope("0"), channels, timeSize, { swish: true });
  const second = dense(p.scope("1"), timeSize, timeSize);
  const ofClass = classes > 0 ? embedding(p.scope("class"), classes + 1, timeSize) : null;
  return (t: tf.Tensor1D, { labels }: Conditions): tf.Tensor => {
    if (labels) checkLabels(labels, t.shape[0], classes);
    const time = second(first(timeEmbedding(t, channels)));
    if (!ofClass) return swish(time);
    return swish(tf.add(time, ofClass(labels ?? tf.fill([t.shape[0]], classes, "int32"))));
  };
}

/** The function of a U-Net whose weights come from `p`. Throws on sizes that do not fit. */
export function buildUnet(p: Parameters, options: UnetOptions): Apply {
  const full = unetOptions(options);
  const { imageSize, imageChannels, channels, blocks, patch, dropout, classes } = full;
  const [timeSize, depth] = [4 * channels, imageChannels * patch ** 2];
  const widths = full.multipliers.map((multiplier) => multiplier * channels);
  const make = blockMaker(timeSize, full);
  const at: Place = { width: channels, resolution: imageSize / patch };

  const embedTime = timeNet(p.scope("time"), channels, timeSize, classes);
  const first = conv3(p.scope("in"), depth, channels);
  const down = wayDown(p, at, widths, blocks, make);
  const bottom = middle(p.scope("middle"), at.width, timeSize, dropout);
  const up = wayUp(p, at, widths, [channels, ...down.skips], make, blocks);
  const lastNorm = norm(p.scope("out.norm"), at.width, { swish: true });
  const last = conv3(p.scope("out.conv"), at.width, depth, { zero: true });

  return (xt, t, conditions = {}) => {
    checkImages(xt, [imageSize, imageSize, imageChannels]);
    const time = embedTime(t, conditions);
    const { draws } = conditions;
    let h = first(patch > 1 ? spaceToDepth(xt, patch) : xt);
    const kept = [h];
    for (const layer of down.layers) {
      h = layer(h, time, draws);
      kept.push(h);
    }
    h = bottom(h, time, draws);
    for (const stage of up) {
      for (const block of stage.blocks) h = block(tf.concat([h, kept.pop()!], 3), time, draws);
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

function checkLabels(labels: tf.Tensor1D, batch: number, classes: number): void {
  if (classes === 0) throw new Error("unet: labels were given, but this net has no classes. Leave them out.");
  if (labels.dtype !== "int32" || labels.rank !== 1 || labels.shape[0] !== batch)
    throw new Error(
      `unet: labels is ${labels.dtype} [${labels.shape}], expected int32 [${batch}], one for each image.`,
    );
}
