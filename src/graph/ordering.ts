import { add, cast, mul } from "./elementwise.ts";
import { int64 } from "../tensor/tensor.ts";
import { type Value } from "./graph.ts";
import { reshape, sliceAxes } from "./shape-ops.ts";

/**
 * `x` itself, unchanged and not copied, but unknown to the engine until all of `earlier` are computed. The engine
 * chooses the order of a graph's nodes, not its writer, and computes as early as it can what depends on constants
 * alone; where that order decides how much memory a run takes, it has to follow from the data.
 *
 * A Reshape of `x` to its own shape, to which an element of every earlier value is added zero times.
 */
export function after(x: Value, earlier: readonly Value[]): Value {
  const { graph } = x;
  const elements = earlier.map((value) => {
    const first = sliceAxes(
      value,
      value.shape.map((_, axis) => ({ axis, start: 0, end: 1 })),
    );
    return mul(cast(reshape(first, [1]), "int64"), 0);
  });
  const shape = elements.reduce((sum, zero) => add(sum, zero), graph.constant(int64(x.shape)));
  return graph.emit("Reshape", [x, shape], [x])[0]!;
}
