import { openCheckpoint } from "../../../runtime/checkpoint.ts";
import type { Checkpoint } from "../../../runtime/safetensors.ts";
import { printable } from "../../../runtime/quote.ts";
import { formatBytes, formatCount } from "../quantities.ts";
import { textTable } from "../text-table.ts";

/** Longest value of the metadata that is shown. */
const MAX_METADATA_CHARS = 100;

/** Tensors of a safetensors file or a directory of shards, those that differ only in numbers of their names as one. */
export async function describeCheckpoint(path: string): Promise<string> {
  const checkpoint = await openCheckpoint(path);
  const metadata = [...checkpoint.metadata].map(([name, value]) => [
    printable(name),
    printable(value.length > MAX_METADATA_CHARS ? `${value.slice(0, MAX_METADATA_CHARS)} …` : value),
  ]);
  const groups = groupByPattern(checkpoint.tensors, ({ dtype, shape }) => [dtype, shape]);
  const rows = groups.map(({ pattern, entries, first }) => [
    pattern,
    entries > 1 ? `x ${entries}` : "",
    first.dtype,
    `[${first.shape.join(", ")}]`,
  ]);
  return [
    `checkpoint, ${summary(checkpoint)}`,
    ...(metadata.length > 0 ? [textTable(metadata)] : []),
    textTable(rows, ["left", "right"]),
  ].join("\n");
}

/** How many tensors and parameters, of which types, in how many bytes. */
export function summary({ tensors }: Checkpoint): string {
  const entries = [...tensors.values()];
  const parameters = sum(entries.map(({ shape }) => shape.reduce((product, dim) => product * dim, 1)));
  const dtypes = [...new Set(entries.map(({ dtype }) => dtype))].sort().join(" + ");
  const bytes = formatBytes(sum(entries.map(({ byteLength }) => byteLength)));
  return `${entries.length} tensors, ${formatCount(parameters)} parameters, ${dtypes || "empty"}, ${bytes}`;
}

/** Entries whose names differ only in numbers and which `kindOf` calls the same. */
export interface Group<T> {
  /** The name, with sets of numbers such as `blocks.{0-29}.norm.weight`. */
  readonly pattern: string;
  readonly entries: number;
  readonly first: T;
}

export function groupByPattern<T>(
  named: Iterable<readonly [string, T]>,
  kindOf: (entry: T) => unknown,
): Group<T>[] {
  const groups = new Map<string, { parts: string[]; numbers: Set<number>[]; entries: T[] }>();
  for (const [name, entry] of named) {
    // Odd positions are the numbers between dots.
    const parts = name.split(/(?<=^|\.)(\d{1,9})(?=\.|$)/);
    const words = parts.filter((_, i) => i % 2 === 0);
    const key = JSON.stringify([words, kindOf(entry)]);
    const group = groups.get(key) ?? {
      parts: words,
      numbers: words.slice(1).map(() => new Set()),
      entries: [],
    };
    group.numbers.forEach((set, i) => set.add(Number(parts[2 * i + 1])));
    group.entries.push(entry);
    groups.set(key, group);
  }
  return [...groups.values()].map(({ parts, numbers, entries }) => ({
    pattern: parts.map((word, i) => word + (numbers[i] ? setOf(numbers[i]) : "")).join(""),
    entries: entries.length,
    first: entries[0]!,
  }));
}

/** {0, 1, 2, 5} -> "{0-2,5}"; a single number stays as it is. */
function setOf(numbers: ReadonlySet<number>): string {
  const sorted = [...numbers].sort((a, b) => a - b);
  if (sorted.length === 1) return `${sorted[0]}`;
  const runs: [first: number, last: number][] = [];
  for (const number of sorted) {
    const run = runs.at(-1);
    if (run && number === run[1] + 1) run[1] = number;
    else runs.push([number, number]);
  }
  return `{${runs.map(([first, last]) => (first === last ? first : `${first}-${last}`)).join(",")}}`;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
