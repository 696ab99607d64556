import assert from "node:assert/strict";
import { test } from "node:test";
import { compile, rng, tf } from "../tensor";
import { assertAllClose, assertNoLeak } from "../testing";
import { fromPixels, type ImageSet, imageBatches, toPixels } from "./images";

const [COUNT, HEIGHT, WIDTH, CHANNELS] = [5, 2, 3, 2];
/** Each value tells its place. */
const SET: ImageSet = {
  images: Uint8Array.from({ length: COUNT * HEIGHT * WIDTH * CHANNELS }, (_, i) => (7 * i) % 256),
  shape: [COUNT, HEIGHT, WIDTH, CHANNELS],
  labels: Uint8Array.from([0, 1, 2, 3, 4]),
  classNames: ["a", "b", "c", "d", "e"],
};
const SIZE = HEIGHT * WIDTH * CHANNELS;
const pixelsOf = (n: number): Uint8Array => SET.images.subarray(n * SIZE, (n + 1) * SIZE);
const mirrored = (pixels: ArrayLike<number>) =>
  Array.from(pixels, (_, i) => {
    const [c, column, row] = [
      i % CHANNELS,
      Math.floor(i / CHANNELS) % WIDTH,
      Math.floor(i / CHANNELS / WIDTH),
    ];
    return pixels[(row * WIDTH + WIDTH - 1 - column) * CHANNELS + c];
  });

test("pixel k is 2k/255 − 1, and back", () => {
  const all = Uint8Array.from({ length: 256 }, (_, k) => k);
  const scaled = fromPixels(all);
  assert.deepEqual([scaled[0], scaled[255]], [-1, 1]);
  assertAllClose(
    scaled,
    Array.from(all, (k) => (2 * k) / 255 - 1),
    { abs: 6e-8 },
  );
  assert.deepEqual(toPixels(scaled), all);
  assert.deepEqual(toPixels(tf.tensor2d(scaled, [16, 16])), all);
  assert.deepEqual([...toPixels([-7, -1.001, 1.001, 7, 0.0001])], [0, 0, 255, 255, 128]);
});

test("the images at some places, scaled", () => {
  const batch = imageBatches(SET).at([3, 0, 3]);
  assert.deepEqual(batch.shape, [3, HEIGHT, WIDTH, CHANNELS]);
  assert.equal(batch.dtype, "float32");
  assert.deepEqual(
    [...toPixels(batch)],
    [3, 0, 3].flatMap((n) => [...pixelsOf(n)]),
  );
});

test("a batch is of the set, every image as often as another, half of them mirrored", () => {
  const drawn = 20_000;
  const pixels = toPixels(imageBatches(SET).sample(rng(3), drawn, { flip: true }));
  const kinds = new Map<string, number>();
  for (let n = 0; n < COUNT; n++)
    for (const kind of [[...pixelsOf(n)], mirrored(pixelsOf(n))]) kinds.set(kind.join(), 0);
  assert.equal(kinds.size, 2 * COUNT);
  for (let i = 0; i < drawn; i++) {
    const kind = pixels.subarray(i * SIZE, (i + 1) * SIZE).join();
    assert.ok(kinds.has(kind), "no image of the set");
    kinds.set(kind, kinds.get(kind)! + 1);
  }
  const share = 1 / kinds.size;
  const standardError = Math.sqrt(drawn * share * (1 - share));
  for (const count of kinds.values())
    assert.ok(Math.abs(count - drawn * share) < 4.5 * standardError, `${count}`);
});

test("without flip no image is mirrored; the same seed and step give the same batch, others another", () => {
  const batches = imageBatches(SET);
  const draw = (seed: number, step: number) => [...toPixels(batches.sample(rng(seed, step), 40))];
  const whole = new Set(SET.labels);
  for (let i = 0, pixels = draw(1, 0); i < 40; i++) {
    const piece = pixels.slice(i * SIZE, (i + 1) * SIZE).join();
    assert.ok([...whole].some((n) => pixelsOf(n).join() === piece));
  }
  assert.deepEqual(draw(1, 2), draw(1, 2));
  assert.notDeepEqual(draw(1, 2), draw(1, 3));
  assert.notDeepEqual(draw(1, 2), draw(2, 2));
});

test("batches drawn one after the other do not disturb each other, and nothing is left", () => {
  const batches = imageBatches(SET);
  const [first, second] = [batches.at([0]), batches.at([1])]; // neither read yet
  assert.deepEqual(toPixels(first), pixelsOf(0).slice());
  assert.deepEqual(toPixels(second), pixelsOf(1).slice());
  batches.sample(rng(1), 4).dispose(); // copies the set, once
  assertNoLeak(() => batches.sample(rng(1), 4, { flip: true }));
  assertNoLeak(() => batches.at([1, 2]));
});

test("the draws: places, then which are mirrored", () => {
  const source = rng(4, 2);
  const places = source.integers([30], 0, COUNT).dataSync();
  const flips = source.integers([30], 0, 2).dataSync();
  const { images, labels } = imageBatches(SET).sampleLabelled(rng(4, 2), 30, { flip: true });
  const want = Array.from(places, (n, i) => (flips[i] ? mirrored(pixelsOf(n)) : [...pixelsOf(n)]));
  assert.deepEqual(images.dataSync(), fromPixels(want.flat()), "bit for bit the scaled pixels");
  assert.deepEqual([...labels.dataSync()], [...places]);
});

test("a compiled step takes a batch, and draws the same one itself where the set is recordable", () => {
  const batches = imageBatches(SET);
  const mean = compile((x: tf.Tensor4D) => x.mean());
  for (const step of [0, 1]) {
    const batch = batches.sample(rng(1, step), 8);
    const want = Array.from(batch.dataSync()).reduce((sum, x) => sum + x, 0) / batch.size;
    assertAllClose(mean(batch).dataSync(), [want], { abs: 1e-6 });
  }
  if (!batches.recordable) return;
  const inside = compile((step: tf.Scalar) => batches.sampleLabelled(rng(1, step), 8, { flip: true }));
  for (const step of [0, 1]) {
    const want = batches.sampleLabelled(rng(1, step), 8, { flip: true });
    const got = inside(tf.scalar(step, "int32"));
    assert.deepEqual(got.images.dataSync(), want.images.dataSync());
    assert.deepEqual(got.labels.dataSync(), want.labels.dataSync());
  }
  batches.dispose();
  assert.throws(() => inside(tf.scalar(0, "int32")), /a tensor .* from outside.* was disposed/);
});

test("what cannot be drawn is named", () => {
  const empty = { ...SET, images: new Uint8Array(0), shape: [0, 2, 3, 2] as const };
  assert.throws(() => imageBatches(empty), /imageBatches: the set has no images/);
  const batches = imageBatches(SET);
  assert.throws(() => batches.sample(rng(1), 0), /batchSize is 0, expected a positive integer/);
  assert.throws(() => batches.at([0, 5]), /index 5, expected whole numbers from 0 to 4/);
});

test("labelled batches are the same images, each with its own class", () => {
  const batches = imageBatches(SET);
  for (const flip of [false, true]) {
    const { images, labels } = batches.sampleLabelled(rng(3), 50, { flip });
    assert.deepEqual(toPixels(images), toPixels(batches.sample(rng(3), 50, { flip })));
    assert.equal(labels.dtype, "int32");
    const pixels = toPixels(images);
    labels.dataSync().forEach((label, i) => {
      const image = [...pixels.subarray(i * SIZE, (i + 1) * SIZE)];
      const own = [...pixelsOf(SET.labels.indexOf(label))];
      assert.ok(image.join() === own.join() || (flip && image.join() === mirrored(own).join()));
    });
    assert.ok(new Set(labels.dataSync()).size > 1);
  }
  assertNoLeak(() => ({ ...batches.sampleLabelled(rng(3), 5) }));
});
