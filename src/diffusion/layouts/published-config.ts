import { stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { type WanDiTConfig } from "../../models/wan-dit/config.ts";
import { readJson } from "../../runtime/read-json.ts";
import { describeFault } from "../../runtime/strict-json.ts";
import { UserError } from "../../tensor/errors.ts";

export const MODEL_CONFIG = "model_config.json";

const count = z.number().int().positive();

const schema = z.object({
  dim: count.optional(),
  in_dim: count.optional(),
  out_dim: count.optional(),
  ffn_dim: count.optional(),
  num_heads: count.optional(),
  num_layers: count.optional(),
  text_dim: count.optional(),
  freq_dim: count.optional(),
  patch_size: z.tuple([count, count, count]).optional(),
  eps: z.number().positive().optional(),
  has_image_input: z.boolean().optional(),
  shift_ref_pos: z.boolean().optional(),
  use_hand: z.boolean().optional(),
  use_hand_proj: z.boolean().optional(),
});

/** Fields of `model_config.json` beside the published finetunings, as far as they say something of the network. */
export type PublishedConfig = z.infer<typeof schema>;

/** Null where the folder has none. @throws UserError when it is malformed */
export async function readPublishedConfig(folder: string): Promise<PublishedConfig | null> {
  const path = join(folder, MODEL_CONFIG);
  if ((await stat(path).catch(() => null)) === null) return null;
  const result = schema.safeParse(await readJson(path, { bytes: 1 << 20, depth: 8 }));
  if (result.success) return result.data;
  throw new UserError(`${path} does not describe a denoiser: ${describeFault(result.error)}`);
}

/** @throws UserError when the file says other sizes than the weights have */
export function checkPublishedConfig(config: PublishedConfig, dit: WanDiTConfig, where: string): void {
  const has: Partial<Record<keyof PublishedConfig, unknown>> = {
    dim: dit.dim,
    in_dim: dit.inDim,
    out_dim: dit.outDim,
    ffn_dim: dit.ffnDim,
    num_layers: dit.numLayers,
    text_dim: dit.textDim,
    freq_dim: dit.freqDim,
    patch_size: dit.patchSize.join(),
    has_image_input: dit.imageDim !== null,
    use_hand: dit.hand !== "none",
    use_hand_proj: dit.hand === "conv+proj",
  };
  for (const [field, actual] of Object.entries(has)) {
    const said = config[field as keyof PublishedConfig];
    if (said === undefined || String(said) === String(actual)) continue;
    throw new UserError(
      `${join(where, MODEL_CONFIG)} says ${field} ${String(said)}; the weights say ${String(actual)}`,
    );
  }
}
