/** A process of its own that tries one device: a driver that crashes or prints takes nothing else with it. */
import { invariant } from "../tensor/errors.ts";
import { Graph, matmul, serialize } from "../graph/index.ts";
import { float32 } from "../tensor/tensor.ts";
import { DEVICES, type DeviceName } from "./device-table.ts";
import { Engine } from "./engine.ts";

/** What the process answers. */
export type ProbeResult =
  | {
      readonly usable: true;
      /** From nothing to a session, ms. */
      readonly startMs: number;
      /** Best speed of a short chain of matrix products, transfer of its input and output included. */
      readonly gflops: number;
    }
  | { readonly usable: false; readonly reason: string };

const SIZE = 1024;
const NUM_PRODUCTS = 4;
const NUM_RUNS = 4;

/** Multiplies ones by a matrix whose rows add up to 1: the result is ones again, on a device that computes right. */
async function probe(device: DeviceName, threads: number): Promise<ProbeResult> {
  const start = performance.now();
  const graph = new Graph();
  const weight = graph.param("weight", [SIZE, SIZE]);
  let product = graph.input("x", [SIZE, SIZE]);
  for (let i = 0; i < NUM_PRODUCTS; i++) product = matmul(product, weight);
  graph.output("y", product);
  const filled = (x: number) => float32(new Float32Array(SIZE * SIZE).fill(x), [SIZE, SIZE]);
  const inputs = { weight: filled(1 / SIZE), x: filled(1) };
  const engine = await Engine.create(serialize(graph), { device, threads, inputs, name: "test" });
  const startMs = performance.now() - start;

  let bestMs = Infinity;
  for (let run = 0; run < NUM_RUNS; run++) {
    const begin = performance.now();
    const { y } = await engine.run({});
    bestMs = Math.min(bestMs, performance.now() - begin);
    const wrong = (y!.data as Float32Array).find((x) => !(Math.abs(x - 1) < 1e-2));
    if (wrong !== undefined) return { usable: false, reason: `it computes ${wrong} where 1 is right` };
  }
  await engine.release();
  return { usable: true, startMs, gflops: (NUM_PRODUCTS * 2 * SIZE ** 3) / bestMs / 1e6 };
}

const [name = "", threads = "1"] = process.argv.slice(-2);
invariant(name in DEVICES && process.send, "device-probe.ts is started by devices.ts");
process.send(
  await probe(name as DeviceName, Number(threads)).catch((error: Error): ProbeResult => ({
    usable: false,
    reason: error.message,
  })),
);
