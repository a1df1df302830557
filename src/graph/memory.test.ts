import { expect, test } from "vitest";
import { Graph, add, concat, mul, reshape } from "./index.ts";
import { paramBytes, peakActivationBytes } from "./memory.ts";

test("counts what exists at the same time", () => {
  const graph = new Graph();
  const x = graph.input("x", [10]);
  const a = mul(x, graph.param("w", [10]));
  const b = add(a, 1);
  const view = reshape(b, [2, 5]);
  const c = add(view, 1);
  graph.output("y", concat([c, c], 0));
  expect(paramBytes(graph)).toBe(40);
  // a and b; b and c, of which the view is no third; c and the output of twice its size.
  expect(peakActivationBytes(graph)).toBe(40 + 80);
});

test("outputs stay to the end, and results that nobody reads are not made", () => {
  const graph = new Graph();
  const x = graph.input("x", [10]);
  const early = add(x, 1);
  graph.output("early", early);
  mul(x, 3);
  graph.output("late", add(add(early, 1), 2));
  expect(peakActivationBytes(graph)).toBe(3 * 40);
});
