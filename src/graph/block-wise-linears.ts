/** Linear layers over weights that are stored in blocks of 8 or 4 bits. */
import { type BlockBits, BLOCK_SIZE, blockBytes } from "../tensor/block-wise.ts";
import { type Graph, type Node } from "./graph.ts";

/** Keys of what is stored in the place of a weight [out, in]. */
export interface BlockWiseKeys {
  /** uint8 [out, in / 32, bytes of a block] */
  readonly values: string;
  /** float32 [out, in / 32] */
  readonly scale: string;
}

export function blockWiseKeys(weight: string, bits: BlockBits): BlockWiseKeys {
  return { values: `${weight}_q${bits}`, scale: `${weight}_scale` };
}

/** Keys of the parameters that are weights [out, in] of linear layers and nothing else. */
export function linearParams(graph: Graph): Set<string> {
  const keys = new Set<string>();
  const others = new Set<string>([...graph.outputs.values()].map(({ name }) => name));
  for (const node of graph.nodes) {
    const weight = weightOf(node);
    for (const input of node.inputs) {
      if (!input || !graph.params.has(input.name)) continue;
      (input.name === weight ? keys : others).add(input.name);
    }
  }
  return new Set([...keys].filter((key) => !others.has(key)));
}

/**
 * Lets linear layers read their weights in blocks. The engine widens one weight at a time, when a run comes to it.
 * Parameters have other keys then, see `blockWiseKeys`. Nothing can be differentiated through the result.
 * @param bitsOf by key; the keys are among `linearParams(graph)`
 */
export function readBlocks(graph: Graph, bitsOf: ReadonlyMap<string, BlockBits>): void {
  for (const node of graph.nodes.splice(0)) {
    const weight = weightOf(node);
    const bits = weight === null ? undefined : bitsOf.get(weight);
    if (weight === null || bits === undefined) graph.nodes.push(node);
    else emitProduct(graph, node, weight, bits);
  }
  for (const key of bitsOf.keys()) graph.params.delete(key);
}

/** The name of what a node multiplies with as a linear layer does; null for other nodes. */
function weightOf({ op, inputs, attributes }: Node): string | null {
  return op === "Gemm" && attributes["transB"] === 1 && attributes["transA"] === 0 ? inputs[1]!.name : null;
}

function emitProduct(graph: Graph, node: Node, key: string, bits: BlockBits): void {
  const [x, weight, bias = null] = node.inputs;
  const [output] = node.outputs;
  const [out, width] = weight!.shape as [number, number];
  const keys = blockWiseKeys(key, bits);
  const numBlocks = width / BLOCK_SIZE;
  const values = graph.param(keys.values, [out, numBlocks, blockBytes(bits)], "uint8");
  const scale = graph.param(keys.scale, [out, numBlocks], "float32");
  const product: Omit<Node, "outputs"> = {
    op: "MatMulNBits",
    domain: "com.microsoft",
    inputs: [x!, values, scale],
    attributes: { K: width, N: out, bits, block_size: BLOCK_SIZE },
  };
  if (bias === null) {
    graph.nodes.push({ ...product, outputs: node.outputs });
    return;
  }
  const { op, inputs, domain, attributes } = product;
  const [sum] = graph.emit(op, inputs, [output!], { domain, attributes });
  graph.nodes.push({ op: "Add", domain: "", inputs: [sum!, bias], outputs: node.outputs, attributes: {} });
}
