/**
 * @file `npm run readme`: draws the README's picture, with lesson 01's network and data. Takes about a minute.
 * `npm run readme -- models`: draws with the shipped models, and writes the README's section about them.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  isShipped,
  linearSchedule,
  mlp,
  openModel,
  qSample,
  rng,
  type ShippedModel,
  sampleStream,
  shipped,
  tf,
  toy,
  train,
} from "../lib";
import { type Figure, lines, render, scatter } from "../lib/notebook";
import { summarizeSweep, sweepFigure } from "./compare/sweep-report";
import { runMain } from "./progress";
import {
  comparedTwins,
  MODELS,
  modelsSection,
  PICTURED,
  PICTURES,
  sampleArgs,
  shippedModels,
  withSection,
} from "./readme/section";
import { drawSamples, still } from "./sample/draw";
import { parseRequest as parseSample } from "./sample/request";

const PROJECT = dirname(__dirname);
const PICTURE = join(PROJECT, "assets", "readme", "two-moons.png");
const MOMENTS = [1, 50, 150, 400, 1000];
const POINTS = 500;
const RANGE: [number, number] = [-3.2, 3.2];

async function drawMoons(): Promise<void> {
  const schedule = linearSchedule();
  const data = toy("moons");
  const net = mlp({ seed: 7 });
  for await (const { step } of train({ net, schedule, data, learningRate: 3e-3, steps: 10000, seed: 8 }))
    if (step % 1000 === 0) console.log(`step ${step}`);

  const x0 = data.sample(rng(1), POINTS);
  const panels: Record<string, tf.Tensor | number[][]> = {};
  for (const t of MOMENTS) {
    const noised = qSample(
      schedule,
      x0,
      tf.fill([POINTS], t, "int32") as tf.Tensor1D,
      rng(4).normal(x0.shape),
    );
    panels[`q, t = ${t}`] = noised.arraySync() as number[][];
  }
  const model = { schedule, predict: net.apply, parameterization: "eps", variance: "beta" } as const;
  const walked = new Map<number, number[][]>();
  for await (const { t, xt } of sampleStream(model, [POINTS, 2], { rng: rng(9) }))
    if (MOMENTS.includes(t) || t === 0)
      walked.set(
        t,
        Array.from({ length: POINTS }, (_, i) => [xt[2 * i], xt[2 * i + 1]]),
      );
  for (const t of [1000, 400, 150, 50, 0]) panels[`p, t = ${t}`] = walked.get(t) ?? [];

  const colours = Object.keys(panels).map((name) => (name.startsWith("q") ? 0 : 1));
  const figure = scatter(panels, { columns: MOMENTS.length, range: RANGE, height: 420, size: 3, colours });
  mkdirSync(dirname(PICTURE), { recursive: true });
  writeFileSync(PICTURE, await render(figure, { width: 1000, height: 430, scale: 1 }));
  console.log(PICTURE);
}

/** A shipped model's samples, as `npm run sample` draws them. */
async function drawSamplesOf(name: (typeof PICTURED)[number]): Promise<void> {
  const request = parseSample(sampleArgs(name));
  if (request === "help") throw new Error(`readme: ${sampleArgs(name).join(" ")} asks for no samples.`);
  const trained = openModel(shipped(name).checkpoint);
  writeFileSync(join(PROJECT, PICTURES[name]), still(await drawSamples(trained, request, () => {})));
  trained.dispose();
}

/** The loss of each model over its hours, relative to its first point: their units differ. */
export function curvesFigure(models: readonly ShippedModel[]): Figure {
  const series = models.map(({ name, curve }) => {
    const y = curve.loss.map((loss) => loss / curve.loss[0]);
    return [name, { x: curve.hours, y }] as const;
  });
  return lines(Object.fromEntries(series), {
    ...{ logY: true, xTitle: "hours of training", yTitle: "loss / its first point" },
    title: "Training of the shipped models",
  });
}

async function writeModels(): Promise<void> {
  const models = shippedModels();
  if (models.length === 0)
    throw new Error(`readme: none of ${MODELS.join(", ")} is in assets. Put one there with npm run export.`);
  mkdirSync(join(PROJECT, "assets", "readme"), { recursive: true });
  for (const name of PICTURED.filter(isShipped)) await drawSamplesOf(name);
  writeFileSync(
    join(PROJECT, PICTURES.curves),
    await render(curvesFigure(models), { width: 900, height: 420 }),
  );
  const twins = comparedTwins(models);
  if (twins.length > 0)
    writeFileSync(join(PROJECT, PICTURES.comparison), await render(sweepFigure(summarizeSweep(twins))));
  const readme = join(PROJECT, "README.md");
  writeFileSync(readme, withSection(readFileSync(readme, "utf8"), modelsSection(models)));
  console.log(`${readme}: ${models.map(({ name }) => name).join(", ")}`);
}

async function main(what?: string): Promise<void> {
  if (what === "models") return writeModels();
  if (what === undefined) return drawMoons();
  throw new Error(`readme: unknown argument "${what}", expected models, or none for the picture.`);
}

if (require.main === module) runMain("readme", () => main(process.argv[2]));
