import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { rng } from "../tensor";
import { assertNoLeak } from "../testing";
import { TOYS, type ToyName, toy } from "./toys";

const COUNT = 100_000;

/** Mean and its standard error over the entries that `value` takes from each point. */
function measured(points: number[][], value: (point: number[]) => number) {
  const values = points.map(value);
  const mean = values.reduce((sum, one) => sum + one, 0) / values.length;
  const variance = values.reduce((sum, one) => sum + (one - mean) ** 2, 0) / (values.length - 1);
  return { mean, standardError: Math.sqrt(variance / values.length) };
}

describe("toys", () => {
  for (const name of TOYS) {
    test(`${name}: the exact moments are those of the draws, within 4 standard errors`, () => {
      const sample = toy(name).sample(rng(11), COUNT);
      const points = sample.arraySync();
      sample.dispose();
      for (const [what, value, want] of [
        ["mean of x", ([x]: number[]) => x, 0],
        ["mean of y", ([, y]: number[]) => y, 0],
        ["mean variance", ([x, y]: number[]) => (x * x + y * y) / 2, 1],
      ] as const) {
        const { mean, standardError } = measured(points, value);
        assert.ok(
          Math.abs(mean - want) < 4 * standardError,
          `${what}: ${mean} ± ${standardError}, expected ${want}`,
        );
      }
    });

    test(`${name}: the same seed gives the same points, another seed others`, () => {
      const draw = (seed: number) => [...toy(name).sample(rng(seed), 5).dataSync()];
      assert.deepEqual(draw(3), draw(3));
      assert.notDeepEqual(draw(3), draw(4));
    });

    test(`${name}: no tensor is left behind`, () => {
      assertNoLeak(() => toy(name).sample(rng(1), 10));
    });
  }

  for (const name of ["8gaussians", "25gaussians"] as const)
    test(`${name}: every point lies near a centre, and every centre has its share`, () => {
      const { sample, mixture } = toy(name);
      assert.ok(mixture);
      const { means, std } = mixture;
      const counts = new Array(means.length).fill(0);
      for (const [x, y] of sample(rng(5), COUNT).arraySync()) {
        const distances = means.map(([mx, my]) => Math.hypot(x - mx, y - my));
        const nearest = distances.indexOf(Math.min(...distances));
        assert.ok(
          distances[nearest] < 6 * std,
          `a point ${distances[nearest] / std} standard deviations away`,
        );
        counts[nearest]++;
      }
      const share = 1 / means.length;
      const standardError = Math.sqrt((share * (1 - share)) / COUNT);
      for (const count of counts) assert.ok(Math.abs(count / COUNT - share) < 4.5 * standardError);
    });

  test("checkerboard: only squares of one colour", () => {
    const scale = Math.sqrt(16 / 12);
    for (const [x, y] of toy("checkerboard").sample(rng(2), 10_000).arraySync()) {
      const [column, row] = [Math.floor(x * scale), Math.floor(y * scale)];
      assert.equal((((column + row) % 2) + 2) % 2, 0, `(${x}, ${y})`);
    }
  });

  test("an unknown name lists the choices", () => {
    assert.throws(() => toy("moon" as ToyName), /unknown data set "moon".*moons, swissroll, 8gaussians/);
    assert.throws(() => toy("moons").sample(rng(1), 0), /count is 0, expected a positive integer/);
  });
});
