import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { publishedWeights, writePublishedModel } from "../../diffusion/layouts/testing.ts";
import { torchFile } from "../../runtime/pytorch/testing.ts";
import { writeSafetensors } from "../../runtime/safetensors-writer.ts";
import { EMBEDDED_MODEL } from "../../pipeline/request.ts";
import { inspectModel } from "./inspect-model.ts";
import { describeChecks } from "./verify-model.ts";

let folder: string;
const weights = publishedWeights();
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "models-"));
  await writePublishedModel(join(folder, "posegen"), "posegen", weights);
  await writePublishedModel(join(folder, "diffusers"), "diffusers", weights);
});
afterAll(() => rm(folder, { recursive: true }));

const spaced = (text: string): string => text.replaceAll(/ +/g, " ");

describe("posegen models verify", () => {
  it("finds a model whole: published ones, and the embedded one", async () => {
    const { text, isWhole } = await describeChecks(join(folder, "posegen"));
    expect(isWhole).toBe(true);
    expect(spaced(text)).toContain("ok VAE 194 tensors\n");
    expect(spaced(text)).toContain("ok finetuning of phase 2 20 low-rank pairs, 8 whole tensors\n");
    expect(spaced(text)).toContain("ok frozen weights the small ones, in both phases\n");
    expect((await describeChecks(join(folder, "diffusers"))).isWhole).toBe(true);
    expect((await describeChecks(EMBEDDED_MODEL)).isWhole).toBe(true);
  });

  it("names missing and mis-shaped tensors, and phases over different bases", async () => {
    const model = await writePublishedModel(join(folder, "faulty"), "posegen", weights);
    const { "conv2.bias": _, ...vae } = weights.vae;
    await writeFile(join(model, "Wan2.1_VAE.pth"), torchFile({ ...vae, "conv2.weight": vae["conv1.bias"]! }));
    const [first, second] = [1, 2].map((i) =>
      join(model, `720p-81f-cond/pytorch_model-0000${i}-of-00002.bin`),
    );
    const other = publishedWeights(2);
    const cond = { ...other.phase2, ...other.dit };
    const named = Object.entries(cond).map(([key, tensor]) => [`pipe.dit.${key}`, tensor]);
    await writeFile(first!, torchFile(Object.fromEntries(named)));
    await writeFile(second!, torchFile({}));
    const { text, isWhole } = await describeChecks(model);
    expect(isWhole).toBe(false);
    expect(spaced(text)).toMatch(
      /FAULT VAE 194 tensors\n "conv2\.weight" has shape \[32\], expected \[16, 16, 1, 1, 1\]/,
    );
    expect(text).toContain('"conv2.bias" is missing, expected [16]');
    expect(spaced(text)).toMatch(
      /FAULT frozen weights .*\n "time_embedding\.0\.\w+" differs in .*720p-81f-cond\n/,
    );
    expect(text).toMatch(/and \d+ more/);
  });
});

describe("posegen models inspect", () => {
  it("describes a whole model, its layout and names", async () => {
    const text = spaced(await inspectModel(join(folder, "diffusers")));
    expect(text).toContain('model folder "diffusers"');
    expect(text).toMatch(/finetuning of phase 1 .*720p-81f-base: 48 tensors, .*float32/);
    expect(text).toMatch(/base weights of the denoiser .*transformer: \d+ tensors, .*, Diffusers names\n/);
    expect(text).toMatch(/text encoder .*text_encoder: \d+ tensors, .*, Transformers names\n/);
    expect(spaced(await inspectModel(join(folder, "posegen")))).toMatch(
      /720p-81f-base: .*, with the denoiser's base \(original names behind "pipe\.dit\."\)/,
    );
  });

  it("says what is missing and which file would fill it", async () => {
    const place = await mkdtemp(join(folder, "few-"));
    await writeSafetensors(join(place, "wan_2.1_vae.safetensors"), weights.vae);
    const text = spaced(await inspectModel(place));
    expect(text).toMatch(/VAE .*wan_2\.1_vae\.safetensors: 194 tensors, .*, original names\n/);
    expect(text).toContain(
      "finetuning of phase 2 missing: get the folder 720p-81f-cond from Jessie459/PoseGen\n",
    );
    expect(text).toMatch(/text encoder missing: get models_t5_umt5-xxl-enc-bf16\.pth/);
    expect(await inspectModel(await mkdtemp(join(folder, "empty-")))).toMatch(/holds no part of a model$/);
    await expect(inspectModel(join(folder, "nowhere"))).rejects.toThrow(/cannot be read/);
  });
});
