import { type Attribute, type Graph, type Value } from "./graph.ts";

/**
 * A graph as text, one value a line, for snapshots and for reading. Values are numbered in order of appearance, so
 * the text depends on what is computed and not on how names were given out.
 */
export function graphToText(graph: Graph): string {
  const names = new Map<Value, string>();
  for (const value of [...graph.inputs.values(), ...graph.params.values()]) names.set(value, value.name);
  const nameOf = (value: Value | null): string => {
    if (value === null) return "-";
    return names.get(value) ?? constantText(graph, value);
  };
  const shaped = (value: Value): string => `${value.dtype}[${value.shape.join(", ")}]`;

  const lines = [...graph.inputs].map(([name, value]) => `input ${name} ${shaped(value)}`);
  lines.push(...[...graph.params].map(([name, value]) => `param ${name} ${shaped(value)}`));
  let count = 0;
  for (const { op, inputs, outputs, attributes } of graph.nodes) {
    const call = [...inputs.map(nameOf), ...Object.entries(attributes).map(attributeText)].join(", ");
    for (const output of outputs) names.set(output, `%${count++}`);
    lines.push(
      `${outputs.map((output) => `${nameOf(output)} ${shaped(output)}`).join(", ")} = ${op}(${call})`,
    );
  }
  lines.push(...[...graph.outputs].map(([name, value]) => `output ${name} = ${nameOf(value)}`));
  return `${lines.join("\n")}\n`;
}

/** Small constants by their elements, large ones by their shape. */
function constantText(graph: Graph, value: Value): string {
  const data = graph.constants.get(value.name)?.data;
  if (!data || data.length > 8) return `constant[${value.shape.join(", ")}]`;
  const elements = Array.from(data, String).join(" ");
  return value.rank === 0 ? elements : `[${elements}]`;
}

function attributeText([name, value]: [string, Attribute]): string {
  if (typeof value === "object") return `${name}=${"float" in value ? value.float : `[${value.join(" ")}]`}`;
  return `${name}=${value}`;
}
