import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  MODEL_FILES,
  MODEL_JSON,
  type ModelDescription,
  parseModelDescription,
  TOKENIZER_JSON,
} from "../../diffusion/model-folder.ts";
import { CLIP_VISION_PREFIX } from "../../models/clip-vision/build.ts";
import { type WanVaeConfig } from "../../models/wan-vae/config.ts";
import { writeSafetensors } from "../../runtime/safetensors-writer.ts";
import { float32ToFloat16 } from "../../tensor/float16.ts";
import { type Tensor } from "../../tensor/tensor.ts";
import { MODEL_SCOPES } from "../../training/denoiser-loss.ts";
import { captionTokenizerJson } from "../../training/tokenizer.ts";
import { type Params } from "../../training/train.ts";
import { averagedWeights, readAll } from "./denoiser.ts";
import { FPS, HEIGHT, MODELS, SEGMENT_FRAMES, TEXT_TOKENS, WIDTH } from "./recipe.ts";

/** Writes a model folder in float16 from the averaged weights of a run's phases. */
export async function exportModel(run: string, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const base = await averagedWeights(run, "base");
  await writeHalf(join(folder, MODEL_FILES.dit), below(base, MODEL_SCOPES.dit));
  await writeHalf(join(folder, MODEL_FILES.textEncoder), below(base, MODEL_SCOPES.textEncoder));
  const imageEncoder = Object.entries(below(base, MODEL_SCOPES.imageEncoder));
  const published = imageEncoder.map(([key, value]) => [`${CLIP_VISION_PREFIX}.${key}`, value] as const);
  await writeHalf(join(folder, MODEL_FILES.imageEncoder), Object.fromEntries(published));
  for (const phase of ["phase1", "phase2"] as const) {
    const weights = await averagedWeights(run, phase);
    await writeHalf(join(folder, MODEL_FILES[phase]), below(weights, MODEL_SCOPES.dit));
  }
  await writeHalf(join(folder, MODEL_FILES.vae), await readAll(join(run, "vae", "vae.safetensors")));
  const vae = JSON.parse(await readFile(join(run, "vae", "config.json"), "utf8")) as WanVaeConfig;
  await writeFile(join(folder, MODEL_JSON), `${JSON.stringify(describe(vae), null, 2)}\n`);
  await writeFile(join(folder, TOKENIZER_JSON), captionTokenizerJson());
}

function describe(vae: WanVaeConfig): ModelDescription {
  const last = MODELS.dit.numLayers;
  const sharing = (steps: number, blocks: number) => ({
    steps: [0, steps] as [number, number],
    blocks: [last - blocks, last] as [number, number],
  });
  return parseModelDescription(
    {
      format: 1,
      name: "posegen-mini",
      ...MODELS,
      vae,
      textTokens: TEXT_TOKENS,
      defaults: {
        width: WIDTH,
        height: HEIGHT,
        fps: FPS,
        segmentFrames: SEGMENT_FRAMES,
        steps: 8,
        guidanceScale: 1,
        shift: 3,
        negativePrompt: "",
      },
      skeleton: { style: "scaled", channelOrder: "palette" },
      // The published presets at this depth: the same share of blocks, and of steps at least one.
      sharing: {
        "close-up": sharing(1, 1),
        "half-body": sharing(1, 1),
        "full-body": sharing(2, 2),
        distant: sharing(2, 2),
      },
      maxMapBlock: Math.round(last / 4),
    },
    "the recipe",
  );
}

/** Parameters below a scope, without it. */
function below(params: Params, scope: string): Params {
  const prefix = `${scope}.`;
  return Object.fromEntries(
    Object.entries(params).flatMap(([key, value]) =>
      key.startsWith(prefix) ? [[key.slice(prefix.length), value]] : [],
    ),
  );
}

async function writeHalf(path: string, params: Params): Promise<void> {
  const halves: Record<string, Tensor> = {};
  for (const [key, { shape, data }] of Object.entries(params)) {
    halves[key] = { dtype: "float16", shape, data: float32ToFloat16(data) };
  }
  await writeSafetensors(path, halves);
}
