import { buildClipVision } from "../models/clip-vision/build.ts";
import { buildUmt5 } from "../models/umt5/build.ts";
import { buildWanDiT } from "../models/wan-dit/build.ts";
import { buildVaeDecoder, buildVaeEncoder } from "../models/wan-vae/model.ts";
import { type WeightSpec } from "../runtime/weights.ts";
import { type Network } from "./layouts/weight-naming.ts";
import { type ModelDescription } from "./model-folder.ts";

/** Names, shapes and types of all weights of each network. */
export type NetworkSpecs = Readonly<Record<Network, readonly WeightSpec[]>>;

/** Weights do not depend on the size of a video: the smallest graphs have them all. */
const SMALLEST = { latentFrames: 1, latentHeight: 2, latentWidth: 2 } as const;
const CHUNK = { position: "next", numLatentFrames: 1, latentHeight: 2, latentWidth: 2 } as const;

/** Every weight that a model needs. @throws UserError when sizes of an architecture do not fit together */
export function networkSpecs({ dit, vae, textEncoder, imageEncoder }: ModelDescription): NetworkSpecs {
  const [encoder, decoder] = [buildVaeEncoder(vae, CHUNK), buildVaeDecoder(vae, CHUNK)];
  return {
    dit: [...buildWanDiT(dit, SMALLEST).params.values()],
    vae: [...new Map([...encoder.params, ...decoder.params]).values()],
    textEncoder: [...buildUmt5(textEncoder, { numTokens: 1 }).params.values()],
    imageEncoder: [...buildClipVision(imageEncoder).params.values()],
  };
}
