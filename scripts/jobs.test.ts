import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { loadCheckpoint } from "../lib/training";
import { writeJobs } from "./jobs";

const folder = mkdtempSync(join(tmpdir(), "lower-bound jobs-")); // a blank in the path must do no harm
after(() => rmSync(folder, { recursive: true }));

const RECORD = 3073;
writeFileSync(join(folder, "data_batch_1.bin"), new Uint8Array(4 * RECORD));
const net = { kind: "unet", channels: 4, multipliers: [1], blocks: 1, attention: [], patch: 4 };
const files = ["eps", "v"].map((parameterization) => {
  const path = join(folder, `tiny-${parameterization}.json`);
  writeFileSync(path, JSON.stringify({ data: "cifar10", net, parameterization, batchSize: 2, steps: 2 }));
  return path;
});
const runs = join(folder, "runs");
const asked = (scheduler: string, ...rest: string[]) =>
  writeJobs([
    ...[scheduler, "--out", folder, "--data", folder, "--configs", files.join(","), "--runs", runs],
    ...rest,
  ]);

/** Runs a task's script as its scheduler does, with the task's number in the environment. */
const task = (args: string[], env: object) => {
  const { status, stderr } = spawnSync("sh", args, { encoding: "utf8", env: { ...process.env, ...env } });
  assert.equal(status, 0, stderr);
};

test("a folder stands for its configurations, a task each, in the order of their names", () => {
  const own = join(folder, "own");
  mkdirSync(own);
  for (const name of ["b", "a"]) copyFileSync(files[0], join(own, `${name}.json`));
  asked("slurm", "--configs", own);
  const written = readFileSync(join(folder, "train.sbatch"), "utf8");
  assert.match(written, /--array=0-1\n/);
  assert.match(written, /set -- .*own\/a\.json\S* 2 .*own\/b\.json\S* 2\n/);
});

test("the project's own files are named from the project, wherever its tasks have it", () => {
  const recipe = "scripts/train/experiments/recipes/nets/base.json";
  asked("slurm", "--configs", join(__dirname, "..", recipe), "--project", "/app");
  assert.ok(readFileSync(join(folder, "train.sbatch"), "utf8").includes(`cd /app\nset -- ${recipe} `));
});

test("a task that is begun again refuses a run of another configuration", () => {
  const path = join(folder, "edited.json");
  const write = (batchSize: number) =>
    writeFileSync(path, JSON.stringify({ data: "cifar10", net, batchSize, steps: 2 }));
  const render = () => asked("slurm", "--configs", path, "--steps", "3");
  const once = () =>
    spawnSync("sh", [join(folder, "train.sbatch")], {
      encoding: "utf8",
      env: { ...process.env, SLURM_ARRAY_TASK_ID: "0" },
    });
  write(2);
  render();
  assert.equal(once().status, 0);
  write(4);
  render();
  const { status, stderr } = once();
  assert.equal(status, 1);
  assert.match(stderr, /edited was begun with another batchSize than .*edited\.json has/);
});

test("a task of the Slurm array trains its own configuration, and goes on with it when begun again", () => {
  const told = asked("slurm", "--gpu", "--hours", "3");
  assert.match(
    told,
    /^id=\$\(sbatch --parsable '.* .*train\.sbatch'\)\nsbatch --dependency=aftercorr:\$id '.* .*evaluate\.sbatch'$/,
  );
  const path = join(folder, "train.sbatch");
  const lines = readFileSync(path, "utf8").split("\n");
  assert.equal(lines[0], "#!/bin/sh");
  for (const line of [
    "array=0-1",
    "time=3:00:00",
    "gres=gpu:1",
    "requeue",
    "signal=B:TERM@120",
    "cpus-per-task=4",
  ])
    assert.ok(lines.includes(`#SBATCH --${line}`), line);
  const checkpoint = join(runs, "tiny-v", "checkpoint.safetensors");
  task([path], { SLURM_ARRAY_TASK_ID: "1" });
  const { step, config } = loadCheckpoint(checkpoint);
  assert.deepEqual([step, (config as { parameterization: string }).parameterization], [2, "v"]);
  assert.ok(!existsSync(join(runs, "tiny-eps")), "the other task's run");
  asked("slurm", "--steps", "3");
  task([path], { SLURM_ARRAY_TASK_ID: "1" });
  assert.equal(loadCheckpoint(checkpoint).step, 3);
  task([path], { SLURM_ARRAY_TASK_ID: "1" }); // begun again when done: nothing to do, and no failure
  const evaluate = readFileSync(join(folder, "evaluate.sbatch"), "utf8");
  assert.match(
    evaluate,
    /scripts\/evaluate\.ts --checkpoint "\$out\/checkpoint\.safetensors" --trained-steps "\$steps" --data '.*' --out "\$out\/evaluation-\$steps"/,
  );
  assert.equal(spawnSync("sh", ["-n", join(folder, "evaluate.sbatch")]).status, 0);
});

const POD = ["--image", "registry/lower-bound:1", "--claim", "course"];
const kubectl = spawnSync("kubectl", ["version", "--client"]).status === 0;

/** Every entry of `part` that `whole` does not have, by its path. */
function missing(part: unknown, whole: unknown, path = ""): string[] {
  if (typeof part !== "object" || part === null) return part === whole ? [] : [path];
  return Object.entries(part).flatMap(([key, value]) =>
    missing(value, (whole as Record<string, unknown> | undefined)?.[key], `${path}/${key}`),
  );
}

test("the Kubernetes Job has a task for each configuration, runs the same script, and kubectl knows its every field", () => {
  const told = asked(
    ...["kubernetes", "--data", "/shared/data", "--runs", "/shared/runs", "--configs", "cifar10-eps,cifar10"],
    ...[...POD, "--gpu", "--steps", "1"],
  );
  assert.match(
    told,
    /^kubectl create -f '.*train\.json'\nuntil kubectl get .*\nkubectl create -f '.*evaluate\.json'$/,
  );
  for (const stage of ["train", "evaluate"]) {
    const path = join(folder, `${stage}.json`);
    const job = JSON.parse(readFileSync(path, "utf8"));
    assert.deepEqual([job.apiVersion, job.kind, job.spec.completionMode], ["batch/v1", "Job", "Indexed"]);
    assert.deepEqual([job.spec.completions, job.spec.parallelism], [2, 2]);
    const [container] = job.spec.template.spec.containers;
    assert.equal(container.resources.limits["nvidia.com/gpu"], "1");
    assert.equal(container.image, "registry/lower-bound:1");
    if (!kubectl) continue;
    // Its typed form drops what it does not know; an environment variable is what makes it print that form.
    const args = ["set", "env", "--local", "-o", "json", "-f", path, "CHECKED=yes"];
    const { stdout, stderr } = spawnSync("kubectl", args, { encoding: "utf8" });
    assert.deepEqual(
      missing(job, JSON.parse(stdout || stderr)).filter((name) => !name.endsWith("/status")),
      [],
    );
  }
  const job = JSON.parse(readFileSync(join(folder, "train.json"), "utf8"));
  const [, ...args] = job.spec.template.spec.containers[0].command;
  const volume = mkdtempSync(join(tmpdir(), "lower-bound-volume-")); // what the pod has at /shared
  symlinkSync(folder, join(volume, "data"));
  task(
    args.map((arg: string) => arg.replaceAll("/shared", volume)),
    { JOB_COMPLETION_INDEX: "0" },
  );
  const { config } = loadCheckpoint(join(volume, "runs", "cifar10-eps", "checkpoint.safetensors"));
  rmSync(volume, { recursive: true });
  assert.equal((config as { parameterization: string }).parameterization, "eps");
});

test("mistakes get one line", () => {
  const cases: [() => unknown, RegExp][] = [
    [() => writeJobs(["cron"]), /^unknown scheduler "cron", expected one of slurm, kubernetes\.$/],
    [() => writeJobs(["slurm", "--data", "d"]), /^--out is missing, expected a folder/],
    [() => writeJobs(["slurm", "--out", "o"]), /^--data is missing, expected the folder/],
    [() => asked("kubernetes"), /^--image is missing, expected the image/],
    [
      () => asked("kubernetes", ...POD, "--data", "/shared/d", "--runs", "runs"),
      /^--runs is runs, expected a folder in \/shared, where a pod has the volume of --claim/,
    ],
    [
      () => asked("kubernetes", ...POD, "--data", "/shared/../d", "--runs", "/shared/r"),
      /^--data is .*, expected a folder in/,
    ],
    [
      () => asked("kubernetes", ...POD, "--data", "/shared/d", "--runs", "/shared/r"),
      /^--configs has .*tiny-eps\.json, which no pod has, expected files in \/shared or of the project\./,
    ],
    [() => asked("slurm", ...POD), /^--image is for Kubernetes\. Leave it out, or write jobs of kubernetes/],
    [
      () => asked("slurm", "--configs", "cifar10,mnist"),
      /^--configs are of cifar10 and mnist, expected one data set/,
    ],
    [() => asked("slurm", "--configs", "cifar10,cifar10"), /^--configs has two of the name "cifar10"/],
    [() => asked("slurm", "--configs", "nothing"), /^--config is "nothing", which cannot be read/],
    [
      () => asked("kubernetes", "--hours", "3", "--image", "i", "--claim", "c"),
      /^--hours is for Slurm.*Leave it out/,
    ],
    [() => asked("slurm", "--hours", "0"), /^--hours is "0", expected a whole number from 1/],
  ];
  for (const [use, says] of cases) assert.throws(use, (error: Error) => says.test(error.message));
});
