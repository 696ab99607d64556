/** @file Loses the GPU, as a program: prints how each way of reading tells of it. */
import { tf } from "../..";
import { messageOf } from "./message";

/** A sum large enough to be the GPU's. */
const sum = () => tf.ones([4000]).add(1).sum();

async function main(): Promise<void> {
  const { device } = tf.backend() as unknown as { device: GPUDevice };
  device.destroy();
  const atOnce = await messageOf(() => sum().dataSync());
  const later = await messageOf(() => sum().data());
  console.log(JSON.stringify({ atOnce, later }));
}

main();
