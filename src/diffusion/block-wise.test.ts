/** Models whose linear layers are stored in blocks of 8 and 4 bits. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { INT8_TARGETS } from "../models/layers/smooth-quant.ts";
import { buildWanDiT } from "../models/wan-dit/build.ts";
import { Lane } from "../runtime/lane.ts";
import { openSafetensors } from "../runtime/safetensors.ts";
import { writeSafetensors } from "../runtime/safetensors-writer.ts";
import { Random } from "../tensor/random.ts";
import { float32, sizeOf, zeros } from "../tensor/tensor.ts";
import { withBlocks } from "../runtime/block-wise-checkpoint.ts";
import { FinetunedWeights, type PhaseLoras } from "./finetuned-weights.ts";
import { MODEL_FILES, type ModelFolder, openModelFolder } from "./model-folder.ts";
import { rewriteModelFolder } from "./rewrite-model.ts";
import { TINY_MODEL, writeTinyModel } from "./testing.ts";

// Rows of whole blocks.
const DESCRIPTION = { ...TINY_MODEL, dit: { ...TINY_MODEL.dit, dim: 64, numHeads: 2, ffnDim: 96 } };
const shape = { latentFrames: 2, latentHeight: 4, latentWidth: 4, textTokens: 4, imageTokens: 5 };
const graph = () => buildWanDiT(DESCRIPTION.dit, shape);

let folder: string;
let lane: Lane;
const at = (name: string): string => join(folder, name);

beforeAll(async () => {
  lane = new Lane();
  folder = await mkdtemp(join(tmpdir(), "posegen-blocks-"));
  await writeTinyModel(at("float32"), 1, DESCRIPTION);
});
afterAll(async () => {
  await lane.close();
  await rm(folder, { recursive: true, force: true });
});

async function rewrite(
  from: string,
  to: string,
  precision: "q8" | "q4" | "f32" | null,
): Promise<ModelFolder> {
  const options = { precision, loras: [], isMerged: false };
  await rewriteModelFolder(await openModelFolder(at(from)), at(to), options);
  return openModelFolder(at(to));
}

const feeds = Object.fromEntries(
  [...graph().inputs].map(([name, { shape: size }]) => [
    name,
    float32(new Random(name).normals(sizeOf(size)), size),
  ]),
);

async function velocity(model: ModelFolder, mapBeyondBytes: number): Promise<Float32Array> {
  const phase = async (name: "phase1" | "phase2") => [{ file: await model.openPhase(name), weight: 1 }];
  const loras: PhaseLoras = { phase1: await phase("phase1"), phase2: await phase("phase2") };
  const specs = graph().params.values();
  const weights = await FinetunedWeights.open(await model.open("dit"), loras, specs, {
    lane,
    mapBeyondBytes,
  });
  await weights.use("phase1");
  const session = await weights.session(graph(), "denoiser", { device: "cpu", threads: 1 });
  const results = await session.run(feeds);
  await session.release();
  await weights.release();
  return results["velocity"]!.data as Float32Array;
}

function errorOf(got: Float32Array, wanted: Float32Array): number {
  const squares = (x: Float32Array): number => x.reduce((sum, y) => sum + y * y, 0);
  return Math.sqrt(squares(got.map((x, i) => x - wanted[i]!)) / squares(wanted));
}

describe.each([
  ["q8", 8, 0.02],
  ["q4", 4, 0.3],
] as const)("a model in %s", (precision, bits, limit) => {
  it("is computed from its file as from memory, near to the model it was made of", async () => {
    const model = await rewrite("float32", precision, precision);
    const dit = await model.open("dit");
    for (const [key, { dtype, blocks }] of dit.tensors) {
      expect(dtype).toBe("float32");
      expect(blocks?.bits, key).toBe(INT8_TARGETS.test(key) ? bits : undefined);
    }
    const wanted = await velocity(await openModelFolder(at("float32")), Infinity);
    const inMemory = await velocity(model, Infinity);
    const fromFile = await velocity(model, 0);
    expect(errorOf(fromFile, inMemory)).toBeLessThan(1e-5);
    expect(errorOf(inMemory, wanted)).toBeLessThan(limit);
    expect(errorOf(inMemory, wanted)).toBeGreaterThan(1e-3);
  });

  it("stays as it is when it is written anew, and is float32 when that is asked for", async () => {
    const dit = await (await openModelFolder(at(precision))).open("dit");
    const again = await (await rewrite(precision, `${precision}-again`, null)).open("dit");
    const wide = await (await rewrite(precision, `${precision}-f32`, "f32")).open("dit");
    for (const [key, { blocks }] of dit.tensors) {
      const expected = await dit.readTensor(key);
      expect(again.tensors.get(key)!.blocks?.bits).toBe(blocks?.bits);
      expect(await again.readTensor(key)).toEqual(expected);
      expect(wide.tensors.get(key)!.blocks).toBeUndefined();
      expect(await wide.readTensor(key)).toEqual(expected);
    }
  });
});

it("values and scales that do not fit together are refused by name", async () => {
  const path = at("odd.safetensors");
  const good = { "a.weight_q8": zeros([2, 3, 32], "uint8"), "a.weight_scale": zeros([2, 3]) };
  for (const tensors of [
    { "a.weight_q8": good["a.weight_q8"] },
    { ...good, "a.weight_scale": zeros([3, 2]) },
    { ...good, "a.weight_q8": zeros([2, 3, 16], "uint8") },
    { ...good, "a.weight_q8": zeros([2, 3, 32]) },
    { ...good, "a.weight": zeros([2, 96]) },
  ]) {
    await writeSafetensors(path, tensors);
    const checkpoint = await openSafetensors(path);
    expect(() => withBlocks(checkpoint)).toThrow(/"a\.weight_q8" is no weight in blocks: expected uint8/);
  }
  await writeSafetensors(path, good);
  expect((await withBlocks(await openSafetensors(path)).readFloat32("a.weight")).shape).toEqual([2, 96]);
  const plain = await openSafetensors(at(join("float32", MODEL_FILES.dit)));
  expect(withBlocks(plain)).toBe(plain);
});
