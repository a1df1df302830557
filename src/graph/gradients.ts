import { invariant } from "../tensor/errors.ts";
import { add } from "./elementwise.ts";
import { GRADIENT_RULES } from "./gradient-rules.ts";
import { type Graph, type Node, type Value, numElements } from "./graph.ts";
import { expand } from "./shape-ops.ts";

/**
 * Extends the graph by the gradients of a scalar with respect to `targets`, by reverse accumulation.
 * Only nodes on a path from a target to the loss are differentiated. A target that the loss does not
 * depend on is an error, because its gradient would silently be zero.
 */
export function gradients(loss: Value, targets: readonly Value[]): Value[] {
  invariant(numElements(loss) === 1, `the loss has shape [${loss.shape.join(", ")}], not one element`);
  const one = expand(loss.graph.scalar(1, loss.dtype), loss.shape);
  return vectorJacobian(new Map([[loss, one]]), targets);
}

/** Gradients of sum(value · seed) over all seeds: the general form, used block by block. */
export function vectorJacobian(seeds: ReadonlyMap<Value, Value>, targets: readonly Value[]): Value[] {
  const graph = [...seeds.keys()][0]?.graph;
  invariant(graph, "no values to differentiate");
  const forward = [...graph.nodes];
  const active = dependants(graph, targets);
  const adjoints = new Map<Value, Value>(seeds);
  for (const node of forward.toReversed()) {
    if (!node.outputs.some((output) => adjoints.has(output) && active.has(output))) continue;
    const rule = GRADIENT_RULES[node.op];
    invariant(rule, `no gradient rule for ${node.op}`);
    const needs = node.inputs.map((input) => input !== null && active.has(input));
    const inputAdjoints = rule(
      node,
      node.outputs.map((output) => adjoints.get(output) ?? null),
      needs,
    );
    node.inputs.forEach((input, i) => {
      const adjoint = inputAdjoints[i];
      if (!input || !adjoint || !needs[i]) return;
      const sum = adjoints.get(input);
      adjoints.set(input, sum ? add(sum, adjoint) : adjoint);
    });
  }
  return targets.map((target) => {
    const adjoint = adjoints.get(target);
    invariant(adjoint, `the loss does not depend on ${target.name}`);
    return adjoint;
  });
}

/** All values that some target influences, the targets included. */
export function dependants(graph: Graph, targets: readonly Value[]): Set<Value> {
  const active = new Set<Value>(targets);
  for (const node of graph.nodes) {
    if (touches(node, active)) for (const output of node.outputs) active.add(output);
  }
  return active;
}

function touches(node: Node, active: ReadonlySet<Value>): boolean {
  return node.inputs.some((input) => input !== null && active.has(input));
}
