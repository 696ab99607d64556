/**
 * @file `--engine NAME` of the commands: which engine computes. Import it before all that imports `lib/tensor`: it takes
 * the option out of the arguments and starts the engine, so that one that cannot start is one line.
 */
import { basename } from "node:path";

/** The value of `--engine`, taken out of the arguments; undefined where it is not given. Throws without a value. */
export function takeEngine(args: string[]): string | undefined {
  const at = args.findIndex((argument) => /^--engine(=|$)/.test(argument));
  if (at < 0) return undefined;
  const [option, next] = args.slice(at, at + 2);
  const inline = option.startsWith("--engine=");
  const value = inline ? option.slice("--engine=".length) : next;
  if (!value || value.startsWith("-")) throw new Error("--engine has no value.");
  args.splice(at, inline ? 1 : 2);
  return value;
}

try {
  const name = takeEngine(process.argv);
  if (name) process.env.LOWER_BOUND_ENGINE = name;
  require("../lib/tensor/engine");
} catch (error) {
  process.stderr.write(`${basename(process.argv[1] ?? "", ".ts")}: ${(error as Error).message}\n`);
  process.exit(1);
}
