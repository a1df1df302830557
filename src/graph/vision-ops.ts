import { invariant } from "../tensor/errors.ts";
import { int64 } from "../tensor/tensor.ts";
import { broadcastShapes } from "./elementwise.ts";
import { type Value, sameShape } from "./graph.ts";

// Operations of convolutional vision models on [N, C, H, W]. They only run: none has a gradient rule.

/** x where x >= 0, else slope · x; the slope broadcasts to x. */
export function prelu(x: Value, slope: Value): Value {
  invariant(
    x.dtype === slope.dtype && sameShape(broadcastShapes(x.shape, slope.shape), x.shape),
    `prelu of [${x.shape.join(", ")}] with slope [${slope.shape.join(", ")}]`,
  );
  return x.graph.emit("PRelu", [x, slope], [x])[0]!;
}

/**
 * Channels moved into blocks of pixels: [N, B·B·C, H, W] -> [N, C, H·B, W·B], channel (i·B + j)·C + c to pixel (i, j).
 */
export function depthToSpace(x: Value, blockSize: number): Value {
  invariant(
    x.rank === 4 && x.dim(1) % (blockSize * blockSize) === 0,
    `depthToSpace of [${x.shape.join(", ")}] with blocks of ${blockSize}`,
  );
  const shape = [x.dim(0), x.dim(1) / (blockSize * blockSize), x.dim(2) * blockSize, x.dim(3) * blockSize];
  const attributes = { blocksize: blockSize, mode: "DCR" };
  return x.graph.emit("DepthToSpace", [x], [{ shape, dtype: x.dtype }], { attributes })[0]!;
}

export interface PoolOptions {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  /** Pixels before and after each spatial axis that never win; none by default. */
  readonly padsBefore?: readonly number[];
  readonly padsAfter?: readonly number[];
}

/** Largest element of every window of [N, C, ...]. */
export function maxPool(x: Value, { kernel, strides, ...pads }: PoolOptions): Value {
  const before = pads.padsBefore ?? kernel.map(() => 0);
  const after = pads.padsAfter ?? kernel.map(() => 0);
  invariant(
    x.rank === kernel.length + 2,
    `pool of [${x.shape.join(", ")}] with kernel [${kernel.join(", ")}]`,
  );
  const out = kernel.map((size, i) => {
    const room = x.dim(i + 2) + before[i]! + after[i]! - size;
    invariant(room >= 0, `pool kernel [${kernel.join(", ")}] is larger than [${x.shape.join(", ")}]`);
    return Math.floor(room / strides[i]!) + 1;
  });
  const attributes = { kernel_shape: kernel, strides, pads: [...before, ...after] };
  const type = { shape: [x.dim(0), x.dim(1), ...out], dtype: x.dtype };
  return x.graph.emit("MaxPool", [x], [type], { attributes })[0]!;
}

/** Which source position an output pixel's centre falls on. */
export type PixelAlignment = "half_pixel" | "align_corners" | "asymmetric";

/** [N, C, H, W] resized to height x width by linear interpolation between the nearest pixels. */
export function resizeLinear(x: Value, height: number, width: number, alignment: PixelAlignment): Value {
  invariant(x.rank === 4, `resizeLinear of [${x.shape.join(", ")}]`);
  const shape = [x.dim(0), x.dim(1), height, width];
  const sizes = x.graph.constant(int64(shape));
  const attributes = { mode: "linear", coordinate_transformation_mode: alignment };
  return x.graph.emit("Resize", [x, null, null, sizes], [{ shape, dtype: x.dtype }], { attributes })[0]!;
}
