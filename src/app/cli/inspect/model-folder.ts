import { basename } from "node:path";
import { MODEL_FILES, openModelFolder, type ModelPart } from "../../../diffusion/model-folder.ts";
import { printable } from "../../../runtime/quote.ts";
import { textTable } from "../text-table.ts";
import { summary } from "./checkpoint.ts";

/** What a model was made for, its architecture, and what its files hold. */
export async function describeModelFolder(path: string): Promise<string> {
  const folder = await openModelFolder(path);
  const { name, defaults, dit, vae, textEncoder, imageEncoder, textTokens } = folder.description;
  const parts: string[][] = [];
  for (const part of Object.keys(MODEL_FILES) as ModelPart[]) {
    const checkpoint = await folder.open(part);
    parts.push([printable(basename(checkpoint.path)), summary(checkpoint)]);
  }
  for (const { file, weight } of folder.description.loras ?? []) {
    parts.push([printable(file), `LoRA over both phases, weight ${weight}`]);
  }
  const latentStride = 2 ** (vae.encoder.dimMult.length - 1);
  const rows = [
    [
      "made for",
      `${defaults.width}x${defaults.height} at ${defaults.fps} fps, segments of ${defaults.segmentFrames} frames`,
    ],
    ["sampling", `${defaults.steps} steps, guidance ${defaults.guidanceScale}, shift ${defaults.shift}`],
    ["denoiser", `${dit.numLayers} blocks, width ${dit.dim}, ${dit.numHeads} heads, FFN ${dit.ffnDim}`],
    ["VAE", `${vae.zDim} latent channels, one latent per ${latentStride}x${latentStride} pixels`],
    [
      "text encoder",
      `${textEncoder.numLayers} layers, width ${textEncoder.dim}, ${textTokens} tokens of ${textEncoder.vocabSize}`,
    ],
    [
      "image encoder",
      `${imageEncoder.numLayers} layers, width ${imageEncoder.dim}, ${imageEncoder.imageSize} pixels`,
    ],
  ];
  return [`model folder "${printable(name)}"`, textTable(rows), "files", textTable(parts)].join("\n");
}
