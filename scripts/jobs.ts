/**
 * @file `npm run jobs -- slurm|kubernetes --out DIR`: the comparison's training runs and their evaluations as jobs of a
 * scheduler that is there already, one independent task for each configuration: a Slurm array, or an indexed Job of
 * Kubernetes. Each task goes on from its last checkpoint when it is begun again.
 */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { isAbsolute, join, posix, relative, resolve, sep } from "node:path";
import { readOptions } from "./options";
import { runMain } from "./progress";
import { configSources, experiments, folderNames, readConfig, withSteps } from "./train/configurations";

const SCHEDULERS = ["slurm", "kubernetes"] as const;
const STAGES = ["train", "evaluate"] as const;
type Stage = (typeof STAGES)[number];

const PROJECT = resolve(__dirname, "..");
/** Where a pod has the volume that outlasts it. */
const SHARED = "/shared";

/** The comparison's configurations. */
export const SWEEP = "cifar10-mean,cifar10-x0,cifar10-eps,cifar10";
const USAGE = `npm run jobs -- ${SCHEDULERS.join("|")} --out DIR --data DIR [options]

  --out DIR        gets train and evaluate, as .sbatch for Slurm, as .json for Kubernetes
  --data DIR       the folder of the data set, as the tasks see it
  --configs LIST   of ${experiments().join(", ")}, or files, or folders of such (${SWEEP})
  --runs DIR       the folder of the runs, as the tasks see it (runs/sweep; Kubernetes: ${SHARED}/runs/sweep)
  --project DIR    this project, set up, as the tasks see it (where it is now)
  --steps N        in place of what the configurations say
  --hours N        the time limit of a Slurm task (24)
  --cpus N         of each task (4)
  --memory N       of each task, in GiB (8)
  --gpu            a GPU for each task; the project is then set up with npm run setup -- --gpu
  --image NAME     Kubernetes: the image that holds the project
  --claim NAME     Kubernetes: a persistent volume claim, mounted at ${SHARED}, for data and runs`;

/** What the tasks are, and what each may use. */
export interface Jobs {
  /** Names or paths, absolute or from the project, with the steps of their runs, a task for each. */
  configs: { name: string; steps: number }[];
  /** The data set that all are of. */
  set: string;
  data: string;
  runs: string;
  project: string;
  hours: number;
  cpus: number;
  memory: number;
  gpu: boolean;
}

/** A word of a shell's line that stands for itself. */
const quoted = (text: string): string =>
  /^[\w./:=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

/** What one task does, as lines of a POSIX shell; which one it is, the scheduler says. */
function script(stage: Stage, jobs: Jobs): string {
  const { configs, set, data, runs, project } = jobs;
  const train = [
    'set -- --config "$1"; if [ -e "$out/checkpoint.safetensors" ]; then set -- --resume "$@"; fi',
    `exec node --import tsx scripts/train.ts ${set} --data ${quoted(data)} --out "$out" --steps "$steps" "$@"`,
  ];
  const evaluate = [
    `exec node --import tsx scripts/evaluate.ts --checkpoint "$out/checkpoint.safetensors" --trained-steps "$steps" --data ${quoted(data)} --out "$out/evaluation-$steps"`,
  ];
  return [
    "set -eu",
    `cd ${quoted(project)}`,
    `set -- ${configs.map(({ name, steps }) => `${quoted(name)} ${steps}`).join(" ")}`,
    `shift $((2 * \${SLURM_ARRAY_TASK_ID:-$JOB_COMPLETION_INDEX}))`,
    `out=${quoted(runs)}/$(basename "$1" .json) steps=$2`,
    ...(stage === "train" ? train : evaluate),
    "",
  ].join("\n");
}

/** A Slurm array: `sbatch` takes it. Two minutes before its time is up a task saves; submitted again, it goes on. */
export function slurmJob(stage: Stage, jobs: Jobs): string {
  const { configs, hours, cpus, memory, gpu } = jobs;
  const options = [
    `job-name=lower-bound-${stage}`,
    `array=0-${configs.length - 1}`,
    `cpus-per-task=${cpus}`,
    `mem=${memory}G`,
    `time=${hours}:00:00`,
    ...(gpu ? ["gres=gpu:1"] : []),
    "requeue",
    "signal=B:TERM@120",
    "open-mode=append",
    "output=%x-%a.log",
  ];
  return ["#!/bin/sh", ...options.map((option) => `#SBATCH --${option}`), "", script(stage, jobs)].join("\n");
}

/** An indexed Job of Kubernetes, as its API takes it; a task that is stopped to make room begins again and goes on. */
export function kubernetesJob(stage: Stage, jobs: Jobs, image: string, claim: string): object {
  const { configs, cpus, memory, gpu } = jobs;
  const name = `lower-bound-${stage}`;
  const atMost = { memory: `${memory}Gi`, ...(gpu ? { "nvidia.com/gpu": "1" } : {}) };
  const container = {
    name: stage,
    image,
    command: ["sh", "-c", script(stage, jobs)],
    resources: { requests: { cpu: String(cpus), memory: `${memory}Gi` }, limits: atMost },
    volumeMounts: [{ name: "shared", mountPath: SHARED }],
  };
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name },
    spec: {
      completionMode: "Indexed",
      completions: configs.length,
      parallelism: configs.length,
      backoffLimitPerIndex: 3,
      podFailurePolicy: {
        rules: [{ action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] }],
      },
      template: {
        spec: {
          restartPolicy: "Never",
          terminationGracePeriodSeconds: 120,
          containers: [container],
          volumes: [{ name: "shared", persistentVolumeClaim: { claimName: claim } }],
        },
      },
    },
  };
}

/** The configurations' names or paths, with their steps unless told others; and the one data set that they are of. */
function configsOf(list: string, steps: number | undefined): Pick<Jobs, "configs" | "set"> {
  const names = configSources(list);
  const known = names.map(readConfig);
  const sets = [...new Set(known.map(({ data }) => data))];
  if (sets.length > 1)
    throw new Error(
      `--configs are of ${sets.join(" and ")}, expected one data set for all. Render them apart.`,
    );
  folderNames(names);
  const configs = names.map((name, i) => ({
    name: experiments().includes(name) ? name : fromProject(name),
    steps: withSteps(known[i], steps ?? known[i].steps, name).steps,
  }));
  return { configs, set: sets[0] };
}

/** Where a task, which begins in the project, finds a file: from there if it is the project's, else from anywhere. */
function fromProject(name: string): string {
  const path = relative(PROJECT, resolve(name));
  return path.startsWith("..") || isAbsolute(path) ? resolve(name) : path.split(sep).join("/");
}

/** Whether a pod has this on its volume. */
const isShared = (path: string): boolean => posix.normalize(path).startsWith(`${SHARED}/`);

/** Throws unless a pod finds the configurations in its image or on its volume. */
function checkFound(configs: Jobs["configs"]): void {
  const lost = configs.find(({ name }) => isAbsolute(name) && !isShared(name));
  if (lost)
    throw new Error(
      `--configs has ${lost.name}, which no pod has, expected files in ${SHARED} or of the project. Put it into the project, and that into the image.`,
    );
}

/** Throws unless a pod finds the folder on its volume. */
function checkShared(name: string, folder: string): void {
  if (isShared(folder)) return;
  throw new Error(
    `--${name} is ${folder}, expected a folder in ${SHARED}, where a pod has the volume of --claim: all else is gone with the pod.`,
  );
}

/** Writes the jobs that were asked for; returns how to hand them over. Throws one line on the first mistake. */
export function writeJobs(args: readonly string[]): string {
  const [scheduler, ...rest] = args;
  if (!scheduler || ["help", "--help", "-h"].includes(scheduler)) return USAGE;
  if (!(SCHEDULERS as readonly string[]).includes(scheduler))
    throw new Error(`unknown scheduler "${scheduler}", expected one of ${SCHEDULERS.join(", ")}.`);
  const options = readOptions(rest, {
    values: [
      ...(["out", "data", "configs", "runs", "project", "steps", "hours", "cpus", "memory"] as const),
      ...(["image", "claim"] as const),
    ],
    flags: ["gpu", "help"] as const,
  });
  if (options.flag("help")) return USAGE;
  const needed = (name: "out" | "data" | "image" | "claim", what: string): string => {
    const text = options.text(name);
    if (text) return text;
    throw new Error(`--${name} is missing, expected ${what}.`);
  };
  const out = needed("out", "a folder for the jobs");
  const steps = options.wholeNumber("steps", undefined);
  const jobs: Jobs = {
    ...configsOf(options.text("configs") ?? SWEEP, steps),
    data: needed("data", "the folder of the data set, as the tasks see it"),
    runs: options.text("runs") ?? (scheduler === "kubernetes" ? `${SHARED}/runs/sweep` : "runs/sweep"),
    project: options.text("project") ?? PROJECT,
    hours: options.wholeNumber("hours", 24),
    cpus: options.wholeNumber("cpus", 4),
    memory: options.wholeNumber("memory", 8),
    gpu: options.flag("gpu"),
  };
  const write = (name: string, text: string) => {
    if (!existsSync(out)) mkdirSync(out, { recursive: true });
    writeFileSync(join(out, name), text);
  };
  const [train, evaluate] = STAGES.map((stage) =>
    join(out, `${stage}.${scheduler === "slurm" ? "sbatch" : "json"}`),
  );
  if (scheduler === "slurm") {
    const idle = (["image", "claim"] as const).find((name) => options.text(name) !== undefined);
    if (idle) throw new Error(`--${idle} is for Kubernetes. Leave it out, or write jobs of kubernetes.`);
    for (const stage of STAGES) write(`${stage}.sbatch`, slurmJob(stage, jobs));
    return `id=$(sbatch --parsable ${quoted(train)})\nsbatch --dependency=aftercorr:$id ${quoted(evaluate)}`;
  }
  if (options.text("hours") !== undefined)
    throw new Error("--hours is for Slurm: a Job of Kubernetes takes the time that it takes. Leave it out.");
  const image = needed("image", "the image that holds the project");
  const claim = needed("claim", "a persistent volume claim for data and runs");
  for (const name of ["data", "runs"] as const) checkShared(name, jobs[name]);
  checkFound(jobs.configs);
  for (const stage of STAGES)
    write(`${stage}.json`, `${JSON.stringify(kubernetesJob(stage, jobs, image, claim), null, 2)}\n`);
  const ended = `kubectl get -f ${quoted(train)} -o "jsonpath={.status.conditions[*].type}" | grep -qwE "Complete|Failed"`;
  return `kubectl create -f ${quoted(train)}\nuntil ${ended}; do sleep 60; done\nkubectl create -f ${quoted(evaluate)}`;
}

if (require.main === module)
  runMain("jobs", async () => {
    console.log(writeJobs(process.argv.slice(2)));
  });
