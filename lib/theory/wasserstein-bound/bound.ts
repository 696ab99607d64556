/**
 * @file The Wasserstein bound of Kwon, Fan and Lee 2022 (arXiv 2212.06359), for tables that somebody else made.
 *
 * W2(p_0, q_0) ≤ ∫ g² I √b dt + I(T) W2(p_T, q_T), with I(t) = exp ∫_0^t (L_f + L_s g²) and b = E‖∇ln p_t − s_θ‖².
 * The bound holds for the reverse SDE in continuous time. L_f is the one-sided Lipschitz constant of −f (for VP that is
 * +β/2) and L_s that of s_θ. Everything is in the log domain: ln I passes 800 on quite ordinary data.
 */
import type { Schedule } from "../../diffusion";
import { logSumExp } from "../../elbo";

/** What the bound is made of, at increasing times from 0 to T. All tables have one length. */
export interface BoundTables {
  times: ArrayLike<number>;
  /** g(t)². */
  g2: ArrayLike<number>;
  /** L_f: the one-sided Lipschitz constant of −f. */
  driftLipschitz: ArrayLike<number>;
  /** L_s: the one-sided Lipschitz constant of the model's score; may be negative. */
  scoreLipschitz: ArrayLike<number>;
  /** b(t): E‖true score − s_θ‖², summed over dimensions; with the conditional score in place of the true one it is Corollary 3's. */
  scoreError: ArrayLike<number>;
  /** ln λ(t) of the loss J = ½ ∫ λ b dt; default ln g². */
  logWeight?: ArrayLike<number>;
  /** W2(p_T, q_T), not squared; default 0. */
  priorW2?: number;
}

/** The bound and its parts, as natural logarithms; −∞ stands for 0. */
export interface WassersteinBound {
  /** ln I at each time. */
  logI: Float64Array;
  /** ln of I(T)·W2(p_T, q_T), which no training removes. */
  logOffset: number;
  /** ln of the right-hand side of Theorem 1, offset included. */
  logTheorem1: number;
  /** ln of that of Corollary 1, √(2 ∫ g⁴I²/λ dt · J) plus the offset: never below Theorem 1. */
  logCorollary1: number;
  /** J = ½ ∫ λ b dt, the loss that Corollary 1 speaks of. */
  J: number;
}

/**
 * Theorem 1 and Corollary 1 by the trapezoidal rule. Throws on tables of unequal length, on times that do not
 * increase, and on entries that are no numbers or, for g², b and W2, negative.
 */
export function wassersteinBound(tables: BoundTables): WassersteinBound {
  const { times, g2, driftLipschitz, scoreLipschitz } = tables;
  check("wassersteinBound", tables);
  checkIncreasing("wassersteinBound", times);
  const rate = Float64Array.from(g2, (value, i) => driftLipschitz[i] + scoreLipschitz[i] * value);
  const logI = new Float64Array(times.length);
  const width = new Float64Array(times.length);
  for (let i = 1; i < times.length; i++) {
    const half = (times[i] - times[i - 1]) / 2;
    logI[i] = logI[i - 1] + half * (rate[i - 1] + rate[i]);
    width[i - 1] += half;
    width[i] += half;
  }
  return assemble(tables, logI, width);
}

/** What the bound is made of, each as a function of t. */
export type BoundFunctions = Record<
  "g2" | "driftLipschitz" | "scoreLipschitz" | "scoreError",
  (t: number) => number
>;

/**
 * The same where all is known at any t: by Simpson's rule on each interval between these `times`; `logI` is at them.
 * Throws as `wassersteinBound`.
 */
export function wassersteinBoundOfFunctions(
  { g2, driftLipschitz, scoreLipschitz, scoreError }: BoundFunctions,
  times: Float64Array,
  priorW2: number,
): WassersteinBound {
  const caller = "wassersteinBoundOfFunctions";
  const rate = (t: number) => driftLipschitz(t) + scoreLipschitz(t) * g2(t);
  const growth = (a: number, b: number) => ((b - a) / 6) * (rate(a) + 4 * rate((a + b) / 2) + rate(b));
  const last = 2 * (times.length - 1);
  const nodes = Float64Array.from({ length: last + 1 }, (_, i) => (times[i >> 1] + times[(i + 1) >> 1]) / 2);
  const logI = new Float64Array(last + 1);
  const width = new Float64Array(last + 1);
  for (let i = 1; i <= last; i++) logI[i] = logI[i - 1] + growth(nodes[i - 1], nodes[i]);
  for (let i = 1; i < last; i += 2) {
    const sixth = (nodes[i + 1] - nodes[i - 1]) / 6;
    width[i - 1] += sixth;
    width[i] = 4 * sixth;
    width[i + 1] += sixth;
  }
  const tables = { g2: nodes.map(g2), scoreError: nodes.map(scoreError), priorW2 };
  const slopes = { driftLipschitz: nodes.map(driftLipschitz), scoreLipschitz: nodes.map(scoreLipschitz) };
  check(caller, { times: nodes, ...tables, ...slopes });
  checkIncreasing(caller, times);
  const bound = assemble(tables, logI, width);
  return { ...bound, logI: logI.filter((_, i) => i % 2 === 0) };
}

/** What the bound of a discrete model is made of; tables over t = 1…T with a dummy entry 0, as a schedule's. */
export interface StepTables
  extends Pick<BoundTables, "scoreLipschitz" | "scoreError" | "logWeight" | "priorW2"> {
  schedule: Schedule;
}

/**
 * The same with one node per step of a schedule, g² dt = β_t and L_f dt = β_t/2, as in the authors' code:
 * ln I_t = Σ_{s≤t} β_s (L_s + ½). The entries of the result belong to t = 1…T, after a dummy entry 0. The sums stand
 * for the integrals: what the discretization itself adds is not bounded. Throws as `wassersteinBound`.
 */
export function wassersteinBoundOfSteps(given: StepTables): WassersteinBound {
  const { schedule, scoreLipschitz, scoreError, logWeight, priorW2 } = given;
  const { betaVar, numSteps } = schedule;
  const times = Float64Array.from(betaVar.keys());
  check("wassersteinBoundOfSteps", { times, scoreLipschitz, scoreError, logWeight, priorW2 }, 1);
  const logI = new Float64Array(numSteps + 1);
  for (let t = 1; t <= numSteps; t++) logI[t] = logI[t - 1] + betaVar[t] * (scoreLipschitz[t] + 0.5);
  const tail = (table: ArrayLike<number>) => Float64Array.from(table).subarray(1);
  const tables = {
    g2: tail(betaVar),
    scoreError: tail(scoreError),
    logWeight: logWeight && tail(logWeight),
    priorW2,
  };
  return { ...assemble(tables, logI.subarray(1), new Float64Array(numSteps).fill(1)), logI };
}

/**
 * ln of what Corollary 2 says the offset is at most, if time ended after t = 0…T steps and generation began from N(0, I):
 * Σ_{s≤t} β_s L_s + ln W2(p_0, N(0, I)), for a VP process, whose +β/2 in I(t) the contraction of W2(p_t, N(0, I)) cancels.
 * `dataW2` is W2(p_0, N(0, I)), not squared. Throws on a table of another length, or of what are no numbers, and on dataW2 < 0.
 */
export function logOffsets(
  schedule: Schedule,
  scoreLipschitz: ArrayLike<number>,
  dataW2: number,
): Float64Array {
  const { betaVar, numSteps } = schedule;
  if (scoreLipschitz.length !== numSteps + 1)
    throw new Error(
      `logOffsets: scoreLipschitz has ${scoreLipschitz.length} entries, expected ${numSteps + 1}.`,
    );
  if (!(dataW2 >= 0)) throw new Error(`logOffsets: dataW2 is ${dataW2}, expected a distance of at least 0.`);
  const logs = new Float64Array(numSteps + 1).fill(Math.log(dataW2));
  for (let t = 1; t <= numSteps; t++) {
    if (Number.isNaN(scoreLipschitz[t]))
      throw new Error(`logOffsets: scoreLipschitz is NaN at t = ${t}, expected a number.`);
    logs[t] = logs[t - 1] + betaVar[t] * scoreLipschitz[t];
  }
  return logs;
}

/** Theorem 1 and Corollary 1 where the integrals are Σ width·integrand. */
function assemble(
  tables: Pick<BoundTables, "g2" | "scoreError" | "logWeight" | "priorW2">,
  logI: Float64Array,
  width: Float64Array,
): WassersteinBound {
  const { g2, scoreError, priorW2 = 0 } = tables;
  const logG2 = Float64Array.from(g2, Math.log);
  const logWeight = tables.logWeight ?? logG2;
  const logIntegral = (logIntegrand: (i: number) => number) =>
    logSumExp(Float64Array.from(width, (w, i) => Math.log(w) + logIntegrand(i)));
  const logOffset = logI[logI.length - 1] + Math.log(priorW2);
  const logB = Float64Array.from(scoreError, Math.log);
  const logJ = logIntegral((i) => logWeight[i] + logB[i]) - Math.LN2;
  // where no noise is added g⁴I²/λ is 0, of whatever λ: the default λ = g² is then 0 as well
  const logGain = logIntegral((i) => (g2[i] > 0 ? 2 * (logG2[i] + logI[i]) - logWeight[i] : logG2[i]));
  const logError = logIntegral((i) => logG2[i] + logI[i] + logB[i] / 2);
  return {
    logI,
    logOffset,
    logTheorem1: logSumExp([logError, logOffset]),
    logCorollary1: logSumExp([(Math.LN2 + logGain + logJ) / 2, logOffset]),
    J: Math.exp(logJ),
  };
}

/** Throws where one of the times is not after the one before it. */
function checkIncreasing(caller: string, times: ArrayLike<number>): void {
  for (let i = 1; i < times.length; i++)
    if (!(times[i] > times[i - 1]))
      throw new Error(
        `${caller}: times[${i}] is ${times[i]}, expected more than times[${i - 1}] = ${times[i - 1]}.`,
      );
}

/** Throws on bad tables; entries before `first` are dummies. */
function check(
  caller: string,
  tables: Partial<BoundTables> & Pick<BoundTables, "times">,
  first: 0 | 1 = 0,
): void {
  const { times, priorW2 = 0, ...others } = tables;
  if (times.length < 1) throw new Error(`${caller}: times is empty, expected at least one time.`);
  if (Number.isNaN(times[0])) throw new Error(`${caller}: times[0] is NaN, expected a time.`);
  for (const [name, table] of Object.entries(others)) {
    if (table === undefined) continue;
    if (table.length !== times.length)
      throw new Error(
        `${caller}: ${name} has ${table.length} entries, expected ${times.length}${first ? ", entry 0 a dummy" : ""}.`,
      );
    const least = name === "g2" || name === "scoreError" ? 0 : Number.NEGATIVE_INFINITY;
    for (let i = first; i < table.length; i++)
      if (!(table[i] >= least))
        throw new Error(
          `${caller}: ${name} has ${table[i]} at node ${i}, expected a number${least === 0 ? " of at least 0" : ""}.`,
        );
  }
  if (!(priorW2 >= 0))
    throw new Error(`${caller}: priorW2 is ${priorW2}, expected a distance of at least 0.`);
}
