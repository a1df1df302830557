import {
  type Value,
  add,
  clip,
  concat,
  conv,
  depthToSpace,
  linear,
  maxPool,
  mean,
  mul,
  pad,
  prelu,
  relu,
  reshape,
  resizeLinear,
  sigmoid,
} from "../../graph/index.ts";
import { UserError } from "../../tensor/errors.ts";
import { axisInGraph, toChannelsFirst, toChannelsLast } from "./layout.ts";
import type { Operation } from "./operation.ts";
import { permute } from "./weights.ts";

/** Builtin operators that the packaged models use, by their number in the schema, as are the fields of options. */
export const OPERATORS: ReadonlyMap<number, (op: Operation) => Value> = new Map([
  [0, (op: Operation) => activate(elementwise(op, add), op.byteOption(0))], // ADD
  [2, concatenation], // CONCATENATION
  [3, convolution], // CONV_2D
  [4, depthwiseConvolution], // DEPTHWISE_CONV_2D
  [5, (op: Operation) => depthToSpace(op.value(), op.intOption(0))], // DEPTH_TO_SPACE
  [9, fullyConnected], // FULLY_CONNECTED
  [14, (op: Operation) => sigmoid(op.value())], // LOGISTIC
  [17, maxPooling], // MAX_POOL_2D
  [18, (op: Operation) => activate(elementwise(op, mul), op.byteOption(0))], // MUL
  [19, (op: Operation) => relu(op.value())], // RELU
  [22, reshaped], // RESHAPE
  [23, resizeBilinear], // RESIZE_BILINEAR
  [34, padding], // PAD
  [40, meanOverAxes], // MEAN
  [54, (op: Operation) => prelu(op.value(), op.operand(1, op.value().rank))], // PRELU
]);

/** DEQUANTIZE and DENSIFY of a constant: reading the constant's values does what they do. */
export const CONSTANT_OPERATORS: ReadonlySet<number> = new Set([6, 124]);

/** The activation that the format fuses into an operation. */
function activate(x: Value, activation: number): Value {
  if (activation === 0) return x;
  if (activation === 1) return relu(x);
  if (activation === 3) return clip(x, 0, 6);
  throw new UserError(`fused activation ${activation}; known are 0, 1 (ReLU) and 3 (ReLU6)`);
}

function elementwise(op: Operation, combine: (a: Value, b: Value) => Value): Value {
  const { rank } = op.value();
  return combine(op.operand(0, rank), op.operand(1, rank));
}

function concatenation(op: Operation): Value {
  const { rank } = op.value();
  const parts = Array.from({ length: op.numInputs }, (_, place) => op.operand(place, rank));
  return activate(concat(parts, axisInGraph(op.intOption(0), rank)), op.byteOption(1));
}

/** Weights [Cout, KH, KW, Cin]. */
function convolution(op: Operation): Value {
  requireNoDilation(op, 4, 5);
  const weight = op.graph.constant(permute(op.weights(1, 4), [0, 3, 1, 2]));
  const window = windowOf(op, weight.shape.slice(2));
  return activate(conv(op.value(), weight, op.bias(2), window), op.byteOption(3));
}

/** Weights [1, KH, KW, C · multiplier]. */
function depthwiseConvolution(op: Operation): Value {
  requireNoDilation(op, 5, 6);
  const x = op.value();
  const weight = op.graph.constant(permute(op.weights(1, 4), [3, 0, 1, 2]));
  const window = windowOf(op, weight.shape.slice(2));
  return activate(conv(x, weight, op.bias(2), { ...window, groups: x.dim(1) }), op.byteOption(4));
}

function requireNoDilation(op: Operation, ...fields: readonly number[]): void {
  for (const field of fields) {
    const dilation = op.intOption(field, 1);
    if (dilation !== 1) throw new UserError(`dilation ${dilation}; only 1 is known`);
  }
}

/** Strides and padding of a convolution or pool: options 0 padding, 1 stride along x, 2 stride along y. */
function windowOf(op: Operation, kernel: readonly number[]) {
  const strides = [op.intOption(2), op.intOption(1)];
  if (strides.some((stride) => stride < 1)) throw new UserError("a stride is below 1");
  const isSame = op.byteOption(0) === 0;
  const x = op.value();
  // SAME: as many outputs as strides fit, the odd pixel of padding after the picture.
  const totals = kernel.map((size, i) => {
    const dim = x.dim(i + 2);
    const stride = strides[i]!;
    return isSame ? Math.max(0, (Math.ceil(dim / stride) - 1) * stride + size - dim) : 0;
  });
  const padsBefore = totals.map((total) => Math.floor(total / 2));
  return { strides, padsBefore, padsAfter: totals.map((total, i) => total - padsBefore[i]!) };
}

/** Weights [out, in]; inputs of any rank are flattened to rows of `in`. */
function fullyConnected(op: Operation): Value {
  const weight = op.graph.constant(op.weights(1, 2));
  const rows = reshape(toChannelsLast(op.value()), [-1, weight.dim(1)]);
  const y = activate(linear(rows, weight, op.bias(2)), op.byteOption(0));
  return toChannelsFirst(reshape(y, op.outputShape));
}

function maxPooling(op: Operation): Value {
  const kernel = [op.intOption(4), op.intOption(3)];
  return activate(maxPool(op.value(), { kernel, ...windowOf(op, kernel) }), op.byteOption(5));
}

function reshaped(op: Operation): Value {
  return toChannelsFirst(reshape(toChannelsLast(op.value()), op.outputShape));
}

function resizeBilinear(op: Operation): Value {
  const [height, width] = op.integers(1);
  if (height === undefined || width === undefined) throw new UserError("the target size is missing");
  const alignment = op.byteOption(3) ? "half_pixel" : op.byteOption(2) ? "align_corners" : "asymmetric";
  return resizeLinear(op.value(), height, width, alignment);
}

/** Paddings [rank, 2]: zeros before and after each axis. */
function padding(op: Operation): Value {
  const x = op.value();
  const paddings = op.integers(1);
  const before = x.shape.map(() => 0);
  const after = x.shape.map(() => 0);
  for (let axis = 0; axis < x.rank; axis++) {
    before[axisInGraph(axis, x.rank)] = paddings[2 * axis] ?? 0;
    after[axisInGraph(axis, x.rank)] = paddings[2 * axis + 1] ?? 0;
  }
  return pad(x, before, after);
}

function meanOverAxes(op: Operation): Value {
  const x = op.value();
  const averaged = mean(
    x,
    op.integers(1).map((axis) => axisInGraph(axis, x.rank)),
  );
  const keepDims = op.byteOption(0) !== 0;
  return keepDims ? averaged : toChannelsFirst(reshape(toChannelsLast(averaged), op.outputShape));
}
