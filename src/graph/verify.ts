import { invariant } from "../tensor/errors.ts";
import { type Graph, type Node, type Value } from "./graph.ts";

/** Inputs of an op that may have free axes: attention keys and values, and what such are widened and scaled from. */
const FREE_AXIS_INPUTS: Readonly<Record<string, readonly number[]>> = {
  MultiHeadAttention: [1, 2],
  Cast: [0],
  Mul: [0, 1],
};

/** Ops whose output has the free axes of their inputs. */
const ELEMENTWISE: ReadonlySet<string> = new Set(["Cast", "Mul"]);

/**
 * Checks a finished graph: every value is defined before it is used, every input, parameter and constant is used,
 * there is an output, and inputs with free axes feed only ops that take them. Throws on the first fault.
 */
export function verify(graph: Graph): void {
  invariant(graph.outputs.size > 0, "the graph has no output");
  const defined = new Set<Value>([...graph.inputs.values(), ...graph.params.values()]);
  const used = new Set<Value>(graph.outputs.values());
  const free = new Set<Value>([...graph.inputs.values()].filter(({ name }) => graph.freeAxes.has(name)));
  for (const node of graph.nodes) {
    node.inputs.forEach((input, position) => {
      if (input === null) return;
      used.add(input);
      invariant(
        defined.has(input) || graph.constants.has(input.name),
        `${node.op} reads ${input.name} before it is computed`,
      );
      if (free.has(input)) checkFreeAxes(node, input, position);
    });
    if (ELEMENTWISE.has(node.op) && node.inputs.some((input) => input && free.has(input))) {
      free.add(node.outputs[0]!);
    }
    for (const output of node.outputs) defined.add(output);
  }
  for (const [name, value] of [...graph.inputs, ...graph.params]) {
    invariant(used.has(value), `nothing uses the input or parameter ${name}`);
  }
}

function checkFreeAxes(node: Node, input: Value, position: number): void {
  invariant(
    FREE_AXIS_INPUTS[node.op]?.includes(position),
    `${input.name} has a free axis, but input ${position} of ${node.op} needs a fixed shape`,
  );
}

/** Removes nodes, inputs, parameters and constants that no output depends on. */
export function prune(graph: Graph): void {
  const needed = new Set<Value>(graph.outputs.values());
  const kept: Node[] = [];
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((output) => needed.has(output))) continue;
    kept.push(node);
    for (const input of node.inputs) if (input) needed.add(input);
  }
  graph.nodes.splice(0, graph.nodes.length, ...kept.toReversed());
  const names = new Set([...needed].map((value) => value.name));
  for (const values of [graph.inputs, graph.params, graph.constants]) {
    for (const name of values.keys()) if (!names.has(name)) values.delete(name);
  }
}
