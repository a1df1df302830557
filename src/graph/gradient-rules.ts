import { invariant } from "../tensor/errors.ts";
import { type Tensor } from "../tensor/tensor.ts";
import { attentionGradient } from "./attention-gradient.ts";
import {
  add,
  cast,
  cos,
  div,
  equal,
  exp,
  greater,
  less,
  mul,
  neg,
  not,
  or,
  pow,
  sign,
  sin,
  sub,
  tanh,
  erf,
  where,
} from "./elementwise.ts";
import { type Node, type Value } from "./graph.ts";
import { gemm, matmul } from "./linear-ops.ts";
import { rotary } from "./nn-ops.ts";
import { convGradient } from "./conv-gradient.ts";
import { mean, sum, sumTo } from "./reduce.ts";
import { concat, expand, pad, reshape, sliceAxes, split, transpose, transposeLast } from "./shape-ops.ts";

/**
 * The adjoints of a node's inputs, given those of its outputs (null where nothing flows back).
 * `needs[i]` says whether input i is differentiated; a rule may return null elsewhere.
 */
export type GradientRule = (
  node: Node,
  outputs: readonly (Value | null)[],
  needs: readonly boolean[],
) => readonly (Value | null)[];

/** A rule for ops with one output, whose adjoint is `g`. */
function rule(
  adjoint: (
    g: Value,
    inputs: readonly Value[],
    output: Value,
    node: Node,
    needs: readonly boolean[],
  ) => readonly (Value | null)[],
): GradientRule {
  return (node, [g], needs) => {
    invariant(g, `no gradient reaches the first output of ${node.op}`);
    return adjoint(g, node.inputs as readonly Value[], node.outputs[0]!, node, needs);
  };
}

const zerosLike = (x: Value): Value => expand(x.graph.scalar(0, x.dtype), x.shape);
const masked = (condition: Value, g: Value): Value => where(condition, g, g.graph.scalar(0, g.dtype));

function constantOf(value: Value): Tensor {
  const data = value.graph.constants.get(value.name);
  invariant(data, `${value.name} is not a constant`);
  return data;
}

const integers = (value: Value): number[] => Array.from(constantOf(value).data, Number);

/** Reverse-mode rule of every differentiable op. Comparisons, rounding and indices have none. */
export const GRADIENT_RULES: Readonly<Record<string, GradientRule>> = {
  Add: rule((g, [a, b]) => [sumTo(g, a!.shape), sumTo(g, b!.shape)]),
  Sub: rule((g, [a, b]) => [sumTo(g, a!.shape), sumTo(neg(g), b!.shape)]),
  Mul: rule((g, [a, b], _y, _node, needs) => [
    needs[0] ? sumTo(mul(g, b!), a!.shape) : null,
    needs[1] ? sumTo(mul(g, a!), b!.shape) : null,
  ]),
  Div: rule((g, [a, b], y, _node, needs) => [
    needs[0] ? sumTo(div(g, b!), a!.shape) : null,
    needs[1] ? sumTo(neg(div(mul(g, y), b!)), b!.shape) : null,
  ]),
  // The exponent is a constant in all our graphs: d(x^n) = n x^(n-1).
  Pow: rule((g, [x, n], _y, _node, needs) => {
    invariant(!needs[1], "no gradient with respect to an exponent");
    return [mul(g, mul(n!, pow(x!, sub(n!, 1)))), null];
  }),
  Max: rule((g, [a, b]) => [
    sumTo(masked(not(less(a!, b!)), g), a!.shape),
    sumTo(masked(less(a!, b!), g), b!.shape),
  ]),
  Min: rule((g, [a, b]) => [
    sumTo(masked(not(greater(a!, b!)), g), a!.shape),
    sumTo(masked(greater(a!, b!), g), b!.shape),
  ]),
  Where: rule((g, [condition, a, b]) => {
    const zero = g.graph.scalar(0, g.dtype);
    return [null, sumTo(where(condition!, g, zero), a!.shape), sumTo(where(condition!, zero, g), b!.shape)];
  }),

  Neg: rule((g) => [neg(g)]),
  Abs: rule((g, [x]) => [mul(g, sign(x!))]),
  Exp: rule((g, _x, y) => [mul(g, y)]),
  Log: rule((g, [x]) => [div(g, x!)]),
  Sqrt: rule((g, _x, y) => [div(mul(g, 0.5), y)]),
  Reciprocal: rule((g, _x, y) => [neg(mul(g, mul(y, y)))]),
  Sin: rule((g, [x]) => [mul(g, cos(x!))]),
  Cos: rule((g, [x]) => [neg(mul(g, sin(x!)))]),
  Tanh: rule((g, _x, y) => [mul(g, sub(1, mul(y, y)))]),
  Sigmoid: rule((g, _x, y) => [mul(g, mul(y, sub(1, y)))]),
  Erf: rule((g, [x]) => [mul(g, mul(2 / Math.sqrt(Math.PI), exp(neg(mul(x!, x!)))))]),
  Relu: rule((g, [x]) => [masked(greater(x!, 0), g)]),
  Clip: rule((g, [x, low, high]) => [masked(not(or(less(x!, low!), greater(x!, high!))), g), null, null]),
  Cast: rule((g, [x]) => [cast(g, x!.dtype)]),
  Identity: rule((g) => [g]),
  Gelu: rule((g, [x], _y, node) => [
    mul(g, node.attributes["approximate"] === "tanh" ? geluTanhSlope(x!) : geluSlope(x!)),
  ]),

  Reshape: rule((g, [x]) => [reshape(g, x!.shape), null]),
  Transpose: rule((g, _x, _y, node) => {
    const order = node.attributes["perm"] as readonly number[];
    return [
      transpose(
        g,
        order.map((_, axis) => order.indexOf(axis)),
      ),
    ];
  }),
  Concat: rule((g, inputs, _y, node) => {
    const axis = node.attributes["axis"] as number;
    return split(
      g,
      axis,
      inputs.map((input) => input.dim(axis)),
    );
  }),
  Split: (node, outputs) => [
    concat(
      node.outputs.map((output, i) => outputs[i] ?? zerosLike(output)),
      node.attributes["axis"] as number,
    ),
    null,
  ],
  Slice: rule((g, [x, starts, ends, axes, steps]) => {
    invariant(
      integers(steps!).every((step) => step === 1),
      "no gradient of a slice with steps",
    );
    const before = new Array<number>(x!.rank).fill(0);
    const after = [...before];
    integers(axes!).forEach((axis, i) => {
      before[axis] = integers(starts!)[i]!;
      after[axis] = x!.dim(axis) - integers(ends!)[i]!;
    });
    return [pad(g, before, after), null, null, null, null];
  }),
  Expand: rule((g, [x]) => [sumTo(g, x!.shape), null]),
  Pad: rule((g, [x, pads]) => {
    const before = integers(pads!).slice(0, x!.rank);
    return [
      sliceAxes(
        g,
        x!.shape.map((size, axis) => ({ axis, start: before[axis]!, end: before[axis]! + size })),
      ),
      null,
    ];
  }),
  Gather: rule((g, [x, indices], _y, node) => {
    invariant(node.attributes["axis"] === 0, "gradients of gather exist for axis 0 only");
    const at = reshape(cast(indices!, "int64"), [...indices!.shape, 1]);
    const attributes = { reduction: "add" };
    return [g.graph.emit("ScatterND", [zerosLike(x!), at, g], [x!], { attributes })[0]!, null];
  }),
  // Nearest-neighbour upsampling by whole factors: every source element collects its copies.
  Resize: rule((g, [x]) => {
    const copies = x!.shape.flatMap((size, axis) => [size, g.dim(axis) / size]);
    return [
      reshape(
        sum(
          reshape(g, copies),
          x!.shape.map((_, axis) => 2 * axis + 1),
        ),
        x!.shape,
      ),
      null,
      null,
    ];
  }),

  ReduceSum: rule((g, [x], _y, node) => [expandReduced(g, x!, node), null]),
  ReduceMean: rule((g, [x], y, node) => {
    const count = x!.shape.reduce((n, dim) => n * dim, 1) / y.shape.reduce((n, dim) => n * dim, 1);
    return [expandReduced(mul(g, 1 / count), x!, node), null];
  }),
  ReduceMax: rule((g, [x], y, node) => [extremeGradient(g, x!, y, node), null]),
  ReduceMin: rule((g, [x], y, node) => [extremeGradient(g, x!, y, node), null]),
  Softmax: rule((g, _x, y, node) => {
    const weighted = mul(g, y);
    return [sub(weighted, mul(y, sum(weighted, [node.attributes["axis"] as number])))];
  }),

  MatMul: rule((g, [a, b], _y, _node, needs) => [
    needs[0] ? sumTo(matmul(g, transposeLast(b!)), a!.shape) : null,
    needs[1] ? sumTo(matmul(transposeLast(a!), g), b!.shape) : null,
  ]),
  Gemm: rule((g, [a, b, bias], _y, node, needs) => {
    const transA = node.attributes["transA"] === 1;
    const transB = node.attributes["transB"] === 1;
    const da = (): Value =>
      transA ? gemm(b!, g, null, { transA: transB, transB: true }) : gemm(g, b!, null, { transB: !transB });
    const db = (): Value =>
      transB ? gemm(g, a!, null, { transA: true, transB: transA }) : gemm(a!, g, null, { transA: !transA });
    return [needs[0] ? da() : null, needs[1] ? db() : null, bias && needs[2] ? sumTo(g, bias.shape) : null];
  }),
  Conv: rule((g, [x, weight, bias], _y, node, needs) =>
    convGradient(g, x!, weight!, bias ?? null, node, needs),
  ),

  LayerNormalization: rule((g, [x, scale, bias], _y, node, needs) => {
    const [, rowMean, inverseDeviation] = node.outputs;
    const normal = mul(sub(x!, rowMean!), inverseDeviation!);
    const h = mul(g, scale!);
    const dx = (): Value =>
      mul(inverseDeviation!, sub(sub(h, mean(h, [-1])), mul(normal, mean(mul(h, normal), [-1]))));
    return [
      needs[0] ? dx() : null,
      needs[1] ? sumTo(mul(g, normal), scale!.shape) : null,
      bias && needs[2] ? sumTo(g, bias.shape) : null,
    ];
  }),
  SimplifiedLayerNormalization: rule((g, [x, scale], _y, node, needs) => {
    const inverseRms = node.outputs[1]!;
    const normal = mul(x!, inverseRms);
    const h = mul(g, scale!);
    return [
      needs[0] ? mul(inverseRms, sub(h, mul(normal, mean(mul(h, normal), [-1])))) : null,
      needs[1] ? sumTo(mul(g, normal), scale!.shape) : null,
    ];
  }),
  // A rotation's adjoint is the rotation back.
  RotaryEmbedding: rule((g, [x, , cosines, sines]) => {
    const numHeads = x!.dim(2) / (2 * cosines!.dim(1));
    return [rotary(g, cosines!, neg(sines!), numHeads), null, null, null];
  }),
  MultiHeadAttention: rule((g, [q, k, v], y, node, needs) =>
    attentionGradient({ g, y, q: q!, k: k!, v: v! }, node.attributes["num_heads"] as number, needs),
  ),
};

/** A reduced value's adjoint, spread over the reduced axes. */
function expandReduced(g: Value, x: Value, node: Node): Value {
  const axes = integers(node.inputs[1]!);
  return expand(
    reshape(
      g,
      x.shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim)),
    ),
    x.shape,
  );
}

/** The adjoint goes to the extreme element; equal extremes share it. */
function extremeGradient(g: Value, x: Value, y: Value, node: Node): Value {
  const axes = integers(node.inputs[1]!);
  const hits = cast(equal(x, expandReduced(y, x, node)), x.dtype);
  return mul(expandReduced(g, x, node), div(hits, sum(hits, axes)));
}

/** d/dx of x/2 (1 + tanh u), u = √(2/π) (x + 0.044715 x³). */
function geluTanhSlope(x: Value): Value {
  const c = Math.sqrt(2 / Math.PI);
  const square = mul(x, x);
  const t = tanh(mul(mul(x, c), add(mul(square, 0.044715), 1)));
  const inner = mul(c, add(mul(square, 3 * 0.044715), 1));
  return mul(0.5, add(add(t, 1), mul(mul(x, sub(1, mul(t, t))), inner)));
}

/** d/dx of x Φ(x): Φ(x) + x φ(x). */
function geluSlope(x: Value): Value {
  const cdf = mul(0.5, add(erf(mul(x, Math.SQRT1_2)), 1));
  return add(cdf, mul(x, mul(1 / Math.sqrt(2 * Math.PI), exp(mul(-0.5, mul(x, x))))));
}
