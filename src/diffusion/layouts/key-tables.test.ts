/** The published lists of keys, pinned: each table leads to every key of the full-size models, and back. */
import { describe, expect, it, test } from "vitest";
import { CLIP_VISION_PRESETS } from "../../models/clip-vision/config.ts";
import { UMT5_PRESETS } from "../../models/umt5/config.ts";
import { WAN_DIT_PRESETS } from "../../models/wan-dit/config.ts";
import { WAN_VAE } from "../../models/wan-vae/config.ts";
import { rows, sourcesOf, theirNames } from "./key-table.ts";
import { publishedShapes } from "./testing.ts";
import { NETWORK_NAMES, type Network } from "./weight-naming.ts";

const SHAPES = publishedShapes({
  dit: WAN_DIT_PRESETS.wan14b,
  vae: WAN_VAE,
  textEncoder: UMT5_PRESETS.xxl,
  imageEncoder: CLIP_VISION_PRESETS.vitH,
} as unknown as Parameters<typeof publishedShapes>[0]);

/** Keys that only PoseGen's finetunings have. */
const ADDED = /^(?:ref|hand)_patch_embedding\./;

const COUNTS: Readonly<Record<Network, readonly [original: number, other: number]>> = {
  dit: [1303, 1303],
  vae: [194, 194],
  textEncoder: [242, 242],
  // Without the norm and the projection behind the last block; Transformers has q, k and v apart.
  imageEncoder: [389, 517],
};

/** Names with the numbers of layers folded where they agree. */
function folded(names: Iterable<string>): string {
  const counts = new Map<string, number>();
  for (const name of names) {
    const pattern = name.replace(/(blocks|block|layers|transformer)\.\d+\./, "$1.*.");
    counts.set(pattern, (counts.get(pattern) ?? 0) + 1);
  }
  return [...counts].map(([pattern, count]) => `${count} x ${pattern}\n`).join("");
}

describe.each(Object.keys(NETWORK_NAMES) as Network[])("the %s", (network) => {
  const { table } = NETWORK_NAMES[network];
  const keys = [...SHAPES[network].keys()].filter((key) => !ADDED.test(key));
  const others = keys.flatMap((key) => theirNames(table, key));

  it("has the published number of keys, and as many names", () => {
    expect([keys.length, new Set(others).size]).toEqual(COUNTS[network]);
  });

  it("has the published keys and shapes", async () => {
    const lines = keys.map((key) => `${key} [${SHAPES[network].get(key)!.join(", ")}]`);
    await expect(folded(lines)).toMatchFileSnapshot(`published-keys/${network}-original.txt`);
  });

  it("has the published other names", async () => {
    await expect(folded(others)).toMatchFileSnapshot(`published-keys/${network}-other.txt`);
  });

  it("leads from every other name back to its key", () => {
    const sources = sourcesOf(table, others);
    expect([...sources.keys()].sort()).toEqual(keys.toSorted());
    for (const [key, { names }] of sources) expect(names).toEqual(theirNames(table, key));
  });
});

test("a row takes numbers and endings over; what has no row, or lacks a part, is left out", () => {
  const table = [
    ...rows({ "a.*.b.*": "x.*.y.*" }),
    { ours: "q", theirs: "q1", part: 0 },
    { ours: "q", theirs: "q2", part: 1 },
  ];
  const sources = sourcesOf(table, [
    "x.3.y.12.weight",
    "x.3.y",
    "x.3.y.1.scale",
    "ax.3.y.1",
    "q2.bias",
    "q1.weight",
  ]);
  expect([...sources]).toEqual([["a.3.b.12.weight", { names: ["x.3.y.12.weight"], rank: undefined }]]);
  expect(theirNames(table, "q.weight")).toEqual(["q1.weight", "q2.weight"]);
  expect(theirNames(table, "none")).toEqual([]);
});
