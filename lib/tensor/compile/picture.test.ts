import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { compile, engine, tf } from "..";
import { mermaid } from "./picture";

test("the README's picture is what compile records", { skip: !engine.native }, () => {
  const w1 = tf.variable(tf.zeros([2, 16]), true, "w1") as tf.Variable<tf.Rank.R2>;
  const w2 = tf.variable(tf.zeros([16, 1]), true, "w2") as tf.Variable<tf.Rank.R2>;
  const net = (x: tf.Tensor2D) => tf.matMul(tf.tanh(tf.matMul(x, w1)), w2);
  const descent = tf.train.sgd(0.1);
  const loss = (x: tf.Tensor2D, y: tf.Tensor2D) => net(x).sub(y).square().mean() as tf.Scalar;
  const step = compile(
    (x: tf.Tensor2D, y: tf.Tensor2D) => descent.minimize(() => loss(x, y), true, [w1, w2]) as tf.Scalar,
  );
  step(tf.zeros([32, 2]), tf.zeros([32, 1])).dispose();
  const readme = readFileSync(join(__dirname, "../README.md"), "utf8");
  assert.ok(readme.includes(`\`\`\`mermaid\n${mermaid(step.graphs[0])}\n\`\`\``));
});
