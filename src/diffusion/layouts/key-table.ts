/** Tables between the names that others give to weights and the keys of the original checkpoints, which are ours. */
import { type TensorSource } from "../../runtime/mapped-checkpoint.ts";

/**
 * One row of a table: a path of ours and theirs. A `*` stands for a number, the same on both sides in turn; what
 * follows the path (`.weight`, `.bias`) is the same on both sides.
 */
export interface KeyRow {
  readonly ours: string;
  readonly theirs: string;
  /** Where several of theirs make one of ours: which of them this is. */
  readonly part?: number;
  /** Axes of ours, where theirs lacks leading axes of length 1. */
  readonly rank?: number;
}

/** Rows from pairs of ours and theirs. */
export function rows(pairs: Readonly<Record<string, string>>): KeyRow[] {
  return Object.entries(pairs).map(([ours, theirs]) => ({ ours, theirs }));
}

const NUMBER = String.raw`(\d{1,4})`;
const ENDING = String.raw`((?:\.(?:weight|bias|gamma))?)`;

function matcher(path: string): RegExp {
  return new RegExp(`^${path.replaceAll(".", String.raw`\.`).replaceAll("*", NUMBER)}${ENDING}$`);
}

/** Fills a path with the numbers and the ending of a match. */
function fill(path: string, match: RegExpExecArray): string {
  const found = match.slice(1);
  const ending = found.pop()!;
  return path.replaceAll("*", () => found.shift()!) + ending;
}

/**
 * Where each of our keys lies in a file of theirs. Names that no row knows are left out.
 * @param names of the file
 */
export function sourcesOf(table: readonly KeyRow[], names: Iterable<string>): Map<string, TensorSource> {
  const compiled = table.map((row) => ({ ...row, pattern: matcher(row.theirs) }));
  const parts = new Map<string, { names: string[]; rank: number | undefined; numParts: number }>();
  for (const name of names) {
    for (const { ours, pattern, part = 0, rank } of compiled) {
      const match = pattern.exec(name);
      if (!match) continue;
      const key = fill(ours, match);
      const source = parts.get(key) ?? { names: [], rank, numParts: 0 };
      source.names[part] = name;
      source.numParts = numPartsOf(table, ours);
      parts.set(key, source);
      break;
    }
  }
  // A tensor that lacks a part is missing as a whole.
  const whole = [...parts].filter(([, source]) => Object.keys(source.names).length === source.numParts);
  return new Map(whole.map(([key, source]) => [key, { names: source.names, rank: source.rank }]));
}

function numPartsOf(table: readonly KeyRow[], ours: string): number {
  return table.filter((row) => row.ours === ours).length;
}

/** Their names of one of our keys: one, or several parts; empty where the table has none. */
export function theirNames(table: readonly KeyRow[], key: string): string[] {
  const names: string[] = [];
  for (const { ours, theirs, part = 0 } of table) {
    const match = matcher(ours).exec(key);
    if (match) names[part] = fill(theirs, match);
  }
  return names;
}
