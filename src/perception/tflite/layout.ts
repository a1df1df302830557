import { type Value, reshape, transpose } from "../../graph/index.ts";
import { UserError } from "../../tensor/errors.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { permute } from "./weights.ts";

/**
 * TFLite images are [N, H, W, C]; the converted graph holds every value of rank 4 as [N, C, H, W], the layout of
 * ONNX's convolutions, so that nothing is transposed between them. Values of other ranks stay as they are.
 */
export function toChannelsFirst(x: Value): Value {
  if (x.rank !== 4) return x;
  const [n, h, w, c] = x.shape as readonly [number, number, number, number];
  return c === 1 || h * w === 1 ? reshape(x, [n, c, h, w]) : transpose(x, [0, 3, 1, 2]);
}

/** The inverse of `toChannelsFirst`. */
export function toChannelsLast(x: Value): Value {
  if (x.rank !== 4) return x;
  const [n, c, h, w] = x.shape as readonly [number, number, number, number];
  return c === 1 || h * w === 1 ? reshape(x, [n, h, w, c]) : transpose(x, [0, 2, 3, 1]);
}

/** Shape in the converted graph of a value with the given TFLite shape. */
export function channelsFirstShape(shape: readonly number[]): readonly number[] {
  if (shape.length !== 4) return shape;
  const [n, h, w, c] = shape as readonly [number, number, number, number];
  return [n, c, h, w];
}

/** Where each TFLite axis of a value of the given rank lies in the converted graph. */
export function axisInGraph(axis: number, rank: number): number {
  const positive = axis < 0 ? axis + rank : axis;
  if (positive < 0 || positive >= rank) throw new UserError(`axis ${axis} of a value of rank ${rank}`);
  return rank === 4 ? [0, 2, 3, 1][positive]! : positive;
}

/** A constant operand laid out so that it broadcasts against an activation of the given rank. */
export function broadcastConstant(constant: Tensor<"float32">, rank: number): Tensor<"float32"> {
  if (rank !== 4) return constant;
  const padded = [...new Array<number>(Math.max(0, 4 - constant.shape.length)).fill(1), ...constant.shape];
  return permute({ ...constant, shape: padded }, [0, 3, 1, 2]);
}
