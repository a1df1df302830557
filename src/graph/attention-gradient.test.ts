import { describe, expect, test } from "vitest";
import { type Tensor } from "../tensor/tensor.ts";
import { attentionChunks, attentionGradient } from "./attention-gradient.ts";
import { Graph } from "./graph.ts";
import { peakActivationBytes } from "./memory.ts";
import { attention } from "./nn-ops.ts";
import { evaluate, sampleTensor } from "./testing.ts";

const NEEDS_ALL = [true, true, true];

/** Adjoints of attention over 7 queries and 5 keys in 3 heads, two samples. */
async function adjoints(maxWeights: number, needs = NEEDS_ALL): Promise<Record<string, Tensor>> {
  const graph = new Graph();
  const shapes = { q: [2, 7, 12], k: [2, 5, 12], v: [2, 5, 12], g: [2, 7, 12] };
  const input = (name: keyof typeof shapes) => graph.input(name, shapes[name]);
  const [q, k, v, g] = [input("q"), input("k"), input("v"), input("g")];
  const y = attention(q, k, v, 3);
  attentionGradient({ g, y, q, k, v }, 3, needs, maxWeights).forEach((adjoint, i) => {
    if (adjoint) graph.output(["dq", "dk", "dv"][i]!, adjoint);
  });
  const feeds = Object.entries(shapes).map(
    ([name, shape], i) => [name, sampleTensor(shape, i + 1, { dtype: "float32" }) as Tensor] as const,
  );
  return evaluate(graph, Object.fromEntries(feeds));
}

describe("gradient of attention", () => {
  test("chunks are whole heads where they fit, else queries of one head", () => {
    const chunks = (numHeads: number, q: number[], numKeys: number, maxWeights?: number) => {
      const graph = new Graph();
      const k = graph.input("k", q.with(1, numKeys));
      return attentionChunks(graph.input("q", q), k, numHeads, maxWeights);
    };
    expect(chunks(12, [1, 1152, 12 * 128], 1152)).toEqual({ heads: 3, queries: 1152 });
    // 32,760 + 1,560 tokens of an 81-frame video of 832 x 480 pixels.
    expect(chunks(40, [1, 34_320, 40 * 128], 34_320)).toEqual({ heads: 1, queries: 4903 });
    expect(chunks(4, [2, 10, 8], 5, 250)).toEqual({ heads: 2, queries: 10 });
    expect(chunks(4, [1, 10, 8], 500, 100)).toEqual({ heads: 1, queries: 1 });
  });

  test.each([2 * 3 * 7 * 5, 2 * 2 * 7 * 5, 2 * 3 * 5, 1])(
    "chunks of %i weights change no number",
    async (size) => {
      const [whole, chunked] = [await adjoints(1e6), await adjoints(size)];
      for (const name of ["dq", "dk", "dv"]) {
        const [a, b] = [whole[name]!, chunked[name]!];
        expect(b.shape).toEqual(a.shape);
        b.data.forEach((x, i) => expect(Number(x)).toBeCloseTo(Number(a.data[i]), 6));
      }
    },
  );

  test("only what is asked for is computed", async () => {
    expect(Object.keys(await adjoints(30, [false, false, true]))).toEqual(["dv"]);
    expect(Object.keys(await adjoints(30, [true, false, false]))).toEqual(["dq"]);
  });

  test("memory does not grow with the square of the tokens", () => {
    const peak = (numTokens: number): number => {
      const graph = new Graph();
      const [q, k, v, g] = ["q", "k", "v", "g"].map((name) => graph.input(name, [1, numTokens, 16]));
      const y = attention(q!, k!, v!, 1);
      const results = attentionGradient({ g: g!, y, q: q!, k: k!, v: v! }, 1, NEEDS_ALL, 2 ** 16);
      results.forEach((adjoint, i) => graph.output(`${i}`, adjoint!));
      return peakActivationBytes(graph) - 3 * 4 * 2 ** 16;
    };
    expect(peak(4096)).toBeLessThan(4.2 * peak(1024));
  });
});
