import { getHeapSnapshot } from "node:v8";

/** The parts of a heap snapshot's format that are read here. */
interface HeapSnapshot {
  readonly snapshot: { readonly meta: { readonly node_fields: readonly string[] } };
  /** The fields of one node after those of another. */
  readonly nodes: readonly number[];
  readonly strings: readonly string[];
}

/**
 * Bytes of all array buffers of this thread that something refers to, from a heap snapshot: it stops the thread for
 * about a second. Unlike the counters of `process.memoryUsage`, it leaves out what awaits a garbage collection and
 * what was handed to an engine's thread, so that equal states give equal numbers.
 */
export function reachableBytes(): number {
  const stream = getHeapSnapshot().setEncoding("utf8");
  const parts: string[] = [];
  for (let part = stream.read() as string | null; part !== null; part = stream.read() as string | null) {
    parts.push(part);
  }
  const { snapshot, nodes, strings } = JSON.parse(parts.join("")) as HeapSnapshot;
  const fields = snapshot.meta.node_fields;
  const [name, size] = [fields.indexOf("name"), fields.indexOf("self_size")];
  const arrayData = strings.indexOf("system / JSArrayBufferData");
  let sum = 0;
  for (let node = 0; node < nodes.length; node += fields.length) {
    if (nodes[node + name] === arrayData) sum += nodes[node + size]!;
  }
  return sum;
}
