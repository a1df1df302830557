import { Graph, verify } from "../../graph/index.ts";
import { type Umt5Config, checkUmt5Config } from "./config.ts";
import { umt5Encoder, zeroPadding } from "./model.ts";

/** Sizes that a graph is built for. */
export interface Umt5Shape {
  /** Prompts per run, 1 by default. */
  readonly batch?: number;
  readonly numTokens: number;
}

/**
 * The text encoder as a graph: inputs `ids` and `mask` (int64 [B, L]; 1 = token, 0 = padding), output `context`
 * [B, L, dim] with zeros in padded rows.
 * @throws UserError when the sizes of the architecture do not fit together
 */
export function buildUmt5(config: Umt5Config, { batch = 1, numTokens }: Umt5Shape): Graph {
  checkUmt5Config(config);
  const graph = new Graph();
  const ids = graph.input("ids", [batch, numTokens], { dtype: "int64" });
  const mask = graph.input("mask", [batch, numTokens], { dtype: "int64" });
  graph.output("context", zeroPadding(umt5Encoder(graph.scope(), config, ids, mask).output, mask));
  verify(graph);
  return graph;
}
