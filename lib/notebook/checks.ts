/**
 * @file Checks for exercises that say why: an answer is compared with what was wanted and with typical mistakes.
 *
 * A check never throws on a wrong answer, so that the learner's cell keeps its variables; it shows one line, which
 * does not give a number away.
 */
import { display } from "./display";
import { isTensorLike, type TensorLike } from "./figures/numbers";

/** An answer: a number, numbers, rows of numbers, a tensor. */
export type Answer = number | ArrayLike<number> | readonly ArrayLike<number>[] | TensorLike;

/** What a typical mistake gives, by the sentence that explains it. Functions are called only when needed. */
export type Hints = Record<string, Answer | (() => Answer)>;

export interface CheckOptions {
  /** Allowed difference relative to the expected value; by default what float32 can hold after some arithmetic. */
  rel?: number;
  /** Allowed difference where the expected value is near zero. */
  abs?: number;
  /** Sentences by mistake: `{ "your mean has slope √ᾱ_t where √α_t is wanted": Math.sqrt(alphaBar) * x }`. */
  hints?: Hints;
}

/**
 * Compares an exercise's answer with the expected one, entry by entry, and shows a line that says pass, or the
 * mistake: one of the `hints` if the answer matches it, else a telling relation (sign, factor, shape, order) or
 * the first entry that differs. Never throws on a learner's answer.
 */
export function check(name: string, got: unknown, expected: Answer, options: CheckOptions = {}): void {
  const wrong = mistake(got, expected, options);
  display({ "text/plain": wrong === undefined ? `✓ ${name}` : `✗ ${name}: ${wrong}` });
}

interface Values {
  shape: number[];
  flat: number[];
}

type Tolerance = Required<Pick<CheckOptions, "rel" | "abs">>;

function mistake(
  answer: unknown,
  wanted: Answer,
  { rel = 1e-4, abs = 1e-6, hints = {} }: CheckOptions,
): string | undefined {
  const tolerance = { rel, abs };
  const expected = valuesOf(wanted);
  if (!expected) throw new Error("check: the expected answer is no number, array or tensor of numbers.");
  if (answer === undefined) return "there is no answer yet (undefined). Does your function return something?";
  if (answer instanceof Promise) return "the answer is a promise. Write await before it.";
  const got = valuesOf(answer);
  if (!got) return `got ${typeof answer}, expected ${describeShape(expected.shape)}.`;
  if (matches(got, expected, tolerance)) return undefined;
  return hinted(got, hints, tolerance) ?? related(got, expected, tolerance);
}

function valuesOf(answer: unknown): Values | undefined {
  if (typeof answer === "number") return { shape: [], flat: [answer] };
  if (typeof answer !== "object" || answer === null) return undefined;
  if (isTensorLike(answer)) return tensorValues(answer);
  const list = answer as ArrayLike<unknown>;
  if (typeof list.length !== "number") return undefined;
  const entries = Array.from(list, valuesOf);
  const first = entries[0];
  if (entries.some((entry) => !entry || String(entry.shape) !== String(first?.shape))) return undefined;
  const flat = (entries as Values[]).flatMap((entry) => entry.flat);
  return { shape: [list.length, ...(first?.shape ?? [])], flat };
}

/** A disposed tensor throws when it is read: to the learner that is an answer that is not there. */
function tensorValues(tensor: TensorLike): Values | undefined {
  try {
    return { shape: [...tensor.shape], flat: Array.from(tensor.dataSync()) };
  } catch {
    return undefined;
  }
}

const isClose = (got: number, want: number, { rel, abs }: Tolerance): boolean =>
  got === want || Math.abs(got - want) <= Math.max(abs, rel * Math.abs(want));

function matches(got: Values, want: Values, tolerance: Tolerance): boolean {
  return (
    String(got.shape) === String(want.shape) &&
    got.flat.every((value, i) => isClose(value, want.flat[i], tolerance))
  );
}

function hinted(got: Values, hints: Hints, tolerance: Tolerance): string | undefined {
  const found = Object.entries(hints).find(([, hint]) => {
    const values = valuesOf(typeof hint === "function" ? hint() : hint);
    return values !== undefined && matches(got, values, tolerance);
  });
  return found && `${found[0].replace(/\.$/, "")}.`;
}

/** Mistakes that need no hint to be seen. */
function related(got: Values, want: Values, tolerance: Tolerance): string {
  if (String(got.shape) !== String(want.shape))
    return `got ${describeShape(got.shape)}, expected ${describeShape(want.shape)}.`;
  if (got.flat.every(Number.isNaN))
    return "no answer yet (NaN); or is it 0 / 0, or the log of a negative number?";
  const broken = got.flat.findIndex((value, i) => !Number.isFinite(value) && Number.isFinite(want.flat[i]));
  if (broken >= 0)
    return `entry ${place(broken, got.shape)} is ${got.flat[broken]}: a division by 0, or a log of 0?`;
  const scaled = (factor: number): Values => ({ ...want, flat: want.flat.map((value) => factor * value) });
  if (matches(got, scaled(-1), tolerance)) return "your answer has the wrong sign.";
  const factor = commonFactor(got.flat, want.flat);
  if (factor !== undefined && got.flat.length > 1 && matches(got, scaled(factor), tolerance))
    return `your answer is ${short(factor)} times what is expected, in every entry.`;
  const wrong = got.flat.findIndex((value, i) => !isClose(value, want.flat[i], tolerance));
  const value = short(got.flat[wrong]);
  const judgement = judged(got.flat[wrong], want.flat[wrong]);
  if (got.flat.length === 1) return `got ${value}, which is ${judgement}.`;
  const count = got.flat.filter((each, i) => !isClose(each, want.flat[i], tolerance)).length;
  return `entry ${place(wrong, got.shape)} is ${value}, ${judgement}; ${count} of ${got.flat.length} entries differ.`;
}

/** In which direction an entry is wrong; NaN has none. */
function judged(got: number, want: number): string {
  if (Number.isNaN(got - want)) return "not what is expected";
  return got < want ? "too small" : "too large";
}

/** got / want where want is largest, or nothing where all is zero. */
function commonFactor(got: number[], want: number[]): number | undefined {
  const largest = want.reduce((best, value, i) => (Math.abs(value) > Math.abs(want[best]) ? i : best), 0);
  return want[largest] ? got[largest] / want[largest] : undefined;
}

function place(index: number, shape: number[]): string {
  const position: number[] = [];
  let rest = index;
  for (const size of [...shape].reverse()) {
    position.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return `[${position.join(", ")}]`;
}

function describeShape(shape: number[]): string {
  if (shape.length === 0) return "one number";
  return shape.length === 1 ? `${shape[0]} numbers` : `numbers of shape [${shape.join(", ")}]`;
}

const short = (value: number): string => String(Number(value.toPrecision(5)));
