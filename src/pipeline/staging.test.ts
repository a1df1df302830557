import { expect, test } from "vitest";
import type { TensorEntry } from "../runtime/tensor-file.ts";
import { chooseStages } from "./staging.ts";

const GIB = 2 ** 30;

/** A model of 40 blocks with as many bytes in 16 bits. */
function choose(
  blocksPerStage: number | "auto" | "all",
  blockBytes: number,
  freeBytes: number,
  precision = "auto",
) {
  const entry: TensorEntry = {
    dtype: "bfloat16",
    shape: [blockBytes / 2],
    file: "",
    byteOffset: 0,
    byteLength: blockBytes,
  };
  const tensors = new Map(Array.from({ length: 40 }, (_, i) => [`blocks.${i}.weight`, entry]));
  const notices: string[] = [];
  const dit = { numLayers: 40 } as Parameters<typeof chooseStages>[1]["dit"];
  const chosen = chooseStages(
    { blocksPerStage, precision },
    { dit },
    { tensors },
    (text) => notices.push(text),
    freeBytes,
  );
  return { chosen, notices };
}

test("models that fit run whole, larger ones in stages of about 2 GiB, which is said", () => {
  expect(choose("auto", 0.7 * GIB, 64 * GIB)).toEqual({ chosen: null, notices: [] });
  const { chosen, notices } = choose("auto", 0.7 * GIB, 16 * GIB);
  expect(chosen).toBe(2);
  expect(notices[0]).toMatch(/stages of 2 of its 40 blocks: its weights take 28.0 GiB, free are 16.0 GiB/);
  expect(choose("auto", 3 * GIB, 16 * GIB).chosen).toBe(1);
});

test("in int8, models that stay in their files run in stages however much is free", () => {
  const { chosen, notices } = choose("auto", 0.7 * GIB, 256 * GIB, "int8");
  expect(chosen).toBe(2);
  expect(notices[0]).toMatch(/every graph that is open holds its int8 weights in memory/);
  expect(choose("auto", GIB / 100, 0, "int8").chosen).toBeNull();
});

test("models that are held in memory are not staged by themselves", () => {
  expect(choose("auto", GIB / 100, 0)).toEqual({ chosen: null, notices: [] });
});

test("what is asked for goes before", () => {
  expect(choose("all", 0.7 * GIB, GIB).chosen).toBeNull();
  expect(choose(5, GIB / 100, 64 * GIB).chosen).toBe(5);
  expect(choose(40, GIB / 100, 64 * GIB).chosen).toBeNull();
});
