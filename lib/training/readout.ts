/** @file What the output of a network is read as, so that it need nowhere be much larger than 1. */
import { atStep, type Model, sigma2 } from "../diffusion";
import { tf } from "../tensor";

/** A prediction that may be told more than x_t and t, as a net's `apply` is. */
type Prediction<More extends unknown[]> = (xt: tf.Tensor, t: tf.Tensor1D, ...more: More) => tf.Tensor;

/**
 * What a network's output F is read as. x0, ε and v have size 1 at every t and are F itself. The mean differs from x_t by
 * about a hundredth, so a network that returned it would learn little but to copy: μ_θ = x_t + σ_t F, with the bound's
 * weight ½ on F at every t. The score grows as 1/√(1−ᾱ_t), and is F divided by that root. What `output` is told besides
 * x_t and t is passed on. The caller disposes the results.
 */
export function readOut<More extends unknown[]>(
  { schedule, parameterization, variance }: Pick<Model, "schedule" | "parameterization" | "variance">,
  output: Prediction<More>,
): Prediction<More> {
  if (parameterization === "mean") {
    const sigmaStd = sigma2(schedule, variance).map(Math.sqrt);
    return (xt, t, ...more) =>
      tf.tidy(() => xt.add(output(xt, t, ...more).mul(atStep(sigmaStd, t, xt.rank))));
  }
  if (parameterization === "score")
    return (xt, t, ...more) =>
      tf.tidy(() => output(xt, t, ...more).div(atStep(schedule.sqrtOneMinusAlphaBar, t, xt.rank)));
  return output;
}
