/** For tests: a group of processes whose members live in this one. */
import { type TrainingGroup } from "./group.ts";

/** Members of one group; each exchange waits until all have called for it. */
export function groupHere(size: number): TrainingGroup[] {
  let given: { values: Float32Array; done: () => void }[] = [];
  const exchange = (rank: number, values: Float32Array, combine: (all: Float32Array[]) => Float32Array) =>
    new Promise<void>((resolve) => {
      given[rank] = { values, done: resolve };
      if (Object.keys(given).length < size) return;
      const all = given;
      given = [];
      const result = combine(all.map((entry) => entry.values));
      for (const entry of all) {
        entry.values.set(result);
        entry.done();
      }
    });
  return Array.from({ length: size }, (_, rank) => ({
    rank,
    size,
    sum: (values) =>
      exchange(rank, values, ([first, ...others]) =>
        others.reduce((sum, other) => sum.map((x, i) => x + other[i]!), first!),
      ),
    share: (values) => exchange(rank, values, ([first]) => first!),
    takeTimes: () => ({ waitMs: 0, exchangeMs: 0 }),
  }));
}
