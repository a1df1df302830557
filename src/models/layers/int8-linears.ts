/** The int8 pass of the graph, for those linear layers of the denoiser that stand it. */
import { type Graph, type LinearGroup, linearGroups } from "../../graph/index.ts";
import { INT8_TARGETS } from "./smooth-quant.ts";

export {
  embedParams,
  type LinearGroup,
  observeLinears,
  observedName,
  quantizeLinears,
  quantizedKeys,
  smoothingKeys,
} from "../../graph/index.ts";

/** The linear layers of a denoiser's graph that can be computed in int8, by what they read. */
export function int8LinearGroups(graph: Graph): LinearGroup[] {
  return linearGroups(graph, INT8_TARGETS);
}
