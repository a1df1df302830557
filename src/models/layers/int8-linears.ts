/** The int8 pass of the graph, for those linear layers of the denoiser that stand it. */
import {
  type Graph,
  type LinearGroup,
  linearGroups,
  quantizedKeys,
  smoothingKeys,
} from "../../graph/index.ts";
import { type Tensor, float32, tensor } from "../../tensor/tensor.ts";
import { INT8_TARGETS, type QuantizedWeight, type Smoothing } from "./smooth-quant.ts";

export {
  blockWiseKeys,
  embedParams,
  type LinearGroup,
  observeLinears,
  observedName,
  quantizedKeys,
  quantizeLinears,
  smoothingKeys,
} from "../../graph/index.ts";

/** The linear layers of a denoiser's graph that can be computed in int8, by what they read. */
export function int8LinearGroups(graph: Graph): LinearGroup[] {
  return linearGroups(graph, INT8_TARGETS);
}

/** Parameters that a quantised graph has for a group: see `SmoothingKeys`. */
export function smoothingParams(group: string, { mean, factors, zeroPoint }: Smoothing): Map<string, Tensor> {
  const keys = smoothingKeys(group);
  return new Map<string, Tensor>([
    [keys.mean, float32(mean)],
    [keys.factors, float32(factors)],
    [keys.zeroPoint, tensor("uint8", [], Uint8Array.of(zeroPoint))],
  ]);
}

/** Parameters that a quantised graph has in the place of a weight: see `QuantizedKeys`. */
export function quantizedParams(
  key: string,
  { values, scale, offset }: QuantizedWeight,
): Map<string, Tensor> {
  const keys = quantizedKeys(key);
  return new Map<string, Tensor>([
    [keys.values, values],
    [keys.scale, scale],
    [keys.offset, offset],
  ]);
}
