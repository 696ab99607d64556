import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ownAssets } from "../testing/assets";
import { assetPath, classifierPath, isShipped, shipped } from ".";
import { mark } from "./mark";

const folder = ownAssets();

const write = (name: string, content: unknown) =>
  writeFileSync(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));

test("a model is its folder: weights, how it was made, its curve, and an evaluation where there is one", () => {
  mkdirSync(join(folder, "small"));
  assert.equal(isShipped("small"), false);
  write("small/model.safetensors", "");
  write("small/config.json", { parameterization: "v" });
  write("small/about.json", { steps: 3, mark: mark("") });
  write("small/curve.json", { step: [3], loss: [0.5], hours: [0.1] });
  assert.equal(isShipped("small"), true);
  const found = shipped("small");
  assert.deepEqual(
    [found.name, found.checkpoint, found.config.parameterization, found.about.steps, found.curve.loss],
    ["small", join(folder, "small", "model.safetensors"), "v", 3, [0.5]],
  );
  assert.equal(found.evaluation, null);
  write("small/evaluation.json", { step: 3, mark: mark("") });
  assert.equal(shipped("small").evaluation?.step, 3);
  assert.equal(classifierPath("mnist"), assetPath("mnist-classifier.safetensors"));
});

test("what was said of other weights, after as many steps too, is refused", () => {
  write("small/model.safetensors", "others");
  assert.throws(() => shipped("small"), /small has weights of mark \w+, and an about\.json of \w+\. Export/);
  write("small/about.json", { steps: 3, mark: mark("others") });
  assert.throws(
    () => shipped("small"),
    /evaluation\.json is of other weights than those beside it .*npm run evaluate -- --report/,
  );
});

test("what is not there, or damaged, is said in one line with the remedy", () => {
  assert.throws(
    () => shipped("none"),
    /^Error: shipped: .*none.model\.safetensors is not there\. Train one, .*npm run export -- --run DIR --out .*none\.$/,
  );
  write("small/curve.json", "{");
  assert.throws(
    () => shipped("small"),
    /shipped: .*curve\.json cannot be read \(.*\), expected what npm run export/,
  );
});
