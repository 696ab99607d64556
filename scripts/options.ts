/**
 * @file Options of a command: `--name value`, with one clear line for every mistake. Checks names and values, knows no
 * command. A value may be a number that begins with a minus: `--means -1,1`.
 */
import { parseArgs } from "node:util";

/** What a command takes: options with a value, and flags. */
export interface OptionNames<Value extends string, Flag extends string> {
  values: readonly Value[];
  flags: readonly Flag[];
}

/** What was given; every method throws one line that names the option, what it got and what it takes. */
export interface Options<Value extends string, Flag extends string> {
  flag(name: Flag): boolean;
  text(name: Value): string | undefined;
  /** One of the choices. */
  oneOf<Choice extends string>(name: Value, choices: readonly Choice[], otherwise: Choice): Choice;
  /** A list such as `eps,v` of different choices. */
  someOf<Choice extends string>(
    name: Value,
    choices: readonly Choice[],
    otherwise: readonly Choice[],
  ): Choice[];
  /** A whole number from `least`, default 1, to `most`; `otherwise`, which may be undefined, where it is not given. */
  wholeNumber<Otherwise extends number | undefined>(
    name: Value,
    otherwise: Otherwise,
    most?: number,
    least?: number,
  ): number | Otherwise;
  /** A finite number. */
  number(name: Value, otherwise: number): number;
  /** A list such as `-1,0.5` of finite numbers; undefined where it is not given. */
  numbers(name: Value): number[] | undefined;
}

/** The options in `args`. Throws on an unknown one, on a missing value and on what is no option. */
export function readOptions<Value extends string, Flag extends string>(
  args: readonly string[],
  { values, flags }: OptionNames<Value, Flag>,
): Options<Value, Flag> {
  const given = parse(args, values, flags);
  const text = (name: Value) => given[name] as string | undefined;
  return {
    flag: (name) => given[name] === true,
    text,
    oneOf: (name, choices, otherwise) => choice(name, text(name) ?? otherwise, choices),
    someOf: (name, choices, otherwise) => {
      const chosen = text(name)?.split(",") ?? otherwise;
      return [...new Set(chosen.map((one) => choice(name, one.trim(), choices)))];
    },
    wholeNumber(name, otherwise, most = 1e9, least = 1) {
      const wanted = text(name) ?? otherwise;
      if (wanted === undefined) return otherwise;
      const value = text(name)?.trim() === "" ? Number.NaN : Number(wanted);
      if (Number.isInteger(value) && value >= least && value <= most) return value;
      throw new Error(`--${name} is "${wanted}", expected a whole number from ${least} to ${most}.`);
    },
    number: (name, otherwise) => finite(name, text(name) ?? String(otherwise)),
    numbers: (name) =>
      text(name)
        ?.split(",")
        .map((part) => finite(name, part)),
  };
}

function finite(name: string, text: string): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (Number.isFinite(value)) return value;
  throw new Error(`--${name} has "${text}", expected a finite number, such as 0.5 or 1e-4.`);
}

function choice<Choice extends string>(name: string, value: string, choices: readonly Choice[]): Choice {
  if ((choices as readonly string[]).includes(value)) return value as Choice;
  throw new Error(`--${name} is "${value}", expected one of ${choices.join(", ")}.`);
}

function parse(args: readonly string[], values: readonly string[], flags: readonly string[]) {
  const known = [
    ...values.map((name) => [name, { type: "string" }] as const),
    ...flags.map((name) => [name, { type: "boolean", ...(name === "help" ? { short: "h" } : {}) }] as const),
  ];
  const { values: given, tokens } = parseArgs({
    args: [...args],
    options: Object.fromEntries(known),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  for (const token of tokens) {
    if (token.kind === "positional")
      throw new Error(
        `unexpected "${token.value}", expected options: --${[...values, ...flags].join(", --")}.`,
      );
    if (token.kind !== "option") continue;
    const { name, rawName, value, inlineValue } = token;
    const isNext = !inlineValue && value?.startsWith("--"); // another option, taken for a value
    if (flags.includes(name) && value !== undefined) throw new Error(`${rawName} takes no value.`);
    if (values.includes(name) && (!value || isNext)) throw new Error(`${rawName} has no value.`);
    if (![...values, ...flags].includes(name))
      throw new Error(`unknown option ${rawName}, expected one of --${[...values, ...flags].join(", --")}.`);
  }
  return given;
}
