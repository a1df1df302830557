import { readFileSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type DenoiseState, type Predict, denoise } from "../diffusion/denoise.ts";
import { Denoiser, type SegmentInputs, type SharingMode } from "../diffusion/denoiser.ts";
import { FinetunedWeights } from "../diffusion/finetuned-weights.ts";
import { flowMatchSchedule } from "../diffusion/schedule.ts";
import { buildWanDiT } from "../models/wan-dit/build.ts";
import { WAN_DIT_PRESETS } from "../models/wan-dit/config.ts";
import { Lane } from "../runtime/lane.ts";
import { type Checkpoint, openSafetensors } from "../runtime/safetensors.ts";
import { type Tensor, float32 } from "../tensor/tensor.ts";
import { BackgroundSharing, predictAlone } from "./kv-share.ts";
import { type KeyKeeping } from "./sharing-plan.ts";

/** The published loop on a small model: an anchor, then a base segment that shares in several ways. */
const path = (name: string): string => fileURLToPath(new URL(`../../fixtures/${name}`, import.meta.url));
const golden = JSON.parse(readFileSync(path("dit_kvshare/config.json"), "utf8"));
const [latentFrames, latentHeight, latentWidth] = golden.latents_F_H_W as [number, number, number];
const shape = { latentFrames, latentHeight, latentWidth };
const schedule = flowMatchSchedule(golden.num_inference_steps);
const { dim, num_heads: numHeads, ffn_dim: ffnDim, num_layers: numLayers } = golden.model_config;
const { text_dim: textDim, freq_dim: freqDim } = golden.model_config;

let lane: Lane;
let denoiser: Denoiser;
let outputs: Checkpoint;
let noise: Tensor<"float32">;
let anchorInputs: SegmentInputs;
let baseInputs: SegmentInputs;

beforeAll(async () => {
  lane = new Lane();
  const inputs = await openSafetensors(path("dit_kvshare/inputs.safetensors"));
  outputs = await openSafetensors(path("dit_kvshare/outputs.safetensors"));
  const read = (name: string) => inputs.readFloat32(name);
  const clipFeature = await (
    await openSafetensors(path("dit/inputs.safetensors"))
  ).readFloat32("A.clip_feature");
  const contexts = { positive: await read("context_pos"), negative: await read("context_neg") };
  const [, textTokens] = contexts.positive.shape as [number, number, number];
  const [, imageTokens, imageDim] = clipFeature.shape as [number, number, number];
  const subjectTokens = float32(new Float32Array(textTokens));
  for (const index of golden.token_indices as number[]) subjectTokens.data[index] = 1;
  const segment = async (name: string): Promise<SegmentInputs> => ({
    cond: await read(`${name}.cond_latents`),
    hand: await read(`${name}.hand_latents`),
    ref: await read("ref_latents"),
    clipFeature,
    contexts,
    subjectTokens,
  });
  noise = await read("noise");
  anchorInputs = await segment("anchor");
  baseInputs = await segment("base");
  const config = { ...WAN_DIT_PRESETS.tiny, dim, numHeads, ffnDim, numLayers, textDim, imageDim, freqDim };
  const weights = await openSafetensors(path("dit/weights.safetensors"));
  const specs = buildWanDiT(config, shape).params.values();
  const finetuned = await FinetunedWeights.open(weights, { phase1: [], phase2: [] }, specs, { lane });
  await finetuned.use("phase1");
  denoiser = new Denoiser({
    config,
    shape: { ...shape, textTokens, imageTokens },
    maxMapBlock: golden.max_block_idx,
    lane,
    weights: finetuned,
    placement: { device: "cpu", threads: 1 },
  });
});
afterAll(() => lane.close());

/** Largest deviation from those golden latents that are kept, the last ones among them, as a share of their largest value. */
async function errorOf(name: string, predict: Predict): Promise<number> {
  let worst = 0;
  await denoise({
    schedule,
    guidanceScale: golden.cfg_scale,
    from: { step: 0, latents: noise.data },
    predict,
    onStep: async ({ step, latents }: DenoiseState) => {
      const key = `${name}.step${step - 1}.latents`;
      if (!outputs.tensors.has(key)) return;
      const expected = (await outputs.readFloat32(key)).data;
      const largest = expected.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
      const error = latents.reduce((max, x, i) => Math.max(max, Math.abs(x - expected[i]!)), 0);
      worst = Math.max(worst, error / largest);
    },
  });
  return worst;
}

test("a base segment without sharing equals the published loop", async () => {
  expect(await errorOf("plain", predictAlone(denoiser, baseInputs))).toBeLessThan(5e-5);
});

test.each<[string, SharingMode]>([
  ["paper", "paper"],
  ["paper_ref_own", "paper-ref-own"],
  ["official", "official"],
  ["nomask", "nomask"],
])("anchor and base segment equal the published loop: %s", async (variant, mode) => {
  const numSteps = golden.kvshare_steps.length;
  const sharing = new BackgroundSharing(denoiser, { shot: null, steps: [0, numSteps], blocks: [2, 4], mode });
  expect(sharing.isCaptured).toBe(false);
  expect(await errorOf("anchor", sharing.capture(anchorInputs))).toBeLessThan(5e-5);
  expect(sharing.isCaptured).toBe(true);
  expect(await errorOf(variant, await sharing.share(baseInputs))).toBeLessThan(5e-5);
  await sharing.release();
});

test("keys on the disk give the bits of those in memory, and leave nothing there; int8 is close", async () => {
  const plan = { shot: null, steps: [0, 2], blocks: [2, 4], mode: "paper" } as const;
  const folder = await mkdtemp(join(tmpdir(), "posegen-keys-"));
  const variants: [KeyKeeping, error: number, files: number][] = [
    [{}, 5e-5, 0],
    [{ keyFolder: folder }, 5e-5, 8],
    [{ keyDType: "int8" }, 2e-3, 0],
    [{ keyDType: "int8", keyFolder: folder }, 2e-3, 8],
  ];
  const errors: number[] = [];
  for (const [keeping, limit, numFiles] of variants) {
    const sharing = new BackgroundSharing(denoiser, plan, undefined, keeping);
    await errorOf("anchor", sharing.capture(anchorInputs));
    expect(await readdir(folder)).toHaveLength(numFiles);
    const error = await errorOf("paper", await sharing.share(baseInputs));
    expect(error).toBeLessThan(limit);
    errors.push(error);
    await sharing.release();
    expect(await readdir(folder)).toEqual([]);
  }
  expect(errors[1]).toBe(errors[0]);
  expect(errors[3]).toBe(errors[2]);
  expect(errors[2]).toBeGreaterThan(errors[0]!);
  await rm(folder, { recursive: true });
});

test("keys that cannot be kept on the disk are refused in one line", async () => {
  const plan = { shot: null, steps: [0, 2], blocks: [2, 4], mode: "paper" } as const;
  const keyFolder = join(tmpdir(), "posegen-no-such-folder");
  const sharing = new BackgroundSharing(denoiser, plan, undefined, { keyFolder });
  await expect(errorOf("anchor", sharing.capture(anchorInputs))).rejects.toThrow(
    /^the anchor's keys cannot be kept in .*: ENOENT/,
  );
});

test("a base segment that goes on after the shared steps needs no anchor", async () => {
  const sharing = new BackgroundSharing(denoiser, {
    shot: null,
    steps: [0, 2],
    blocks: [2, 4],
    mode: "paper",
  });
  const latents = (await outputs.readFloat32("paper.step1.latents")).data;
  const options = { schedule, guidanceScale: golden.cfg_scale, from: { step: 2, latents } };
  const end = await denoise({ ...options, predict: await sharing.share(baseInputs) });
  const expected = (await outputs.readFloat32("paper.step3.latents")).data;
  expect(Math.max(...end.latents.map((x, i) => Math.abs(x - expected[i]!)))).toBeLessThan(1e-3);
});
