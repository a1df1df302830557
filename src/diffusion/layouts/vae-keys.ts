import { type KeyRow, rows } from "./key-table.ts";

/** Resolutions of the VAE, and residual blocks at each of them in the decoder. */
const NUM_STAGES = 4;
const BLOCKS_PER_STAGE = 3;

/** Blocks and, but for the last resolution, the upsampler behind them. */
const LAYERS_PER_STAGE = BLOCKS_PER_STAGE + 1;

/** The layers of a residual block: ours by their place in a list, theirs by name. */
function residualBlock(ours: string, theirs: string): Record<string, string> {
  return {
    [`${ours}.residual.0`]: `${theirs}.norm1`,
    [`${ours}.residual.2`]: `${theirs}.conv1`,
    [`${ours}.residual.3`]: `${theirs}.norm2`,
    [`${ours}.residual.6`]: `${theirs}.conv2`,
    [`${ours}.shortcut`]: `${theirs}.conv_shortcut`,
  };
}

/** Both convolutions between two resolutions. */
function resampler(ours: string, theirs: string): Record<string, string> {
  return {
    [`${ours}.resample.1`]: `${theirs}.resample.1`,
    [`${ours}.time_conv`]: `${theirs}.time_conv`,
  };
}

/** What encoder and decoder have in common. */
function side(name: "encoder" | "decoder"): Record<string, string> {
  return {
    [`${name}.conv1`]: `${name}.conv_in`,
    ...residualBlock(`${name}.middle.0`, `${name}.mid_block.resnets.0`),
    [`${name}.middle.1.norm`]: `${name}.mid_block.attentions.0.norm`,
    [`${name}.middle.1.to_qkv`]: `${name}.mid_block.attentions.0.to_qkv`,
    [`${name}.middle.1.proj`]: `${name}.mid_block.attentions.0.proj`,
    ...residualBlock(`${name}.middle.2`, `${name}.mid_block.resnets.1`),
    [`${name}.head.0`]: `${name}.norm_out`,
    [`${name}.head.2`]: `${name}.conv_out`,
  };
}

/** One of the decoder's resolutions: ours counts its layers on over all resolutions. */
function upStage(stage: number): Record<string, string> {
  const first = stage * LAYERS_PER_STAGE;
  const layers = Array.from({ length: BLOCKS_PER_STAGE }, (_, i) =>
    residualBlock(`decoder.upsamples.${first + i}`, `decoder.up_blocks.${stage}.resnets.${i}`),
  );
  const upsampler = resampler(
    `decoder.upsamples.${first + BLOCKS_PER_STAGE}`,
    `decoder.up_blocks.${stage}.upsamplers.0`,
  );
  return Object.assign({}, ...layers, stage < NUM_STAGES - 1 ? upsampler : {}) as Record<string, string>;
}

/** Diffusers' names of the VAE (`vae/`). */
export const DIFFUSERS_VAE: readonly KeyRow[] = rows({
  ...side("encoder"),
  ...residualBlock("encoder.downsamples.*", "encoder.down_blocks.*"),
  ...resampler("encoder.downsamples.*", "encoder.down_blocks.*"),
  conv1: "quant_conv",
  conv2: "post_quant_conv",
  ...side("decoder"),
  ...Object.assign({}, ...Array.from({ length: NUM_STAGES }, (_, stage) => upStage(stage))),
});
