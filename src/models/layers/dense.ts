import { type Scope, type Value, linear } from "../../graph/index.ts";

/** x W^T + b over the last axis; keys `weight` [outDim, inDim] and `bias` [outDim]. */
export function dense(s: Scope, x: Value, outDim: number): Value {
  return linear(x, s.param("weight", [outDim, x.dim(-1)]), s.param("bias", [outDim]));
}
