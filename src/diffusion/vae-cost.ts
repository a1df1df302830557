/** What the VAE takes for one segment, counted from shapes. */
import { engineBytes } from "../models/network-cost.ts";
import { type RunCost, runCost } from "../models/run-cost.ts";
import { type WanVaeConfig, numLatentFrames, spatialStride } from "../models/wan-vae/config.ts";
import { buildVaeDecoder, buildVaeEncoder } from "../models/wan-vae/model.ts";
import { planEqualTiles } from "./latent-tiles.ts";
import { type SegmentSize } from "./loaded-model.ts";

export interface VaeCost {
  /** One video of the segment's length; the working set is that of a chunk, with what layers remember between them. */
  readonly encode: RunCost;
  readonly decode: RunCost;
  /** Parts that a frame is worked on in. */
  readonly numTiles: number;
  /** Pixels of such a part; those of the frame when there is one. */
  readonly tileWidth: number;
  readonly tileHeight: number;
}

/**
 * @param isTiled whether frames larger than a tile are cut, as `TiledVae` does
 * @throws UserError when the number of frames is not 1 plus a multiple of 4
 */
export function vaeCost(config: WanVaeConfig, size: SegmentSize, isTiled: boolean): VaeCost {
  const stride = spatialStride(config);
  const [height, width] = [size.height / stride, size.width / stride];
  const { tiles } = isTiled ? planEqualTiles(height, width) : { tiles: [] };
  const { top, bottom, left, right } = tiles[0] ?? { top: 0, bottom: height, left: 0, right: width };
  const numTiles = Math.max(1, tiles.length);
  const latentFrames = numLatentFrames(config, size.numFrames);
  /** The first latent frame, then the others one by one, tile after tile. */
  const costOf = (build: typeof buildVaeEncoder): RunCost => {
    const shape = { numLatentFrames: 1, latentHeight: bottom - top, latentWidth: right - left };
    const start = runCost(build(config, { ...shape, position: "start" }));
    const next = runCost(build(config, { ...shape, position: "next" }));
    const total = (what: "flops" | "effort"): number =>
      numTiles * (start[what] + (latentFrames - 1) * next[what]);
    return { ...next, flops: total("flops"), effort: total("effort") };
  };
  return {
    encode: costOf(buildVaeEncoder),
    decode: costOf(buildVaeDecoder),
    numTiles,
    tileWidth: (right - left) * stride,
    tileHeight: (bottom - top) * stride,
  };
}

/** Memory of the VAE's graphs with what layers remember from chunk to chunk. */
export function vaeBytes({ encode, decode }: VaeCost): number {
  return engineBytes(encode.workingBytes + decode.workingBytes);
}
