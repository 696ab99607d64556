/** @file `npm run setup [-- --gpu]`: sets up what is missing, and tries again what failed before. */
import { parseArgs } from "node:util";
import { setUp } from "./setup/steps.mjs";

try {
  const { values } = parseArgs({ options: { gpu: { type: "boolean", default: false } } });
  await setUp({ gpu: values.gpu, retry: true });
  console.log("Set-up is complete.");
} catch (error) {
  console.error(/** @type {Error} */ (error).message);
  process.exitCode = 1;
}
