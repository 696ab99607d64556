/** @file Options as plain data, checked against the ones that there are. */

/** Throws one line where `given` has a key that is not among the known ones, naming it and listing them. */
export function checkKeys(caller: string, given: object, known: readonly string[]): void {
  const unknown = Object.keys(given).find((key) => !known.includes(key));
  if (unknown !== undefined)
    throw new Error(`${caller}: unknown key "${unknown}", expected some of ${known.join(", ")}.`);
}
