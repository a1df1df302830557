import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type LoraWeights } from "../models/layers/lora-merge.ts";
import { LORA_NAMINGS, type LoraNaming } from "../models/layers/lora-naming.ts";
import { openSafetensors } from "../runtime/safetensors.ts";
import { writeSafetensors } from "../runtime/safetensors-writer.ts";
import { UserError } from "../tensor/errors.ts";
import { float32ToFloat16 } from "../tensor/float16.ts";
import { Random } from "../tensor/random.ts";
import { type Tensor, float32, sizeOf, tensor, zeros } from "../tensor/tensor.ts";
import { ADAPTER_CONFIG, ADAPTER_MODEL, openLora } from "./lora-file.ts";
import { writeLora } from "./lora-writer.ts";

const NAMINGS = Object.keys(LORA_NAMINGS) as LoraNaming[];

let folder: string;
let count = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-lora-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const fresh = (): string => join(folder, `${count++}`);

function half(key: string, shape: readonly number[]): Tensor {
  return tensor("float16", shape, float32ToFloat16(new Random(key).normals(sizeOf(shape))));
}

function pair(key: string, rank: number, scale: number) {
  return { a: half(`${key} a`, [rank, 6]), b: half(`${key} b`, [4, rank]), scale };
}

/** Pairs of one scale, as training makes them, and layers that were trained whole. */
const trained = (scale: number): LoraWeights<Tensor> => ({
  pairs: new Map(
    ["blocks.0.self_attn.q.weight", "blocks.0.cross_attn.v_img.weight", "blocks.11.ffn.2.weight"].map(
      (key) => [key, pair(key, 2, scale)],
    ),
  ),
  whole: new Map([
    ["patch_embedding.weight", half("p", [4, 3, 1, 2, 2])],
    ["patch_embedding.bias", half("b", [4])],
    ["hand_patch_embedding.1.weight", half("h", [4, 4, 1, 1, 1])],
  ]),
  diffs: new Map(),
});

/** Content without the order of keys. */
function sorted({ pairs, whole, diffs }: LoraWeights<Tensor>) {
  const [paired, held, added] = [pairs, whole, diffs].map((tensors) => Object.fromEntries(tensors));
  return { paired, held, added };
}

async function readBack(lora: LoraWeights<Tensor>, naming: LoraNaming): Promise<LoraWeights<Tensor>> {
  const path = fresh();
  await writeLora(path, lora, naming);
  const file = await openLora(path);
  expect(file.naming).toBe(naming);
  return file.readStored();
}

describe("round trips", () => {
  test.each(NAMINGS)("%s: tensors, types and scale come back as they were", async (naming) => {
    expect(sorted(await readBack(trained(1), naming))).toEqual(sorted(trained(1)));
    if (naming === "published") return;
    expect(sorted(await readBack(trained(0.5), naming))).toEqual(sorted(trained(0.5)));
  });

  test("through every naming, one after another", async () => {
    let lora = trained(1);
    for (const naming of [...NAMINGS, ...NAMINGS.toReversed()]) lora = await readBack(lora, naming);
    expect(sorted(lora)).toEqual(sorted(trained(1)));
  });

  test("with ranks and scales that differ from layer to layer", async () => {
    const mixed: LoraWeights<Tensor> = {
      pairs: new Map([
        ["blocks.0.ffn.0.weight", pair("x", 2, 1)],
        ["blocks.1.ffn.0.weight", pair("y", 2, 1)],
        ["blocks.2.ffn.0.weight", pair("z", 8, 0.25)],
      ]),
      whole: new Map(),
      diffs: new Map([
        ["blocks.0.norm3.weight", half("n", [6])],
        ["blocks.0.self_attn.q.bias", half("q", [4])],
        ["blocks.0.modulation", half("m", [1, 6, 4])],
      ]),
    };
    const plain = { ...mixed, diffs: new Map() };
    for (const naming of ["peft", "kohya", "diffusion-model", "posegen"] as const) {
      const lora = naming === "peft" ? plain : mixed;
      expect(sorted(await readBack(lora, naming))).toEqual(sorted(lora));
    }
    await expect(writeLora(fresh(), plain, "published")).rejects.toThrow(/no place for a scale other than 1/);
    await expect(writeLora(fresh(), mixed, "peft")).rejects.toThrow(
      /no place for what is added to blocks\.0\.norm3\.weight/,
    );
  });
});

test("a PEFT folder says what PEFT needs to load it", async () => {
  const path = fresh();
  await writeLora(path, trained(0.5), "peft");
  const config = JSON.parse(await readFile(join(path, ADAPTER_CONFIG), "utf8"));
  expect(config).toMatchObject({
    peft_type: "LORA",
    r: 2,
    lora_alpha: 1,
    target_modules: ["blocks.0.cross_attn.v_img", "blocks.0.self_attn.q", "blocks.11.ffn.2"],
    modules_to_save: ["hand_patch_embedding", "patch_embedding"],
    rank_pattern: {},
    alpha_pattern: {},
  });
  const { tensors, metadata } = await openSafetensors(join(path, ADAPTER_MODEL));
  expect(metadata.get("format")).toBe("pt");
  expect([...tensors.keys()].sort()).toEqual([
    "base_model.model.blocks.0.cross_attn.v_img.lora_A.weight",
    "base_model.model.blocks.0.cross_attn.v_img.lora_B.weight",
    "base_model.model.blocks.0.self_attn.q.lora_A.weight",
    "base_model.model.blocks.0.self_attn.q.lora_B.weight",
    "base_model.model.blocks.11.ffn.2.lora_A.weight",
    "base_model.model.blocks.11.ffn.2.lora_B.weight",
    "base_model.model.hand_patch_embedding.1.weight",
    "base_model.model.patch_embedding.bias",
    "base_model.model.patch_embedding.weight",
  ]);
});

describe("scales", () => {
  const NAME = "blocks.0.ffn.0";

  async function scaleOf(extra: Record<string, Tensor>, config: object | null = null): Promise<number> {
    const path = fresh();
    const prefix = config ? "base_model.model." : "diffusion_model.";
    await mkdir(path);
    const tensors = {
      [`${prefix}${NAME}.lora_A.weight`]: zeros([4, 3]),
      [`${prefix}${NAME}.lora_B.weight`]: zeros([5, 4]),
    };
    await writeSafetensors(join(path, ADAPTER_MODEL), { ...tensors, ...extra });
    if (config)
      await writeFile(join(path, ADAPTER_CONFIG), JSON.stringify({ peft_type: "LORA", r: 4, ...config }));
    return (await openLora(path)).pairs.get(`${NAME}.weight`)!.scale;
  }

  test("are 1 without an alpha, and alpha over rank with one", async () => {
    expect(await scaleOf({})).toBe(1);
    expect(await scaleOf({ [`diffusion_model.${NAME}.alpha`]: float32([8]) })).toBe(2);
    expect(await scaleOf({ [`diffusion_model.${NAME}.alpha`]: half("one", []) })).toBeCloseTo(
      new Random("one").normals(1)[0]! / 4,
      3,
    );
  });

  test("follow PEFT's configuration", async () => {
    expect(await scaleOf({}, { lora_alpha: 2 })).toBe(0.5);
    expect(await scaleOf({}, { lora_alpha: 2, use_rslora: true })).toBe(1);
    expect(await scaleOf({}, { lora_alpha: 2, alpha_pattern: { "ffn.0": 4 } })).toBe(1);
    expect(await scaleOf({}, { lora_alpha: 2, alpha_pattern: { "^ffn.0": 4 } })).toBe(0.5);
    expect(await scaleOf({}, { r: 2, lora_alpha: 2, rank_pattern: { [NAME]: 4 } })).toBe(0.5);
  });

  test.each([
    [{ lora_alpha: 2, r: 8 }, /gives blocks.0.ffn.0 rank 8, but its tensors have rank 4/],
    [{ lora_alpha: 2, alpha_pattern: { "ffn.*": 1 } }, /has the pattern "ffn\.\*"; expected a layer's name/],
    [{ lora_alpha: "2" }, /does not describe a LoRA/],
    [{ lora_alpha: 2, use_dora: true }, /does not describe a LoRA[^]*use_dora/],
    [{ lora_alpha: 2, peft_type: "IA3" }, /does not describe a LoRA[^]*peft_type/],
  ])("%j is refused", async (config, message) => {
    const error: unknown = await scaleOf({}, config).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).message).toMatch(message);
  });
});

describe("malformed files are refused by name:", () => {
  async function refusal(
    tensors: Record<string, Tensor>,
    files: Record<string, string> = {},
  ): Promise<string> {
    const path = fresh();
    await mkdir(path);
    await writeSafetensors(join(path, ADAPTER_MODEL), tensors);
    for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text);
    const error: unknown = await openLora(path).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).message).toContain(path);
    return (error as UserError).message;
  }

  test("tensors", async () => {
    expect(await refusal({})).toMatch(/holds no tensors/);
    expect(await refusal({ "q.lora_A.weight": zeros([2, 3]) })).toMatch(/lora_A but no lora_B/);
    const swapped = { "q.lora_A.weight": zeros([2, 6]), "q.lora_B.weight": zeros([2, 6]) };
    expect(await refusal(swapped)).toMatch(/q\.weight A \[2, 6\] and B \[2, 6\]; expected \[rank, in\]/);
    const good = { "q.lora_A.weight": zeros([2, 6]), "q.lora_B.weight": zeros([6, 2]) };
    expect(await refusal({ ...good, "q.alpha": zeros([9, 9]) })).toMatch(
      /alpha for q\.weight of shape \[9, 9\]/,
    );
    expect(await refusal({ ...good, "q.alpha": float32([Number.NaN]) })).toMatch(/not one finite number/);
  });

  test("configurations", async () => {
    const peft = {
      "base_model.model.q.lora_A.weight": zeros([2, 6]),
      "base_model.model.q.lora_B.weight": zeros([6, 2]),
    };
    expect(await refusal(peft)).toMatch(/scale stands in adapter_config.json: cannot open/);
    expect(await refusal(peft, { [ADAPTER_CONFIG]: "{" })).toMatch(/adapter_config.json is not JSON/);
    const nested = "[".repeat(50);
    expect(await refusal(peft, { [ADAPTER_CONFIG]: nested })).toMatch(/nests deeper/);
  });

  test("what is not there", async () => {
    await expect(openLora(fresh())).rejects.toThrow(/cannot open/);
  });
});

test("a folder with files is never replaced, and nothing half written stays", async () => {
  const path = fresh();
  await mkdir(path);
  await writeFile(join(path, "thesis.txt"), "precious");
  const before = await readdir(folder);
  await expect(writeLora(path, trained(1), "peft")).rejects.toThrow(
    /is there already and is not an empty folder/,
  );
  expect(await readdir(path)).toEqual(["thesis.txt"]);
  expect(await readdir(folder)).toEqual(before);
});
