import { expect, test } from "vitest";
import { countEffort } from "./effort.ts";
import { countFlops } from "./flops.ts";
import { Graph, add, conv, gather, matmul, reshape } from "./index.ts";

/** Operations beyond the arithmetic, in bytes that are moved. */
function movedBytes(build: (graph: Graph) => void): number {
  const graph = new Graph();
  build(graph);
  return (countEffort(graph) - countFlops(graph)) / 7.5;
}

test("what operations read and write takes time, views do not", () => {
  const product = movedBytes((g) => matmul(g.input("a", [3, 5]), g.input("b", [5, 7])));
  expect(product).toBeCloseTo(4 * (15 + 35 + 21));
  expect(movedBytes((g) => add(g.input("a", [8]), g.input("b", [8])))).toBeCloseTo(4 * 3 * 8);
  expect(movedBytes((g) => reshape(g.input("a", [8]), [2, 4]))).toBe(0);
});

test("a lookup reads its rows, not its table; a convolution gathers what its kernel sees", () => {
  const rows = movedBytes((g) =>
    gather(g.param("table", [1000, 4]), g.input("ids", [3], { dtype: "int64" })),
  );
  expect(rows).toBeCloseTo(2 * 4 * 12);
  const [x, w, y] = [3 * 6 * 6, 4 * 3 * 9, 4 * 16];
  const convolution = movedBytes((g) => conv(g.input("x", [1, 3, 6, 6]), g.input("w", [4, 3, 3, 3])));
  expect(convolution).toBeCloseTo(4 * (x + w + y + 16 * 3 * 9));
});
