/**
 * @file The README's part about trained models, from what is shipped: a table of measures, and the commands that made
 * each. It stands between two comments; `npm run readme -- models` writes it, a test compares it.
 */
import { CIFAR10_CLASSES } from "../../lib/data";
import { fidName } from "../../lib/metrics";
import { isShipped, type ShippedModel, shipped } from "../../lib/training";
import { comparable, type SweepRow } from "../compare/rows";
import { sweepPage } from "../compare/sweep-report";
import { markdown, plusMinus, thousands } from "../markdown";

/** Models that were trained and measured alike, to be compared. */
const TWINS = ["cifar10", "cifar10-eps", "cifar10-mean", "cifar10-x0"] as const;

/** Models that may be shipped, in the order of the table. */
export const MODELS = [...TWINS, "mnist"] as const;

/** Models whose samples are shown. */
export const PICTURED = ["cifar10", "mnist"] as const;

/** How many, how far they are pushed towards their classes, and what the columns are; all else as `npm run sample` has it. */
const SAMPLES = {
  cifar10: { count: 80, guidance: 3, classes: CIFAR10_CLASSES.join(", ") },
  mnist: { count: 80, guidance: 1, classes: "the digits 0 to 9" },
} as const;

/** What `npm run sample` is asked for. */
export function sampleArgs(name: (typeof PICTURED)[number]): string[] {
  const { count, guidance } = SAMPLES[name];
  return [
    ...["--checkpoint", `assets/${name}/model.safetensors`, "--count", String(count)],
    ...["--guidance", String(guidance), "--seed", "0", "--steps", "50", "--out", PICTURES[name]],
  ];
}

/** The pictures that the section shows. */
export const PICTURES = {
  cifar10: "assets/readme/cifar10-samples.png",
  mnist: "assets/readme/mnist-samples.png",
  curves: "assets/readme/training-curves.png",
  comparison: "assets/readme/comparison.png",
} as const;

const BEGIN = "<!-- models: written by npm run readme -- models -->";
const END = "<!-- /models -->";

/** The models that are shipped. */
export const shippedModels = (): ShippedModel[] => MODELS.filter(isShipped).map(shipped);

/** The README with this section between its comments. Throws where they are missing. */
export function withSection(readme: string, section: string): string {
  const [begin, end] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  if (begin < 0 || end < begin)
    throw new Error(`readme: the README has no "${BEGIN}" … "${END}". Put both back, on lines of their own.`);
  return `${readme.slice(0, begin + BEGIN.length)}\n${section ? `\n${section}\n\n` : ""}${readme.slice(end)}`;
}

function madeOf({ name, config, about }: ShippedModel): Record<string, string> {
  return {
    model: `[${name}](assets/${name})`,
    predicts: config.parameterization,
    weighting: config.weighting,
    weights: thousands(about.weights),
    "file (MB)": (about.bytes / 1e6).toFixed(1),
    steps: thousands(about.steps),
    images: thousands(about.images),
    hours: about.hours.toFixed(1),
    on: [...new Set(about.starts.map(({ machine, engine }) => `${machine} (${engine})`))].join("; "),
  };
}

function measuresOf({ name, evaluation }: ShippedModel): Record<string, string>[] {
  if (!evaluation) return [];
  const { bits, samples } = evaluation;
  const { fid, kid, precisionRecall } = samples;
  const share = ({ precision, recall }: { precision: number; recall: number }) =>
    `${precision.toFixed(3)}, ${recall.toFixed(3)}`;
  return [
    {
      model: name,
      "bits/dim": plusMinus(bits.bitsPerDim, 3),
      "rate + distortion": `${bits.rate.toFixed(3)} + ${bits.distortion.toFixed(3)}`,
      FID: fid.samples.toFixed(2),
      "real images": fid.floor.toFixed(2),
      KID: plusMinus(kid.samples, 4),
      "precision, recall": share(precisionRecall.samples),
      "of real images": share(precisionRecall.floor),
    },
  ];
}

/** How a model was measured. */
function howMeasured({ name, evaluation }: ShippedModel): string[] {
  if (!evaluation) return [];
  const { bits, samples, sampler } = evaluation;
  return [
    `- ${name}: ${fidName(samples)} of ${sampler}, real images at n = ${thousands(samples.floorN)}; KID by ${thousands(samples.kid.samples.reference)} images of the reference, precision and recall by as many as samples; bits/dim on ${thousands(bits.images)} test images, ${bits.clip ? "x̂_0 clipped" : "x̂_0 as it is"}${bits.withoutClass ? ", without a class" : ""}.`,
  ];
}

/** The twins among the models, as rows of a comparison; none where there is nothing to compare. Throws where they were measured in different ways. */
export function comparedTwins(models: readonly ShippedModel[]): SweepRow[] {
  const twins = models.filter(({ name }) => TWINS.some((one) => one === name));
  const rows = twins.flatMap(({ name, config, about: { hours }, evaluation }) =>
    evaluation ? [{ name, config, hours, evaluation }] : [],
  );
  return rows.length > 1 ? comparable(rows) : [];
}

/** What the twins' comparison says, and the command that repeats it. */
function comparisonOf(models: readonly ShippedModel[]): string[] {
  const rows = comparedTwins(models);
  if (rows.length === 0) return [];
  const configs = rows.map(({ name }) => name).join(",");
  return [
    "## The parameterizations compared on images",
    sweepPage(rows, {
      picture: [picture("Bound, samples and terms of each, and published figures", PICTURES.comparison)],
    }),
    `\`\`\`sh\nnpm run -s compare -- --configs ${configs} --data DIR --steps ${rows[0].evaluation.step}   # trains and measures them all\n\`\`\``,
  ];
}

const picture = (text: string, path: string): string => `![${text}](${path})`;

/** A model's samples, and what they are. */
function samplesOf(name: (typeof PICTURED)[number]): string[] {
  const { count, guidance, classes } = SAMPLES[name];
  return [
    picture(`Samples of ${name}`, PICTURES[name]),
    `${name}: the first ${count} samples of seed 0, 50 DDIM steps, guidance ${guidance}. Columns: ${classes}.`,
  ];
}

/** The section; "" where nothing is shipped. */
export function modelsSection(models: readonly ShippedModel[]): string {
  if (models.length === 0) return "";
  const has = (name: string) => models.some((model) => model.name === name);
  const shown = models.filter(({ name }) => PICTURED.some((one) => one === name));
  const measures = shown.flatMap(measuresOf);
  const parts = [
    "## The trained models",
    ...PICTURED.filter(has).flatMap(samplesOf),
    "None of the pictures was chosen. Each model is a folder with its averaged weights in half precision (safetensors), its configuration, its curve and how it was made.",
    markdown(models.map(madeOf)),
    picture("Training loss of each model over its hours, in units of its first point", PICTURES.curves),
    ...(measures.length > 0 ? [markdown(measures), shown.flatMap(howMeasured).join("\n")] : []),
    commands(models),
    ...comparisonOf(models),
  ];
  return parts.join("\n\n");
}

function commands(models: readonly ShippedModel[]): string {
  const lines = models.flatMap(({ name, about, config }) => [
    about.command.replace(
      "--config config.json",
      `--config assets/${name}/config.json --data DIR --out runs/${name}`,
    ),
    `npm run export -- --run runs/${name} --out assets/${name}`,
    `npm run evaluate -- --checkpoint assets/${name}/model.safetensors --data DIR --out runs/${name}/evaluation --report assets/${name}/evaluation.json   # ${config.data}`,
  ]);
  const pictures = PICTURED.filter((name) => models.some((model) => model.name === name)).map(
    (name) => `npm run sample -- ${sampleArgs(name).join(" ")}`,
  );
  return ["```sh", ...lines, ...pictures, "npm run readme -- models", "```"].join("\n");
}
