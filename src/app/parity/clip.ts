/** The vision tower against the published one: resize, normalisation, features and intermediates of every case. */
import { join } from "node:path";
import { z } from "zod";
import { clipPixels, resizeBicubic } from "../../diffusion/image-feature.ts";
import { Graph, type Value, rearrange } from "../../graph/index.ts";
import { imageFromBytes } from "../../media/pixels.ts";
import { CLIP_VISION_PREFIX } from "../../models/clip-vision/build.ts";
import { type ClipVisionConfig } from "../../models/clip-vision/config.ts";
import { type ClipVisionResult, clipVision } from "../../models/clip-vision/model.ts";
import { type Checkpoint, openSafetensors } from "../../runtime/safetensors.ts";
import { type Tensor } from "../../tensor/tensor.ts";
import { compareNamedValues } from "./named-values.ts";
import { type ParityCheck, type ParityRow, compare, readConfig } from "./rows.ts";

const PIXEL_TOLERANCE = 2e-5;
const TOLERANCE = 2e-5;

const size = z.number().int().positive();

const configSchema = z.object({
  model_config: z.object({
    image_size: size,
    patch_size: size,
    dim: size,
    mlp_ratio: z.number().positive(),
    num_heads: size,
    num_layers: size,
    pre_norm: z.literal(true),
    post_norm: z.literal(false),
    activation: z.literal("gelu"),
    norm_eps: z.number(),
  }),
  cases: z.record(z.string(), z.unknown()),
});

export const clipCheck: ParityCheck = {
  folder: "clip",
  async run(dir) {
    const { model_config: model, cases } = await readConfig(dir, configSchema);
    const architecture: ClipVisionConfig = {
      imageSize: model.image_size,
      patchSize: model.patch_size,
      dim: model.dim,
      numHeads: model.num_heads,
      ffnDim: Math.trunc(model.dim * model.mlp_ratio),
      numLayers: model.num_layers,
      eps: model.norm_eps,
    };
    const golden = await openSafetensors(join(dir, "outputs.safetensors"));
    const rows: ParityRow[] = [];
    for (const name of Object.keys(cases)) rows.push(...(await checkCase(dir, name, architecture, golden)));
    return rows;
  },
};

async function checkCase(
  dir: string,
  name: string,
  config: ClipVisionConfig,
  golden: Checkpoint,
): Promise<ParityRow[]> {
  const inputs = await openSafetensors(join(dir, "inputs.safetensors"));
  const weights = await openSafetensors(join(dir, "weights.safetensors"));
  const { shape, data } = await inputs.readTensor(`${name}.image_u8`);
  const image = imageFromBytes(shape[1]!, shape[0]!, data as Uint8Array);
  const resized = resizeBicubic(image, config.imageSize);
  const normalised = clipPixels(image, config.imageSize);

  const graph = new Graph();
  const pixels = graph.input("pixels", normalised.shape);
  const values = namedValues(clipVision(graph.scope(CLIP_VISION_PREFIX), config, pixels), config);
  const run = { graph, values, feeds: { pixels: normalised }, weights: [weights] };
  const rows = await compareNamedValues(name, golden, run, TOLERANCE, ["resized", "pixel_values"]);
  const comparePixels = async (key: string, result: Tensor): Promise<ParityRow> =>
    compare(key, result, await golden.readTensor(key), "absolute", PIXEL_TOLERANCE);
  return [
    await comparePixels(`${name}.resized`, resized),
    await comparePixels(`${name}.pixel_values`, normalised),
    ...rows,
  ];
}

/** Everything inside the tower that a fixture may hold, by the fixture's names. */
function namedValues(
  { output, patches, embedding, blocks }: ClipVisionResult,
  { imageSize, patchSize }: ClipVisionConfig,
): Map<string, Value> {
  const side = imageSize / patchSize;
  const values = new Map<string, Value>([
    ["output", output],
    ["patch_embed", rearrange(patches, "B (H W) D -> B D H W", { H: side, W: side })],
    ["pre_norm", embedding],
  ]);
  blocks.forEach((block, i) => values.set(`block${i}`, block));
  return values;
}
