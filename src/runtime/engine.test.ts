import { describe, expect, it } from "vitest";
import { Graph, add, mul, sum, serialize, expand } from "../graph/index.ts";
import { type DType, type Tensor, float32, tensor, zeros } from "../tensor/tensor.ts";
import { Engine, type SlotMemory } from "./engine.ts";
import { matmulSpeed, peakMemoryBytes } from "./measure.ts";
import { newSlot } from "./runner.ts";

/** y = x · w of vectors of three elements. */
function product(dtype: "float32" | "float64" = "float32"): Uint8Array {
  const g = new Graph(dtype);
  g.output("y", mul(g.input("x", [3]), g.param("w", [3])));
  return serialize(g);
}

/** A graph that returns its input. */
function echo(dtype: DType): Uint8Array {
  const g = new Graph();
  g.output("y", g.input("x", [2], { dtype }));
  return serialize(g);
}

describe("Engine", () => {
  it("runs in this thread, without copying what is bound", async () => {
    const w = float32([1, 2, 3]);
    const engine = await Engine.create(product(), { inputs: { w } });
    const run = async () => [...(await engine.run({ x: float32([1, 1, 1]) })).y!.data];
    expect(await run()).toEqual([1, 2, 3]);
    w.data[0] = 10;
    expect(await run()).toEqual([10, 2, 3]);
    await engine.setInputs({ w: float32([0, 0, 4]) });
    expect(await run()).toEqual([0, 0, 4]);
    await engine.release();
    await expect(run()).rejects.toThrow("the graph has been released");
  });

  it("keeps results in slots that engines share", async () => {
    const slots: SlotMemory = new Map();
    const first = await Engine.create(product(), { inputs: { w: float32([1, 2, 3]) } }, slots);
    const second = await Engine.create(product(), { inputs: { w: float32([2, 2, 2]) } }, slots);
    const slot = newSlot();
    expect(await first.run({ x: float32([1, 1, 1]) }, { keep: { y: slot } })).toEqual({});
    expect(await second.run({ x: slot })).toEqual({ y: float32([2, 4, 6]) });
    await first.release();
    await second.release();
  });

  it.each<Tensor>([
    tensor("float64", [2], Float64Array.of(1e300, -2)),
    tensor("float16", [2], Uint16Array.of(0x3c00, 0xc000)),
    tensor("int64", [2], BigInt64Array.of(-(2n ** 62n), 3n)),
    tensor("int32", [2], Int32Array.of(-5, 6)),
    tensor("uint8", [2], Uint8Array.of(0, 255)),
    tensor("bool", [2], Uint8Array.of(0, 1)),
  ])("passes $dtype through", async (x) => {
    const engine = await Engine.create(echo(x.dtype));
    expect(await engine.run({ x })).toEqual({ y: x });
    await engine.release();
  });

  it("refuses element types that cannot cross into the engine", async () => {
    await expect(Engine.create(echo("bfloat16"))).rejects.toThrow(/data type: 16|bfloat16/);
  });

  it("does not run once its signal has been aborted", async () => {
    const engine = await Engine.create(product(), { inputs: { w: zeros([3]) } });
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(engine.run({ x: zeros([3]) }, { signal })).rejects.toThrow("enough");
    await engine.release();
  });

  it("gives its memory back when it is released", async () => {
    // An intermediate result of 256 MiB stays in the engine's arena until then.
    const g = new Graph();
    g.output("y", sum(add(expand(g.input("x", [1]), [64 << 20]), g.input("z", [1])), [0]));
    const before = process.memoryUsage.rss();
    const engine = await Engine.create(serialize(g), { optimization: "disabled" });
    await engine.run({ x: float32([1]), z: float32([1]) });
    const during = process.memoryUsage.rss();
    await engine.release();
    const after = process.memoryUsage.rss();
    expect(during - before).toBeGreaterThan(200 << 20);
    expect(after - before).toBeLessThan(100 << 20);
    expect(peakMemoryBytes()).toBeGreaterThanOrEqual(during - before);
  });
});

describe("matmulSpeed", () => {
  it("measures", async () => {
    const gflops = await matmulSpeed({ numProducts: 1, numRuns: 1 });
    expect(gflops).toBeGreaterThan(0.1);
    expect(gflops).toBeLessThan(1e6);
  });
});
