/**
 * @file `npm run readme`: draws the README's picture, with lesson 01's network and data. Takes about a minute.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { linearSchedule, mlp, qSample, rng, sampleStream, tf, toy, train } from "../lib";
import { render, scatter } from "../lib/notebook";

const PICTURE = join(dirname(__dirname), "assets", "readme", "two-moons.png");
const MOMENTS = [1, 50, 150, 400, 1000];
const POINTS = 500;
const RANGE: [number, number] = [-3.2, 3.2];

async function main(): Promise<void> {
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

main().catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
