import { Graph, verify } from "../../graph/index.ts";
import { type ClipVisionConfig, checkClipVisionConfig } from "./config.ts";
import { clipVision } from "./model.ts";

/** Prefix of the vision tower's keys in the published file, which holds a text tower too. */
export const CLIP_VISION_PREFIX = "visual";

/**
 * The vision tower as a graph: input `pixels` [B, 3, imageSize, imageSize], output `clipFeature` [B, L, dim].
 * @throws UserError when the sizes of the architecture do not fit together
 */
export function buildClipVision(config: ClipVisionConfig, batch = 1): Graph {
  checkClipVisionConfig(config);
  const graph = new Graph();
  const pixels = graph.input("pixels", [batch, 3, config.imageSize, config.imageSize]);
  graph.output("clipFeature", clipVision(graph.scope(CLIP_VISION_PREFIX), config, pixels).output);
  verify(graph);
  return graph;
}
