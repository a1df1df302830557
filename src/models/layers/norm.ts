import { type Scope, type Value, layerNorm, rmsNorm } from "../../graph/index.ts";

/** LayerNorm over the last axis with its own keys `weight` and `bias`. */
export function affineLayerNorm(s: Scope, x: Value, epsilon: number): Value {
  const size = [x.dim(-1)];
  return layerNorm(x, s.param("weight", size), s.param("bias", size), epsilon);
}

/** RMSNorm over the last axis with its own key `weight`. */
export function affineRmsNorm(s: Scope, x: Value, epsilon: number): Value {
  return rmsNorm(x, s.param("weight", [x.dim(-1)]), epsilon);
}
