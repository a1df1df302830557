/** What of a model folder makes latents and tokens: its VAE, its tokenizer, and how it wants skeletons drawn. */
import { createHash } from "node:crypto";
import { VideoVae } from "../../diffusion/latents.ts";
import { type ModelDescription, type ModelFolder, openModelFolder } from "../../diffusion/model-folder.ts";
import { PromptTokenizer, paddedIds } from "../../diffusion/tokenizer.ts";
import { Lane } from "../../runtime/lane.ts";
import type { Checkpoint } from "../../runtime/safetensors.ts";
import { SharedWeights } from "../../runtime/shared-weights.ts";
import { hashFile } from "../../pipeline/work-directory.ts";
import { type ClipShapes, clipShapes } from "../../training/dataset.ts";
import type { ClipEncoders } from "../../training/render-training-clip.ts";

export interface EncoderIdentity {
  readonly description: ModelDescription;
  /** Hash of all that latents, tokens and drawings depend on. The decoder is not part of it. */
  readonly fingerprint: string;
}

/** Reads what a dataset has to know of a model folder. The denoiser's and the encoders' weights may be missing. */
export async function identifyEncoders(model: string): Promise<EncoderIdentity> {
  const folder = await openModelFolder(model);
  const { description, tokenizerPath } = folder;
  // A model without its tokenizer is refused here, before any work.
  await PromptTokenizer.load(tokenizerPath);
  const parts = {
    vae: await encoderHash(folder),
    tokenizer: await hashFile(tokenizerPath),
    textTokens: description.textTokens,
    imageSize: description.imageEncoder.imageSize,
    skeleton: description.skeleton,
  };
  const fingerprint = createHash("sha256").update(JSON.stringify(parts)).digest("hex");
  return { description, fingerprint };
}

async function encoderHash(folder: ModelFolder): Promise<string> {
  const { decoder: _, ...config } = folder.description.vae;
  const hash = createHash("sha256").update(JSON.stringify(config));
  const checkpoint: Checkpoint = await folder.open("vae");
  for (const key of [...checkpoint.tensors.keys()].sort()) {
    if (!key.startsWith("encoder.") && !key.startsWith("conv1.")) continue;
    const { dtype, shape, data } = await checkpoint.readTensor(key);
    hash.update(JSON.stringify([key, dtype, shape]));
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest("hex");
}

/** Shapes of clips of a size, encoded by a model. */
export function shapesFor(
  { vae, textTokens, imageEncoder }: ModelDescription,
  size: { readonly width: number; readonly height: number; readonly numFrames: number },
): ClipShapes {
  return clipShapes({
    ...size,
    latentChannels: vae.zDim,
    textTokens,
    imageSize: imageEncoder.imageSize,
  });
}

export interface OpenedEncoders extends ClipEncoders {
  readonly description: ModelDescription;
  release(): Promise<void>;
}

/** Opens the encoders of a model folder. One thread, so that any number of workers gives the same latents. */
export async function openEncoders(model: string): Promise<OpenedEncoders> {
  const folder = await openModelFolder(model);
  const { description } = folder;
  const { textTokens, imageEncoder, skeleton } = description;
  const tokenizer = await PromptTokenizer.load(folder.tokenizerPath);
  const lane = new Lane();
  const weights = new SharedWeights(lane, await folder.open("vae"), { model: "the VAE" });
  return {
    description,
    vae: new VideoVae(description.vae, (graph, name) => weights.session(graph, { name, threads: 1 })),
    tokenize: (prompt) => Int32Array.from(paddedIds(tokenizer.tokenize(prompt, textTokens), textTokens)),
    imageSize: imageEncoder.imageSize,
    skeleton,
    release: () => lane.close(),
  };
}
