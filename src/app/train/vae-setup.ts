/** Everything that a training of the VAE needs, from its settings. */
import { runCost } from "../../models/run-cost.ts";
import type { WanVaeConfig } from "../../models/wan-vae/config.ts";
import { readTensors } from "../../runtime/tensor-file.ts";
import type { StageCost } from "../../training/denoiser-cost.ts";
import { addGradients } from "../../training/train.ts";
import { buildVaeLoss } from "../../training/vae-loss.ts";
import { type VaeRun, trainableOfVae } from "../../training/vae-train.ts";
import { UserError } from "../../tensor/errors.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import type { VaeConfig } from "./config.ts";
import { VAE_PRESETS } from "./model-source.ts";
import { openVaeFiles } from "./trained-vae.ts";

/** @throws UserError when the VAE to start from cannot be read */
export async function setUpVae(config: VaeConfig, threads: number): Promise<VaeRun> {
  if (config.part === "decoder" && config.from === null) {
    throw new UserError("part is decoder, which goes on with a VAE; name its folder in `from`");
  }
  const start = config.from === null ? null : await openVaeFiles(config.from);
  return {
    config: start?.config ?? VAE_PRESETS[config.model],
    part: config.part,
    start: start ? await readTensors(start.weights) : config.start,
    shape: config.window,
    accumulate: config.accumulate,
    numClips: config.clips.train,
    numHeldOut: config.clips.heldOut,
    seed: config.seed,
    threads,
  };
}

/** What one pass takes, counted from shapes. */
export function vaeStageCost(config: VaeConfig, architecture: WanVaeConfig): StageCost {
  const { graph, loss } = buildVaeLoss(architecture, config.window);
  const trainable = addGradients(graph, loss, trainableOfVae(config.part));
  const trainableBytes = trainable.reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0);
  return { ...runCost(graph), trainableBytes };
}
