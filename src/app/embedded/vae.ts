import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { MINI_WAN_VAE, type WanVaeConfig } from "../../models/wan-vae/config.ts";
import { openCheckpoint } from "../../runtime/checkpoint.ts";
import { type Tensor } from "../../tensor/tensor.ts";
import {
  VAE_CONFIG,
  VAE_WEIGHTS,
  type VaeTrainOptions,
  trainVae,
  trainVaeDecoder,
} from "../../training/vae-train.ts";

/** Two windows of 9 frames and 64 x 64 pixels per step: many cheap steps beat few large ones. */
const SHAPE = { batch: 2, numFrames: 9, height: 64, width: 64 };

type RunOptions = Pick<VaeTrainOptions, "threads" | "log" | "signal">;

/** Trains the embedded model's VAE into `<run>/vae`. */
export async function trainEmbeddedVae(run: string, options: RunOptions): Promise<void> {
  await trainVae(MINI_WAN_VAE, {
    ...options,
    folder: join(run, "vae"),
    numSteps: 3000,
    peakLearningRate: 2e-3,
    shape: SHAPE,
  });
}

/** Goes on with the decoder of `<run>/vae` in `<run>/vae-decoder`, while its encoder already serves other phases. */
export async function trainEmbeddedVaeDecoder(
  run: string,
  numSteps: number,
  options: RunOptions,
): Promise<void> {
  const config = JSON.parse(await readFile(join(run, "vae", VAE_CONFIG), "utf8")) as WanVaeConfig;
  const file = await openCheckpoint(join(run, "vae", VAE_WEIGHTS));
  const weights: Record<string, Tensor<"float32">> = {};
  for (const key of file.tensors.keys()) weights[key] = await file.readFloat32(key);
  await trainVaeDecoder(config, weights, {
    ...options,
    folder: join(run, "vae-decoder"),
    numSteps,
    peakLearningRate: 2e-3,
    shape: SHAPE,
  });
}
