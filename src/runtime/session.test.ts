import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import type { Worker } from "node:worker_threads";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Graph, add, matmul, serialize } from "../graph/index.ts";
import { float32, tensor, zeros } from "../tensor/tensor.ts";
import { Lane } from "./lane.ts";
import { newSlot } from "./runner.ts";
import { Session } from "./session.ts";
import { SessionPool } from "./session-pool.ts";

/** y = x w with x [2, 3] and w [3, 2] as a weight; s = y + y. */
function product(): Uint8Array {
  const g = new Graph();
  const y = matmul(g.input("x", [2, 3]), g.param("w", [3, 2]));
  g.output("y", y);
  g.output("s", add(y, y));
  return serialize(g);
}

/** A chain of matrix products of size 512: about 1.3 ms for each on one thread. */
function chain(length: number): Uint8Array {
  const g = new Graph();
  let x = g.input("x", [512, 512]);
  const w = g.param("w", [512, 512]);
  for (let i = 0; i < length; i++) x = matmul(x, w);
  g.output("y", x);
  return serialize(g);
}

const x = float32([1, 2, 3, 4, 5, 6], [2, 3]);
const identity = float32([1, 0, 0, 1, 0, 0], [3, 2]);
const ones = float32([1, 1, 1, 1, 1, 1], [3, 2]);

describe("Session", () => {
  let lane: Lane;
  beforeAll(() => {
    lane = new Lane();
  });
  afterAll(() => lane.close());

  it("runs a graph with bound weights and describes its inputs and outputs", async () => {
    const session = await Session.create(product(), { lane, inputs: { w: identity } });
    expect(session.inputs).toEqual([
      { name: "x", dtype: "float32", shape: [2, 3] },
      { name: "w", dtype: "float32", shape: [3, 2] },
    ]);
    expect(await session.run({ x })).toEqual({
      y: float32([1, 2, 4, 5], [2, 2]),
      s: float32([2, 4, 8, 10], [2, 2]),
    });
    expect(Object.keys(await session.run({ x }, { outputs: ["s"] }))).toEqual(["s"]);
    await session.release();
  });

  it("swaps bound inputs between runs, and a feed takes the place of a bound one", async () => {
    const session = await Session.create(product(), { lane, inputs: { w: identity } });
    const run = async (feeds = {}) => [...(await session.run({ x, ...feeds }, { outputs: ["y"] })).y!.data];
    expect(await run()).toEqual([1, 2, 4, 5]);
    await session.setInputs({ w: ones });
    expect(await run()).toEqual([6, 6, 15, 15]);
    expect(await run({ w: identity })).toEqual([1, 2, 4, 5]);
    expect(await run()).toEqual([6, 6, 15, 15]);
    await session.release();
  });

  it("copies feeds unless they are given up, and never gives up a part of a buffer", async () => {
    const session = await Session.create(product(), { lane });
    const copied = float32([1, 2, 3, 4, 5, 6], [2, 3]);
    const given = float32([1, 0, 0, 1, 0, 0], [3, 2]);
    const { y } = await session.run({ x: copied, w: given }, { transfer: ["w"] });
    expect([...y!.data]).toEqual([1, 2, 4, 5]);
    expect([copied.data.length, given.data.length]).toEqual([6, 0]);

    const buffer = Float32Array.of(9, 1, 0, 0, 1, 0, 0, 9);
    const part = tensor("float32", [3, 2], buffer.subarray(1, 7));
    const again = await session.run({ x: copied, w: part }, { transfer: "all" });
    expect([...again.y!.data]).toEqual([1, 2, 4, 5]);
    expect([copied.data.length, buffer.length]).toEqual([0, 8]);
    await session.release();
  });

  it("keeps results in slots and shares slots and held weights between sessions of its lane", async () => {
    const weights = await lane.hold({ w: identity });
    const first = await Session.create(product(), { lane, inputs: weights });
    const g = new Graph();
    g.output("z", add(g.input("a", [2, 2]), g.input("b", [2, 2])));
    const second = await Session.create(serialize(g), { lane });
    const slot = newSlot();
    expect(Object.keys(await first.run({ x }, { keep: { y: slot } }))).toEqual(["s"]);
    const sum = await second.run({ a: slot, b: float32([10, 10, 10, 10], [2, 2]) });
    expect([...sum.z!.data]).toEqual([11, 12, 14, 15]);
    await lane.drop([slot]);
    await expect(second.run({ a: slot, b: slot })).rejects.toThrow('the slot fed to "a" is empty');
    await first.release();
    await second.release();
  });

  it("names what is wrong with a feed", async () => {
    const session = await Session.create(product(), { lane, name: "product" });
    await expect(session.run({ x })).rejects.toThrow('product: no value for "w" (1 inputs missing)');
    await expect(session.run({ x, w: x })).rejects.toThrow(
      'product: input "w" got float32 [2, 3], expected float32 [3, 2]',
    );
    await expect(session.run({ x, w: zeros([3, 2], "int32") })).rejects.toThrow("got int32 [3, 2]");
    await expect(session.run({ x, w: ones, v: ones })).rejects.toThrow('product has no input "v"');
    await expect(session.run({ x, w: ones }, { outputs: ["q"] })).rejects.toThrow(
      'product has no output "q"',
    );
    await expect(session.setInputs({ w: x })).rejects.toThrow("expected float32 [3, 2]");
    await session.release();
    await expect(session.run({ x, w: ones })).rejects.toThrow("the product has been released");
    await session.release();
  });

  it("passes on what the engine says, as a plain Error with its cause", async () => {
    const error = await Session.create(new Uint8Array(10), { lane, name: "model" }).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(Error);
    expect((error as Error).message).toMatch(/^cannot prepare the model: .*protobuf/);
    expect((error as Error).cause).toBeInstanceOf(Error);
    // The lane lives on.
    await (await Session.create(product(), { lane })).release();
  });

  it("leaves the event loop free during a run", async () => {
    const session = await Session.create(chain(100), { lane, inputs: { w: zeros([512, 512]) } });
    let ticks = 0;
    const timer = setInterval(() => ticks++, 5);
    const begin = performance.now();
    await session.run({ x: zeros([512, 512]) });
    const duration = performance.now() - begin;
    clearInterval(timer);
    expect(duration).toBeGreaterThan(50);
    expect(ticks).toBeGreaterThan(duration / 5 / 4);
    await session.release();
  });

  it("cancels runs that wait at once, and drops the result of one that has begun", async () => {
    const session = await Session.create(chain(50), { lane, inputs: { w: zeros([512, 512]) } });
    const controller = new AbortController();
    const feeds = { x: zeros([512, 512]) };
    const settled = Promise.allSettled([
      session.run(feeds, { signal: controller.signal }),
      session.run(feeds, { signal: controller.signal }),
      session.run(feeds),
    ]);
    expect(lane.pending).toBe(3);
    controller.abort(new Error("enough"));
    expect(lane.pending).toBe(2);
    const [begun, waiting, other] = await settled;
    expect(begun).toMatchObject({ status: "rejected", reason: { message: "enough" } });
    expect(waiting).toMatchObject({ status: "rejected", reason: { message: "enough" } });
    expect(other.status).toBe("fulfilled");
    await expect(session.run(feeds, { signal: controller.signal })).rejects.toThrow("enough");
    await session.release();
  });
});

describe("Lane", () => {
  it("finishes what was asked for before it closes, then refuses", async () => {
    const lane = new Lane();
    const session = await Session.create(chain(20), { lane, inputs: { w: zeros([512, 512]) } });
    const run = session.run({ x: zeros([512, 512]) });
    const closed = lane.close();
    await expect(run).resolves.toHaveProperty("y");
    await closed;
    await expect(session.run({ x: zeros([512, 512]) })).rejects.toThrow("the lane has been closed");
    await session.release();
    await lane.close();
  });

  it("reports a thread that has ended", async () => {
    const lane = new Lane();
    const session = await Session.create(product(), { lane, inputs: { w: identity } });
    const run = session.run({ x });
    await (Reflect.get(lane, "worker") as Worker).terminate();
    await expect(run).rejects.toThrow("an engine thread ended with exit code 1");
    await expect(session.run({ x })).rejects.toThrow("an engine thread ended with exit code 1");
    await lane.close();
  });

  it("spreads the runs of a pool over its lanes", async () => {
    const lanes = [new Lane(), new Lane()];
    const pool = await SessionPool.create(product(), lanes, { inputs: { w: identity } });
    const runs = [pool.run({ x }), pool.run({ x })];
    expect(lanes.map((lane) => lane.pending)).toEqual([1, 1]);
    for (const { y } of await Promise.all(runs)) expect([...y!.data]).toEqual([1, 2, 4, 5]);
    await pool.setInputs({ w: ones });
    const [first, second] = await Promise.all([pool.run({ x }), pool.run({ x })]);
    expect(first).toEqual(second);
    await pool.release();
    await Promise.all(lanes.map((lane) => lane.close()));
  });
});

describe("the end of the process", () => {
  const CHILD = `
    const { Graph, matmul, serialize } = await import(${url("../graph/index.ts")});
    const { zeros } = await import(${url("../tensor/tensor.ts")});
    const { Session } = await import(${url("./session.ts")});
    const g = new Graph();
    let x = g.input("x", [512, 512]);
    for (let i = 0; i < 100; i++) x = matmul(x, g.param("w", [512, 512]));
    g.output("y", x);
    const s = await Session.create(serialize(g), { inputs: { w: zeros([512, 512]) } });
    const run = s.run({ x: zeros([512, 512]) });
    const soon = (act) => setTimeout(act, 20);
  `;

  async function end(script: string): Promise<{ code: number | null; errors: string }> {
    const args = ["--import", "tsx", "--input-type=module", "--eval", CHILD + script];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "pipe"] });
    const [[code], errors] = await Promise.all([once(child, "close"), text(child.stderr)]);
    return { code: code as number | null, errors };
  }

  it("is not held up by an idle lane", async () => {
    expect((await end("await run; process.exitCode = 4")).code).toBe(4);
  });

  it("comes with the right exit code when asked for during a run", async () => {
    expect((await end("soon(() => process.exit(3))")).code).toBe(3);
  });

  it("comes with the right exit code after an uncaught error during a run", async () => {
    const { code, errors } = await end('soon(() => { throw new Error("uncaught one") })');
    expect(code).toBe(1);
    expect(errors).toContain("uncaught one");
  });
});

function url(path: string): string {
  return JSON.stringify(new URL(path, import.meta.url).href);
}
