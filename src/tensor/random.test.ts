import { describe, expect, it } from "vitest";
import { Random } from "./random.ts";

const draw = <T>(count: number, next: () => T): T[] => Array.from({ length: count }, next);
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

describe("Random", () => {
  it("gives these numbers on every machine", () => {
    const random = new Random(42);
    expect(draw(4, () => random.bits())).toEqual([1406438423, 4278366418, 3512996562, 1946573877]);
    expect(random.fork("noise").fork(3).normals(2)).toEqual(
      Float32Array.of(0.6451361775398254, -0.8907776474952698),
    );
  });

  it("repeats with its seed and differs with another", () => {
    const numbers = (seed: number | string): number[] => {
      const random = new Random(seed);
      return draw(8, () => random.uniform());
    };
    expect(numbers(1)).toEqual(numbers(1));
    expect(numbers(1)).not.toEqual(numbers(2));
    expect(numbers("clip-1")).not.toEqual(numbers("clip-2"));
  });

  it("forks by name, whatever was drawn before", () => {
    const fresh = new Random(7);
    const used = new Random(7);
    draw(100, () => used.normal());
    expect(used.fork("a").bits()).toBe(fresh.fork("a").bits());
    const streams = ["a", "b", "a/b", "1:a", 1, 2].map((name) => fresh.fork(name).bits());
    streams.push(fresh.fork("a").fork("b").bits(), fresh.bits());
    expect(new Set(streams).size).toBe(streams.length);
  });

  it("is uniform: mean, variance, all bits, and no correlation of neighbours", () => {
    const random = new Random(3);
    const values = draw(100_000, () => random.uniform());
    expect(mean(values)).toBeCloseTo(0.5, 2);
    expect(mean(values.map((x) => (x - 0.5) ** 2))).toBeCloseTo(1 / 12, 3);
    expect(mean(values.slice(1).map((x, i) => (x - 0.5) * (values[i]! - 0.5)))).toBeCloseTo(0, 3);
    expect(values.every((x) => x >= 0 && x < 1)).toBe(true);
    const words = draw(20_000, () => random.bits());
    for (let bit = 0; bit < 32; bit++)
      expect(mean(words.map((word) => (word >>> bit) & 1))).toBeCloseTo(0.5, 1);
  });

  it("is normal: mean, variance, kurtosis", () => {
    const values = [...new Random(4).normals(100_000)];
    expect(mean(values)).toBeCloseTo(0, 1);
    expect(mean(values.map((x) => x ** 2))).toBeCloseTo(1, 1);
    expect(mean(values.map((x) => x ** 4))).toBeCloseTo(3, 0);
  });

  it("keeps ranges, probabilities and choices", () => {
    const random = new Random(5);
    const counts = [0, 0, 0];
    for (const i of draw(30_000, () => random.integer(3))) counts[i]!++;
    for (const count of counts) expect(count / 10_000).toBeCloseTo(1, 1);
    expect(random.integer(1)).toBe(0);
    expect(Math.max(...draw(1000, () => random.integer(2 ** 32)))).toBeGreaterThan(2 ** 31);
    const values = draw(1000, () => random.uniform(-3, -2));
    expect(Math.min(...values)).toBeGreaterThanOrEqual(-3);
    expect(Math.max(...values)).toBeLessThan(-2);
    expect(mean(draw(30_000, () => Number(random.chance(0.1))))).toBeCloseTo(0.1, 2);
    expect(new Set(draw(100, () => random.choice(["x", "y"])))).toEqual(new Set(["x", "y"]));
  });
});
