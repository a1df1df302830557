import { type Graph, type Node, type Value, gemm, mul } from "../../graph/index.ts";
import { invariant } from "../../tensor/errors.ts";

/** Weights the paper adapts: every linear layer of self-attention, cross-attention (text) and feed-forward. */
export const LORA_TARGETS = /(?:^|\.)blocks\.\d+\.(?:(?:self|cross)_attn\.[qkvo]|ffn\.[02])\.weight$/;

export interface LoraOptions {
  readonly rank: number;
  /** Multiplies B A: alpha / rank (1 in the paper), or 1 where B has been scaled before. */
  readonly scale: number;
  /** Checkpoint keys of the weights to adapt. */
  readonly targets: RegExp;
}

/** The low-rank pair of one weight [out, in]: keys `….lora_A.weight` [rank, in] and `….lora_B.weight` [out, rank]. */
export interface LoraParams {
  readonly a: Value;
  readonly b: Value;
}

/**
 * Adds a low-rank pair to linear layers of a finished forward graph: x Wᵀ + b becomes x Wᵀ + b + scale (x Aᵀ) Bᵀ.
 * To be called before gradients are built; training then differentiates the pairs and leaves W alone.
 * @returns the new parameters by the key of the weight they adapt
 */
export function addLora(graph: Graph, { rank, scale, targets }: LoraOptions): Map<string, LoraParams> {
  const added = new Map<string, LoraParams>();
  for (const node of graph.nodes.splice(0)) {
    const weight = node.op === "Gemm" ? node.inputs[1] : null;
    const isTarget = weight && graph.params.get(weight.name) === weight && targets.test(weight.name);
    graph.nodes.push(isTarget ? adapt(graph, node, weight, rank, scale, added) : node);
  }
  invariant(added.size > 0, `no linear layer of the graph matches ${targets}`);
  return added;
}

/** The same layer with the low-rank term in place of its bias, which a Gemm adds for nothing. */
function adapt(
  graph: Graph,
  node: Node,
  weight: Value,
  rank: number,
  scale: number,
  added: Map<string, LoraParams>,
): Node {
  invariant(
    node.attributes["transB"] === 1 && node.attributes["transA"] === 0,
    `${weight.name} is not [out, in]`,
  );
  const [x, , bias = null] = node.inputs as readonly (Value | null)[];
  const stem = weight.name.replace(/weight$/, "");
  const a = graph.param(`${stem}lora_A.weight`, [rank, weight.dim(1)], weight.dtype);
  const b = graph.param(`${stem}lora_B.weight`, [weight.dim(0), rank], weight.dtype);
  added.set(weight.name, { a, b });
  const inner = gemm(x!, a, null, { transB: true });
  const term = gemm(scale === 1 ? inner : mul(inner, scale), b, bias, { transB: true });
  return { ...node, inputs: [x!, weight, term] };
}
