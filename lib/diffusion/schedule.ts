/**
 * @file Noise schedules: β_t and what follows from it, in float64, t = 1…T with a dummy entry 0 (β_0 = 0, ᾱ_0 = 1).
 *
 * Every table is computed once from Σ log(1 − β), so that 1 − ᾱ_t keeps full precision at small t. A schedule that
 * leaves signal in x_T is refused: N(0, I) would be the wrong place to start sampling from.
 */

/** Tables of one noise schedule; each has length `numSteps` + 1 and is indexed by the papers' t. Do not write to them. */
export interface Schedule {
  readonly name: string;
  /** T, the number of noising steps. */
  readonly numSteps: number;
  /** β_t, the variance added by step t (not a standard deviation). */
  readonly betaVar: Float64Array;
  /** α_t = 1 − β_t. */
  readonly alpha: Float64Array;
  /** ᾱ_t = Π α_s. */
  readonly alphaBar: Float64Array;
  /** ln ᾱ_t. */
  readonly logAlphaBar: Float64Array;
  /** 1 − ᾱ_t, the variance of q(x_t | x_0), without the cancellation of 1 minus ᾱ_t. */
  readonly oneMinusAlphaBar: Float64Array;
  readonly sqrtAlphaBar: Float64Array;
  readonly sqrtOneMinusAlphaBar: Float64Array;
  /** ᾱ_t / (1 − ᾱ_t); infinite at the dummy entry 0. */
  readonly snr: Float64Array;
  /** ln SNR_t. */
  readonly logSnr: Float64Array;
}

export interface ScheduleOptions {
  /** T, default 1000. */
  numSteps?: number;
  /** Accept a schedule whose x_T is not close to N(0, I). */
  allowPriorMismatch?: boolean;
}

export interface BetaRangeOptions extends ScheduleOptions {
  /** The first variance β_1. */
  betaStart?: number;
  /** The last variance β_T. */
  betaEnd?: number;
}

export interface CosineOptions extends ScheduleOptions {
  /** Keeps β_1 from being tiny; default 0.008. */
  offset?: number;
  /** The largest β_t; default 0.999. */
  maxBeta?: number;
}

/** The largest L_T, in bits/dim for data of unit second moment, that a schedule may have without being asked for. */
export const MAX_PRIOR_MISMATCH = 0.01;

/** L_T in bits/dim for data of unit second moment: −½ log2(1 − ᾱ_T), the most that starting from N(0, I) can cost (Ho et al. 2020, eq. 5). */
export function priorMismatch({ numSteps, alphaBar, oneMinusAlphaBar }: Schedule): number {
  const [signal, noise] = [alphaBar[numSteps], oneMinusAlphaBar[numSteps]];
  return (-0.5 * (signal < 0.5 ? Math.log1p(-signal) : Math.log(noise))) / Math.LN2; // each precise at its own end
}

/**
 * β_t evenly spaced from `betaStart` to `betaEnd` (Ho et al. 2020, section 4: 1e-4 to 0.02 for T = 1000).
 * Throws on values outside (0, 1) and on a schedule that leaves too much signal in x_T.
 */
export function linearSchedule(options: BetaRangeOptions = {}): Schedule {
  const { numSteps = 1000, betaStart = 1e-4, betaEnd = 0.02, allowPriorMismatch } = options;
  checkNumSteps("linearSchedule", numSteps);
  checkBeta("linearSchedule", "betaStart", betaStart);
  checkBeta("linearSchedule", "betaEnd", betaEnd);
  const betas = ramp(numSteps, betaStart, betaEnd);
  const remedy = rescaledRange("linearSchedule", numSteps);
  return build({ caller: "linearSchedule", name: "linear", betas, allowPriorMismatch, remedy });
}

/**
 * ᾱ_t proportional to cos²((t/T + offset)/(1 + offset)·π/2), β_t at most `maxBeta` (Nichol & Dhariwal 2021, eq. 17).
 * Throws on a bad `numSteps`, `offset` or `maxBeta`, and on a prior mismatch.
 */
export function cosineSchedule(options: CosineOptions = {}): Schedule {
  const { numSteps = 1000, offset = 0.008, maxBeta = 0.999, allowPriorMismatch } = options;
  checkNumSteps("cosineSchedule", numSteps);
  checkBeta("cosineSchedule", "maxBeta", maxBeta);
  if (!(offset >= 0 && Number.isFinite(offset)))
    throw new Error(`cosineSchedule: offset is ${offset}, expected a finite number of 0 or more. Try 0.008.`);
  const quarter = Math.PI / 2 / (1 + offset);
  const angle = (t: number) => quarter * (t / numSteps + offset);
  // β_t = (cos²a − cos²b)/cos²a for the angles a before and b after the step, without that difference.
  const betas = Float64Array.from({ length: numSteps }, (_, i) => {
    const [a, b] = [angle(i), angle(i + 1)];
    return Math.min((Math.sin(quarter / numSteps) * Math.sin(a + b)) / Math.cos(a) ** 2, maxBeta);
  });
  const remedy = "Raise maxBeta towards 0.999";
  return build({ caller: "cosineSchedule", name: "cosine", betas, allowPriorMismatch, remedy });
}

/**
 * β_t = sigmoid(−6…6)·(`betaEnd` − `betaStart`) + `betaStart`, the schedule of Kwon et al. 2022's code, which takes
 * T = 10, 1e-5 and 1e-2 and needs `allowPriorMismatch`: its ᾱ_T is 0.95. The defaults here reach noise. Throws as
 * `linearSchedule`.
 */
export function sigmoidSchedule(options: BetaRangeOptions = {}): Schedule {
  const { numSteps = 1000, betaStart = 1e-4, betaEnd = 0.02, allowPriorMismatch } = options;
  checkNumSteps("sigmoidSchedule", numSteps);
  checkBeta("sigmoidSchedule", "betaStart", betaStart);
  checkBeta("sigmoidSchedule", "betaEnd", betaEnd);
  const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
  const betas = ramp(numSteps, -6, 6).map((x) => sigmoid(x) * (betaEnd - betaStart) + betaStart);
  const remedy = rescaledRange("sigmoidSchedule", numSteps);
  return build({ caller: "sigmoidSchedule", name: "sigmoid", betas, allowPriorMismatch, remedy });
}

/** The schedules that have a name. */
export const SCHEDULES = ["linear", "cosine", "sigmoid"] as const;
export type ScheduleName = (typeof SCHEDULES)[number];

/** A schedule by its name, as commands and checkpoints know it; options as its own function takes them. Throws, listing the choices, on an unknown name. */
export function scheduleByName(name: string, options: BetaRangeOptions & CosineOptions = {}): Schedule {
  if (name === "linear") return linearSchedule(options);
  if (name === "cosine") return cosineSchedule(options);
  if (name === "sigmoid") return sigmoidSchedule(options);
  throw new Error(`scheduleByName: unknown schedule "${name}", expected one of ${SCHEDULES.join(", ")}.`);
}

/** The schedule with these β_1…β_T (no dummy entry). Throws on β outside (0, 1) and on a prior mismatch. */
export function scheduleFromBetas(
  betas: ArrayLike<number>,
  options: { name?: string; allowPriorMismatch?: boolean } = {},
): Schedule {
  checkNumSteps("scheduleFromBetas", betas.length);
  const { name = "custom", allowPriorMismatch } = options;
  const remedy = "Use larger betas";
  return build({ caller: "scheduleFromBetas", name, betas, allowPriorMismatch, remedy });
}

/**
 * The schedule seen by a walk over some of the steps only, increasing `steps` τ_1 < … < τ_S: ᾱ'_i = ᾱ_{τ_i}
 * (Nichol & Dhariwal 2021, section 4). All formulas for one step hold for its longer steps. Throws unless they are
 * increasing whole numbers of 1…T.
 */
export function respace(schedule: Schedule, steps: readonly number[]): Schedule {
  checkSteps("respace", schedule, steps);
  const logAlphaBar = Float64Array.from([0, ...steps], (t) => schedule.logAlphaBar[t]);
  const logAlpha = tableOver(steps.length, 0, (i) => logAlphaBar[i] - logAlphaBar[i - 1]);
  const betaVar = logAlpha.map((log) => 0 - Math.expm1(log)); // not −0 at t = 0; 1 for a step so long that α rounds away
  return fromTables({ name: schedule.name, betaVar, alpha: logAlpha.map(Math.exp), logAlphaBar });
}

/** `count` steps of 1…T, evenly spaced and increasing, T always among them; for walks that skip steps. */
export function evenSteps(numSteps: number, count: number): number[] {
  checkNumSteps("evenSteps", numSteps);
  if (!(Number.isInteger(count) && count >= 1 && count <= numSteps))
    throw new Error(`evenSteps: count is ${count}, expected an integer from 1 to numSteps = ${numSteps}.`);
  if (count === 1) return [numSteps];
  return Array.from({ length: count }, (_, i) => 1 + Math.round((i * (numSteps - 1)) / (count - 1)));
}

/** A function of a schedule, computed once for each. Schedules are never written to. */
export function oncePerSchedule<Value>(
  compute: (schedule: Schedule) => Value,
): (schedule: Schedule) => Value {
  const known = new WeakMap<Schedule, Value>();
  return (schedule) => {
    if (!known.has(schedule)) known.set(schedule, compute(schedule));
    return known.get(schedule) as Value;
  };
}

/** A float64 table over t = 0…T with `entry0` at the dummy entry and `entry(t)` elsewhere. */
export function tableOver(numSteps: number, entry0: number, entry: (t: number) => number): Float64Array {
  return Float64Array.from({ length: numSteps + 1 }, (_, t) => (t === 0 ? entry0 : entry(t)));
}

interface Ingredients {
  caller: string;
  name: string;
  /** β_1…β_T, no dummy entry. */
  betas: ArrayLike<number>;
  allowPriorMismatch: boolean | undefined;
  remedy: string;
}

function build({ caller, name, betas, allowPriorMismatch = false, remedy }: Ingredients): Schedule {
  const numSteps = betas.length;
  for (let i = 0; i < numSteps; i++) checkBeta(caller, `beta at t = ${i + 1}`, betas[i]);
  const betaVar = tableOver(numSteps, 0, (t) => betas[t - 1]);
  const logAlphaBar = new Float64Array(numSteps + 1);
  for (let t = 1; t <= numSteps; t++) logAlphaBar[t] = logAlphaBar[t - 1] + Math.log1p(-betaVar[t]);
  const schedule = fromTables({ name, betaVar, alpha: betaVar.map((beta) => 1 - beta), logAlphaBar });
  const mismatch = priorMismatch(schedule);
  if (mismatch > MAX_PRIOR_MISMATCH && !allowPriorMismatch)
    throw new Error(
      `${caller}: with numSteps = ${numSteps}, L_T is ${mismatch.toPrecision(3)} bits/dim for data of unit second moment, ` +
        `expected at most ${MAX_PRIOR_MISMATCH}, so that x_T is close to N(0, I). ` +
        `${remedy}, or pass allowPriorMismatch: true.`,
    );
  return schedule;
}

/** All that follows from β_t, α_t and ln ᾱ_t. */
function fromTables(given: Pick<Schedule, "name" | "betaVar" | "alpha" | "logAlphaBar">): Schedule {
  const { logAlphaBar } = given;
  const alphaBar = logAlphaBar.map(Math.exp);
  const oneMinusAlphaBar = logAlphaBar.map((log) => 0 - Math.expm1(log)); // not −0 at t = 0
  return Object.freeze({
    ...given,
    numSteps: logAlphaBar.length - 1,
    alphaBar,
    oneMinusAlphaBar,
    sqrtAlphaBar: alphaBar.map(Math.sqrt),
    sqrtOneMinusAlphaBar: oneMinusAlphaBar.map(Math.sqrt),
    snr: alphaBar.map((signal, t) => signal / oneMinusAlphaBar[t]),
    logSnr: logAlphaBar.map((log, t) => log - Math.log(oneMinusAlphaBar[t])),
  });
}

/** `count` values from `start` to `end`, both included; `start` alone for a count of 1. */
function ramp(count: number, start: number, end: number): Float64Array {
  return Float64Array.from({ length: count }, (_, i) =>
    count === 1 ? start : start + ((end - start) * i) / (count - 1),
  );
}

/** The remedy for a range of β made for another T: 1e-4…0.02 times 1000/T, as far as that stays below 1. */
function rescaledRange(caller: string, numSteps: number): string {
  const [betaStart, betaEnd] = [0.1 / numSteps, 20 / numSteps].map((beta) => Number(beta.toPrecision(3)));
  return betaEnd < 1
    ? `Use ${caller}({ numSteps: ${numSteps}, betaStart: ${betaStart}, betaEnd: ${betaEnd} })`
    : `Use cosineSchedule({ numSteps: ${numSteps} })`;
}

function checkNumSteps(caller: string, numSteps: number): void {
  if (!(Number.isInteger(numSteps) && numSteps >= 1))
    throw new Error(`${caller}: numSteps is ${numSteps}, expected an integer of 1 or more, such as 1000.`);
}

function checkBeta(caller: string, what: string, beta: number): void {
  if (!(beta > 0 && beta < 1))
    throw new Error(`${caller}: ${what} is ${beta}, expected a variance between 0 and 1, both excluded.`);
}

/** Throws unless `steps` are increasing integers in 1…T, at least one. */
export function checkSteps(caller: string, schedule: Schedule, steps: readonly number[]): void {
  const { numSteps } = schedule;
  if (steps.length === 0)
    throw new Error(`${caller}: steps is empty, expected at least one of 1…${numSteps}.`);
  steps.forEach((t, i) => {
    if (!(Number.isInteger(t) && t > (i === 0 ? 0 : steps[i - 1]) && t <= numSteps))
      throw new Error(
        `${caller}: steps[${i}] is ${t}, expected increasing integers from 1 to ${numSteps}. Try evenSteps(${numSteps}, ${Math.min(numSteps, 50)}).`,
      );
  });
}
