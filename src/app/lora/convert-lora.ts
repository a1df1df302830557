import { openLora } from "../../diffusion/lora-file.ts";
import { writeLora } from "../../diffusion/lora-writer.ts";
import { LORA_NAMINGS, type LoraNaming } from "../../models/layers/lora-naming.ts";
import { UserError } from "../../tensor/errors.ts";
import { checkNotAmong } from "./output.ts";

export interface ConvertRequest {
  readonly lora: string;
  readonly to: string;
  readonly out: string;
}

/**
 * Writes a LoRA under the names of another naming. Tensors and their types stay as they are.
 * @returns what was written
 * @throws UserError for a malformed LoRA, an unknown naming, or an output that is the input
 */
export async function convertLora({ lora, to, out }: ConvertRequest): Promise<string> {
  if (!isNaming(to)) {
    throw new UserError(`to: got "${to}"; expected one of ${Object.keys(LORA_NAMINGS).join(", ")}`);
  }
  const file = await openLora(lora);
  await checkNotAmong(out, file.files);
  await writeLora(out, await file.readStored(), to);
  return out;
}

function isNaming(name: string): name is LoraNaming {
  return Object.hasOwn(LORA_NAMINGS, name);
}
