/** A model's weights against a checkpoint: what is missing or mis-shaped, and reading what fits. */
import { UserError } from "../tensor/errors.ts";
import type { DType, Tensor } from "../tensor/tensor.ts";
import type { Checkpoint, TensorEntry } from "./safetensors.ts";

/** A weight that a model needs, named as in the checkpoint. A graph's `params` are such. */
export interface WeightSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/** Faults named in one message; the rest are counted. */
const MAX_NAMED_FAULTS = 5;

/**
 * What is wrong with a model's weights in a checkpoint: a line for each that is missing, of another shape, or of a type
 * that cannot be widened to the model's.
 */
export function weightFaults(specs: Iterable<WeightSpec>, checkpoint: Checkpoint): string[] {
  const faults: string[] = [];
  for (const spec of specs) {
    const entry = checkpoint.tensors.get(spec.name);
    const fault = entry ? misfit(spec, entry) : `is missing, expected [${spec.shape.join(", ")}]`;
    if (fault !== null) faults.push(`"${spec.name}" ${fault}`);
  }
  return faults;
}

/**
 * Checks that a checkpoint holds every weight in the right shape. A float32 weight may be stored in 16 bits.
 * @param model for messages, e.g. "the denoiser"
 * @throws UserError that lists the first faults, with both shapes, and counts all
 */
export function checkWeights(specs: Iterable<WeightSpec>, checkpoint: Checkpoint, model: string): void {
  const list = [...specs];
  const faults = weightFaults(list, checkpoint);
  if (faults.length === 0) return;
  const named = faults.slice(0, MAX_NAMED_FAULTS);
  const rest = faults.length - named.length;
  throw new UserError(
    `${checkpoint.path} does not fit ${model}: ${faults.length} of ${list.length} tensors are wrong\n` +
      [...named, ...(rest > 0 ? [`and ${rest} more`] : [])].map((line) => `  ${line}`).join("\n") +
      `\nIt may belong to another model or another size of this one.`,
  );
}

/**
 * Checks and reads weights, 16-bit floats widened to float32 where the model computes in that.
 * @throws UserError as `checkWeights` does, and when a file cannot be read
 */
export async function loadWeights(
  specs: Iterable<WeightSpec>,
  checkpoint: Checkpoint,
  model: string,
): Promise<Record<string, Tensor>> {
  const list = [...specs];
  checkWeights(list, checkpoint, model);
  const weights: Record<string, Tensor> = {};
  for (const spec of list) weights[spec.name] = await readWeight(spec, checkpoint);
  return weights;
}

/** Reads one weight in the type that the model computes in. */
export function readWeight(spec: WeightSpec, checkpoint: Checkpoint): Promise<Tensor> {
  return spec.dtype === "float32" ? checkpoint.readFloat32(spec.name) : checkpoint.readTensor(spec.name);
}

/** What is wrong with a stored tensor, or null. */
function misfit(spec: WeightSpec, entry: TensorEntry): string | null {
  const sameShape =
    entry.shape.length === spec.shape.length && entry.shape.every((dim, axis) => dim === spec.shape[axis]);
  if (!sameShape) return `has shape [${entry.shape.join(", ")}], expected [${spec.shape.join(", ")}]`;
  const readable = spec.dtype === "float32" ? ["float32", "float16", "bfloat16"] : [spec.dtype];
  if (!readable.includes(entry.dtype)) return `has type ${entry.dtype}, expected ${readable.join(" or ")}`;
  return null;
}
