import { invariant } from "../tensor/errors.ts";
import { type Value } from "./graph.ts";
import { broadcastShapes } from "./elementwise.ts";
import { reshape } from "./shape-ops.ts";

/** Batched matrix product [..., M, K] x [..., K, N] -> [..., M, N]. */
export function matmul(a: Value, b: Value): Value {
  invariant(
    a.rank >= 2 && b.rank >= 2 && a.dim(-1) === b.dim(-2) && a.dtype === b.dtype,
    `matmul of [${a.shape.join(", ")}] and [${b.shape.join(", ")}]`,
  );
  const batch = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const type = { shape: [...batch, a.dim(-2), b.dim(-1)], dtype: a.dtype };
  return a.graph.emit("MatMul", [a, b], [type])[0]!;
}

export interface GemmOptions {
  readonly transA?: boolean;
  readonly transB?: boolean;
}

/** Matrix product of two matrices, either one transposed, plus an optional row vector. */
export function gemm(a: Value, b: Value, bias: Value | null = null, options: GemmOptions = {}): Value {
  const { transA = false, transB = false } = options;
  invariant(a.rank === 2 && b.rank === 2, `gemm of ranks ${a.rank} and ${b.rank}`);
  const [m, k] = transA ? [a.dim(1), a.dim(0)] : [a.dim(0), a.dim(1)];
  const [k2, n] = transB ? [b.dim(1), b.dim(0)] : [b.dim(0), b.dim(1)];
  invariant(
    k === k2 && a.dtype === b.dtype && (bias === null || bias.dim(-1) === n),
    `gemm of [${a.shape.join(", ")}] and [${b.shape.join(", ")}]`,
  );
  const inputs = bias ? [a, b, bias] : [a, b];
  const attributes = { transA: transA ? 1 : 0, transB: transB ? 1 : 0 };
  return a.graph.emit("Gemm", inputs, [{ shape: [m, n], dtype: a.dtype }], { attributes })[0]!;
}

/** x W^T + b over the last axis, with W [out, in] as checkpoints store it. */
export function linear(x: Value, weight: Value, bias: Value | null = null): Value {
  const flat = reshape(x, [-1, x.dim(-1)]);
  return reshape(gemm(flat, weight, bias, { transB: true }), [...x.shape.slice(0, -1), weight.dim(0)]);
}

export interface ConvOptions {
  readonly strides?: readonly number[];
  /** Zeros before and after each spatial axis. */
  readonly padsBefore?: readonly number[];
  readonly padsAfter?: readonly number[];
  /** Channels split into this many independent convolutions; as many groups as channels is a depthwise one. */
  readonly groups?: number;
}

/** Convolution of [N, Cin, ...] with [Cout, Cin / groups, ...kernel] in any number of spatial dimensions. */
export function conv(x: Value, weight: Value, bias: Value | null = null, options: ConvOptions = {}): Value {
  const spatial = x.rank - 2;
  const strides = options.strides ?? new Array<number>(spatial).fill(1);
  const before = options.padsBefore ?? new Array<number>(spatial).fill(0);
  const after = options.padsAfter ?? new Array<number>(spatial).fill(0);
  const groups = options.groups ?? 1;
  invariant(
    weight.rank === x.rank &&
      weight.dim(1) * groups === x.dim(1) &&
      weight.dim(0) % groups === 0 &&
      weight.dtype === x.dtype,
    `conv of [${x.shape.join(", ")}] with weight [${weight.shape.join(", ")}] in ${groups} groups`,
  );
  const out = strides.map((stride, i) => {
    const room = x.dim(i + 2) + before[i]! + after[i]! - weight.dim(i + 2);
    invariant(room >= 0, `kernel [${weight.shape.join(", ")}] is larger than [${x.shape.join(", ")}]`);
    return Math.floor(room / stride) + 1;
  });
  const attributes = {
    strides,
    pads: [...before, ...after],
    kernel_shape: weight.shape.slice(2),
    ...(groups > 1 && { group: groups }),
  };
  const inputs = bias ? [x, weight, bias] : [x, weight];
  const type = { shape: [x.dim(0), weight.dim(0), ...out], dtype: x.dtype };
  return x.graph.emit("Conv", inputs, [type], { attributes })[0]!;
}
