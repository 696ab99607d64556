import assert from "node:assert/strict";
import { test } from "node:test";
import { tf } from "../tensor";
import { assertAllClose, assertClose, numbersFrom } from "../testing";
import { inception, inceptionTensors } from ".";
import { averagePool, convolution, folded, resized } from "./inception";

const size = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

test("the net has the tensors of the published one without its last layer: 94 convolutions, 21,785,568 weights", () => {
  const shapes = inceptionTensors();
  const names = Object.keys(shapes);
  assert.equal(names.filter((name) => name.endsWith("conv.weight")).length, 94);
  // torchvision's inception_v3 has 27,161,264 with the auxiliary classifier (3,326,696) and the last layer (2,049,000).
  const learned = names.filter((name) => !/running_/.test(name));
  assert.equal(
    learned.reduce((sum, name) => sum + size(shapes[name]), 0),
    27_161_264 - 3_326_696 - 2_049_000,
  );
  assert.deepEqual(shapes["Mixed_6c.branch7x7_2.conv.weight"], [160, 160, 1, 7]);
  assert.deepEqual(shapes["Mixed_7c.branch_pool.bn.running_var"], [192]);
});

/** Values [H, W, C] as rows of a function of place. */
type At = (y: number, x: number, c: number) => number;
const values = (height: number, width: number, channels: number, at: At): number[] =>
  Array.from({ length: height * width * channels }, (_, i) =>
    at(Math.floor(i / channels / width), Math.floor(i / channels) % width, i % channels),
  );

const normalized = (y: number, o: number, norm: readonly Float32Array[]) =>
  (norm[0][o] * (y - norm[2][o])) / Math.sqrt(norm[3][o] + 0.001) + norm[1][o];

for (const [what, [kh, kw], way] of [
  ["a row of 7 with padding", [1, 7], "same"],
  ["a column of 3 with padding", [3, 1], "same"],
  ["a square of 3 without padding", [3, 3], "valid"],
  ["a square of 3 that halves", [3, 3], "halve"],
] as const)
  test(`${what}, batch normalization and ReLU, as the sums that they are`, () => {
    const [height, width, inputs, outputs] = [9, 8, 2, 3];
    const draw = numbersFrom(kh * 10 + kw);
    const centred = (count: number) => Float32Array.from({ length: count }, () => 2 * draw() - 1);
    const image = centred(height * width * inputs);
    const kernel = centred(outputs * inputs * kh * kw);
    const norm = [centred(outputs), centred(outputs), centred(outputs), centred(outputs).map((v) => v + 1.5)];
    const [stride, padY, padX] =
      way === "same" ? [1, (kh - 1) / 2, (kw - 1) / 2] : [way === "halve" ? 2 : 1, 0, 0];
    const at: At = (y, x, c) =>
      y < 0 || x < 0 || y >= height || x >= width ? 0 : image[(y * width + x) * inputs + c];
    const sum: At = (y, x, o) => {
      let total = 0;
      for (let i = 0; i < inputs; i++)
        for (let dy = 0; dy < kh; dy++)
          for (let dx = 0; dx < kw; dx++)
            total +=
              at(y * stride + dy - padY, x * stride + dx - padX, i) *
              kernel[((o * inputs + i) * kh + dy) * kw + dx];
      return Math.max(0, normalized(total, o, norm));
    };
    const sizeOf = (side: number, k: number, pad: number) => Math.floor((side + 2 * pad - k) / stride) + 1;
    const [outHeight, outWidth] = [sizeOf(height, kh, padY), sizeOf(width, kw, padX)];
    const got = tf.tidy(() => {
      const { kernel: scaled, bias } = folded(kernel, norm, [outputs, inputs, kh, kw]);
      const out = convolution(scaled, bias, way)(tf.tensor(image, [1, height, width, inputs]));
      assert.deepEqual(out.shape, [1, outHeight, outWidth, outputs]);
      return out.dataSync();
    });
    assertAllClose(got, values(outHeight, outWidth, outputs, sum), { rel: 1e-4, abs: 1e-5 });
  });

test("the average pool leaves what lies beyond the edge out of its mean", () => {
  const [height, width] = [4, 5];
  const at: At = (y, x) => (y * 7 + x * x) % 5;
  const mean: At = (y, x) => {
    const seen = values(3, 3, 1, (dy, dx) => {
      const [row, column] = [y + dy - 1, x + dx - 1];
      return row < 0 || column < 0 || row >= height || column >= width ? Number.NaN : at(row, column, 0);
    }).filter((value) => !Number.isNaN(value));
    return seen.reduce((sum, value) => sum + value, 0) / seen.length;
  };
  const got = tf.tidy(() =>
    averagePool(tf.tensor(values(height, width, 1, at), [1, height, width, 1])).dataSync(),
  );
  assertAllClose(got, values(height, width, 1, mean), { rel: 1e-6 });
});

test("images are resized between their pixels' centres, grey ones to three equal channels", () => {
  const side = 8;
  const ramp = values(side, side, 1, (y, x) => y - 2 * x);
  const got = tf.tidy(() => resized(tf.tensor(ramp, [1, side, side, 1])).dataSync());
  assert.equal(got.length, 299 * 299 * 3);
  const source = (i: number) => Math.min(side - 1, Math.max(0, ((i + 0.5) * side) / 299 - 0.5));
  for (const [y, x] of [
    [0, 0],
    [3, 298],
    [150, 77],
    [298, 100],
  ])
    for (let c = 0; c < 3; c++)
      assertClose(got[(y * 299 + x) * 3 + c], source(y) - 2 * source(x), { abs: 1e-4 });
});

test("weights that are missing or of another shape are refused by name, and nothing is left behind", () => {
  const before = tf.memory().numTensors;
  assert.throws(
    () => inception({}),
    /inception: "Conv2d_1a_3x3\.conv\.weight" is missing\. Expected the weights/,
  );
  const first = { "Conv2d_1a_3x3.conv.weight": { shape: [32, 3, 1, 1], data: new Float32Array(96) } };
  assert.throws(
    () => inception(first),
    /"Conv2d_1a_3x3\.conv\.weight" has shape \[32,3,1,1\], expected \[32,3,3,3\]/,
  );
  assert.equal(tf.memory().numTensors, before);
});

/** A weight of the formula that the reference was computed with: waves of size 2/√fan-in, norms near the identity. */
function byFormula(name: string, shape: readonly number[], number: number): Float32Array {
  const [scale, middle] = name.endsWith("conv.weight")
    ? [2 / Math.sqrt(size(shape.slice(1))), 0]
    : name.endsWith("running_var")
      ? [0.5, 1]
      : [0.1, name.endsWith("bn.weight") ? 1 : 0];
  const data = new Float32Array(size(shape));
  for (let i = 0; i < data.length; i++) data[i] = middle + scale * Math.sin(1.7 * i + number);
  return data;
}

test("the whole net, with weights of a formula, gives the features of pytorch-fid 0.3.0 with the same weights", () => {
  const tensors = Object.fromEntries(
    Object.entries(inceptionTensors()).map(([name, shape], number) => [
      name,
      { shape, data: byFormula(name, shape, number) },
    ]),
  );
  const net = inception(tensors);
  const before = tf.memory().numTensors;
  const image = values(32, 32, 3, (y, x, c) => Math.sin(0.3 * y + 0.5 * x + c));
  const input = tf.tensor(image, [1, 32, 32, 3]);
  const found = net.features(input);
  assert.deepEqual(found.shape, [1, 2048]);
  const features = Float64Array.from(found.dataSync());
  tf.dispose([input, found]);
  assert.equal(tf.memory().numTensors, before);
  net.dispose();
  // InceptionV3([3]) of pytorch-fid 0.3.0 on PyTorch 2.13, its state_dict filled by the same formula; (image + 1)/2 in.
  const reference = [2.289657, 3.454192, 0.1507848, 0.007701891, 0, 0, 0, 0];
  assertAllClose(
    reference.map((_, i) => features[256 * i]),
    reference,
    { rel: 2e-3, abs: 2e-4 },
  );
  assertClose(Math.hypot(...features), 45.03656649585533, { rel: 1e-4 });
});
