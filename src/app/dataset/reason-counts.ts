import type { Rejection } from "../../training/dataset-index.ts";

/** Kinds of reasons with their numbers, the most frequent first. What differs from clip to clip is left out. */
export function reasonCounts(rejected: readonly Rejection[]): { reason: string; count: number }[] {
  const counts = new Map<string, number>();
  for (const { reason } of rejected) {
    const kind = reason.split(/[:;]/)[0]!.replaceAll(/\d+(?:\.\d+)?/g, "n");
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return [...counts].map(([reason, count]) => ({ reason, count })).sort((a, b) => b.count - a.count);
}
