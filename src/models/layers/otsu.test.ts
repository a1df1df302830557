import { expect, test } from "vitest";
import { Graph } from "../../graph/index.ts";
import { evaluate } from "../../graph/testing.ts";
import { float32 } from "../../tensor/tensor.ts";
import { otsu } from "./otsu.ts";

async function thresholds(maps: number[][]): Promise<{ threshold: number[]; mask: number[] }> {
  const graph = new Graph();
  const shape = [maps.length, maps[0]!.length];
  const { threshold, mask } = otsu(graph.input("maps", shape));
  graph.output("threshold", threshold);
  graph.output("mask", mask);
  const result = await evaluate(graph, { maps: float32(maps.flat(), shape) });
  return {
    threshold: Array.from(result["threshold"]!.data, Number),
    mask: Array.from(result["mask"]!.data, Number),
  };
}

test("two levels are parted at the centre of the lower level's bin", async () => {
  const { threshold, mask } = await thresholds([[0.098, 0.098, 0.8, 0.098, 0.8, 1]]);
  expect(threshold).toEqual([(25 + 0.5) / 256]);
  expect(mask).toEqual([0, 0, 1, 0, 1, 1]);
});

test("each map has its own threshold; a flat map gets that of bin 0", async () => {
  const { threshold, mask } = await thresholds([
    [0.5, 0.5, 0.5],
    [0, 0, 0],
    [0, 0.4, 0.9],
  ]);
  expect(threshold.slice(0, 2)).toEqual([0.5 / 256, 0.5 / 256]);
  expect(mask.slice(0, 6)).toEqual([1, 1, 1, 0, 0, 0]);
  expect(mask.slice(6)).toEqual([0, 0, 1]);
});
