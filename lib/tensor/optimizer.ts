/**
 * @file Adam and AdamW with what diffusion models train with: clipping by norm, warm-up, an average of the weights.
 *
 * All of it is tensor work, so that a whole training step can be compiled. On the native engine the update is
 * TensorFlow's fused op for each variable, in place, or for a small network one op of our own for all of them
 * (native/ops.cc); elsewhere plain tfjs. Left out: L2 regularization through the gradient, AMSGrad.
 */
import * as tf from "@tensorflow/tfjs";
import { updateInPlace } from "./compile/update";
import { nativeBackend, rawOp } from "./native";
import { hasFusedForms } from "./ops";

export interface AdamOptions {
  learningRate: number;
  /** Decay of the mean of gradients. Default 0.9. */
  beta1?: number;
  /** Decay of the mean of squared gradients. Default 0.999. */
  beta2?: number;
  /** Added to the root of the bias-corrected mean square. Default 1e-8. */
  epsilon?: number;
  /** AdamW: each step also multiplies the weights by 1 − learning rate · weightDecay. Default 0. */
  weightDecay?: number;
  /** Gradients are scaled so that their norm, over all variables together, is at most this. Default: no limit. */
  clipNorm?: number;
  /** The learning rate grows linearly over so many steps: step n uses min(1, n / warmupSteps) of it. Default 0. */
  warmupSteps?: number;
  /** Decay of the exponential moving average of the weights, such as 0.9999. Default: no average. */
  emaDecay?: number;
}

export interface Optimizer<K extends string = string> {
  /** One step down the gradient of `loss`, a scalar; returns its value before the step, for the caller to dispose. */
  minimize(loss: () => tf.Scalar): tf.Scalar;
  /** One step with the given gradients, which stay the caller's; a variable without one keeps its value. */
  apply(gradients: Partial<Record<K, tf.Tensor>>): void;
  /** All that a resumed run needs: "step", "learningRate", and "m/…", "v/…" for each variable. */
  readonly state: Record<string, tf.Variable>;
  /** The averages of the weights, if `emaDecay` was given, under the variables' keys. */
  readonly averages: Record<K, tf.Variable> | null;
  /** Disposes the state and the averages, not the variables. */
  dispose(): void;
}

type Settings = Required<Omit<AdamOptions, "clipNorm" | "emaDecay">>;

/** Scalars of one step, equal for all variables. */
interface Rates {
  /** Learning rate after warm-up. */
  rate: tf.Tensor;
  /** 1 − beta1^n and 1 − beta2^n. */
  bias1: tf.Tensor;
  bias2: tf.Tensor;
}

/** 1 − beta^n, without the cancellation that float32 powers near 1 suffer. */
const biasOf = (beta: number, n: tf.Tensor): tf.Tensor => tf.neg(tf.expm1(tf.mul(n, Math.log(beta))));

function ratesAt(n: tf.Tensor, learningRate: tf.Tensor, { beta1, beta2, warmupSteps }: Settings): Rates {
  const rate = warmupSteps > 0 ? learningRate.mul(tf.minimum(1, n.div(warmupSteps))) : learningRate;
  return { rate, bias1: biasOf(beta1, n), bias2: biasOf(beta2, n) };
}

/** Kingma & Ba 2015, algorithm 1, with plain tensor ops. */
function plainStep(
  w: tf.Variable,
  m: tf.Variable,
  v: tf.Variable,
  g: tf.Tensor,
  rates: Rates,
  s: Settings,
): void {
  m.assign(m.mul(s.beta1).add(g.mul(1 - s.beta1)));
  v.assign(v.mul(s.beta2).add(g.square().mul(1 - s.beta2)));
  const scale = v.div(rates.bias2).sqrt().add(s.epsilon);
  w.assign(w.sub(m.div(rates.bias1).div(scale).mul(rates.rate)));
}

/**
 * What TensorFlow's fused op needs in place of the learning rate and of epsilon. Its form is
 * w −= rate · m / (√v + epsilon), epsilon outside the bias correction; and its (1 − beta) is taken in float32, so
 * that m and v are too large by known factors.
 */
function fusedScalars(
  rates: Rates,
  { beta1, beta2, epsilon }: Settings,
): { rate: tf.Tensor; epsilon: tf.Tensor } {
  const excess1 = (1 - Math.fround(beta1)) / (1 - beta1);
  const excess2 = (1 - Math.fround(beta2)) / (1 - beta2);
  const root = rates.bias2.sqrt().mul(Math.sqrt(excess2));
  return { rate: rates.rate.mul(root).div(rates.bias1).div(excess1), epsilon: root.mul(epsilon) };
}

type Update = (w: tf.Variable, m: tf.Variable, v: tf.Variable, g: tf.Tensor) => void;

/** The step for one variable after another, what they share computed once. */
function updateWith(rates: Rates, s: Settings): Update {
  if (!nativeBackend) return (w, m, v, g) => plainStep(w, m, v, g, rates, s);
  const { rate, epsilon } = fusedScalars(rates, s);
  const [zero, beta1, beta2] = [0, s.beta1, s.beta2].map((value) => tf.scalar(value));
  const attrs = { T: { type: "float32" as const }, use_locking: false, use_nesterov: false };
  return (w, m, v, g) =>
    updateInPlace("ResourceApplyAdam", attrs, [w, m, v], [zero, zero, rate, beta1, beta2, epsilon, g]);
}

function sumOfSquares(x: tf.Tensor): tf.Tensor {
  if (!nativeBackend) return x.square().sum();
  return rawOp("L2Loss", { T: { type: x.dtype } }, [x])[0].mul(2);
}

/** min(1, limit / norm), the norm taken over all gradients together (Pascanu et al. 2013). */
function clipFactor(gradients: tf.Tensor[], limit: number): tf.Tensor {
  const norm = tf.addN(gradients.map(sumOfSquares)).sqrt();
  return tf.minimum(1, tf.div(limit, norm.add(1e-6)));
}

/** average += (1 − decay) · (w − average) */
function moveAverage(average: tf.Variable, w: tf.Variable, decay: number): void {
  const away = tf.sub(average, w);
  if (!nativeBackend) {
    average.assign(average.sub(away.mul(1 - decay)));
    return;
  }
  const attrs = { T: { type: "float32" as const }, use_locking: false };
  updateInPlace("ResourceApplyGradientDescent", attrs, [average], [tf.scalar(1 - decay), away]);
}

/** Weights up to which one op for all variables pays: it makes their next values beside them. */
const SMALL = 2 ** 20;

/** What one op for all variables takes: lists in one order, and the factor that clips, if any. */
interface WholeStep {
  lists: Record<"w" | "m" | "v", tf.Variable[]>;
  gradients: tf.Tensor[];
  averages: tf.Variable[];
  scale: tf.Tensor | null;
  emaDecay: number;
}

/** Clipping, decay, Adam and the average of all variables in one op. */
function stepAtOnce(
  { lists, gradients, averages, scale, emaDecay }: WholeStep,
  rates: Rates,
  s: Settings,
): void {
  const one = tf.scalar(1);
  const keep = s.weightDecay > 0 ? tf.sub(1, rates.rate.mul(s.weightDecay)) : one;
  const root = rates.bias2.sqrt();
  const step = tf.stack([
    rates.rate.mul(root).div(rates.bias1),
    root.mul(s.epsilon),
    keep.asScalar(),
    (scale ?? one).asScalar(),
  ]);
  const shares = { share1: 1 - s.beta1, share2: 1 - s.beta2, average_share: 1 - emaDecay };
  const written = [...lists.w, ...lists.m, ...lists.v, ...averages];
  const inputs = [...lists.w, ...lists.m, ...lists.v, ...gradients, ...averages, step];
  const op = averages.length > 0 ? "LowerBoundAdamAverage" : "LowerBoundAdam";
  const next = rawOp(op, { count: { int: gradients.length }, ...shares }, inputs, written.length);
  for (const [i, variable] of written.entries())
    updateInPlace(
      "AssignVariableOp",
      { dtype: { type: "float32" }, validate_shape: false },
      [variable],
      [next[i]],
    );
}

function checked(options: AdamOptions): Settings {
  const {
    learningRate,
    beta1 = 0.9,
    beta2 = 0.999,
    epsilon = 1e-8,
    weightDecay = 0,
    warmupSteps = 0,
  } = options;
  const settings = { learningRate, beta1, beta2, epsilon, weightDecay, warmupSteps };
  const fail = (name: string, got: unknown, expected: string): never => {
    throw new Error(`adam: ${name} is ${got}, expected ${expected}.`);
  };
  if (!(learningRate >= 0)) fail("learningRate", learningRate, "a number of at least 0");
  for (const [name, beta] of Object.entries({ beta1, beta2 }))
    if (!(beta >= 0 && beta < 1)) fail(name, beta, "a number from 0 to below 1");
  const { emaDecay = 0.5 } = options;
  if (!(emaDecay > 0 && emaDecay < 1)) fail("emaDecay", emaDecay, "a number between 0 and 1");
  if (options.clipNorm !== undefined && !(options.clipNorm > 0))
    fail("clipNorm", options.clipNorm, "a positive number");
  for (const [name, value] of Object.entries({ epsilon, weightDecay, warmupSteps }))
    if (!(value >= 0)) fail(name, value, "a number of at least 0");
  return settings;
}

const mapValues = <K extends string, V, W>(record: Record<K, V>, f: (value: V) => W): Record<K, W> =>
  Object.fromEntries(Object.entries<V>(record).map(([key, value]) => [key, f(value)])) as Record<K, W>;

function checkGradient(key: string, gradient: tf.Tensor, variable: tf.Variable): void {
  if (`${gradient.shape}` !== `${variable.shape}`)
    throw new Error(
      `adam: the gradient of "${key}" has shape [${gradient.shape}], expected [${variable.shape}] as the variable has.`,
    );
}

const zerosLike = (variable: tf.Variable): tf.Variable =>
  tf.tidy(() => tf.variable(tf.zeros(variable.shape), false));

function slots(variables: Record<string, tf.Variable>, learningRate: number): Record<string, tf.Variable> {
  for (const [key, variable] of Object.entries(variables))
    if (variable.dtype !== "float32")
      throw new Error(`adam: variable "${key}" is of type ${variable.dtype}, expected float32.`);
  const state: Record<string, tf.Variable> = tf.tidy(() => ({
    step: tf.variable(tf.scalar(0), false),
    learningRate: tf.variable(tf.scalar(learningRate), false),
  }));
  for (const [key, variable] of Object.entries(variables)) {
    state[`m/${key}`] = zerosLike(variable);
    state[`v/${key}`] = zerosLike(variable);
  }
  return state;
}

/**
 * Adam (Kingma & Ba 2015), or AdamW (Loshchilov & Hutter 2019) where `weightDecay` is given, on these variables of
 * type float32; equal to PyTorch's where each variable has a gradient at every step (the count of steps is one for all),
 * and, at the same epsilon, to tfjs's own. Compile the step that calls it: on its own it costs an op for each variable.
 *
 * Order within a step: clip the gradients, decay the weights, Adam, move the average. The state is tensors:
 * changing `state.learningRate` takes effect at the next step, and needs no compiling. Dispose it after use.
 */
export function adam<K extends string>(
  variables: Record<K, tf.Variable>,
  options: AdamOptions,
): Optimizer<K> {
  const settings = checked(options);
  const { clipNorm, emaDecay } = options;
  const keys = Object.keys(variables) as K[];
  const isSmall = keys.reduce((sum, key) => sum + variables[key].size, 0) <= SMALL;
  const state = slots(variables, settings.learningRate);
  const averages =
    emaDecay === undefined
      ? null
      : mapValues(variables, (w: tf.Variable) => tf.tidy(() => tf.variable(w.add(0), false)));

  function apply(gradients: Partial<Record<K, tf.Tensor>>): void {
    tf.tidy(() => {
      const given = keys.filter((key) => gradients[key]);
      for (const key of given) checkGradient(key, gradients[key]!, variables[key]);
      const scale =
        clipNorm === undefined || given.length === 0
          ? null
          : clipFactor(
              given.map((key) => gradients[key]!),
              clipNorm,
            );
      const n = state.step.add(1);
      state.step.assign(n);
      const rates = ratesAt(n, state.learningRate, settings);
      if (isSmall && given.length === keys.length && hasFusedForms()) {
        const lists = {
          w: keys.map((key) => variables[key]),
          m: keys.map((key) => state[`m/${key}`]),
          v: keys.map((key) => state[`v/${key}`]),
        };
        const all = averages ? keys.map((key) => averages[key]) : [];
        const gradientsOf = keys.map((key) => gradients[key]!);
        stepAtOnce(
          { lists, gradients: gradientsOf, averages: all, scale, emaDecay: emaDecay ?? 0 },
          rates,
          settings,
        );
        return;
      }
      const update = updateWith(rates, settings);
      const keep = settings.weightDecay > 0 ? tf.sub(1, rates.rate.mul(settings.weightDecay)) : null;
      for (const key of given) {
        const w = variables[key];
        const gradient = scale ? gradients[key]!.mul(scale) : gradients[key]!;
        if (keep) w.assign(w.mul(keep));
        update(w, state[`m/${key}`], state[`v/${key}`], gradient);
      }
      if (averages) for (const key of keys) moveAverage(averages[key], variables[key], emaDecay!);
    });
  }

  function minimize(loss: () => tf.Scalar): tf.Scalar {
    return tf.tidy(() => {
      const { value, grads } = tf.variableGrads(loss, Object.values<tf.Variable>(variables));
      apply(mapValues(variables, ({ name }: tf.Variable) => grads[name]));
      return value;
    });
  }

  const dispose = () => tf.dispose([state, averages ?? {}]);
  return { minimize, apply, state, averages, dispose };
}
