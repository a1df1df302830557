/** Compares what happens inside a graph with the tensors of a fixture that bear the same names. */
import { type Graph, type Value } from "../../graph/index.ts";
import { type Checkpoint } from "../../runtime/safetensors.ts";
import { type Tensor } from "../../tensor/tensor.ts";
import { prepare, readParams } from "./dit-fixture.ts";
import { type ParityRow, compare, parityRow } from "./rows.ts";

/** A graph with all it needs to run. */
export interface NamedRun {
  readonly graph: Graph;
  /** Values of the graph by the names that golden tensors have after the name of their case. */
  readonly values: ReadonlyMap<string, Value>;
  readonly feeds: Readonly<Record<string, Tensor>>;
  /** Hold every parameter of the graph; the first file that has a key counts. */
  readonly weights: readonly Checkpoint[];
}

/**
 * Runs a graph and compares every golden tensor `CASE.NAME` with the value of that name, relative to the largest
 * golden value. A golden tensor that no value answers to is a miss.
 * @param others names that are checked elsewhere
 */
export async function compareNamedValues(
  caseName: string,
  golden: Checkpoint,
  { graph, values, feeds, weights }: NamedRun,
  tolerance: number,
  others: readonly string[] = [],
): Promise<ParityRow[]> {
  const wanted = [...golden.tensors.keys()]
    .filter((key) => key.startsWith(`${caseName}.`))
    .map((key) => key.slice(caseName.length + 1))
    .filter((name) => !others.includes(name));
  for (const name of wanted) {
    const value = values.get(name);
    if (value) graph.output(name, value);
  }
  const find = (key: string): Checkpoint => weights.find((file) => file.tensors.has(key)) ?? weights.at(-1)!;
  const engine = await prepare(graph, await readParams(graph, find));
  const results = await engine.run(feeds);
  await engine.release();

  const rows: ParityRow[] = [];
  for (const name of wanted) {
    const key = `${caseName}.${name}`;
    const result = results[name];
    rows.push(
      result
        ? compare(key, result, await golden.readTensor(key), "relative", tolerance)
        : parityRow(`${key} (unknown tensor)`, Infinity, tolerance),
    );
  }
  return rows;
}
