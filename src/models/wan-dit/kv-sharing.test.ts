import { expect, test } from "vitest";
import { Graph, type Value, attention, serialize } from "../../graph/index.ts";
import { evaluate, sampleTensor } from "../../graph/testing.ts";
import { Engine } from "../../runtime/engine.ts";
import { type Tensor, float32, tensor } from "../../tensor/tensor.ts";
import { buildWanDiT } from "./build.ts";
import { WAN_DIT_PRESETS } from "./config.ts";
import { gatherSharedRows } from "./kv-gather.ts";
import { type KvSharing, SUBJECT_TOKENS, kvName } from "./kv-sharing.ts";
import { sharedAttention } from "./shared-attention.ts";

const { tiny } = WAN_DIT_PRESETS;
const shape = { latentFrames: 2, latentHeight: 4, latentWidth: 4, textTokens: 3, imageTokens: 5 };
const NUM_VIDEO = 8;
const sharing = { mode: "paper", branch: "positive", blocks: [0, 1], maxMapBlock: 1 } as const;

type Feeds = Record<string, Tensor>;

/** The same values for the same names in every graph. */
function sampleFeeds(graph: Graph): Feeds {
  const named = [...graph.inputs, ...graph.params].filter(([name]) => !name.startsWith("kv."));
  return Object.fromEntries(
    named.map(([name, value]) => {
      const seed = Array.from(name).reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 9973, 7);
      return [name, sampleTensor(value.shape, seed, { low: -0.5, high: 0.5, dtype: "float32" }) as Tensor];
    }),
  );
}

async function run(kv: KvSharing | null, extra: Feeds = {}): Promise<Feeds> {
  const graph = buildWanDiT(tiny, shape, kv);
  const engine = await Engine.create(serialize(graph));
  const results = await engine.run({ ...sampleFeeds(graph), ...extra });
  await engine.release();
  return results;
}

/** Feeds of a sharing pass from the outputs of a capturing one. */
function sharedFeeds(captured: Feeds, { mode, blocks }: KvSharing): Feeds {
  const feeds: Feeds = {};
  for (const block of blocks) {
    const subject = captured[kvName(block, "subject")] as Tensor<"bool">;
    for (const name of ["k", "v"] as const) {
      const all = captured[kvName(block, name)] as Tensor<"float32">;
      feeds[kvName(block, name)] = gatherSharedRows(mode, all, subject);
    }
    if (mode !== "nomask") feeds[kvName(block, "sourceSubject")] = subject;
  }
  return feeds;
}

const largestGap = (a: Tensor, b: Tensor): number =>
  (a.data as Float32Array).reduce((gap, x, i) => Math.max(gap, Math.abs(x - Number(b.data[i]))), 0);

test.each(["official", "nomask"] as const)(
  "sharing a segment's own keys changes nothing: %s",
  async (mode) => {
    const plain = await run(null);
    const captured = await run({ ...sharing, role: "capture" });
    const kv: KvSharing = { ...sharing, mode, role: "share" };
    const shared = await run(kv, sharedFeeds(captured, kv));
    expect(largestGap(captured["velocity"]!, plain["velocity"]!)).toBe(0);
    expect(largestGap(shared["velocity"]!, plain["velocity"]!)).toBeLessThan(1e-6);
  },
);

test("with the paper's mask the anchor's subject cannot be seen", async () => {
  const captured = await run({ ...sharing, role: "capture" });
  const kv: KvSharing = { ...sharing, role: "share" };
  const subject = captured[kvName(0, "subject")]!.data as Uint8Array;
  const numSubject = subject.reduce((n, x) => n + x, 0);
  expect(numSubject).toBeGreaterThan(0);
  expect(numSubject).toBeLessThan(NUM_VIDEO);
  const keys = captured[kvName(0, "k")] as Tensor<"float32">;
  const changed = keys.data.map((x, i) => (subject[Math.floor(i / tiny.dim)] ? 1e3 : x));
  const other = { ...captured, [kvName(0, "k")]: float32(changed, keys.shape) };
  const velocity = async (from: Feeds): Promise<Tensor> =>
    (await run(kv, sharedFeeds(from, kv)))["velocity"]!;
  expect(largestGap(await velocity(other), await velocity(captured))).toBe(0);
});

test("masks count only maps of the blocks before, and the negative pass takes them", () => {
  const positive = buildWanDiT(tiny, shape, { ...sharing, role: "share" });
  expect(positive.inputs.has(SUBJECT_TOKENS)).toBe(true);
  expect(positive.outputs.has(kvName(0, "subject"))).toBe(false);
  expect(positive.outputs.has(kvName(1, "subject"))).toBe(true);
  const negative = buildWanDiT(tiny, shape, { ...sharing, role: "share", branch: "negative" });
  expect(negative.inputs.has(SUBJECT_TOKENS)).toBe(false);
  expect(negative.inputs.has(kvName(1, "subject"))).toBe(true);
  const capture = buildWanDiT(tiny, shape, { ...sharing, role: "capture", branch: "negative" });
  expect([...capture.outputs.keys()].filter((name) => name.endsWith("subject"))).toEqual([]);
});

test("the paper's modes keep background rows and all reference rows", () => {
  const captured = float32([1, 1, 2, 2, 3, 3, 4, 4], [1, 4, 2]);
  const subject = tensor("bool", [3], Uint8Array.of(0, 1, 1));
  expect(gatherSharedRows("paper", captured, subject)).toEqual(float32([1, 1, 4, 4], [1, 2, 2]));
  expect(gatherSharedRows("paper-ref-own", captured, subject).shape).toEqual([1, 2, 2]);
  expect(gatherSharedRows("official", captured, subject)).toBe(captured);
  const half = tensor("float16", [1, 4, 2], Uint16Array.of(1, 1, 2, 2, 3, 3, 4, 4));
  expect(gatherSharedRows("paper", half, subject)).toEqual(
    tensor("float16", [1, 2, 2], Uint16Array.of(1, 1, 4, 4)),
  );
});

test.each([
  ["every token", 1],
  ["no token", 0],
])("attention parts its queries rightly when %s keeps its own keys", async (_who, keeps) => {
  const graph = new Graph();
  const [q, k, v] = ["q", "k", "v"].map((name) => graph.input(name, [1, 6, 8])) as [Value, Value, Value];
  const [sharedK, sharedV] = ["sharedK", "sharedV"].map((name) => graph.input(name, [1, 3, 8])) as [
    Value,
    Value,
  ];
  const keepsOwn = graph.input("keepsOwn", [6], { dtype: "bool" });
  graph.output("parted", sharedAttention(q, { k, v }, { k: sharedK, v: sharedV, keepsOwn }, 2));
  graph.output("own", attention(q, k, v, 2));
  graph.output("shared", attention(q, sharedK, sharedV, 2));
  const feeds = { ...sampleFeeds(graph), keepsOwn: tensor("bool", [6], new Uint8Array(6).fill(keeps)) };
  const { parted, own, shared } = await evaluate(graph, feeds);
  expect(largestGap(parted!, keeps ? own! : shared!)).toBeLessThan(1e-6);
});
