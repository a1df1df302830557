/** How many of the denoiser's blocks are in memory at a time: by request, or as the machine's memory has it. */
import type { ModelDescription } from "../diffusion/model-folder.ts";
import { freeMemoryBytes } from "../runtime/measure.ts";
import type { Checkpoint } from "../runtime/safetensors.ts";
import { MAP_BEYOND_BYTES } from "../runtime/shared-weights.ts";
import { sizeOf } from "../tensor/tensor.ts";
import type { CheckedGenerateRequest } from "./request.ts";

/** The share of the free memory that mapped weights may fill without pushing out what else is needed. */
const MAPPED_SHARE = 0.75;

/** Weights that `auto` lets one stage have, as they are stored. */
const STAGE_BYTES = 2 ** 31;

/**
 * Blocks of a stage; null where one session has them all. `auto` keeps models that are held in memory, or whose files
 * fit into what is free, in one session; the others go through in stages of about 2 GiB, and so do all in int8 that are
 * not held in memory: every open graph has a packed copy of its int8 weights. Results are the same bits.
 * @param base the denoiser's weights
 * @param notify told why `auto` makes stages
 */
export function chooseStages(
  { blocksPerStage, precision }: Pick<CheckedGenerateRequest, "blocksPerStage" | "precision">,
  { dit: { numLayers } }: Pick<ModelDescription, "dit">,
  { tensors }: Pick<Checkpoint, "tensors">,
  notify: (message: string) => void,
  freeBytes = freeMemoryBytes(),
): number | null {
  if (blocksPerStage === "all") return null;
  if (blocksPerStage !== "auto") return blocksPerStage >= numLayers ? null : blocksPerStage;
  const sizes = storedSizes(tensors);
  const isInt8 = precision === "int8";
  const length = stageLength(sizes, numLayers, isInt8 ? 0 : freeBytes);
  if (length !== null) {
    const why = isInt8
      ? "every graph that is open holds its int8 weights in memory"
      : `its weights take ${(sizes.storedBytes / 2 ** 30).toFixed(1)} GiB, free are ${(freeBytes / 2 ** 30).toFixed(1)} GiB`;
    notify(
      `the denoiser runs in stages of ${length} of its ${numLayers} blocks: ${why}; --blocks-per-stage all keeps them ` +
        "together",
    );
  }
  return length;
}

/** What the length of a stage depends on. */
export interface StoredSizes {
  /** The denoiser as it is stored, and as float32. */
  readonly storedBytes: number;
  readonly floatBytes: number;
  /** Of one block, as it is stored. */
  readonly blockBytes: number;
}

export function storedSizes(
  tensors: ReadonlyMap<string, { readonly shape: readonly number[]; readonly byteLength: number }>,
): StoredSizes {
  let [storedBytes, floatBytes, blockBytes] = [0, 0, 0];
  for (const [key, { shape, byteLength }] of tensors) {
    storedBytes += byteLength;
    floatBytes += Float32Array.BYTES_PER_ELEMENT * sizeOf(shape);
    if (key.startsWith("blocks.0.")) blockBytes += byteLength;
  }
  return { storedBytes, floatBytes, blockBytes };
}

/** Blocks of a stage by themselves: null for models that are held in memory, and for those whose files fit into it. */
export function stageLength(
  { storedBytes, floatBytes, blockBytes }: StoredSizes,
  numLayers: number,
  freeBytes: number,
): number | null {
  if (floatBytes <= MAP_BEYOND_BYTES || storedBytes <= MAPPED_SHARE * freeBytes) return null;
  const length = Math.max(1, Math.floor(STAGE_BYTES / Math.max(blockBytes, 1)));
  return length >= numLayers ? null : length;
}
