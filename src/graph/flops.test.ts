import { expect, test } from "vitest";
import { countFlops } from "./flops.ts";
import { Graph, add, attention, conv, gemm, matmul } from "./index.ts";

test("counts a multiplication and its addition as two operations", () => {
  const count = (build: (graph: Graph) => void): number => {
    const graph = new Graph();
    build(graph);
    return countFlops(graph);
  };
  expect(count((g) => gemm(g.input("a", [3, 5]), g.input("b", [7, 5]), null, { transB: true }))).toBe(
    2 * 3 * 5 * 7,
  );
  expect(count((g) => gemm(g.input("a", [5, 3]), g.input("b", [5, 7]), null, { transA: true }))).toBe(
    2 * 3 * 5 * 7,
  );
  expect(count((g) => matmul(g.input("a", [2, 3, 5]), g.input("b", [5, 7])))).toBe(2 * 2 * 3 * 5 * 7);
  expect(count((g) => conv(g.input("x", [1, 3, 6, 6]), g.input("w", [4, 3, 3, 3])))).toBe(
    2 * 4 * 4 * 4 * 3 * 9,
  );
  const qkv = (g: Graph) =>
    attention(g.input("q", [2, 9, 8]), g.input("k", [2, 5, 8]), g.input("v", [2, 5, 8]), 2);
  expect(count(qkv)).toBe(2 * (2 * 2 * 9 * 5 * 8));
  expect(count((g) => add(g.input("a", [8]), g.input("b", [8])))).toBe(0);
});
