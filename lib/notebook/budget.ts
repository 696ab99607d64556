/** @file How much work a lesson's cell does: in full for readers, less for the tests that run every cell. */

/** Whether `LOWER_BOUND_FAST=1` asks for small budgets. */
export function isFast(): boolean {
  return process.env.LOWER_BOUND_FAST === "1";
}

/** `full`, or `fast` under `LOWER_BOUND_FAST=1`: `const steps = budget({ full: 3000, fast: 50 })`. */
export function budget<Value>({ full, fast }: { full: Value; fast: Value }): Value {
  return isFast() ? fast : full;
}
