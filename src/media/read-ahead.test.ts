import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { readAhead } from "./read-ahead.ts";

/** Counts up, noting what it does; fails instead of giving the value `failsAt`. */
class Source {
  numMade = 0;
  isEnded = false;
  private numAtWork = 0;

  async *values(count: number, failsAt = Infinity): AsyncGenerator<number> {
    try {
      for (let value = 0; value < count; value++) {
        expect(++this.numAtWork).toBe(1);
        await turn();
        this.numAtWork--;
        if (value === failsAt) throw new Error(`no ${value}`);
        this.numMade++;
        yield value;
      }
    } finally {
      this.isEnded = true;
    }
  }
}

async function taken<T>(values: AsyncIterable<T>, into: T[] = []): Promise<T[]> {
  for await (const value of values) into.push(value);
  return into;
}

describe("readAhead", () => {
  test.each([0, 1, 3, 20])("gives the same values in the same order, %i ahead", async (depth) => {
    expect(await taken(readAhead(new Source().values(10), depth))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(await taken(readAhead(["a", "b", "c"], depth))).toEqual(["a", "b", "c"]);
    expect(await taken(readAhead([], depth))).toEqual([]);
  });

  test("works while its taker does, and no farther than told", async () => {
    const source = new Source();
    const numAhead: number[] = [];
    for await (const value of readAhead(source.values(9), 2)) {
      for (let i = 0; i < 20; i++) await turn();
      numAhead.push(source.numMade - value - 1);
    }
    expect(numAhead).toEqual([2, 2, 2, 2, 2, 2, 2, 1, 0]);
  });

  test("fails where its source does, after all values before", async () => {
    const source = new Source();
    const values: number[] = [];
    await expect(taken(readAhead(source.values(9, 4), 3), values)).rejects.toThrow("no 4");
    expect(values).toEqual([0, 1, 2, 3]);
    expect(source.isEnded).toBe(true);
  });

  test("ends its source when the taker stops, a failure ahead unheard", async () => {
    const [source, failing] = [new Source(), new Source()];
    for await (const value of readAhead(source.values(100), 3)) if (value === 1) break;
    expect(source.isEnded).toBe(true);
    expect(source.numMade).toBe(5);
    for await (const _ of readAhead(failing.values(9, 2), 3)) break;
    expect(failing.isEnded).toBe(true);
  });
});
