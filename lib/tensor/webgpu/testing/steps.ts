/**
 * @file Training steps of a small network on the engine at hand, as a program: twice so many as its argument says. Prints
 * what memory it had after the first half and after the second; reads in both ways meanwhile.
 */
import { adam, compile, dense, engine, rng, tf } from "../..";
import { numbers } from "./cases";

interface GpuMemory extends tf.MemoryInfo {
  numBytesInGPU: number;
  numBytesAllocatedInGPU: number;
}

const STEPS = Number(process.argv[2]);
const weights = {
  w1: tf.variable(numbers(1, [2, 32])),
  b1: tf.variable(numbers(2, [32])),
  w2: tf.variable(numbers(3, [32, 1])),
};
const optimizer = adam(weights, { learningRate: 0.01, clipNorm: 1, emaDecay: 0.9 });
const train = compile((step: tf.Scalar) =>
  optimizer.minimize(() => {
    const x = rng(3, step).normal([64, 2]);
    const y = dense(dense(x, weights.w1, weights.b1, { swish: true }), weights.w2);
    return y.sub(x.sum(1, true).sin()).square().mean();
  }),
);

async function steps(from: number): Promise<number[]> {
  const losses: number[] = [];
  for (let step = from; step < from + STEPS; step++) {
    const at = tf.scalar(step, "int32");
    const loss = train(at);
    const later = loss.data(); // under way while the next is read at once
    tf.tidy(() => weights.b1.add(1).dataSync());
    losses.push((await later)[0]);
    tf.dispose([loss, at]);
  }
  return losses;
}

function memory() {
  const { numTensors, numBytesInGPU, numBytesAllocatedInGPU } = tf.memory() as GpuMemory;
  return { numTensors, numBytesInGPU, numBytesAllocatedInGPU };
}

async function main(): Promise<void> {
  const first = await steps(0);
  const before = memory();
  const second = await steps(STEPS);
  console.log(
    JSON.stringify({ engine: engine.name, losses: [...first, ...second], before, after: memory() }),
  );
}

main();
