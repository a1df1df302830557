import { invariant } from "../tensor/errors.ts";
import { int64 } from "../tensor/tensor.ts";
import { type Node, type Value } from "./graph.ts";
import { conv, gemm } from "./linear-ops.ts";
import { sum } from "./reduce.ts";
import { concat, gather, pad, reshape, sliceAxes, transpose } from "./shape-ops.ts";

/** Adjoints of a convolution's input [N, Cin, …], weight [Cout, Cin, …kernel] and bias [Cout]. */
export function convGradient(
  g: Value,
  x: Value,
  weight: Value,
  bias: Value | null,
  node: Node,
  needs: readonly boolean[],
): (Value | null)[] {
  const strides = node.attributes["strides"] as readonly number[];
  const pads = node.attributes["pads"] as readonly number[];
  const before = pads.slice(0, strides.length);
  invariant(node.attributes["group"] === undefined, "grouped convolutions have no gradient");
  return [
    needs[0] ? inputGradient(g, x, weight, strides, before) : null,
    needs[1] ? weightGradient(g, x, weight, strides, pads) : null,
    bias && needs[2]
      ? sum(
          g,
          g.shape.flatMap((_, axis) => (axis === 1 ? [] : [axis])),
          { keepDims: false },
        )
      : null,
  ];
}

/**
 * A convolution of the adjoint with the weight turned around and its channels swapped. ONNX Runtime's own
 * transposed convolution is several times slower.
 */
function inputGradient(
  g: Value,
  x: Value,
  weight: Value,
  strides: readonly number[],
  before: readonly number[],
): Value {
  const kernel = weight.shape.slice(2);
  const spread = spreadByStride(g, strides);
  const padsBefore = kernel.map((size, i) => size - 1 - before[i]!);
  const padsAfter = kernel.map((size, i) => x.dim(i + 2) + size - 1 - spread.dim(i + 2) - padsBefore[i]!);
  return conv(spread, turned(weight), null, { padsBefore, padsAfter });
}

/** Zeros between the elements of every strided axis, so that a convolution with stride 1 undoes the stride. */
function spreadByStride(g: Value, strides: readonly number[]): Value {
  if (strides.every((stride) => stride === 1)) return g;
  const interleaved = [...g.shape.slice(0, 2), ...g.shape.slice(2).flatMap((dim) => [dim, 1])];
  const zeros = interleaved.map(() => 0);
  const after = [0, 0, ...strides.flatMap((stride) => [0, stride - 1])];
  const spread = pad(reshape(g, interleaved), zeros, after);
  const full = reshape(spread, [
    ...g.shape.slice(0, 2),
    ...strides.map((stride, i) => g.dim(i + 2) * stride),
  ]);
  return sliceAxes(
    full,
    strides.map((stride, i) => ({ axis: i + 2, start: 0, end: (g.dim(i + 2) - 1) * stride + 1 })),
  );
}

/** [Cout, Cin, …kernel] -> [Cin, Cout, …kernel] with every kernel axis reversed. */
function turned(weight: Value): Value {
  const kernel = weight.shape.slice(2);
  const taps = kernel.reduce((product, size) => product * size, 1);
  const swapped = transpose(reshape(weight, [weight.dim(0), weight.dim(1), taps]), [1, 0, 2]);
  const reversed = weight.graph.constant(int64(Array.from({ length: taps }, (_, tap) => taps - 1 - tap)));
  return reshape(gather(swapped, reversed, 2), [weight.dim(1), weight.dim(0), ...kernel]);
}

/** One matrix product per kernel tap: dW[:, :, tap] = g · (x shifted by the tap)ᵀ. */
function weightGradient(
  g: Value,
  x: Value,
  weight: Value,
  strides: readonly number[],
  pads: readonly number[],
): Value {
  const kernel = weight.shape.slice(2);
  const spatial = kernel.length;
  const channelsFirst = [1, 0, ...kernel.map((_, i) => i + 2)];
  const padded = transpose(
    pad(x, [0, 0, ...pads.slice(0, spatial)], [0, 0, ...pads.slice(spatial)]),
    channelsFirst,
  );
  const rows = reshape(transpose(g, channelsFirst), [g.dim(1), -1]);
  const products = tapsOf(kernel).map((tap) => {
    const window = sliceAxes(
      padded,
      tap.map((start, i) => {
        const step = strides[i]!;
        return { axis: i + 2, start, end: start + (g.dim(i + 2) - 1) * step + 1, step };
      }),
    );
    return gemm(rows, reshape(window, [x.dim(1), -1]), null, { transB: true });
  });
  const stacked = concat(
    products.map((product) => reshape(product, [1, ...product.shape])),
    0,
  );
  return reshape(transpose(stacked, [1, 2, 0]), weight.shape);
}

function tapsOf(kernel: readonly number[]): number[][] {
  return kernel.reduce<number[][]>(
    (taps, size) => taps.flatMap((tap) => Array.from({ length: size }, (_, i) => [...tap, i])),
    [[]],
  );
}
