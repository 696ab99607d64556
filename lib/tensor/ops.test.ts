import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { assertAllClose, assertNoLeak } from "../testing";
import { addBias, attention, compile, convolve, dense, denseChain, groupNorm, swish, tf, upsample } from ".";
import { hasFusedForms, plainForms } from "./ops";
import { rng } from "./random";

const values = (tensor: tf.Tensor): number[] => Array.from(tensor.dataSync());
const fused = { skip: hasFusedForms() ? false : "no fused ops here" };

const child = {
  skip: process.env.LOWER_BOUND_SIMD || !hasFusedForms() ? "no fused ops, or already there" : false,
};

const source = rng(11);
const draw = (shape: number[], spread = 1, mean = 0): tf.Tensor =>
  tf.tidy(() => source.normal(shape).mul(spread).add(mean));

/** `f` of some tensors, and the gradients of sum(f · weight). */
function both(f: (...inputs: tf.Tensor[]) => tf.Tensor, inputs: tf.Tensor[], weight: tf.Tensor): tf.Tensor[] {
  const gradients = tf.grads((...inputs: tf.Tensor[]) =>
    f(...inputs)
      .mul(weight)
      .sum(),
  )(inputs);
  return [f(...inputs), ...gradients];
}

/** Largest difference, in units of the largest wanted value. */
function distance(got: ArrayLike<number>, want: ArrayLike<number>): number {
  assert.equal(got.length, want.length);
  let off = 0;
  let largest = 0;
  for (let i = 0; i < want.length; i++) {
    off = Math.max(off, Math.abs(got[i] - want[i]));
    largest = Math.max(largest, Math.abs(want[i]));
  }
  return off / largest;
}

/** `assertAllClose` for each of several tensors. */
function assertEach(got: tf.Tensor[], want: number[][], tolerance: { rel: number; abs: number }): void {
  for (let i = 0; i < want.length; i++) assertAllClose(values(got[i]), want[i], tolerance);
}

/** Directional derivative of sum(f · weight), by central differences, against the gradients. */
function checkByDifferences(
  f: (...inputs: tf.Tensor[]) => tf.Tensor,
  inputs: tf.Tensor[],
  weight: tf.Tensor,
  tolerance = 3e-3,
): void {
  const [, ...gradients] = both(f, inputs, weight);
  const w = values(weight);
  const total = (moved: tf.Tensor[]) => values(f(...moved)).reduce((sum, y, i) => sum + y * w[i], 0);
  inputs.forEach((x, which) => {
    const direction = draw(x.shape);
    const step = 1e-2;
    const at = (h: number) => inputs.map((input, i) => (i === which ? input.add(direction.mul(h)) : input));
    const difference = (total(at(step)) - total(at(-step))) / (2 * step);
    const slope = values(gradients[which].mul(direction).sum())[0];
    const scale = values(gradients[which].norm())[0] * values(direction.norm())[0];
    assert.ok(
      Math.abs(difference - slope) < tolerance * scale,
      `input ${which}: ${difference} against ${slope}`,
    );
  });
}

// ---- GroupNorm in plain numbers ----

interface Norm64 {
  shape: [images: number, pixels: number, channels: number];
  groups: number;
  swish: boolean;
}

/** Value and gradients of sum(y · weight) in float64: y, dx, dshift, dgamma, dbeta. */
function groupNorm64(
  { shape: [n, pixels, channels], groups, swish }: Norm64,
  data: Record<string, number[]>,
) {
  const { x, shift, gamma, beta, weight } = data;
  const size = channels / groups;
  const [y, dx] = [new Float64Array(x.length), new Float64Array(x.length)];
  const dshift = new Float64Array(n * channels);
  const [dgamma, dbeta] = [new Float64Array(channels), new Float64Array(channels)];
  for (let image = 0; image < n; image++)
    for (let g = 0; g < groups; g++) {
      const each = (visit: (at: number, c: number) => void) => {
        for (let p = 0; p < pixels; p++)
          for (let c = g * size; c < (g + 1) * size; c++) visit((image * pixels + p) * channels + c, c);
      };
      const value = (at: number, c: number) => x[at] + shift[image * channels + c];
      const count = pixels * size;
      let [mean, variance, throughMean, throughSpread] = [0, 0, 0, 0];
      each((at, c) => {
        mean += value(at, c) / count;
      });
      each((at, c) => {
        variance += (value(at, c) - mean) ** 2 / count;
      });
      const rstd = 1 / Math.sqrt(variance + 1e-5);
      const unit = (at: number, c: number) => (value(at, c) - mean) * rstd;
      const du = (at: number, c: number) => {
        const u = unit(at, c) * gamma[c] + beta[c];
        const s = 1 / (1 + Math.exp(-u));
        y[at] = swish ? u * s : u;
        return weight[at] * (swish ? s * (1 + u * (1 - s)) : 1);
      };
      each((at, c) => {
        const d = du(at, c);
        dgamma[c] += d * unit(at, c);
        dbeta[c] += d;
        throughMean += (d * gamma[c]) / count;
        throughSpread += (d * gamma[c] * unit(at, c)) / count;
      });
      each((at, c) => {
        dx[at] = rstd * (du(at, c) * gamma[c] - throughMean - unit(at, c) * throughSpread);
        dshift[image * channels + c] += dx[at];
      });
    }
  return [y, dx, dshift, dgamma, dbeta];
}

const normCases: { shape: number[]; groups: number; mean: number }[] = [
  { shape: [3, 8, 8, 32], groups: 8, mean: 0 },
  { shape: [2, 16, 16, 96], groups: 8, mean: 0 },
  { shape: [2, 5, 7, 20], groups: 4, mean: 0 },
  { shape: [2, 9, 6], groups: 3, mean: 0 },
  { shape: [4, 7], groups: 1, mean: 0 },
  { shape: [1, 1, 1, 4], groups: 1, mean: 0 },
  { shape: [2, 16, 16, 64], groups: 8, mean: 30 },
];
const formsOfNorm = { used: groupNorm, plain: plainForms.groupNorm };

for (const { shape, groups, mean } of normCases)
  for (const swish of [false, true])
    test(`GroupNorm of [${shape}] in ${groups} groups around ${mean}${swish ? ", swish" : ""}: float64`, () => {
      const channels = shape[shape.length - 1];
      const x = draw(shape, 1.5, mean);
      const [shift, gamma] = [draw([shape[0], channels]), draw([channels], 0.5, 1)];
      const [beta, weight] = [draw([channels], 0.5), draw(shape)];
      const data = {
        x: values(x),
        shift: values(shift),
        gamma: values(gamma),
        beta: values(beta),
        weight: values(weight),
      };
      const pixels = x.size / (shape[0] * channels);
      const norm: Norm64 = { shape: [shape[0], pixels, channels], groups, swish };
      const want = groupNorm64(norm, data);
      const wantUnshifted = groupNorm64(norm, { ...data, shift: data.shift.map(() => 0) });
      const names = ["y", "dx", "dshift", "dgamma", "dbeta"];
      for (const [form, apply] of Object.entries(formsOfNorm)) {
        const tolerance = mean === 0 ? 3e-6 : form === "used" ? 1e-5 : 1e-4;
        const shifted = both(
          (x, shift, gamma, beta) => apply(x, gamma, beta, { groups, swish, shift }),
          [x, shift, gamma, beta],
          weight,
        );
        shifted.forEach((got, i) => {
          if (names[i] === "dshift") {
            // A sum of gradients that cancel: measured against what is summed.
            const scale = Math.max(...want[1].map(Math.abs)) * pixels;
            assertAllClose(values(got), want[2], { abs: tolerance * scale, rel: 0, what: `dshift, ${form}` });
          } else {
            const off = distance(values(got), want[i]);
            assert.ok(off < tolerance, `${names[i]}, ${form}: off by ${off}`);
          }
        });
        const unshifted = both(
          (x, gamma, beta) => apply(x, gamma, beta, { groups, swish }),
          [x, gamma, beta],
          weight,
        );
        const wanted = wantUnshifted.filter((_, i) => names[i] !== "dshift");
        unshifted.forEach((got, i) => {
          const off = distance(values(got), wanted[i]);
          assert.ok(off < tolerance, `without shift, output ${i}, ${form}: off by ${off}`);
        });
      }
    });

test("GroupNorm's gradients agree with finite differences", () => {
  const inputs = [draw([2, 4, 4, 12]), draw([2, 12]), draw([12], 0.5, 1), draw([12])];
  const f = (x: tf.Tensor, shift: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) =>
    groupNorm(x, gamma, beta, { groups: 3, swish: true, shift });
  checkByDifferences(f as never, inputs, draw([2, 4, 4, 12]));
});

test("the fused swish is right to float32 rounding from -80 to 80", fused, () => {
  const n = 4096;
  const u = Float64Array.from({ length: n }, (_, i) => -80 + (160 * i) / (n - 1)).map(Math.fround);
  // One pixel and one group: with gamma 0 the norm is beta.
  const y = groupNorm(tf.zeros([1, 1, 1, n]), tf.zeros([n]), tf.tensor1d(Array.from(u)), {
    groups: 1,
    swish: true,
  });
  const want = Array.from(u, (v) => v / (1 + Math.exp(-v)));
  assertAllClose(values(y), want, { rel: 1e-6, abs: 1e-37 });
});

// ---- attention ----

/** In float64: out and dqkv of sum(out · weight). */
function attention64(n: number, d: number, qkv: number[], weight: number[]): [number[], number[]] {
  const at = (i: number, part: number, k: number) => i * 3 * d + part * d + k;
  const range = (count: number) => Array.from({ length: count }, (_, i) => i);
  const sum = (count: number, f: (i: number) => number) => range(count).reduce((total, i) => total + f(i), 0);
  const scores = range(n).map((i) =>
    range(n).map((j) => sum(d, (k) => qkv[at(i, 0, k)] * qkv[at(j, 1, k)]) / Math.sqrt(d)),
  );
  const p = scores.map((row) => {
    const top = Math.max(...row);
    const total = row.reduce((t, s) => t + Math.exp(s - top), 0);
    return row.map((s) => Math.exp(s - top) / total);
  });
  const out = range(n * d).map((e) => sum(n, (j) => p[Math.floor(e / d)][j] * qkv[at(j, 2, e % d)]));
  const dp = range(n).map((i) => range(n).map((j) => sum(d, (k) => weight[i * d + k] * qkv[at(j, 2, k)])));
  const ds = dp.map((row, i) => {
    const mean = sum(n, (j) => row[j] * p[i][j]);
    return row.map((v, j) => (p[i][j] * (v - mean)) / Math.sqrt(d));
  });
  const dqkv = new Array<number>(n * 3 * d);
  for (let i = 0; i < n; i++)
    for (let k = 0; k < d; k++) {
      dqkv[at(i, 0, k)] = sum(n, (j) => ds[i][j] * qkv[at(j, 1, k)]);
      dqkv[at(i, 1, k)] = sum(n, (j) => ds[j][i] * qkv[at(j, 0, k)]);
      dqkv[at(i, 2, k)] = sum(n, (j) => p[j][i] * weight[j * d + k]);
    }
  return [out, dqkv];
}

for (const [n, d] of [
  [64, 32],
  [70, 20],
  [1, 3],
  [17, 1],
])
  test(`attention over ${n} places of ${d}: float64`, () => {
    const qkv = draw([2, n, 3 * d]);
    const weight = draw([2, n, d]);
    for (const [form, apply] of Object.entries({ used: attention, plain: plainForms.attention })) {
      const [out, dqkv] = both((x) => apply(x as tf.Tensor3D), [qkv], weight);
      for (const image of [0, 1]) {
        const part = (tensor: tf.Tensor) => values(tensor.slice([image, 0, 0], [1, -1, -1]));
        const [want, wantGrad] = attention64(n, d, part(qkv), part(weight));
        assert.ok(distance(part(out), want) < 2e-6, `out, ${form}`);
        assert.ok(distance(part(dqkv), wantGrad) < 4e-6, `gradient, ${form}`);
      }
    }
  });

test("attention of large scores neither overflows nor loses its sum", () => {
  const qkv = draw([1, 33, 3 * 8], 30);
  const [out, dqkv] = both((x) => attention(x as tf.Tensor3D), [qkv], draw([1, 33, 8]));
  const [want] = attention64(33, 8, values(qkv), new Array(33 * 8).fill(0));
  assert.ok(distance(values(out), want) < 1e-4);
  assert.ok(values(dqkv).every(Number.isFinite));
});

// ---- the rest ----

test("up-sampling copies each pixel, and its gradient sums the copies", () => {
  const [height, width, channels] = [3, 4, 5];
  const x = draw([2, height, width, channels]) as tf.Tensor4D;
  const weight = draw([2, 2 * height, 2 * width, channels]);
  const [input, w] = [values(x), values(weight)];
  const copies = w.map((_, at) => {
    const [c, v, h] = [at, Math.floor(at / channels), Math.floor(at / (channels * 2 * width))];
    return (Math.floor(h / 2) * width + (Math.floor(v % (2 * width)) >> 1)) * channels + (c % channels);
  });
  const wanted = new Array<number>(input.length).fill(0);
  copies.forEach((from, at) => {
    wanted[from] += w[at];
  });
  for (const apply of [upsample, plainForms.upsample]) {
    const [y, dx] = both((x) => apply(x as tf.Tensor4D), [x], weight);
    assert.deepEqual(
      values(y),
      copies.map((from) => input[from]),
    );
    assertAllClose(values(dx), wanted, { rel: 1e-6, abs: 1e-6 });
  }
});

test("swish and its gradient, of sizes that fill no vector: float64", () => {
  for (const shape of [[1], [7, 5], [3, 40, 1000]]) {
    const [x, weight] = [draw(shape, 4), draw(shape)];
    const [at, w] = [values(x), values(weight)];
    const gate = at.map((v) => 1 / (1 + Math.exp(-v)));
    for (const apply of [swish, plainForms.swish]) {
      const [y, dx] = both(apply as never, [x], weight);
      const want = at.map((v, i) => v * gate[i]);
      const wantGrad = at.map((v, i) => w[i] * gate[i] * (1 + v * (1 - gate[i])));
      assertEach([y, dx], [want, wantGrad], { rel: 3e-6, abs: 2e-6 });
    }
  }
});

test("swish, biases and dense layers, and their gradients", () => {
  const x = draw([4, 3, 5]);
  const [w, b] = [draw([5, 7]), draw([7])];
  const weight = draw([4, 3, 7]);
  const ours = (x: tf.Tensor, w: tf.Tensor, b: tf.Tensor) => swish(addBias(dense(x, w), b));
  const tfjs = (x: tf.Tensor, w: tf.Tensor, b: tf.Tensor) => {
    const u = tf
      .matMul(x.reshape([12, 5]) as tf.Tensor2D, w as tf.Tensor2D)
      .add(b)
      .reshape([4, 3, 7]);
    return u.mul(tf.sigmoid(u));
  };
  const [got, want] = [ours, tfjs].map((f) => both(f as never, [x, w, b], weight));
  assertEach(got, want.map(values), { rel: 1e-5, abs: 2e-6 });
  checkByDifferences(ours as never, [x, w, b], weight);
  assertAllClose(values(dense(x, w, b)), values(addBias(dense(x, w), b)), { rel: 1e-5, abs: 1e-6 });
});

/** A dense layer's value and gradients of sum(y · weight) in float64: y, dx, dw, dbias. */
function dense64(
  [rows, inputs, outputs]: number[],
  withSwish: boolean,
  { x, w, bias, weight }: Record<string, number[]>,
): Float64Array[] {
  const [y, dx, dw, dbias] = [rows * outputs, rows * inputs, inputs * outputs, outputs].map(
    (size) => new Float64Array(size),
  );
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < outputs; j++) {
      let u = bias[j];
      for (let k = 0; k < inputs; k++) u += x[i * inputs + k] * w[k * outputs + j];
      const s = 1 / (1 + Math.exp(-u));
      y[i * outputs + j] = withSwish ? u * s : u;
      const du = weight[i * outputs + j] * (withSwish ? s * (1 + u * (1 - s)) : 1);
      dbias[j] += du;
      for (let k = 0; k < inputs; k++) {
        dx[i * inputs + k] += du * w[k * outputs + j];
        dw[k * outputs + j] += du * x[i * inputs + k];
      }
    }
  return [y, dx, dw, dbias];
}

for (const sizes of [
  [1, 1, 1],
  [7, 5, 3],
  [300, 34, 128],
  [65, 128, 2],
  [70, 19, 16],
  [5000, 33, 21],
  [4999, 40, 5],
])
  test(`dense [${sizes.slice(0, 2)}] to ${sizes[2]}, with and without swish: float64`, () => {
    const [rows, inputs, outputs] = sizes;
    const [x, w, bias] = [draw([rows, inputs]), draw([inputs, outputs], 0.5), draw([outputs])];
    const weight = draw([rows, outputs]);
    const data = { x: values(x), w: values(w), bias: values(bias), weight: values(weight) };
    for (const withSwish of [false, true]) {
      const layer = (...[x, w, bias]: tf.Tensor[]) => dense(x, w, bias, { swish: withSwish });
      const want = dense64(sizes, withSwish, data);
      const got = both(layer, [x, w, bias], weight);
      for (const [i, name] of ["y", "dx", "dw", "dbias"].entries()) {
        const off = distance(values(got[i]), want[i]);
        assert.ok(off < 3e-6, `${name} of swish ${withSwish}: off by ${off}`);
      }
      const again = both(layer, [x, w, bias], weight);
      assert.deepEqual(again.map(values), got.map(values), "the same bits each time");
    }
  });

test("a dense layer's gradients agree with finite differences, and compiled it is the same", () => {
  const inputs = [draw([40, 24]), draw([24, 20], 0.3), draw([20])];
  const weight = draw([40, 20]);
  const layer = (...[x, w, bias]: tf.Tensor[]) => dense(x, w, bias, { swish: true });
  checkByDifferences(layer, inputs, weight);
  const all = (...given: tf.Tensor[]) => both(layer, given, weight);
  assertEach(compile(all)(...inputs) as tf.Tensor[], all(...inputs).map(values), { rel: 1e-6, abs: 1e-7 });
  assertNoLeak(() => tf.tidy(() => all(...inputs)));
});

/** A chain's value and gradients of sum(y · weight) in float64: y, dx, then each weight's and each bias's. */
function chain64(rows: number, sizes: number[], data: Record<string, number[]>): Float64Array[] {
  const layers = sizes
    .slice(1)
    .map((outputs, l) => ({ shape: [rows, sizes[l], outputs], swish: l < sizes.length - 2 }));
  const parameters = (l: number) => ({ w: data[`w${l}`], bias: data[`b${l}`] });
  const inputs = [data.x];
  for (const [l, { shape, swish }] of layers.entries()) {
    const weight = new Array(rows * shape[2]).fill(0);
    const [y] = dense64(shape, swish, { ...parameters(l), x: inputs[l], weight });
    inputs.push(Array.from(y));
  }
  let weight = data.weight;
  const [dws, dbs]: Float64Array[][] = [[], []];
  for (const [l, { shape, swish }] of [...layers.entries()].reverse()) {
    const [, dx, dw, db] = dense64(shape, swish, { ...parameters(l), x: inputs[l], weight });
    weight = Array.from(dx);
    dws.unshift(dw);
    dbs.unshift(db);
  }
  return [Float64Array.from(inputs[layers.length]), Float64Array.from(weight), ...dws, ...dbs];
}

/** A chain of tensors x, weights, biases. */
const chain = (x: tf.Tensor, ...parameters: tf.Tensor[]): tf.Tensor => {
  const numLayers = parameters.length / 2;
  const layers = Array.from({ length: numLayers }, (_, l) => ({
    weight: parameters[l],
    bias: parameters[numLayers + l],
  }));
  return denseChain(x, layers);
};

/** x, weights, biases of a chain of these sizes, and the weight of its result in a sum. */
function drawChain(rows: number, sizes: number[]): { inputs: tf.Tensor[]; weight: tf.Tensor } {
  const layers = sizes.slice(1).map((outputs, l) => [sizes[l], outputs]);
  const ws = layers.map(([inputs, outputs]) => draw([inputs, outputs], 2 / Math.sqrt(inputs)));
  const bs = layers.map(([, outputs]) => draw([outputs]));
  return {
    inputs: [draw([rows, sizes[0]]), ...ws, ...bs],
    weight: draw([rows, layers[layers.length - 1][1]]),
  };
}

for (const [rows, ...sizes] of [
  [1, 1, 1],
  [7, 5, 3, 2],
  [512, 34, 128, 128, 2],
  [131, 19, 16, 40, 16, 33],
  [3000, 3, 9, 5],
])
  test(`a chain of dense layers ${sizes.join(" to ")} of ${rows} rows: float64, the same bits each time`, () => {
    const { inputs, weight } = drawChain(rows, sizes);
    const numLayers = sizes.length - 1;
    const names = ["w", "b"].flatMap((kind) => Array.from({ length: numLayers }, (_, l) => `${kind}${l}`));
    const data = Object.fromEntries(["x", ...names].map((name, i) => [name, values(inputs[i])]));
    const want = chain64(rows, sizes, { ...data, weight: values(weight) });
    const got = both(chain, inputs, weight);
    for (const [i, name] of ["y", "dx", ...names].entries()) {
      const off = distance(values(got[i]), want[i]);
      assert.ok(off < 3e-6, `${name}: off by ${off}`);
    }
    const again = both(chain, inputs, weight);
    assert.deepEqual(again.map(values), got.map(values));
  });

test("a chain's gradients agree with finite differences, and compiled it is the same", () => {
  const { inputs, weight } = drawChain(40, [6, 24, 20, 3]);
  checkByDifferences(chain, inputs, weight);
  const all = (...given: tf.Tensor[]) => both(chain, given, weight);
  assertEach(compile(all)(...inputs) as tf.Tensor[], all(...inputs).map(values), { rel: 1e-6, abs: 1e-7 });
  assertNoLeak(() => tf.tidy(() => all(...inputs)));
});

/** Leaves numbers that are no numbers in free memory: what an op does not write is not 0 by chance. */
const soil = (size: number): void =>
  tf.dispose(Array.from({ length: 20 }, () => tf.fill([size], Number.NaN)));

test("what is summed over nothing is 0: a layer of no inputs, a shift of no pixels", () => {
  const wide = { inputs: drawChain(4, [2, 0, 256]).inputs, weight: draw([4, 256]) };
  const empty = { inputs: drawChain(4, [0, 256]).inputs, weight: draw([4, 256]) };
  for (const { inputs, weight } of [wide, empty]) {
    soil(4 * 256);
    const bias = inputs[inputs.length - 1];
    const [y, dx, ...others] = both(chain, inputs, weight);
    assert.deepEqual(values(y), values(bias.expandDims(0).tile([4, 1])));
    assert.deepEqual(values(dx), new Array(inputs[0].size).fill(0));
    assertAllClose(values(others[others.length - 1]), values(weight.sum(0)), { rel: 1e-5, abs: 1e-6 });
  }
  const images = [draw([2, 0, 64]), draw([2, 64]), draw([64]), draw([64])];
  const norm = (x: tf.Tensor, shift: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) =>
    groupNorm(x, gamma, beta, { groups: 4, shift });
  soil(2 * 64);
  const [, , dshift, dgamma] = both(norm as never, images, draw([2, 0, 64]));
  assert.deepEqual(values(dshift), new Array(128).fill(0));
  assert.deepEqual(values(dgamma), new Array(64).fill(0));
});

test("compiled or not, the fused ops give the same, each time, and leave nothing", fused, () => {
  const x = draw([4, 8, 8, 24]) as tf.Tensor4D;
  const parameters = [draw([24]), draw([24])];
  const f = (x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) => {
    const h = groupNorm(x, gamma, beta, { groups: 4, swish: true });
    const a = attention(h.reshape([4, 64, 24]).slice([0, 0, 0], [4, 64, 24]) as tf.Tensor3D).reshape([
      4, 8, 8, 8,
    ]);
    return upsample(a as tf.Tensor4D);
  };
  const weight = draw([4, 16, 16, 8]);
  const all = (x: tf.Tensor) => both(f as never, [x, ...parameters], weight);
  const eager = all(x).map(values);
  const compiled = compile(all);
  for (let i = 0; i < 3; i++) assertEach(compiled(x) as tf.Tensor[], eager, { rel: 1e-5, abs: 1e-6 });
  const first = (compiled(x) as tf.Tensor[]).map(values);
  assert.deepEqual((compiled(x) as tf.Tensor[]).map(values), first, "the same bits each time");
  assertNoLeak(() => compiled(x));
  assertNoLeak(() => tf.tidy(() => all(x)));
});

// ---- convolutions ----

/** A convolution and the gradients of sum(y · weight) in float64: y, dx, dfilter. */
function convolve64(x: tf.Tensor, filter: tf.Tensor, weight: tf.Tensor): Float64Array[] {
  const [n, height, width, inputs] = x.shape;
  const [rows, columns, , outputs] = filter.shape;
  const [from, by, w] = [x, filter, weight].map(values);
  const [y, dx, dfilter] = [w, from, by].map(({ length }) => new Float64Array(length));
  for (let at = 0; at < n * height * width; at++) {
    const [v, h] = [at % width, Math.floor(at / width) % height];
    for (let place = 0; place < rows * columns; place++) {
      const [right, down] = [(place % columns) - (columns >> 1), Math.floor(place / columns) - (rows >> 1)];
      if (v + right < 0 || v + right >= width || h + down < 0 || h + down >= height) continue;
      for (let i = 0; i < inputs; i++)
        for (let o = 0; o < outputs; o++) {
          const [a, b, c] = [
            (at + down * width + right) * inputs + i,
            (place * inputs + i) * outputs + o,
            at * outputs + o,
          ];
          y[c] += from[a] * by[b];
          dx[a] += w[c] * by[b];
          dfilter[b] += w[c] * from[a];
        }
    }
  }
  return [y, dx, dfilter];
}

test("a convolution and its gradients: float64, filters as wide as the image and wider, more images than parts", () => {
  for (const [shape, filter] of [
    [
      [2, 5, 7, 3],
      [3, 3, 3, 5],
    ],
    [
      [37, 4, 3, 9],
      [3, 3, 9, 17],
    ],
    [
      [3, 12, 13, 33],
      [3, 5, 33, 20],
    ],
    [
      [2, 2, 1, 4],
      [5, 5, 4, 2],
    ],
    [
      [1, 6, 6, 4],
      [1, 1, 4, 8],
    ],
  ]) {
    const inputs = [draw(shape), draw(filter)];
    const weight = draw([...shape.slice(0, 3), filter[3]]);
    const want = convolve64(inputs[0], inputs[1], weight);
    for (const apply of [convolve, plainForms.convolve])
      both(apply as never, inputs, weight).forEach((got, i) => {
        assert.ok(
          distance(values(got), want[i]) < 3e-6,
          `${shape} by ${filter}: ${["y", "dx", "dfilter"][i]}`,
        );
      });
  }
  assert.throws(
    () => convolve(tf.zeros([1, 2, 2, 3]), tf.zeros([2, 3, 3, 1])),
    /convolve: x has shape \[1,2,2,3\]/,
  );
});

test("the filter's gradient is the same each time, and compiled", fused, () => {
  const [x, filter] = [draw([40, 8, 8, 16]), draw([3, 3, 16, 16])] as [tf.Tensor4D, tf.Tensor4D];
  const gradient = (x: tf.Tensor, filter: tf.Tensor) =>
    tf.grad((f: tf.Tensor) =>
      convolve(x as tf.Tensor4D, f as tf.Tensor4D)
        .square()
        .sum(),
    )(filter);
  const first = values(gradient(x, filter));
  assert.deepEqual(values(gradient(x, filter)), first);
  assertAllClose(values(compile(gradient)(x, filter)), first, { rel: 1e-6, abs: 1e-3 });
  assertNoLeak(() => gradient(x, filter));
});

for (const kind of ["avx2", "portable"])
  test(
    `the form for ${kind === "portable" ? "any processor" : kind} passes all of these tests`,
    child,
    () => {
      // Told that it is a test's child, node would skip the file.
      const env = { ...process.env, LOWER_BOUND_SIMD: kind, NODE_TEST_CONTEXT: undefined };
      const run = ["--import", "tsx", "--test", "--test-reporter=tap", __filename];
      const output = execFileSync(process.execPath, run, { env, encoding: "utf8" });
      assert.match(output, /# pass [4-9]\d\n/);
    },
  );

test("a second derivative is refused, in either form, where the first one is right", () => {
  for (const apply of [swish, plainForms.swish]) {
    const slope = tf.grad((x: tf.Tensor) => apply(x).sum());
    assertAllClose(values(slope(tf.scalar(0))), [0.5], { abs: 1e-7 });
    assert.throws(() => tf.grad((x: tf.Tensor) => slope(x).add(x))(tf.scalar(0)), /first derivatives only/);
  }
});

test("shapes that do not fit name themselves", () => {
  const [x, c] = [tf.zeros([2, 4, 4, 10]), tf.zeros([10])];
  assert.throws(
    () => groupNorm(x, c, c, { groups: 3 }),
    /groups is 3, expected a divisor of 10, for x of shape \[2,4,4,10\]/,
  );
  assert.throws(
    () => groupNorm(x, tf.zeros([3]), c, { groups: 2 }),
    /gamma has shape \[3\], expected \[10\]/,
  );
  assert.throws(
    () => groupNorm(x, c, c, { groups: 2, shift: c }),
    /shift has shape \[10\], expected \[2,10\]/,
  );
  assert.throws(() => attention(tf.zeros([2, 4, 10])), /attention: qkv has shape \[2,4,10\]/);
  assert.throws(() => upsample(tf.zeros([2, 4]) as never), /upsample: x has shape \[2,4\]/);
  assert.throws(() => dense(x, tf.zeros([10, 2]), c), /dense: bias has shape \[10\], expected \[2\]/);
  assert.throws(() => denseChain(tf.zeros([2, 3]), []), /denseChain: got no layers/);
  const affine = (inputs: number, outputs: number, biases = outputs) => ({
    weight: tf.zeros([inputs, outputs]),
    bias: tf.zeros([biases]),
  });
  assert.throws(
    () => denseChain(tf.zeros([2, 3]), [affine(3, 4), affine(5, 4)]),
    /denseChain: weight 1 has shape \[5,4\], expected \[4, O\]/,
  );
  assert.throws(
    () => denseChain(tf.zeros([2, 3]), [affine(3, 4, 5)]),
    /bias 0 has shape \[5\], expected \[4\]/,
  );
  assert.throws(() => dense(x, tf.zeros([9, 2])), /dense: x has shape \[2,4,4,10\] and w \[9,2\]/);
});
