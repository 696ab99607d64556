/** @file PyTorch's own Python environment, in `.cache/pytorch`, made when it is asked for. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";

/** The version that the bench's targets are stated against. */
export const TORCH_VERSION = "2.13.0";

const root = resolve(__dirname, "../..");
const folder = join(root, ".cache", "pytorch");
const inFolder = (name: string): string =>
  process.platform === "win32" ? join(folder, "Scripts", `${name}.exe`) : join(folder, "bin", name);

function run(command: string, args: string[]): void {
  const { status, error } = spawnSync(command, args, { stdio: ["ignore", "inherit", "inherit"] });
  if (status !== 0)
    throw new Error(`bench: ${command} ${args.join(" ")} failed${error ? ` (${error.message})` : ""}.`);
}

const hasTorch = (python: string): boolean =>
  spawnSync(python, ["-c", `import numpy, torch; assert torch.__version__.startswith("${TORCH_VERSION}")`])
    .status === 0;

/** Python for making the environment: the project's own, else the system's. */
function basePython(): string {
  const own =
    process.platform === "win32"
      ? join(root, ".venv", "Scripts", "python.exe")
      : join(root, ".venv", "bin", "python");
  return existsSync(own) ? own : process.platform === "win32" ? "python" : "python3";
}

/** The environment's Python, or null where it was never made. */
export const pytorchPython = (): string | null => (hasTorch(inFolder("python")) ? inFolder("python") : null);

/** The environment's Python; makes the environment and installs PyTorch if need be, which downloads some 200 MB or more. */
export function ensurePytorch(): string {
  const found = pytorchPython();
  if (found) return found;
  console.error(`bench: making ${folder} with PyTorch ${TORCH_VERSION}…`);
  run(basePython(), ["-m", "venv", folder]);
  run(inFolder("python"), ["-m", "pip", "install", "--quiet", `torch==${TORCH_VERSION}`, "numpy"]);
  return inFolder("python");
}
