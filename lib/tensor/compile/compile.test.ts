import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { assertAllClose, assertClose, assertNoLeak, numbersFrom } from "../../testing";
import { adam, attention, type CompileOptions, compile, denseChain, engine, groupNorm, rng, tf } from "..";
import { addon } from "../native";
import { updateInPlace } from "./update";
import { frameOf } from "./where";

const native = { skip: engine.native ? false : "the engine is not native" };
const values = (tensor: tf.Tensor): number[] => Array.from(tensor.dataSync());
const ramp = (shape: number[], scale = 1): tf.Tensor =>
  tf.tidy(() =>
    tf
      .sin(
        tf
          .range(
            0,
            shape.reduce((a, b) => a * b, 1),
          )
          .mul(1.7),
      )
      .mul(scale)
      .reshape(shape),
  );
/** In the place of `compile`, for what it has to equal. */
const uncompiled = (<F>(f: F) => f) as unknown as typeof compile;

test("a compiled function equals the function, for each shape it meets", native, () => {
  const fn = (x: tf.Tensor, y: tf.Tensor) =>
    tf.softmax(
      tf
        .matMul(x as tf.Tensor2D, y as tf.Tensor2D)
        .relu()
        .add(1),
    );
  const compiled = compile(fn);
  for (const rows of [2, 5, 2]) {
    const x = ramp([rows, 3]);
    const y = ramp([3, 4]);
    assertAllClose(values(compiled(x, y)), values(fn(x, y)), { rel: 1e-6 });
  }
  assert.equal(compiled.graphs.length, 2);
});

test("inputs and results may be arrays and objects, and a result may be an input", native, () => {
  const compiled = compile(({ x, pair }: { x: tf.Tensor; pair: tf.Tensor[] }) => ({
    same: x,
    list: [pair[0].add(pair[1]), tf.scalar(3)],
    nothing: undefined,
  }));
  const x = tf.tensor1d([1, 2]);
  const result = compiled({ x, pair: [x, x] }) as { same: tf.Tensor; list: tf.Tensor[] };
  assert.deepEqual(values(result.same), [1, 2]);
  assert.deepEqual(result.list.map(values), [[2, 4], [3]]);
  tf.dispose(result);
  assert.deepEqual(values(x), [1, 2], "disposing the result must leave the input alone");
});

test("the same tensor given twice does not tie two inputs together", native, () => {
  const minus = compile((a: tf.Tensor, b: tf.Tensor) => a.sub(b));
  const [one, five] = [tf.scalar(1), tf.scalar(5)];
  assert.deepEqual(values(minus(one, one)), [0]);
  assert.deepEqual(values(minus(five, one)), [4]);
});

test("inputs of the same shapes in other places, or under other keys, are recorded anew", native, () => {
  type Given = { [key: string]: tf.Tensor | tf.Tensor[] | undefined };
  const fn = (given: Given, last?: tf.Tensor) => {
    const [first, second] = Object.values(given).flat();
    const base = last ? last.mul(100) : tf.scalar("rest" in given ? 50 : 0);
    return base.add(given.a instanceof tf.Tensor ? given.a.mul(10) : 0).add(first?.sub(second ?? 7) ?? 3);
  };
  const compiled = compile(fn as (...inputs: tf.TensorContainer[]) => tf.Tensor);
  const [x, y] = [tf.scalar(2), tf.scalar(5)];
  const calls: Parameters<typeof fn>[] = [
    [{ a: x, b: y }],
    [{ b: x, a: y }],
    [{ a: x }],
    [{ b: x }],
    [{ a: undefined, b: x }],
    [{}, x],
    [{ a: undefined }, x],
    [{ rest: [] }],
    [{ rest: [x, y] }],
    [{ a: x }, undefined],
    [{}],
  ];
  for (const call of [...calls, ...calls]) assert.deepEqual(values(compiled(...call)), values(fn(...call)));
  assert.equal(compiled.graphs.length, calls.length);
});

/** Ops with lists, attributes of each type and native gradients. */
const functions: Record<string, (x: tf.Tensor4D) => tf.Tensor> = {
  convolution: (x) => tf.conv2d(x, ramp([3, 3, 4, 6]) as tf.Tensor4D, 2, "same"),
  transposed: (x) => tf.conv2dTranspose(x, ramp([2, 2, 3, 4]) as tf.Tensor4D, [2, 12, 12, 3], 2, "same"),
  pooling: (x) => tf.concat([tf.maxPool(x, 2, 2, "same"), tf.avgPool(x, 2, 2, "same")], 3),
  splitting: (x) =>
    tf
      .stack(tf.split(x, 2, 3))
      .sum(0)
      .cumsum(3),
  slicing: (x) =>
    tf.pad(x.slice([0, 1, 1, 0], [2, 2, 3, 4]), [
      [0, 0],
      [1, 1],
      [0, 2],
      [0, 0],
    ]),
  moments: (x) => {
    const { mean, variance } = tf.moments(x, [1, 2], true);
    return x.sub(mean).div(variance.add(1e-5).sqrt());
  },
  gathering: (x) => tf.gather(x, tf.tensor1d([2, 0, 2], "int32"), 1),
  choosing: (x) => tf.where(tf.greater(ramp(x.shape), 0), x.exp(), x.square()),
  resizing: (x) => tf.image.resizeNearestNeighbor(x, [12, 12]).add(tf.image.resizeBilinear(x, [12, 12])),
  attention: (x) => {
    const q = x.reshape([2, 36, 4]);
    return tf.matMul(tf.softmax(tf.matMul(q, q, false, true)), q);
  },
  counting: (x) => tf.oneHot(tf.argMax(x, 3).cast("int32"), 4).cast("float32").mul(x),
};

test("compiled ops and their gradients equal the eager ones", native, () => {
  const x = ramp([2, 6, 6, 4]) as tf.Tensor4D;
  for (const [name, f] of Object.entries(functions)) {
    const both = (x: tf.Tensor4D) =>
      [
        f(x),
        tf.grad((x: tf.Tensor) =>
          f(x as tf.Tensor4D)
            .square()
            .sum(),
        )(x),
      ] as tf.Tensor[];
    const [y, dx] = both(x);
    const [yc, dxc] = compile(both, { name })(x) as tf.Tensor[];
    assert.deepEqual(yc.shape, y.shape);
    assertAllClose(values(yc), values(y), { rel: 1e-5, abs: 1e-5, what: name });
    assertAllClose(values(dxc), values(dx), { rel: 1e-5, abs: 1e-4, what: `gradient of ${name}` });
  }
});

test("variables: assigned eagerly and inside, cloned, aliased, read", native, () => {
  const v = tf.variable(tf.tensor1d([1, 2]));
  const average = tf.variable(tf.tensor1d([0, 0]));
  average.assign(v); // tfjs lets both share one tensor
  const step = compile((x: tf.Tensor1D) => {
    v.assign(v.add(x));
    const sum = v.sum(); // of the new value
    v.assign(v.mul(2));
    return sum;
  });
  const old = v.clone();
  assert.deepEqual(values(step(tf.tensor1d([1, 1]))), [5]);
  assert.deepEqual(values(v), [4, 6]);
  assert.deepEqual(
    [values(old), values(average)],
    [
      [1, 2],
      [1, 2],
    ],
  );
  v.assign(tf.tensor1d([10, 20]));
  const between = v.clone();
  assert.deepEqual(values(step(tf.tensor1d([0, 0]))), [30]);
  assert.deepEqual(
    [values(v), values(between)],
    [
      [20, 40],
      [10, 20],
    ],
  );
  average.assign(v);
  tf.dispose(step(tf.tensor1d([0, 0])));
  assert.deepEqual(
    [values(v), values(average)],
    [
      [40, 80],
      [20, 40],
    ],
  );
  tf.dispose(step(tf.tensor1d([0, 0])));
  const last = v.clone(); // not read before the variable is gone
  v.assign(tf.tensor1d([7, 7]));
  v.dispose();
  average.dispose();
  assert.deepEqual(values(last), [80, 160]);
  assert.throws(() => step(tf.tensor1d([0, 0])), /the variable ".*" \[2\] was disposed/);
});

test("a captured tensor that shares a variable's value keeps it when the variable moves on", native, () => {
  const start = tf.tensor1d([1, 2]);
  const w = tf.variable(start);
  const moved = compile(() => w.sub(start).abs().sum());
  assert.deepEqual(values(moved()), [0]);
  w.assign(tf.tensor1d([5, 5]));
  assert.deepEqual(values(moved()), [7]);
  const old = w.clone(); // of a variable that a compiled function has adopted
  const add = compile((x: tf.Tensor) => x.add(old).sub(w));
  assert.deepEqual(values(add(tf.scalar(0))), [0, 0]);
  w.assign(tf.tensor1d([9, 9]));
  assert.deepEqual(values(add(tf.scalar(0))), [-4, -4]);
});

test("variables that are assigned one another's values get those from before the call", native, () => {
  const after = (use: typeof compile) => {
    const [a, b, previous] = [1, 2, 0].map((value) => tf.variable(tf.scalar(value)));
    const step = use(() => {
      previous.assign(a);
      const first = a.clone();
      a.assign(b);
      b.assign(first.add(10));
      return first.add(0);
    });
    return [1, 2, 3].map(() => [step(), a, b, previous].map((tensor) => values(tensor)[0]));
  };
  assert.deepEqual(after(compile), after(uncompiled));
});

test(
  "a clone, or a variable it was assigned to, from before an update in place keeps the value",
  native,
  () => {
    const after = (use: typeof compile) => {
      const w = tf.variable(ramp([3]));
      const previous = tf.variable(tf.zeros([3]));
      const optimizer = adam({ w }, { learningRate: 0.1 });
      const step = use((g: tf.Tensor) => {
        const before = w.clone();
        w.assign(w.mul(0.9));
        previous.assign(w);
        optimizer.apply({ w: g });
        const first = w.clone();
        optimizer.apply({ w: g.neg() });
        return [before, first, w.sub(before)];
      });
      const [g1, g2] = [ramp([3], 2), tf.ones([3])];
      return [g1, g2, g1].flatMap((g) => [...step(g), w, previous].map(values));
    };
    const eager = after(uncompiled);
    for (const [i, got] of after(compile).entries()) assertAllClose(got, eager[i], { rel: 1e-5, abs: 1e-7 });
  },
);

const addInPlace = (to: tf.Variable, x: tf.Tensor): void =>
  updateInPlace("AssignAddVariableOp", { dtype: { type: "float32" } }, [to], [x]);

test("an update in place of what was assigned in the same call, and of a variable made there", native, () => {
  const w = tf.variable(tf.scalar(1));
  let made: tf.Variable | undefined;
  const step = compile((x: tf.Scalar) => {
    w.assign(x);
    addInPlace(w, x);
    made ??= tf.variable(x.mul(100));
    const before = made.clone();
    addInPlace(made, w);
    return [w.add(0), before, made.add(0)];
  });
  const got = [1, 2].map((x) => step(tf.scalar(x)).map((tensor) => values(tensor)[0]));
  assert.deepEqual(got, [
    [2, 100, 102],
    [4, 102, 106],
  ]);
});

test("a variable among the inputs is the variable, also where the function writes it", native, () => {
  const after = (use: typeof compile) => {
    const [w, v] = [1, 10].map((value) => tf.variable(tf.scalar(value)));
    const step = use((x: tf.Tensor, y: tf.Tensor) => {
      w.assign(w.add(x));
      return [x.add(0), y.mul(2)];
    });
    return [
      [w, v],
      [w, w],
      [v, w],
      [v, v],
    ].map(([x, y]) => [...step(x, y), w, v].map(values));
  };
  assert.deepEqual(after(compile), after(uncompiled));
});

test("an update in place by the variable's own value is seen by who reads it next", native, () => {
  const size = 2 ** 20 + 8; // too large for the op that makes the next values beside the present ones
  const w = tf.variable(tf.ones([size]));
  const optimizer = adam({ w }, { learningRate: 0.1 });
  for (const value of [0.9, 0.8]) {
    optimizer.apply({ w });
    assertClose(values(w.min())[0], value, { abs: 1e-3 });
    assertClose(values(w.max())[0], value, { abs: 1e-3 });
  }
  optimizer.dispose();
  w.dispose();
});

/** What a function may do with two variables and the clones so far. */
const MOVES: ((v: tf.Variable, other: tf.Variable, clones: tf.Tensor[]) => unknown)[] = [
  (v, _other, clones) => clones.push(v.clone()),
  (v, other) => v.assign(other),
  (v, _other, clones) => v.assign(clones[clones.length - 1]),
  (v, other) => v.assign(v.mul(0.5).add(other)),
  (v, other) => addInPlace(v, other),
  (v, _other, clones) => addInPlace(v, clones[0]),
];

/** What some calls of a drawn function return and leave behind, with eager assignments and clones between them. */
function history(seed: number, use: typeof compile): number[] {
  const draw = numbersFrom(seed);
  const below = (limit: number) => Math.floor(limit * draw());
  const start = tf.scalar(5);
  const variables = [start, tf.scalar(1), tf.scalar(2)].map((value) => tf.variable(value));
  const pair = () => {
    const at = below(3);
    return [variables[at], variables[(at + 1 + below(2)) % 3]] as const;
  };
  const captured = [start, variables[1].clone()];
  const moves = Array.from({ length: 2 + below(8) }, () => [MOVES[below(MOVES.length)], ...pair()] as const);
  const step = use((x: tf.Tensor) => {
    const clones = [...captured, x.clone()];
    for (const [move, v, other] of moves) move(v, other, clones);
    return [...clones, ...variables].map((tensor) => tensor.add(0));
  });
  const since: tf.Tensor[] = [];
  const seen = Array.from({ length: 3 }, (_, call) => {
    const result = step(draw() < 0.3 ? pair()[0] : tf.scalar(call));
    since.push(pair()[0].clone());
    if (draw() < 0.5) MOVES[1](...pair(), since);
    return [...result, ...variables, ...captured, ...since].map((tensor) => values(tensor)[0]);
  });
  tf.dispose(variables);
  return seen.flat();
}

test(
  "a hundred drawn functions that assign, clone and update variables give what they give eagerly",
  native,
  () => {
    for (let seed = 1; seed <= 100; seed++)
      tf.tidy(() => assert.deepEqual(history(seed, compile), history(seed, uncompiled), `seed ${seed}`));
  },
);

const optimizers = {
  sgd: () => tf.train.sgd(0.1),
  momentum: () => tf.train.momentum(0.05, 0.9),
  adam: () => tf.train.adam(0.05),
};
for (const [name, make] of Object.entries(optimizers)) {
  test(
    `tfjs's own ${name}, with the slots that it makes at its first step, trains the same compiled`,
    native,
    () => {
      const x = ramp([8, 3]) as tf.Tensor2D;
      const train = (use: typeof compile) => {
        const w = tf.variable(ramp([3, 2]) as tf.Tensor2D);
        const optimizer = make();
        const step = use(
          (x: tf.Tensor2D) =>
            optimizer.minimize(() => tf.matMul(x, w).sub(1).square().mean() as tf.Scalar, true, [
              w,
            ]) as tf.Scalar,
        );
        const losses = Array.from({ length: 10 }, () => values(step(x))[0]);
        return { losses, w: values(w) };
      };
      const eager = train(uncompiled);
      const compiled = train(compile);
      assertAllClose(compiled.losses, eager.losses, { rel: 1e-6, what: "loss" });
      assertAllClose(compiled.w, eager.w, { rel: 1e-6, abs: 1e-7, what: "weight" });
      assert.ok(eager.losses[9] < eager.losses[0]);
    },
  );
}

test(
  "inside a gradient and inside another compiled function, a compiled function is the function",
  native,
  () => {
    const square = compile((x: tf.Tensor) => x.square());
    const x = tf.tensor1d([1, 2, 3]);
    assert.deepEqual(values(tf.grad((x: tf.Tensor) => square(x).sum())(x)), [2, 4, 6]);
    assert.deepEqual(values(compile((x: tf.Tensor) => square(square(x)))(x)), [1, 16, 81]);
    const same = compile((x: tf.Tensor) => [x, x]);
    const disposing = (x: tf.Tensor) => {
      tf.dispose(same(x));
      return x.add(1);
    };
    assert.deepEqual(values(compile(disposing)(x)), [2, 3, 4]);
    assert.deepEqual(values(tf.grad(disposing)(x)), [1, 1, 1]);
  },
);

const neverUsed = tf.variable(tf.scalar(2));
const outside = { rng: rng(7, 3), atTensor: rng(7, tf.scalar(3, "int32")) };

/** Each names the op and the two lines that matter, or says what to do instead. */
const refused: [string, (x: tf.Tensor2D) => unknown, RegExp][] = [
  [
    "a value read",
    (x) => (x.matMul(x).dataSync()[0] > 0 ? x : x.neg()),
    /result of BatchMatMulV2 at .*compile\.test\.ts:\d+:\d+ is read back to JavaScript at .*compile\.test\.ts:\d+/,
  ],
  [
    "a value read by a promise",
    (x) => {
      x.exp()
        .data()
        .catch(() => {});
      return x;
    },
    /result of Exp at .*is read back/,
  ],
  [
    "a draw",
    (x) => x.add(tf.randomNormal([2, 2])),
    /tf\.randomNormal at .*compile\.test\.ts:\d+:\d+ draws in JavaScript.*rng/,
  ],
  [
    "a draw whose step is a number",
    (x) => x.add(rng(1, 2).normal([2, 2])),
    /rng: step is the number 2 inside a compiled function/,
  ],
  [
    "a draw from a source of a number that was made outside",
    (x) => x.add(outside.rng.normal([2, 2])),
    /rng: step is the number 3 inside a compiled function/,
  ],
  [
    "a draw from a source of a tensor that was made outside",
    (x) => x.add(outside.atTensor.normal([2, 2])),
    /rng: a source that was made outside of a compiled function.*Make it inside/,
  ],
  [
    "a variable read, whose value was never used",
    (x) => x.mul(tf.scalar(neverUsed.dataSync()[0])),
    /a variable is read back to JavaScript at .*compile\.test\.ts:\d+/,
  ],
  ["dropout", (x) => tf.dropout(x, 0.5), /draws in JavaScript/],
  ["a promise", async (x) => x, /what .* returns is a Promise.*synchronous/],
  ["a number", () => 3, /what .* returns is a number/],
  [
    "a kept tensor",
    (x) => {
      tf.keep(x.sqrt());
      return x;
    },
    /result of Sqrt at .*compile\.test\.ts:\d+:\d+ was kept/,
  ],
  [
    "a value read after a variable was made",
    (x) => {
      tf.variable(x);
      return tf.scalar(x.sqrt().dataSync()[0]);
    },
    /result of Sqrt at .*compile\.test\.ts:\d+:\d+ is read back/,
  ],
  [
    "a kept clone of what is then updated in place",
    () => {
      const w = tf.variable(tf.zeros([2]));
      tf.keep(w.clone());
      addInPlace(w, tf.ones([2]));
      return tf.scalar(1);
    },
    /result of ReadVariableOp at .*compile\.test\.ts:\d+:\d+ was kept/,
  ],
  [
    "a variable whose first value depends on an update",
    () => {
      const w = tf.variable(tf.zeros([2]));
      addInPlace(w, tf.ones([2]));
      return tf.variable(w.add(1)).add(1);
    },
    /first value of a variable made at .*compile\.test\.ts:\d+:\d+ depends on an update in the same call/,
  ],
  [
    "a shape that values decide",
    (x) => tf.unique(x.flatten()).values,
    /shape of what UniqueV2 at .*compile\.test\.ts:\d+:\d+ returns depends on the values/,
  ],
];
for (const [name, fn, message] of refused) {
  test(`${name} inside a compiled function is an error that says where`, native, () => {
    const v = tf.variable(tf.zeros([2]));
    const before = tf.memory().numTensors;
    const x = tf.ones([2, 2]) as tf.Tensor2D;
    const compiled = compile((x: tf.Tensor2D) => {
      v.assign(v.add(1));
      return fn(x) as tf.Tensor;
    });
    assert.throws(() => compiled(x), message);
    x.dispose();
    assert.deepEqual(values(v), [0, 0], "a failed recording must leave variables alone");
    assert.equal(tf.memory().numTensors, before, "a failed recording must leave no tensors");
    assert.deepEqual(values(tf.add(1, 1)), [2]);
    v.dispose();
  });
}

test("inputs that are not tensors, and outside tensors that are gone, are errors", native, () => {
  const compiled = compile((x: tf.Tensor, rate: number) => x.mul(rate));
  assert.throws(() => compiled(tf.scalar(1), 3), /input\[1\] is a number.*tf\.scalar/);
  const gone = tf.ones([2, 3]);
  gone.dispose();
  assert.throws(
    () => compile((x: tf.Tensor) => x.add(1))(gone),
    /compile: input\[0\] \[2,3\] was disposed\. Keep it until the call, or pass another\./,
  );
  const table = tf.tensor1d([1, 2]);
  const lookup = compile((x: tf.Tensor) => x.mul(table));
  assert.deepEqual(values(lookup(tf.scalar(2))), [2, 4]);
  table.dispose();
  assert.throws(() => lookup(tf.scalar(2)), /tensor \[2\] from outside.*was disposed/);
});

test("a variable made inside gets its first value once, from the first call", native, () => {
  let total: tf.Variable | undefined;
  const accumulate = compile((x: tf.Tensor) => {
    total ??= tf.variable(tf.zerosLike(x).add(100));
    total.assign(total.add(x));
    return total.clone();
  });
  assert.deepEqual(
    [1, 2, 3].map((i) => values(accumulate(tf.scalar(i)))[0]),
    [101, 103, 106],
  );
  assert.deepEqual(values(total!), [106]);
});

test("under XLA, and with ops one after another, a step computes the same", native, () => {
  const x = ramp([8, 6]) as tf.Tensor2D;
  const train = (options?: CompileOptions) => {
    const variables = { w: tf.variable(ramp([6, 8]) as tf.Tensor2D), gamma: tf.variable(tf.ones([8])) };
    const optimizer = adam(variables, { learningRate: 0.01, clipNorm: 1, emaDecay: 0.9 });
    const loss = () => {
      const h = tf.matMul(x, variables.w);
      return groupNorm(h, variables.gamma, tf.zeros([8]), { groups: 2, swish: true })
        .sub(1)
        .square()
        .mean();
    };
    const once = () => optimizer.minimize(loss as () => tf.Scalar);
    const step = options ? compile(once, options) : once;
    const losses = Array.from({ length: 5 }, () => values(step())[0]);
    return [...losses, ...values(variables.w)];
  };
  const eager = train();
  assertAllClose(train({ sequential: true }), eager, { rel: 1e-5, abs: 1e-6 });
  assertAllClose(train({ xla: true }), eager, { rel: 1e-4, abs: 1e-5 });
});

test("random numbers are the same eager and compiled, and change with the step", native, () => {
  const draw = (step: tf.Scalar) => {
    const source = rng(5, step);
    return [source.normal([3, 4]), source.uniform([2]), source.integers([6], 0, 1000)];
  };
  const compiled = compile(draw);
  const [first, second] = [3, 4].map((step) =>
    (compiled(tf.scalar(step, "int32")) as tf.Tensor[]).map(values),
  );
  assert.deepEqual(first, draw(tf.scalar(3, "int32")).map(values));
  assert.deepEqual(second, draw(tf.scalar(4, "int32")).map(values));
  assert.notDeepEqual(first, second);
});

test("a step leaves tensors, TensorFlow's handles and resident memory as they were", native, () => {
  const w = tf.variable(ramp([64, 64]) as tf.Tensor2D);
  const optimizer = tf.train.adam(1e-3);
  const step = compile(
    (x: tf.Tensor2D) =>
      optimizer.minimize(() => tf.matMul(x, w).square().mean() as tf.Scalar, true, [w]) as tf.Scalar,
  );
  const once = () => {
    const x = tf.ones([256, 64]) as tf.Tensor2D;
    const loss = step(x);
    x.dispose();
    return loss;
  };
  assertNoLeak(once);
  const many = (count: number) => {
    for (let i = 0; i < count; i++) tf.dispose(once());
    return process.memoryUsage().rss;
  };
  many(500);
  const handles = addon.getNumOfTensors?.();
  const before = many(100);
  const after = many(1000);
  assert.equal(addon.getNumOfTensors?.(), handles);
  // One input of a step held back would be 65 MB by now; JavaScript's own heap moves by a few.
  assert.ok(after - before < 20e6, `resident memory grew by ${after - before} bytes in 1,000 steps`);
});

test("on a backend without graph functions, compile(fn) is fn, tidied", () => {
  const program = `
    const { compile, tf } = require("./lib/tensor");
    const f = compile((x) => x.square().add(1));
    const x = tf.scalar(3);
    const y = f(x);
    const w = tf.variable(x);
    tf.dispose(compile((x) => ({ same: x, list: [x, w], number: 3 }))(x));
    const after = [x, w].map((tensor) => tensor.dataSync()[0]);
    console.log(JSON.stringify([y.dataSync()[0], f.graphs.length, ...after, tf.memory().numTensors]));`;
  const env = { ...process.env, LOWER_BOUND_ENGINE: "js" };
  const out = execFileSync(process.execPath, ["--import", "tsx", "-e", program], { env, encoding: "utf8" });
  assert.deepEqual(JSON.parse(out.trim().split("\n").pop()!), [10, 0, 3, 3, 3]);
});

/** The nearest number with 8 bits of mantissa, ties to even. */
function toBfloat16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer);
  bits[0] = (bits[0] + 0x7fff + ((bits[0] >> 16) & 1)) & 0xffff0000;
  return new Float32Array(bits.buffer)[0];
}

test("bfloat16: products of rounded numbers, everything else in float32, and gradients too", native, () => {
  const [x, w] = [ramp([4, 30]), ramp([30, 5], 0.7)] as tf.Tensor2D[];
  const gradient = tf.grad((w: tf.Tensor) => tf.matMul(x, w as tf.Tensor2D).sum());
  const fn = (x: tf.Tensor, w: tf.Tensor) => ({
    product: tf.matMul(x as tf.Tensor2D, w as tf.Tensor2D),
    sum: w.add(1e-4),
    gradient: gradient(w),
  });
  const got = compile(fn, { precision: "bfloat16" })(x, w);
  const [xs, ws] = [values(x), values(w)].map((list) => list.map(toBfloat16));
  const product = (i: number, j: number) => {
    let sum = 0;
    for (let k = 0; k < 30; k++) sum += xs[i * 30 + k] * ws[k * 5 + j];
    return sum;
  };
  const want = Array.from({ length: 20 }, (_, at) => product(Math.floor(at / 5), at % 5));
  assertAllClose(values(got.product), want, { rel: 2 ** -6, abs: 0.02 });
  assert.deepEqual(values(got.product).map(toBfloat16), values(got.product), "a result has 8 bits, too");
  assert.notDeepEqual(values(got.product), values(fn(x, w).product));
  assert.deepEqual(values(got.sum), values(w.add(1e-4)));
  const columns = Array.from({ length: 30 }, (_, k) =>
    [0, 1, 2, 3].reduce((sum, i) => sum + xs[i * 30 + k], 0),
  );
  assertAllClose(
    values(got.gradient),
    columns.flatMap((sum) => new Array(5).fill(sum)),
    { rel: 2 ** -6, abs: 0.02 },
  );
});

test("bfloat16: what has an op of its own in float32 is rounded as well", native, () => {
  const [x, qkv] = [ramp([4, 30]) as tf.Tensor2D, ramp([1, 16, 24]) as tf.Tensor3D];
  const layers = [{ weight: ramp([30, 5], 0.7), bias: ramp([5]) }];
  for (const fn of [() => denseChain(x, layers), () => attention(qkv)]) {
    const [whole, rounded] = [compile(fn)(), compile(fn, { precision: "bfloat16" })()].map(values);
    assert.ok(whole.some((value, i) => Math.abs(value - rounded[i]) > 1e-4));
    assertAllClose(rounded, whole, { rel: 2 ** -6, abs: 0.05 });
  }
});

test("a place is found in paths with blanks and brackets, and in those of modules", () => {
  const found = (frame: string) => frameOf({ stack: `Error\n    at ${frame}` } as Error);
  for (const [frame, want] of [
    ["f (/a b/course (1)/x.ts:12:3)", "/a b/course (1)/x.ts:12:3"],
    ["/a b/course (1)/x.ts:12:3", "/a b/course (1)/x.ts:12:3"],
    ["async Thing.of [as it] (file:///a%20b/x.ts:12:3)", "/a b/x.ts:12:3"],
    ["async file:///a%20b/x.ts:12:3", "/a b/x.ts:12:3"],
    ["new Thing (/x.ts:1:2)", "/x.ts:1:2"],
    ["Array.map (<anonymous>)", ""],
    ["async Promise.all (index 0)", ""],
  ])
    assert.equal(found(frame), want, frame);
});

test("bfloat16: a convolution learns as in float32, within what another seed changes", native, () => {
  const teacher = ramp([3, 3, 2, 3]) as tf.Tensor4D;
  const convolve = (x: tf.Tensor, kernel: tf.Tensor) =>
    tf.conv2d(x as tf.Tensor4D, kernel as tf.Tensor4D, 1, "same");
  /** Mean squared errors over 150 steps. */
  const curve = (seed: number, options: CompileOptions) => {
    const kernel = tf.variable(rng(seed).normal([3, 3, 2, 3]).mul(0.1));
    const optimizer = adam({ kernel }, { learningRate: 0.02 });
    const step = compile((n: tf.Scalar) => {
      const source = rng(seed, n);
      const x = source.normal([16, 8, 8, 2]);
      const noisy = convolve(x, teacher).add(source.normal([16, 8, 8, 3]).mul(0.5));
      return optimizer.minimize(() => convolve(x, kernel).sub(noisy).square().mean());
    }, options);
    const losses = Array.from({ length: 150 }, (_, n) =>
      tf.tidy(() => step(tf.scalar(n, "int32")).dataSync()[0]),
    );
    optimizer.dispose();
    kernel.dispose();
    return losses;
  };
  const full = curve(1, {});
  const half = curve(1, { precision: "bfloat16" });
  const other = curve(2, {});
  const apart = (a: number[], b: number[]) =>
    Math.hypot(...a.map((loss, i) => loss - b[i])) / Math.sqrt(a.length);
  assert.notDeepEqual(half, full);
  assert.ok(full[149] < full[0] / 5, "it learns");
  assert.ok(
    apart(half, full) < 0.5 * apart(other, full),
    `${apart(half, full)} against ${apart(other, full)}`,
  );
});
