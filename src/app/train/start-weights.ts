/** The weights that a training of the denoiser starts from. */
import { MODEL_SCOPES } from "../../training/denoiser-loss.ts";
import type { ParamShapes } from "../../training/denoiser-run.ts";
import {
  CLIP_VISION_INIT,
  type Initializer,
  initialize,
  umt5Init,
  WAN_DIT_INIT,
} from "../../training/init.ts";
import type { DenoiserModels } from "../../training/denoiser-loss.ts";
import type { Params } from "../../training/train.ts";
import { UserError, invariant } from "../../tensor/errors.ts";
import { Random } from "../../tensor/random.ts";
import { type Tensor, float32 } from "../../tensor/tensor.ts";

/** Gates start open enough for all blocks to learn from the first step; shifts and scales start near 0. */
const openGates: Initializer = (shape, random) => {
  const dim = shape.at(-1)!;
  const table = random.normals(6 * dim).map((x) => (0.1 * x) / Math.sqrt(dim));
  for (const gate of [2, 5]) table.fill(0.3, gate * dim, (gate + 1) * dim);
  return table;
};

/** What finetuning adds to a model: its first values do not come from the weights it starts from. */
const ADDED = /\.lora_[AB]\.weight$|^dit\.(?:ref|hand)_patch_embedding\./;

const VIDEO_PATCHES = `${MODEL_SCOPES.dit}.patch_embedding`;
const REFERENCE_PATCHES = `${MODEL_SCOPES.dit}.ref_patch_embedding`;

/**
 * First values of all parameters of a training graph.
 *
 * Without given weights everything is drawn at random. With them, what they lack may only be what finetuning adds:
 * low-rank pairs that change nothing yet, the reference's patch embedding, which starts as the first channels of the
 * video's, and that of hand normals, whose projection is zero (paper, section S2).
 * @param given weights by their keys in the training graph; null for a new model
 * @throws UserError naming a weight that is missing or has another shape
 */
export function startWeights(
  shapes: ParamShapes,
  models: DenoiserModels,
  given: Params | null,
  seed: number,
): Params {
  const tables = {
    [`${MODEL_SCOPES.dit}.`]: [[/^blocks\.\d+\.modulation$/, openGates] as const, ...WAN_DIT_INIT],
    [`${MODEL_SCOPES.textEncoder}.`]: umt5Init(models.textEncoder),
    [`${MODEL_SCOPES.imageEncoder}.`]: CLIP_VISION_INIT,
  };
  const random = new Random(seed).fork("weights");
  if (given === null) return initialize(shapes, tables, random);
  const lacking = new Map([...shapes].filter(([key]) => given[key] === undefined));
  const needed = [...lacking.keys()].find((key) => !ADDED.test(key));
  if (needed !== undefined) throw new UserError(`the weights to start from lack "${needed}"`);
  const weights: Record<string, Tensor<"float32">> = initialize(lacking, tables, random);
  for (const [key, shape] of shapes) {
    const value = given[key];
    if (!value) continue;
    if (value.shape.join() !== shape.join()) {
      throw new UserError(
        `the weights to start from have "${key}" as [${value.shape.join(", ")}]; expected [${shape.join(", ")}]`,
      );
    }
    weights[key] = value;
  }
  for (const part of ["weight", "bias"]) {
    const key = `${REFERENCE_PATCHES}.${part}`;
    const shape = lacking.get(key);
    if (shape) weights[key] = firstChannels(weights[`${VIDEO_PATCHES}.${part}`], shape);
  }
  return weights;
}

/** [out, C, …] of [out, more than C, …]; a vector as it is. */
function firstChannels(source: Tensor<"float32"> | undefined, shape: readonly number[]): Tensor<"float32"> {
  invariant(source, "a model without patch embedding");
  const rows = shape[0]!;
  const [from, size] = [source.data.length / rows, shape.slice(1).reduce((product, n) => product * n, 1)];
  const data = new Float32Array(rows * size);
  for (let row = 0; row < rows; row++) {
    data.set(source.data.subarray(row * from, row * from + size), row * size);
  }
  return float32(data, shape);
}
