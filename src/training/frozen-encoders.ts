// Shapes: M text tokens, S image side, N image tokens, D width
import { encodePixels } from "../diffusion/image-feature.ts";
import { TokenEncoder } from "../diffusion/text.ts";
import { PADDING_ID } from "../diffusion/tokenizer.ts";
import { buildClipVision } from "../models/clip-vision/build.ts";
import { type ClipVisionConfig, numImageTokens } from "../models/clip-vision/config.ts";
import { type Umt5Config } from "../models/umt5/config.ts";
import { Lane } from "../runtime/lane.ts";
import { type OpenGraph } from "../runtime/open-graph.ts";
import { type Checkpoint } from "../runtime/safetensors.ts";
import { sampledDigest } from "../runtime/sampled-digest.ts";
import { SharedWeights } from "../runtime/shared-weights.ts";
import { float32 } from "../tensor/tensor.ts";
import { type FrozenEncoder } from "./encodings.ts";
import { hashText } from "./group.ts";

/**
 * The text encoder for rows of token ids, [M], padded at the end. Padding has no rows.
 * @param weights by their keys in `buildUmt5`
 */
export async function frozenTextEncoder(
  config: Umt5Config,
  weights: Checkpoint,
  { textTokens, threads }: { readonly textTokens: number; readonly threads: number },
): Promise<FrozenEncoder<Int32Array>> {
  const numRows = (tokens: Int32Array): number => tokens.findLastIndex((id) => id !== PADDING_ID) + 1;
  return {
    identity: await identityOf(config, weights),
    maxRows: textTokens,
    dim: config.dim,
    numRows,
    async open() {
      const { graphs, release } = openWeights(weights, "the text encoder", threads);
      const encoder = new TokenEncoder(config, graphs, textTokens);
      return { encode: (tokens) => encoder.encode([...tokens.subarray(0, numRows(tokens))]), release };
    },
  };
}

/**
 * The image encoder for pixels as `clipPixels` makes them, [3, S, S].
 * @param weights by their keys in `buildClipVision`
 */
export async function frozenImageEncoder(
  config: ClipVisionConfig,
  weights: Checkpoint,
  { threads }: { readonly threads: number },
): Promise<FrozenEncoder<Float32Array>> {
  const { imageSize, dim } = config;
  const maxRows = numImageTokens(config);
  return {
    identity: await identityOf(config, weights),
    maxRows,
    dim,
    numRows: () => maxRows,
    async open() {
      const { graphs, release } = openWeights(weights, "the image encoder", threads);
      try {
        const runner = await graphs(buildClipVision(config), "image encoder");
        const shape = [1, 3, imageSize, imageSize];
        return {
          async encode(pixels) {
            const { data } = await encodePixels(float32(pixels, shape), config, runner);
            return data;
          },
          release,
        };
      } catch (error) {
        await release();
        throw error;
      }
    },
  };
}

async function identityOf(config: Umt5Config | ClipVisionConfig, { tensors }: Checkpoint): Promise<string> {
  return hashText(JSON.stringify([config, await sampledDigest(tensors)]));
}

/** Graphs over weights that are in memory, or mapped from their files, until `release`. */
function openWeights(
  checkpoint: Checkpoint,
  model: string,
  threads: number,
): { graphs: OpenGraph; release: () => Promise<void> } {
  const lane = new Lane();
  const weights = new SharedWeights(lane, checkpoint, { model });
  return {
    graphs: (graph, name) => weights.session(graph, { name, threads }),
    release: () => lane.close(),
  };
}
