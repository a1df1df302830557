import { expect, test } from "vitest";
import { UserError } from "../../tensor/errors.ts";
import { WAN_DIT_PRESETS } from "../wan-dit/config.ts";
import { buildWanDiT } from "../wan-dit/build.ts";
import {
  LORA_NAMINGS,
  type LoraNaming,
  diffName,
  pairName,
  readLoraNames,
  wholeName,
} from "./lora-naming.ts";

const NAMINGS = Object.keys(LORA_NAMINGS) as LoraNaming[];

const graph = buildWanDiT(WAN_DIT_PRESETS.tiny, { latentFrames: 1, latentHeight: 2, latentWidth: 2 });
const matrices = [...graph.params.values()].filter(({ shape }) => shape.length === 2).map(({ name }) => name);
const whole = [...graph.params.keys()].filter((key) => key.includes("patch_embedding"));

test.each(NAMINGS)("%s: every layer of the denoiser has one name, and is found by it again", (naming) => {
  expect(matrices.length).toBeGreaterThan(20);
  const names = matrices.flatMap((key) =>
    (["a", "b", "alpha"] as const).flatMap((part) => pairName(naming, key, part) ?? []),
  );
  names.push(...whole.map((key) => wholeName(naming, key)));
  const read = readLoraNames(names.toReversed());
  expect(read.naming).toBe(naming);
  expect([...read.pairs.keys()].sort()).toEqual(matrices.toSorted());
  for (const [key, { a, b, alpha }] of read.pairs) {
    expect({ a, b, alpha }).toEqual({
      a: pairName(naming, key, "a"),
      b: pairName(naming, key, "b"),
      alpha: pairName(naming, key, "alpha"),
    });
  }
  expect(Object.fromEntries(read.whole)).toEqual(
    Object.fromEntries(whole.map((key) => [key, wholeName(naming, key)])),
  );
});

test("the names are those that other programs write", () => {
  const key = "blocks.0.self_attn.q.weight";
  expect(Object.fromEntries(NAMINGS.map((naming) => [naming, pairName(naming, key, "a")]))).toEqual({
    posegen: "blocks.0.self_attn.q.lora_A.weight",
    published: "pipe.dit.blocks.0.self_attn.q.lora_A.default.weight",
    peft: "base_model.model.blocks.0.self_attn.q.lora_A.weight",
    "diffusion-model": "diffusion_model.blocks.0.self_attn.q.lora_A.weight",
    "diffusion-model-updown": "diffusion_model.blocks.0.self_attn.q.lora_down.weight",
    kohya: "lora_unet_blocks_0_self_attn_q.lora_down.weight",
  });
  expect(pairName("kohya", "blocks.0.cross_attn.k_img.weight", "alpha")).toBe(
    "lora_unet_blocks_0_cross_attn_k_img.alpha",
  );
  expect(wholeName("peft", "hand_patch_embedding.0.bias")).toBe(
    "base_model.model.hand_patch_embedding.0.bias",
  );
});

test("differences are named after the weights they are added to", () => {
  const keys = ["blocks.0.norm3.weight", "blocks.0.cross_attn.k_img.bias", "blocks.0.modulation"];
  const names = keys.map((key) => diffName("diffusion-model-updown", key)!);
  expect(names).toEqual([
    "diffusion_model.blocks.0.norm3.diff",
    "diffusion_model.blocks.0.cross_attn.k_img.diff_b",
    "diffusion_model.blocks.0.diff_m",
  ]);
  for (const naming of ["posegen", "diffusion-model", "kohya"] as const) {
    const read = readLoraNames(keys.map((key) => diffName(naming, key)!));
    expect([...read.diffs.keys()]).toEqual(keys);
  }
  expect([diffName("peft", keys[0]!), diffName("kohya", "other")]).toEqual([null, null]);
});

test("wrappers of training code around whole weights are taken off", () => {
  const names = [
    "pipe.dit.blocks.3.ffn.0.base_layer.weight",
    "pipe.dit.patch_embedding.modules_to_save.default.bias",
  ];
  expect([...readLoraNames(names).whole.keys()]).toEqual(["blocks.3.ffn.0.weight", "patch_embedding.bias"]);
});

test.each([
  [["q.lora_A.weight"], /the LoRA has lora_A but no lora_B for q\.weight/],
  [["q.lora_up.weight"], /has lora_B but no lora_A for q\.weight/],
  [["q.alpha"], /has an alpha but no pair for q\.weight/],
  [["q.lora_A.weight", "q.lora_down.weight"], /both "q.lora_A.weight" and "q.lora_down.weight"/],
  [["p.weight", "pipe.dit.p.weight"], /both "p.weight" and "pipe.dit.p.weight"/],
  [["q.dora_scale"], /"q.dora_scale", which is not part of a plain LoRA/],
  [["diffusion_model.q.set_weight"], /not part of a plain LoRA/],
  [["q.diff", "diffusion_model.q.diff"], /both "q.diff" and "diffusion_model.q.diff"/],
  [["lora_unet_q.hada_w1_a"], /not part of a plain LoRA/],
  [["lora_unet_q.weight"], /expected \.lora_down\.weight, \.lora_up\.weight or \.alpha/],
])("%j is refused", (names, message) => {
  expect(() => readLoraNames(names)).toThrow(UserError);
  expect(() => readLoraNames(names)).toThrow(message);
});
