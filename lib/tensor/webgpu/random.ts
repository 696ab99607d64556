/**
 * @file Stateless random numbers on the GPU, the very ones that TensorFlow's stateless ops draw from the same seed.
 *
 * A key and a counter are scrambled from the seed, and each group of four numbers is one block of Philox-4×32-10 (Salmon
 * et al. 2011) of the counter plus the group's number. Uniform numbers and integers equal TensorFlow's bit for bit, normal
 * ones (Box & Muller 1958) to the GPU's rounding of sine, cosine and logarithm.
 */
import * as tf from "@tensorflow/tfjs";
import type { Program, ProgramBackend } from "./program";
import { TRIGONOMETRY } from "./unary";

export type Distribution = "normal" | "uniform" | "integers";

/** WGSL of each distribution: four numbers from four random words. */
const SAMPLES: Record<Distribution, string> = {
  uniform: "fn sample(words : vec4<u32>) -> vec4<f32> { return unit(words); }",
  integers: `fn sample(words : vec4<u32>) -> vec4<i32> {
    return vec4<i32>(uniforms.low) + vec4<i32>(words % vec4<u32>(u32(uniforms.range)));
  }`,
  normal: `fn sample(words : vec4<u32>) -> vec4<f32> {
    let u = unit(words);
    let radius = sqrt(-2.0 * log(max(u.xz, vec2<f32>(1e-7))));
    let angle = 6.283185307179586 * u.yw;
    let around = vec4<f32>(sine(angle.x), cosine(angle.x), sine(angle.y), cosine(angle.y));
    return around * radius.xxyy;
  }`,
};

/** Of the key from which TensorFlow makes a seed's own key (core/kernels/stateless_random_ops.cc). */
const SCRAMBLING_KEY = "vec2<u32>(0x3ec8f720u, 0x02461e29u)";

const PHILOX = `
  // The upper 32 bits of a product of 32-bit numbers.
  fn upper(a : u32, b : u32) -> u32 {
    let low = (a & 0xffffu) * (b & 0xffffu);
    let middle = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
    let other = (a & 0xffffu) * (b >> 16u) + (middle & 0xffffu);
    return (a >> 16u) * (b >> 16u) + (middle >> 16u) + (other >> 16u);
  }
  fn philox(start : vec4<u32>, startKey : vec2<u32>) -> vec4<u32> {
    var c = start;
    var key = startKey;
    for (var round = 0; round < 10; round++) {
      c = vec4<u32>(
        upper(0xcd9e8d57u, c.z) ^ c.y ^ key.x, 0xcd9e8d57u * c.z,
        upper(0xd2511f53u, c.x) ^ c.w ^ key.y, 0xd2511f53u * c.x);
      key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    }
    return c;
  }
  // 23 random bits as a number of [0, 1).
  fn unit(words : vec4<u32>) -> vec4<f32> {
    return bitcast<vec4<f32>>((words & vec4<u32>(0x7fffffu)) | vec4<u32>(0x3f800000u)) - 1.0;
  }
  fn extended(value : i32) -> vec2<u32> { return vec2<u32>(u32(value), u32(value >> 31u)); }
`;

const WORKGROUP = 64;
const WORDS = 4;

/** One call of the GPU for each group of four numbers. */
function drawProgram(distribution: Distribution, count: number): Program {
  const set = distribution === "integers" ? "setOutputAtIndexI32" : "setOutputAtIndex";
  return {
    variableNames: ["runStep"],
    uniforms: "key : i32, low : i32, range : i32, count : i32,",
    outputShape: [count],
    workgroupSize: [WORKGROUP, 1, 1],
    dispatchLayout: { x: [0] },
    dispatch: [Math.ceil(count / WORDS / WORKGROUP), 1, 1],
    shaderKey: `lower-bound-${distribution}`,
    getUserCode: () => `
      ${TRIGONOMETRY}
      ${PHILOX}
      ${SAMPLES[distribution]}
      fn main(group : i32) {
        let seed = vec4<u32>(extended(uniforms.key), extended(runStep[0]));
        let mixed = philox(seed, ${SCRAMBLING_KEY});
        let numbers = sample(philox(vec4<u32>(u32(group), 0u, mixed.zw), mixed.xy));
        for (var i = 0; i < ${WORDS}; i++) {
          let index = ${WORDS} * group + i;
          if (index < uniforms.count) { ${set}(index, numbers[i]); }
        }
      }`,
  };
}

const KERNEL = "LowerBoundStatelessRandom";

interface Attributes {
  distribution: Distribution;
  shape: number[];
  key: number;
  low: number;
  high: number;
}

/** Gives the backend the kernel that `drawStateless` runs. */
export function registerRandom(backendName: string): void {
  tf.registerKernel({
    kernelName: KERNEL,
    backendName,
    kernelFunc: ({ inputs, backend, attrs }) => {
      const { distribution, shape, key, low, high } = attrs as unknown as Attributes;
      const count = tf.util.sizeFromShape(shape);
      const dtype = distribution === "integers" ? "int32" : "float32";
      const values = [key, low, high - low, count];
      const uniforms = values.map((value) => ({ type: "int32" as const, data: [value] }));
      const program = drawProgram(distribution, count);
      const drawn = (backend as ProgramBackend).runWebGPUProgram(program, [inputs.step!], dtype, uniforms);
      return { ...drawn, shape };
    },
  });
}

/** Numbers that follow from a key and a step (both int32) alone; integers are of [low, high). The caller disposes them. */
export type Draw = (
  distribution: Distribution,
  shape: number[],
  key: number,
  step: tf.Tensor,
  low: number,
  high: number,
) => tf.Tensor;

/** A draw by the GPU. */
export const drawStateless: Draw = (distribution, shape, key, step, low, high) => {
  const attributes: Attributes = { distribution, shape, key, low, high };
  return tf.engine().runKernel(KERNEL, { step }, attributes as unknown as tf.NamedAttrMap) as tf.Tensor;
};
