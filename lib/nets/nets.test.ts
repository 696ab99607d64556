import assert from "node:assert/strict";
import { test } from "node:test";
import { adam, compile, rng, tf } from "../tensor";
import { assertAllClose, assertClose, assertNoLeak, oracle } from "../testing";
import {
  ACTIVATIONS,
  attention,
  conv3,
  createNet,
  dense,
  depthToSpace,
  dropout,
  embedding,
  groupsOf,
  guided,
  type MlpOptions,
  mlp,
  mlpLayers,
  type NetConfig,
  norm,
  parameterCount,
  residualBlock,
  spaceToDepth,
  spectrallyNormalized,
  spectralNorm,
  timeEmbedding,
  trainableParameters,
  unet,
} from ".";

const values = (x: tf.Tensor): number[] => Array.from(x.dataSync());
const steps = (...t: number[]) => tf.tensor1d(t, "int32");

/**
 * Compares the gradient of Σ c·f at `variables`, c fixed and random, with central differences along a random
 * direction for each variable. float32 leaves some 1e-3 of the slope.
 */
function checkGradients(variables: Record<string, tf.Variable>, f: () => tf.Tensor, rel = 2e-2): void {
  tf.tidy(() => {
    const source = rng(99);
    const weights = source.normal(f().shape);
    const objective = () => tf.sum(tf.mul(f(), weights)) as tf.Scalar;
    const { grads } = tf.variableGrads(objective, Object.values(variables));
    const compiled = compile(objective); // only for speed
    for (const [name, variable] of Object.entries(variables)) {
      const direction = source.normal(variable.shape);
      const slope = values(tf.sum(tf.mul(grads[variable.name], direction)))[0];
      const start = variable.clone();
      const at = (h: number) => {
        variable.assign(tf.add(start, tf.mul(direction, h)));
        return values(compiled())[0];
      };
      const h = 3e-3 / Math.max(1, values(tf.norm(direction))[0] / 4);
      const scale = values(tf.norm(grads[variable.name]))[0] * values(tf.norm(direction))[0];
      const numeric = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
      variable.assign(start);
      // A slope that nearly cancels is judged by the gradient's size.
      assertClose(numeric, slope, { rel, abs: (rel / 4) * scale + 1e-3, what: `d/d ${name}` });
      assert.ok(scale > 1e-6, `d/d ${name} is zero: the check could not fail`);
    }
  });
}

/** The same variables with noise added, so that layers that begin at zero are checked too. */
function perturbed(variables: Record<string, tf.Variable>): Record<string, tf.Variable> {
  const source = rng(5);
  for (const variable of Object.values(variables))
    tf.tidy(() => variable.assign(tf.add(variable, source.normal(variable.shape).mul(0.2))));
  return variables;
}

const input = (...shape: number[]) => tf.tidy(() => tf.variable(rng(3).normal(shape)));

test("the time embedding is the one of DDPM's code, t counted from 1 outside", () => {
  const { inputs, expected } = oracle("D05");
  assertAllClose(values(timeEmbedding(steps(inputs.t + 1), inputs.dim)), expected.embedding, { rel: 3e-7 });
  assert.throws(() => timeEmbedding(steps(1), 7), /timeEmbedding: dim is 7, expected an even number/);
});

test("groups of channels: 32 from 128 channels on, smaller ones of at least 4 channels", () => {
  assert.deepEqual([3, 4, 32, 48, 112, 128, 384].map(groupsOf), [1, 1, 8, 12, 28, 32, 32]);
});

test("space to depth and back", () => {
  const images = tf.range(0, 2 * 4 * 6 * 3).reshape([2, 4, 6, 3]);
  const deep = spaceToDepth(images, 2);
  assert.deepEqual(deep.shape, [2, 2, 3, 12]);
  assert.deepEqual(values(deep).slice(0, 12), [0, 1, 2, 3, 4, 5, 18, 19, 20, 21, 22, 23]);
  assert.deepEqual(values(depthToSpace(deep, 2)), values(images));
});

test("gradients of each layer by finite differences", () => {
  const x = input(2, 4, 4, 8);
  const time = input(2, 5);
  const layers = {
    dense: (p: ReturnType<typeof trainableParameters>) => dense(p, 8, 6),
    conv: (p: ReturnType<typeof trainableParameters>) => conv3(p, 8, 4),
    halving: (p: ReturnType<typeof trainableParameters>) => conv3(p, 8, 4, { stride: 2 }),
    norm: (p: ReturnType<typeof trainableParameters>) => norm(p, 8),
    "norm with swish": (p: ReturnType<typeof trainableParameters>) => norm(p, 8, { swish: true }),
    "space to depth": () => (image: tf.Tensor) => spaceToDepth(image, 2),
    dropout: () => (image: tf.Tensor) => dropout(image, 0.3, rng(4, tf.scalar(0, "int32"))),
    attention: (p: ReturnType<typeof trainableParameters>) => attention(p, 8),
    residual: (p: ReturnType<typeof trainableParameters>) => {
      const block = residualBlock(p, { inputs: 8, outputs: 12, timeSize: 5 });
      return (image: tf.Tensor) => block(image, time);
    },
  };
  for (const [name, build] of Object.entries(layers)) {
    const p = trainableParameters(7);
    const layer = build(p);
    const inputs: Record<string, tf.Variable> = name === "residual" ? { x, time } : { x };
    checkGradients({ ...perturbed(p.variables), ...inputs }, () => layer(x));
  }
});

const tinyUnet: NetConfig = {
  kind: "unet",
  imageSize: 8,
  channels: 4,
  multipliers: [1, 2],
  blocks: 1,
  attention: [4],
};

for (const config of [
  { kind: "mlp", hidden: 8, depth: 2, timeDim: 4 } as NetConfig,
  { kind: "mlp", hidden: 8, depth: 2, timeFactors: 500, activation: "softplus" } as NetConfig,
  tinyUnet,
  { ...tinyUnet, patch: 2, attention: [2] } as NetConfig,
])
  test(`a small ${config.kind}${"patch" in config ? " on patches" : ""}${"timeFactors" in config ? " with factors of t" : ""}: gradients, shape, zero at first, no leak`, () => {
    const net = createNet(config, 2);
    const x = config.kind === "mlp" ? input(3, 2) : input(3, 8, 8, 3);
    const t = steps(1, 7, 500);
    const first = net.apply(x, t);
    assert.deepEqual(first.shape, x.shape);
    assert.ok(values(first).every((value) => value === 0));
    perturbed(net.variables);
    checkGradients({ ...net.variables, x }, () => net.apply(x, t), 3e-2);
    assertNoLeak(() => net.apply(x, t));
    assertNoLeak(() => ({ ...tf.variableGrads(() => net.apply(x, t).square().sum(), [x]) }));
    const before = tf.memory().numTensors;
    const count = Object.keys(net.variables).length;
    net.dispose();
    assert.equal(tf.memory().numTensors, before - count);
  });

test("each example's output depends on its own input and time alone", () => {
  const net = createNet(tinyUnet, 4);
  perturbed(net.variables);
  const x = input(2, 8, 8, 3);
  const both = values(net.apply(x, steps(3, 900)));
  const alone = values(net.apply(tf.slice(x, [1, 0, 0, 0], [1, 8, 8, 3]), steps(900)));
  assertAllClose(both.slice(192), alone, { rel: 1e-4, abs: 1e-4 });
  const later = values(net.apply(x, steps(3, 100)));
  assert.deepEqual(later.slice(0, 192), both.slice(0, 192));
  assert.notDeepEqual(later.slice(192), both.slice(192));
});

test("the parameter counts of DDPM's net for CIFAR-10 and of its smaller kin", () => {
  const { inputs, expected } = oracle("D06");
  const ddpm: NetConfig = {
    kind: "unet",
    channels: inputs.ch,
    multipliers: inputs.ch_mult,
    blocks: inputs.num_res_blocks,
    attention: inputs.attn_resolutions,
  };
  assert.equal(parameterCount(ddpm), expected.params);
  assert.equal(parameterCount({ ...ddpm, dropout: 0.1 }), 35_746_307);
  const small = (channels: number, blocks: number) =>
    parameterCount({ kind: "unet", channels, multipliers: [1, 2, 2], blocks });
  assert.deepEqual([small(32, 1), small(32, 2), small(64, 2)], [1_113_955, 1_624_323, 6_472_195]);
  const net = createNet(tinyUnet);
  const made = Object.values(net.variables).reduce((sum, { size }) => sum + size, 0);
  assert.equal(made, parameterCount(tinyUnet));
  net.dispose();
});

test("the first weights follow from the seed, and have Glorot's variance", () => {
  const [a, b, c] = [mlp({ seed: 1 }), mlp({ seed: 1 }), mlp({ seed: 2 })];
  const weights = (net: typeof a) => values(net.variables["hidden.1.weight"]);
  assert.deepEqual(weights(a), weights(b));
  assert.notDeepEqual(weights(a), weights(c));
  const variance = weights(a).reduce((sum, w) => sum + w * w, 0) / 128 ** 2;
  assertClose(variance, 2 / 256, { rel: 5 * Math.sqrt(0.8 / 128 ** 2) }); // kurtosis 1.8 of the uniform
});

test("first weights by fan-in are PyTorch's: uniform within 1/√inputs, biases and the last layer too", () => {
  const net = mlp({ initial: "fanIn", timeFactors: 10, seed: 1 });
  for (const [name, inputs] of Object.entries({ "hidden.0": 2, "hidden.1": 128, out: 128 })) {
    const all = ["weight", "bias"].flatMap((kind) => values(net.variables[`${name}.${kind}`]));
    const limit = 1 / Math.sqrt(inputs);
    assert.ok(all.every((value) => Math.abs(value) <= limit));
    const variance = all.reduce((sum, value) => sum + value ** 2, 0) / all.length;
    assertClose(variance, limit ** 2 / 3, { rel: 5 * Math.sqrt(0.8 / all.length) });
  }
  net.dispose();
});

test("an MLP with an input gain is the one without at so many times the point", () => {
  const [plain, gained] = [mlp({ seed: 1, hidden: 8 }), mlp({ seed: 1, hidden: 8, inputGain: 4 })];
  for (const net of [plain, gained]) net.variables["out.weight"].assign(tf.ones([8, 2]));
  const x = tf.tensor2d([[0.3, -0.7]]);
  assertAllClose(values(gained.apply(x, steps(5))), values(plain.apply(x.mul(4), steps(5))));
  assert.notDeepEqual(values(gained.apply(x, steps(5))), values(plain.apply(x, steps(5))));
  assert.throws(() => mlp({ inputGain: 0 }), /mlp: inputGain is 0, expected a number above 0/);
  for (const net of [plain, gained]) net.dispose();
});

/** The largest singular value of a matrix by many steps of power iteration in float64. */
function largestSingularValue(weight: tf.Tensor2D): number {
  const rows = weight.arraySync();
  let v = rows[0].map((_, j) => Math.sin(j + 1));
  let norm = 0;
  for (let i = 0; i < 5000; i++) {
    const u = rows.map((row) => row.reduce((sum, w, j) => sum + w * v[j], 0));
    const next = v.map((_, j) => rows.reduce((sum, row, k) => sum + row[j] * u[k], 0));
    norm = Math.hypot(...next);
    v = next.map((value) => value / norm);
  }
  return Math.sqrt(norm);
}

test("the spectral norm is the largest singular value, to a hundredth and from below", () => {
  const exact = tf.tensor2d([
    [3, 0, 0],
    [0, 0, -5],
  ]);
  for (const matrix of [exact, exact.transpose<tf.Tensor2D>()])
    assertClose(values(spectralNorm(matrix))[0], 5, { rel: 1e-5 });
  for (const [seed, rows, columns] of [
    [1, 64, 64],
    [2, 2, 64],
    [3, 34, 128],
  ]) {
    const matrix = rng(seed).normal([rows, columns]) as tf.Tensor2D;
    const [got, want] = [values(spectralNorm(matrix))[0], largestSingularValue(matrix)];
    assert.ok(got <= want * (1 + 1e-5) && got >= 0.99 * want, `${rows} × ${columns}: ${got} of ${want}`);
  }
  assert.deepEqual(values(spectrallyNormalized(tf.zeros([2, 3]))), [0, 0, 0, 0, 0, 0]);
});

test("the slope of the spectral norm is u vᵀ, eager and compiled", () => {
  const matrix = tf.variable(rng(5).normal([6, 4])) as tf.Variable<tf.Rank.R2>;
  const slope = (x: tf.Tensor) => tf.grad((w) => spectralNorm(w as tf.Tensor2D))(x);
  const direction = rng(6).normal([6, 4]);
  const along = values(tf.sum(slope(matrix).mul(direction)))[0];
  const at = (h: number) => largestSingularValue(matrix.add<tf.Tensor2D>(direction.mul(h)));
  assertClose(along, (at(1e-3) - at(-1e-3)) / 2e-3, { rel: 1e-2 });
  assertAllClose(values(compile(slope)(matrix)), values(slope(matrix)), { abs: 1e-6 });
  assertNoLeak(() => slope(matrix));
});

/** Points and steps to look at a net with. */
const seenBy = (net: ReturnType<typeof mlp>) =>
  values(net.apply(rng(8).normal([5, 2]), steps(1, 2, 3, 4, 4)));

test("a normalized MLP does not change with the length of its matrices, and none is longer than 1", () => {
  const options: MlpOptions = { hidden: 16, depth: 2, timeDim: 4, spectralNorm: true };
  const net = mlp({ ...options, seed: 3 });
  const before = seenBy(net);
  assert.ok(
    before.some((value) => Math.abs(value) > 1e-3),
    "the last layer does not begin at zero",
  );
  for (const [name, variable] of Object.entries(net.variables))
    if (name.endsWith("weight")) variable.assign(variable.mul(7));
  assertAllClose(seenBy(net), before, { rel: 1e-4, abs: 1e-6 });
  mlpLayers(options, net.variables).forEach(({ weight }, i) => {
    const norm = largestSingularValue(weight);
    assert.ok(norm < 1.01, `layer ${i}: ${norm}`);
    assert.deepEqual(
      weight.shape,
      [
        [2, 16],
        [16, 16],
        [16, 2],
      ][i],
    );
  });
  const { grads } = tf.variableGrads(() =>
    net
      .apply(rng(1).normal([16, 2]), tf.ones([16], "int32"))
      .square()
      .sum(),
  );
  for (const [name, variable] of Object.entries(net.variables)) {
    if (!name.endsWith("weight")) continue;
    const grad = grads[variable.name];
    const along = Math.abs(values(grad.mul(variable).sum())[0]);
    const size = values(grad.norm())[0] * values(variable.norm())[0];
    assert.ok(along < 1e-3 * size, `${name}: ${along} of ${size} along the weight itself`);
  }
  net.dispose();
});

test("factors of t: an MLP with all of them 1 does not know the time, and each multiplies its own step", () => {
  const net = mlp({ hidden: 8, depth: 2, timeFactors: 3, activation: "relu", seed: 2 });
  perturbed(net.variables);
  const x = rng(4).normal([1, 2]);
  const at = (t: number) => values(net.apply(x, steps(t)));
  assert.notDeepEqual(at(1), at(2));
  const factor = net.variables["hidden.0.factor"];
  factor.assign(tf.ones([3, 8]));
  net.variables["hidden.1.factor"].assign(tf.ones([3, 8]));
  assertAllClose(at(1), at(3));
  const still = at(1);
  factor.assign(tf.concat([tf.ones([1, 8]), tf.fill([1, 8], 2), tf.ones([1, 8])]));
  assert.deepEqual(at(1), still);
  assert.notDeepEqual(at(2), still);
  net.dispose();
});

test("weights that have a limit keep it from the start and through a compiled step; the others are free", () => {
  const net = mlp({ hidden: 8, depth: 2, timeFactors: 2, weightLimit: 0.1, factorLimit: 0.5, seed: 1 });
  const largest = (name: string) => values(net.variables[name].abs().max())[0];
  const assertHeld = () => {
    for (const name of Object.keys(net.variables)) {
      const limit = name.endsWith("weight") ? 0.1 : name.endsWith("factor") ? 0.5 : Number.POSITIVE_INFINITY;
      assert.ok(largest(name) <= Math.fround(limit), `${name}: ${largest(name)}`);
    }
  };
  assertHeld();
  const optimizer = adam(net.variables, { learningRate: 0.05 });
  const [x, t] = [tf.ones([4, 2]), steps(1, 2, 1, 2)];
  const step = compile((points: tf.Tensor) => {
    const loss = optimizer.minimize(() => net.apply(points, t).sub(3).square().mean() as tf.Scalar);
    net.constrain?.();
    return loss;
  });
  const losses = Array.from({ length: 40 }, () => tf.tidy(() => step(x).dataSync()[0]));
  assert.ok(losses[39] < 0.9 * losses[0]);
  assertHeld();
  tf.tidy(() => assertClose(largest("hidden.1.weight"), 0.1, { rel: 1e-6 }));
  assertNoLeak(() => {
    net.constrain?.();
    return [];
  });
  optimizer.dispose();
  net.dispose();
  tf.dispose([x, t]);
  const free = mlp({ hidden: 4 });
  assert.equal(free.constrain, undefined);
  free.dispose();
});

test("an MLP's configuration is plain data, with its constraints: it counts and builds the same net again", () => {
  const config: NetConfig = {
    ...{ kind: "mlp", hidden: 8, depth: 2, timeFactors: 5, activation: "relu" },
    ...{ spectralNorm: true, weightLimit: 0.3, factorLimit: 1 },
  };
  const again = JSON.parse(JSON.stringify(config)) as NetConfig;
  const nets = [config, again].map((one) => createNet(one, 6));
  assert.deepEqual(seenBy(nets[0]), seenBy(nets[1]));
  assert.equal(
    Object.values(nets[0].variables).reduce((sum, { size }) => sum + size, 0),
    parameterCount(again),
  );
  for (const net of nets) net.dispose();
});

test("the slopes of the activations are their largest", () => {
  const x = tf.linspace(-10, 10, 20_001);
  for (const [name, { apply, slope }] of Object.entries(ACTIVATIONS)) {
    const largest = values(tf.grad(apply)(x).max())[0];
    assert.ok(largest <= slope * (1 + 1e-6) && largest > slope - 1e-4, `${name}: ${largest}`);
  }
});

test("impossible sizes and inputs are refused by name", () => {
  assert.throws(() => mlp({ timeFactors: 0 }), /mlp: timeFactors is 0, expected a positive integer/);
  assert.throws(() => mlp({ weightLimit: 0 }), /mlp: weightLimit is 0, expected a number above 0/);
  assert.throws(() => mlp({ timeFactors: 2, factorLimit: -1 }), /mlp: factorLimit is -1, expected a number/);
  assert.throws(
    () => mlp({ initial: "zero" as "fanIn" }),
    /mlp: unknown initial "zero", expected one of glorot, fanIn/,
  );
  assert.throws(() => mlp({ factorLimit: 1 }), /factorLimit is given without timeFactors/);
  assert.throws(
    () => mlp({ activation: "tanh" as "relu" }),
    /mlp: unknown activation "tanh", expected one of swish, softplus, relu/,
  );
  assert.throws(() => unet({ imageSize: 30 }), /unet: imageSize is 30, expected a multiple of 4/);
  assert.throws(() => unet({ channels: 0 }), /unet: channels is 0, expected a positive integer/);
  assert.throws(() => unet({ multipliers: [] }), /unet: imageSize is 32/);
  assert.throws(() => mlp({ depth: 1.5 }), /mlp: depth is 1.5, expected a positive integer/);
  for (const timeDim of [2, 3, 2.5])
    assert.throws(() => mlp({ timeDim }), /mlp: timeDim is .*, expected an even number of at least 4/);
  for (const rate of [1, -0.1, Number.NaN])
    assert.throws(() => dropout(tf.ones([2]), rate, rng(1)), /dropout: rate is .*, expected a number from 0/);
  const unknown = { kind: "resnet" } as unknown as NetConfig;
  assert.throws(() => createNet(unknown), /unknown kind of net "resnet", expected one of mlp, unet/);
  assert.throws(() => unet({ dropout: 1 }), /unet: dropout is 1, expected a rate from 0 to below 1/);
  assert.throws(() => unet({ classes: -1 }), /unet: classes is -1, expected their number/);
  const ofJson = (options: object) => unet(options as Parameters<typeof unet>[0]);
  assert.throws(() => ofJson({ dropout: "0.1" }), /unet: dropout is 0\.1, expected a rate/);
  assert.throws(() => ofJson({ attention: 16 }), /unet: attention is 16, expected a list such as/);
  assert.throws(() => ofJson({ multipliers: 2 }), /unet: multipliers is 2, expected a list such as/);
  assert.throws(
    () => unet({ imageSize: 28, multipliers: [1, 2], patch: 2, attention: [16] }),
    /unet: attention is at 16, expected some of its resolutions 14, 7\./,
  );
  const misspelt = { kind: "unet", chanels: 8 } as unknown as NetConfig;
  for (const use of [createNet, parameterCount])
    assert.throws(
      () => use(misspelt),
      /\("unet"\): unknown key "chanels", expected some of kind, imageSize, imageChannels, channels, multipliers, blocks/,
    );
  const net = mlp();
  assert.throws(
    () => net.apply(tf.ones([2, 3]), steps(1, 2)),
    /mlp: xt has shape \[2,3\], expected \[B, 2\]/,
  );
  net.dispose();
});

test("dropout keeps the mean, drops at its rate, and follows from its draws alone, compiled too", () => {
  const [count, rate] = [40_000, 0.3];
  const x = tf.ones([count]);
  const dropped = values(dropout(x, rate, rng(1)));
  const zeros = dropped.filter((value) => value === 0).length;
  assertClose(zeros / count, rate, {
    abs: 4 * Math.sqrt((rate * (1 - rate)) / count),
    what: "share dropped",
  });
  assert.ok(dropped.every((value) => value === 0 || Math.abs(value - 1 / (1 - rate)) < 1e-6));
  const compiled = compile((step: tf.Scalar) => dropout(x, rate, rng(1, step)));
  const at = (step: number) => values(compiled(tf.scalar(step, "int32")));
  assert.deepEqual(at(0), dropped);
  assert.notDeepEqual(at(1), dropped);
  assertNoLeak(() => tf.tidy(() => dropout(x, rate, rng(1))));
});

test("a net with dropout is one without unless it is given draws", () => {
  const [plain, dropping] = [createNet(tinyUnet, 4), createNet({ ...tinyUnet, dropout: 0.5 }, 4)];
  for (const net of [plain, dropping]) perturbed(net.variables);
  const [x, t] = [input(2, 8, 8, 3), steps(3, 900)];
  const still = values(plain.apply(x, t));
  assert.deepEqual(values(dropping.apply(x, t)), still);
  assert.deepEqual(values(plain.apply(x, t, { draws: rng(2) })), still);
  const first = values(dropping.apply(x, t, { draws: rng(2) }));
  assert.notDeepEqual(first, still);
  assert.deepEqual(values(dropping.apply(x, t, { draws: rng(2) })), first);
  for (const net of [plain, dropping]) net.dispose();
});

const conditional: NetConfig = { ...tinyUnet, classes: 3 };

test("a conditional net tells its classes apart, and without labels knows none", () => {
  const [plain, net] = [createNet(tinyUnet, 4), createNet(conditional, 4)];
  const table = net.variables["time.class.table"];
  assert.deepEqual(table.shape, [4, 16]);
  assert.equal(parameterCount(conditional), parameterCount(tinyUnet) + 64);
  const meanSquare = values(table).reduce((sum, value) => sum + value * value, 0) / 64;
  assertClose(meanSquare, 1, { abs: 4 * Math.sqrt(2 / 64), what: "variance of the vectors at first" });
  perturbed(net.variables);
  const [x, t] = [input(2, 8, 8, 3), steps(3, 900)];
  const told = (...labels: number[]) => values(net.apply(x, t, { labels: steps(...labels) }));
  assert.notDeepEqual(told(0, 1), told(2, 1));
  assert.deepEqual(told(0, 1).slice(192), told(2, 1).slice(192)); // an example hears of its own class alone
  assert.deepEqual(told(3, 3), values(net.apply(x, t)));
  checkGradients({ table }, () => net.apply(x, t, { labels: steps(2, 0) }), 3e-2);
  assert.throws(
    () => plain.apply(x, t, { labels: steps(0, 1) }),
    /unet: labels were given, but this net has no classes/,
  );
  assert.throws(() => told(1), /unet: labels is int32 \[1\], expected int32 \[2\]/);
  for (const one of [plain, net]) one.dispose();
});

test("an embedding looks its vectors up", () => {
  const p = trainableParameters(1);
  const look = embedding(p, 3, 2);
  p.variables.table.assign(tf.tensor2d([1, 2, 3, 4, 5, 6], [3, 2]));
  assert.deepEqual(values(look(steps(2, 0))), [5, 6, 1, 2]);
});

test("guidance is affine between the net without a class and with it, at any scale; labels are checked", () => {
  const net = createNet(conditional, 4);
  perturbed(net.variables);
  const [x, t, labels] = [input(2, 8, 8, 3), steps(3, 900), [2, 0]];
  const at = (scale?: number) => values(guided(net, { labels, scale })(x, t));
  const [none, told] = [values(net.apply(x, t)), values(net.apply(x, t, { labels: steps(...labels) }))];
  assertAllClose(at(0), none, { rel: 1e-5, abs: 1e-6 });
  assertAllClose(at(), told, { rel: 1e-5, abs: 1e-6 });
  assertAllClose(
    at(2.5),
    none.map((value, i) => value + 2.5 * (told[i] - value)),
    { rel: 1e-4, abs: 1e-5 },
  );
  const compiled = compile(guided(net, { labels, scale: 2.5 }));
  assertAllClose(values(compiled(x, t)), at(2.5), { rel: 1e-4, abs: 1e-5 });
  assertNoLeak(() => guided(net, { labels, scale: 2.5 })(x, t));
  assert.throws(() => guided(net, { labels: [0, 3] }), /guided: label 3, expected whole numbers from 0 to 2/);
  assert.throws(() => guided(net, { labels, scale: Number.NaN }), /guided: scale is NaN/);
  assert.throws(() => guided(mlp(), { labels }), /guided: this net has no classes/);
  net.dispose();
});
