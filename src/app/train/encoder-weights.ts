/** The encoders of a training in which they do not learn. */
import { CLIP_VISION_PREFIX } from "../../models/clip-vision/build.ts";
import { overlayCheckpoints, replacePrefix } from "../../runtime/mapped-checkpoint.ts";
import { type Checkpoint } from "../../runtime/safetensors.ts";
import { UserError } from "../../tensor/errors.ts";
import { openAverages } from "../../training/checkpoint.ts";
import { MODEL_SCOPES } from "../../training/denoiser-loss.ts";
import { type ConditionEncodings } from "../../training/encoded-step.ts";
import { Encodings } from "../../training/encodings.ts";
import { frozenImageEncoder, frozenTextEncoder } from "../../training/frozen-encoders.ts";
import type { DenoiserConfig } from "./config.ts";
import { type ModelSource, openModelWeights } from "./model-source.ts";

/** Weights by their keys in the files of a model folder, with no bytes read. */
export interface EncoderWeights {
  readonly textEncoder: Checkpoint;
  readonly imageEncoder: Checkpoint;
}

/**
 * Those of the training that this one starts from, or of the model folder.
 * @throws UserError when there is neither
 */
export async function openEncoderWeights(
  { kind, model, from }: DenoiserConfig,
  { folder }: ModelSource,
): Promise<EncoderWeights> {
  const files: Checkpoint[] = [];
  if (from !== null) files.push(await openAverages(from));
  if (folder) files.push(await openModelWeights(folder));
  if (files.length === 0) {
    throw new UserError(
      `${kind} finetunes a model, and "${model}" is an architecture without weights; name the folder of a base ` +
        "training as `from`, or a model folder as `model`",
    );
  }
  const weights = overlayCheckpoints(files);
  return {
    textEncoder: replacePrefix(weights, `${MODEL_SCOPES.textEncoder}.`, ""),
    imageEncoder: replacePrefix(weights, `${MODEL_SCOPES.imageEncoder}.`, `${CLIP_VISION_PREFIX}.`),
  };
}

/** What the encoders make of the clips of a dataset, kept in its folder. */
export async function encodingsOf(
  dataset: string,
  { models, textTokens }: Pick<ModelSource, "models" | "textTokens">,
  weights: EncoderWeights,
  threads: number,
): Promise<ConditionEncodings> {
  const text = await frozenTextEncoder(models.textEncoder, weights.textEncoder, { textTokens, threads });
  const image = await frozenImageEncoder(models.imageEncoder, weights.imageEncoder, { threads });
  return { text: new Encodings(dataset, text), image: new Encodings(dataset, image) };
}
