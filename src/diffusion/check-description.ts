import { type ModelDescription } from "./model-folder.ts";
import { temporalStride } from "../models/wan-vae/config.ts";
import { UserError } from "../tensor/errors.ts";

/** Sizes far beyond any known model; a file that names larger ones would only exhaust memory. */
const LIMITS = {
  layers: 256,
  width: 1 << 16,
  vocabulary: 1 << 21,
  tokens: 1 << 13,
  frames: 1 << 12,
  side: 1 << 13,
};

/**
 * Checks that the parts of a model fit together, and that none is absurdly large.
 * @param where for messages
 * @throws UserError naming the first numbers that do not
 */
export function checkDescription(description: ModelDescription, where: string): void {
  const { dit, vae, textEncoder, imageEncoder, textTokens, defaults } = description;
  const sides = [vae.encoder, vae.decoder];
  const atMost = (limit: number, sizes: Readonly<Record<string, number>>): void => {
    const found = Object.entries(sizes).find(([, size]) => size > limit);
    if (found) throw new UserError(`${where}: ${found[0]} is ${found[1]}; expected at most ${limit}`);
  };
  atMost(LIMITS.layers, {
    "dit.numLayers": dit.numLayers,
    "textEncoder.numLayers": textEncoder.numLayers,
    "imageEncoder.numLayers": imageEncoder.numLayers,
    "vae.numResBlocks": Math.max(...sides.map(({ numResBlocks }) => numResBlocks)),
    "vae.zDim": vae.zDim,
  });
  atMost(LIMITS.width, {
    "dit.dim": dit.dim,
    "dit.ffnDim": dit.ffnDim,
    "dit.freqDim": dit.freqDim,
    "textEncoder.dim": textEncoder.dim,
    "textEncoder.attentionDim": textEncoder.attentionDim,
    "textEncoder.ffnDim": textEncoder.ffnDim,
    "imageEncoder.dim": imageEncoder.dim,
    "imageEncoder.ffnDim": imageEncoder.ffnDim,
    "vae.dim": Math.max(...sides.map(({ dim, dimMult }) => dim * Math.max(...dimMult))),
  });
  atMost(LIMITS.vocabulary, { "textEncoder.vocabSize": textEncoder.vocabSize });
  atMost(LIMITS.tokens, { textTokens, "imageEncoder.imageSize": imageEncoder.imageSize });
  atMost(LIMITS.frames, {
    "defaults.segmentFrames": defaults.segmentFrames,
    "defaults.steps": defaults.steps,
  });
  atMost(LIMITS.side, { "defaults.width": defaults.width, "defaults.height": defaults.height });

  const halvings = vae.temporalDownsample.length;
  const equal: readonly (readonly [string, number, string, number])[] = [
    ["dit.textDim", dit.textDim, "textEncoder.dim", textEncoder.dim],
    ["dit.imageDim", dit.imageDim ?? imageEncoder.dim, "imageEncoder.dim", imageEncoder.dim],
    ["dit.outDim", dit.outDim, "vae.zDim", vae.zDim],
    ["dit.inDim", dit.inDim, "mask and latents twice", 2 * vae.zDim + MASK_CHANNELS],
    ["frames per latent frame of the VAE", temporalStride(vae), "channels of the mask", MASK_CHANNELS],
    ["numbers in vae.latentMean", vae.latentMean.length, "vae.zDim", vae.zDim],
    ["numbers in vae.latentStd", vae.latentStd.length, "vae.zDim", vae.zDim],
    [
      "numbers in vae.encoder.dimMult",
      vae.encoder.dimMult.length,
      "halvings of the VAE and one",
      halvings + 1,
    ],
    [
      "numbers in vae.decoder.dimMult",
      vae.decoder.dimMult.length,
      "halvings of the VAE and one",
      halvings + 1,
    ],
  ];
  for (const [shot, { blocks }] of Object.entries(description.sharing)) {
    atMost(dit.numLayers, { [`the end of sharing.${shot}.blocks`]: blocks[1] });
  }
  for (const [name, value, other, expected] of equal) {
    if (value !== expected)
      throw new UserError(`${where}: ${name} is ${value}; expected ${expected}, as ${other}`);
  }
}

/** The mask has a channel for each frame of a latent frame. */
const MASK_CHANNELS = 4;
