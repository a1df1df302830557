import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UserError } from "../../tensor/errors.ts";
import { LoadedModel } from "../loaded-model.ts";
import { openModelFolder } from "../model-folder.ts";
import { type Layout, LAYOUTS, PUBLISHED_TINY, publishedWeights, writePublishedModel } from "./testing.ts";

let folder: string;
const weights = publishedWeights();
const models = new Map<Layout, string>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "published-model-"));
  for (const layout of LAYOUTS) {
    models.set(layout, await writePublishedModel(join(folder, layout), layout, weights));
  }
});
afterAll(() => rm(folder, { recursive: true }));

const NETWORKS = ["dit", "vae", "textEncoder", "imageEncoder"] as const;
const ADDED = /^(?:ref|hand)_patch_embedding\./;

describe.each(LAYOUTS)("the layout %s", (layout) => {
  it("has the same tensors under our keys", async () => {
    const model = await openModelFolder(models.get(layout)!);
    for (const network of NETWORKS) {
      const checkpoint = await model.open(network);
      for (const [key, expected] of Object.entries(weights[network])) {
        // The original base knows neither hand nor reference.
        if (network === "dit" && layout !== "posegen" && ADDED.test(key)) continue;
        if (network === "dit" && layout === "posegen" && /patch_embedding/.test(key)) continue;
        const { shape, data } = await checkpoint.readFloat32(key);
        expect(shape, key).toEqual(expected.shape);
        expect(Buffer.compare(new Uint8Array(data.buffer), new Uint8Array(expected.data.buffer)), key).toBe(
          0,
        );
      }
    }
  });

  it("has both phases' pairs and embeddings, and nothing of the base in them", async () => {
    const model = await openModelFolder(models.get(layout)!);
    for (const phase of ["phase1", "phase2"] as const) {
      const { pairs, whole } = await (await model.openPhase(phase)).readFloat32();
      expect(pairs.size).toBe(20);
      expect([...whole.keys()].sort()).toEqual(
        Object.keys(weights[phase])
          .filter((key) => !/lora/.test(key))
          .sort(),
      );
      const { a, scale } = pairs.get("blocks.1.ffn.0.weight")!;
      expect(a).toEqual(weights[phase]["blocks.1.ffn.0.lora_A.default.weight"]);
      expect(scale).toBe(1);
      expect(whole.get("hand_patch_embedding.1.bias")).toEqual(weights[phase]["hand_patch_embedding.1.bias"]);
    }
  });

  it("tells its sizes by shapes, and fits the graphs", async () => {
    const path = models.get(layout)!;
    const { description } = await openModelFolder(path);
    expect({ ...description, ...PUBLISHED_TINY }).toEqual(description);
    const model = await LoadedModel.open(path, { device: "cpu", threads: 1 });
    await model.release();
  });
});

describe("openModelFolder", () => {
  it("keeps one file for the base of both phases", async () => {
    const { files } = await openModelFolder(models.get("posegen")!);
    const names = [...(await files()).keys()];
    expect(names).toContain("phase1/pytorch_model-00001-of-00002.bin");
    expect(names).toContain("phase2/pytorch_model-00001-of-00002.bin");
    expect(names).toContain("dit/pytorch_model-00001-of-00002.bin");
  });

  it("takes a JSON file that names the parts", async () => {
    const path = join(folder, "parts.json");
    const parts = {
      vae: "diffusers/vae",
      imageEncoder: "single-files/clip_vision/clip_vision_h.safetensors",
    };
    await writeFile(path, JSON.stringify({ folder: "original", parts }));
    const model = await openModelFolder(path);
    expect((await model.open("vae")).path).toBe(
      join(folder, "diffusers/vae/diffusion_pytorch_model.safetensors"),
    );
    expect((await model.open("dit")).path).toBe(join(folder, "original"));
    const vae = await model.open("vae");
    expect(await vae.readFloat32("conv1.weight")).toEqual(weights.vae["conv1.weight"]);
  });

  it.each([
    ["another field", '{"folder":"original","extra":1}', /Unrecognized key/],
    ["an unknown part", '{"parts":{"unet":"x"}}', /parts/],
    ["no text", '{"parts":{"vae":1}}', /parts\.vae/],
    ["a folder that is missing", '{"folder":"nowhere"}', /names the folder nowhere, which cannot be read/],
    ["nothing", "{}", /lacks the finetuning of phase 1 \(the folder 720p-81f-base from/],
    ["no JSON", "{", /is not JSON/],
  ])("refuses a JSON file with %s", async (_, text, message) => {
    const path = join(folder, "bad.json");
    await writeFile(path, text);
    await expect(openModelFolder(path)).rejects.toThrow(UserError);
    await expect(openModelFolder(path)).rejects.toThrow(message);
    await expect(openModelFolder(path)).rejects.toThrow(/^.+$/);
  });

  it("names what is missing, and the files that would fill it", async () => {
    const model = await writePublishedModel(join(folder, "incomplete"), "original", weights);
    await rename(join(model, "Wan2.1_VAE.pth"), join(model, "elsewhere"));
    await rm(join(model, "google"), { recursive: true });
    await expect(openModelFolder(model)).rejects.toThrow(
      /lacks the VAE \(Wan2\.1_VAE\.pth from .*\); the tokenizer \(google\/umt5-xxl\/tokenizer\.json from/,
    );
  });

  it("says when the denoiser's base is nowhere, and when a file is another network", async () => {
    const model = await writePublishedModel(join(folder, "no-base"), "original", weights);
    const index = join(model, "diffusion_pytorch_model.safetensors.index.json");
    const shards = [1, 2].map((i) => join(model, `diffusion_pytorch_model-0000${i}-of-00002.safetensors`));
    for (const path of [index, ...shards]) await rm(path);
    await expect(openModelFolder(model)).rejects.toThrow(/lacks the base weights of the denoiser/);
    const parts = { dit: "original/Wan2.1_VAE.pth" };
    const path = join(folder, "wrong.json");
    await writeFile(path, JSON.stringify({ folder: "no-base", parts }));
    await expect(openModelFolder(path)).rejects.toThrow(/Wan2\.1_VAE\.pth does not hold a denoiser/);
  });

  it("refuses a configuration that contradicts the weights", async () => {
    const model = await writePublishedModel(join(folder, "contradiction"), "posegen", weights);
    await writeFile(join(model, "720p-81f-base/model_config.json"), '{"num_layers":40}');
    await expect(openModelFolder(model)).rejects.toThrow(/says num_layers 40; the weights say 2/);
  });
});
