/** @file Whether a run learns: a net that answers nothing any more has a loss that is a number all the same. */

/** An untrained net's losses, and how many later ones are looked at together: enough for those of the bound, which scatter. */
const [FIRST, WINDOW] = [100, 500];

/**
 * Takes a run's losses one by one, those of `taken` steps before; returns a sentence after each 500 steps whose mean is
 * above that of the first 100, whose net had hardly learned.
 */
export function learningWatch(taken: readonly number[] = []): (loss: number) => string | undefined {
  let [steps, first, sum] = [0, 0, 0];
  const watch = (loss: number): string | undefined => {
    steps++;
    if (steps <= FIRST) {
      first += loss / FIRST;
      return;
    }
    sum += loss / WINDOW;
    if ((steps - FIRST) % WINDOW !== 0) return;
    const mean = sum;
    sum = 0;
    if (mean <= first) return;
    return `The mean loss of steps ${steps - WINDOW + 1} to ${steps} is ${mean.toPrecision(3)}, above the ${first.toPrecision(3)} of the first ${FIRST}: the net answers no better than an untrained one. It seldom recovers. Stop it, and begin anew with a lower learningRate.`;
  };
  for (const loss of taken) watch(loss);
  return watch;
}
