import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ownAssets } from "../../lib/testing/assets";
import { smallRun, writeShipped } from "../../lib/testing/images";
import { fileMark } from "../../lib/training/mark";
import { curvesFigure } from "../readme";
import { modelsSection, shippedModels, withSection } from "./section";

const folder = ownAssets();

const README = "before\n<!-- models: written by npm run readme -- models -->\nold\n<!-- /models -->\nafter\n";
const measured = { mean: 0.5, standardError: 0.01 };
const kernel = { ...measured, count: 10_000, reference: 8000 };
const shares = {
  samples: { precision: 0.4, recall: 0.3, k: 3 },
  floor: { precision: 0.7, recall: 0.6, k: 3 },
};
/** An evaluation in the form of `npm run evaluate --report`. */
const EVALUATION = {
  ...{
    checkpoint: "m",
    step: 1,
    sampler: "ddim, 50 steps",
    seconds: {},
    peakMemoryMB: 1,
    seed: 0,
    rows: 128,
  },
  bits: {
    ...{ images: 256, bitsPerDim: { mean: 4.25, standardError: 0.03 }, L_T: measured, L_0: measured },
    ...{
      rate: 2.1,
      distortion: 2.15,
      rmse: 1,
      parts: [],
      perImage: [4, 4.5],
      draws: 1,
      clip: true,
      withoutClass: true,
    },
  },
  samples: {
    ...{ n: 10_000, extractor: "a classifier", reference: "cifar10 train 50000", floorN: 9000 },
    ...{ fid: { samples: 12.345, floor: 1.5 }, kid: { samples: kernel, floor: kernel } },
    ...{ precisionRecall: shares, neighbours: [] },
  },
};

test("without a model the section is empty, and what stands around it stays", () => {
  assert.equal(modelsSection(shippedModels()), "");
  const empty = withSection(README, "");
  assert.equal(empty, README.replace("old\n", ""));
  assert.equal(withSection(empty, ""), empty);
  assert.throws(() => withSection("nothing", ""), /readme: the README has no .*Put both back/);
});

test("the section says what each model is, how it was measured, and the commands that made it", () => {
  writeShipped(join(folder, "cifar10"), smallRun());
  const evaluate = (name: string, changes: object = {}) => {
    const mark = fileMark(join(folder, name, "model.safetensors"));
    const evaluation = { ...EVALUATION, mark, ...changes };
    writeFileSync(join(folder, name, "evaluation.json"), JSON.stringify(evaluation));
  };
  evaluate("cifar10");
  writeShipped(join(folder, "cifar10-mean"), smallRun({ parameterization: "mean", weighting: "vlb" }));
  assert.ok(!modelsSection(shippedModels()).includes("compared on images"), "only one of them was measured");
  writeShipped(join(folder, "cifar10-x0"), smallRun({ parameterization: "x0" }));
  const bits = { ...EVALUATION.bits, bitsPerDim: { mean: 5.25, standardError: 0.04 }, perImage: [5, 5.5] };
  const evaluateX0 = (changes: object) => evaluate("cifar10-x0", { bits, ...changes });
  evaluateX0({ mark: fileMark(join(folder, "cifar10", "model.safetensors")) });
  assert.throws(
    shippedModels,
    /cifar10-x0.evaluation\.json is of other weights than those beside it .*Write/,
  );
  evaluateX0({ seed: 2 });
  assert.throws(() => modelsSection(shippedModels()), /cifar10-x0 was evaluated as .*expected the same/);
  evaluateX0({});
  const models = shippedModels();
  const section = modelsSection(models);
  for (const line of [
    "| [cifar10-mean](assets/cifar10-mean) | mean | vlb | 1,000 | 0.0 | 1 | 64 | 0.1 | a test (cpu) |",
    "| cifar10 | 4.250 ± 0.030 | 2.100 + 2.150 | 12.35 | 1.50 | 0.5000 ± 0.0100 | 0.400, 0.300 | 0.700, 0.600 |",
    "- cifar10: FID[n = 10000, a classifier, cifar10 train 50000] of ddim, 50 steps, real images at n = 9,000; KID by 8,000 images of the reference, precision and recall by as many as samples; bits/dim on 256 test images, x̂_0 clipped, without a class.",
    "npm run export -- --run runs/cifar10-mean --out assets/cifar10-mean",
    "| x0 | simple | 1 | 5.250 ± 0.250 | 1.000 ± 0.000 | 2.100 | 0.500 | 1.00 | 12.35 | 1.50 |",
    "npm run -s compare -- --configs cifar10,cifar10-x0 --data DIR --steps 1",
    "| Ho et al. 2020, Table 2 | eps |",
  ])
    assert.ok(section.includes(line), `${line}\nis not in\n${section}`);
  assert.ok(section.includes("cifar10-samples.png") && !section.includes("mnist-samples.png"));
  const readme = withSection(README, section);
  assert.equal(withSection(readme, section), readme);
  assert.equal(curvesFigure(models).data.length, 3);
  assert.ok(!existsSync(join(folder, "readme")));
});
