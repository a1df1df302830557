import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFolderAtomically } from "../files/atomic-folder.ts";
import { type LoraWeights } from "../models/layers/lora-merge.ts";
import { type LoraNaming, diffName, pairName, wholeName } from "../models/layers/lora-naming.ts";
import { writeSafetensors } from "../runtime/safetensors-writer.ts";
import { UserError } from "../tensor/errors.ts";
import { type Tensor, float32 } from "../tensor/tensor.ts";
import { ADAPTER_CONFIG, ADAPTER_MODEL } from "./lora-file.ts";
import { peftConfigOf } from "./peft-config.ts";

/** What other programs look for to know whose layout tensors have. */
const METADATA = { format: "pt" };

/**
 * Writes a LoRA under the names of a naming, tensors as they are: a safetensors file, or in PEFT's a folder with
 * `adapter_config.json` and `adapter_model.safetensors`. It is there whole or not at all.
 * @throws UserError when the naming cannot say the LoRA's scale, a PEFT folder is there already, or the place cannot
 * be written
 */
export async function writeLora(path: string, lora: LoraWeights<Tensor>, naming: LoraNaming): Promise<void> {
  const tensors = loraTensors(lora, naming);
  if (naming !== "peft") return writeSafetensors(path, tensors, METADATA);
  await writeFolderAtomically(path, async (folder) => {
    await writeFile(join(folder, ADAPTER_CONFIG), `${JSON.stringify(peftConfigOf(lora), null, 2)}\n`);
    await writeSafetensors(join(folder, ADAPTER_MODEL), tensors, METADATA);
  });
}

/**
 * The tensors of a LoRA by the names of a naming. An alpha is written where the scale is not 1, and always in kohya's.
 * @throws UserError when a scale is not 1, or there are differences, and the naming has no place for it
 */
export function loraTensors(
  { pairs, whole, diffs }: LoraWeights<Tensor>,
  naming: LoraNaming,
): Map<string, Tensor> {
  const tensors = new Map<string, Tensor>();
  for (const [key, { a, b, scale }] of pairs) {
    tensors.set(pairName(naming, key, "a")!, a);
    tensors.set(pairName(naming, key, "b")!, b);
    if (naming === "peft" || (scale === 1 && naming !== "kohya")) continue;
    const alpha = pairName(naming, key, "alpha");
    if (alpha === null) {
      throw new UserError(
        `the naming "${naming}" has no place for a scale other than 1, and ${key} has ${scale}; take another naming`,
      );
    }
    tensors.set(alpha, float32([scale * a.shape[0]!], []));
  }
  for (const [key, tensor] of whole) tensors.set(wholeName(naming, key), tensor);
  for (const [key, tensor] of diffs) {
    const name = diffName(naming, key);
    if (name === null) {
      throw new UserError(
        `the naming "${naming}" has no place for what is added to ${key}; take another naming`,
      );
    }
    tensors.set(name, tensor);
  }
  return tensors;
}
