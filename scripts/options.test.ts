import assert from "node:assert/strict";
import { test } from "node:test";
import { readOptions } from "./options";

const read = (...args: string[]) =>
  readOptions(args, { values: ["steps", "mean", "means", "kind"] as const, flags: ["json"] as const });

test("numbers, lists of numbers and flags, values that begin with a minus too", () => {
  const options = read("--mean", "-0.5", "--json", "--means", "-1,.5,1e-4", "--steps=7");
  assert.equal(options.number("mean", 3), -0.5);
  assert.deepEqual(options.numbers("means"), [-1, 0.5, 1e-4]);
  assert.equal(options.wholeNumber("steps", 1), 7);
  assert.ok(options.flag("json"));
  const none = read();
  assert.equal(none.number("mean", 3), 3);
  assert.equal(none.numbers("means"), undefined);
  assert.equal(read("--steps", "0").wholeNumber("steps", 1, 5, 0), 0);
  assert.equal(read().wholeNumber("steps", undefined), undefined);
});

const mistakes: [use: (options: ReturnType<typeof read>) => unknown, args: string[], says: RegExp][] = [
  [(o) => o.number("mean", 0), ["--mean", "half"], /^--mean has "half", expected a finite number/],
  [(o) => o.number("mean", 0), ["--mean", "1e999"], /^--mean has "1e999", expected a finite number/],
  [(o) => o.numbers("means"), ["--means", "1,"], /^--means has "", expected a finite number/],
  [(o) => o.wholeNumber("steps", 1), ["--steps", "-3"], /^--steps is "-3", expected a whole number from 1/],
  [
    (o) => o.wholeNumber("steps", 1, 9),
    ["--steps", " "],
    /^--steps is " ", expected a whole number from 1 to 9/,
  ],
  [(o) => o.oneOf("kind", ["a", "b"], "a"), ["--kind", "c"], /^--kind is "c", expected one of a, b\.$/],
  [(o) => o.someOf("kind", ["a", "b"], ["a"]), ["--kind", "a,c"], /^--kind is "c", expected one of a, b\.$/],
  [() => 0, ["--json", "-3"], /unknown option -3|unexpected/],
  [() => 0, ["--mean", "--json"], /^--mean has no value/],
  [() => 0, ["--json=yes"], /^--json takes no value/],
  [
    () => 0,
    ["--size", "3"],
    /^unknown option --size, expected one of --steps, --mean, --means, --kind, --json\.$/,
  ],
  [() => 0, ["three"], /^unexpected "three", expected options: --steps/],
];
for (const [use, args, says] of mistakes)
  test(`a mistake gets one line: ${args.join(" ")}`, () => {
    assert.throws(
      () => use(read(...args)),
      (error: Error) => says.test(error.message),
    );
  });
