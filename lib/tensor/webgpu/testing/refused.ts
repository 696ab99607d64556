/** @file Asks the GPU for more than it has, as a program: prints how each way of reading tells of it, and what is read after. */
import { rng, tf } from "../..";
import { messageOf } from "./message";

/** The sum of a tensor that no GPU can hold. */
const tooLarge = () =>
  tf.tidy(() =>
    rng(0)
      .uniform([2 ** 38])
      .sum(),
  );

async function main(): Promise<void> {
  const atOnce = await messageOf(() => tooLarge().dataSync());
  const later = await messageOf(() => tooLarge().data());
  const sum = tf.tensor1d([1, 2]).add(1).sum().dataSync()[0];
  console.log(JSON.stringify({ atOnce, later, sum }));
}

main();
