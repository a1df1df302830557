import { z } from "zod";
import {
  above0,
  checkpoint,
  common,
  count,
  freeKey,
  key,
  kindKey,
  learningRate,
  OURS,
  path,
  pixels,
} from "./config-keys.ts";

/** Settings of `kind: vae`. */
export const vaeConfig = z.strictObject({
  kind: kindKey("vae"),
  model: key(
    z.enum(["tiny", "mini", "published"]),
    "size of the VAE: for tests, of the embedded model, or Wan2.1's",
    "Wan2.1",
  ),
  part: key(
    z.enum(["all", "decoder"]).default("all"),
    "what learns; with `decoder` latents stay as they are, and so do datasets",
    OURS,
  ),
  from: key(
    path.nullable().default(null),
    "folder of a VAE training or model folder to start from; null: a new VAE",
    OURS,
  ),
  start: key(
    z.enum(["analytic", "random"]).default("analytic"),
    "first weights of a new VAE: principal components of the clips, or random numbers",
    OURS,
  ),
  ...common,
  steps: key(count, "steps in all", OURS),
  window: key(
    z
      .strictObject({
        batch: key(count.default(2), "windows that pass at the same time", OURS),
        numFrames: key(count.default(9), "frames of a window, 1 plus a multiple of 4", OURS),
        height: key(pixels.default(64), "rows of a window", OURS),
        width: key(pixels.default(64), "columns of a window", OURS),
      })
      .prefault({}),
    "what is cut from the clips for a step",
    OURS,
  ),
  clips: key(
    z
      .strictObject({
        train: key(count.default(240), "clips to cut from", OURS),
        heldOut: key(count.default(12), "other clips, to measure on at every checkpoint", OURS),
      })
      .prefault({}),
    "clips of rendered people, made by the training itself",
    OURS,
  ),
  learningRate: key(
    learningRate(above0.default(2e-3), 0.02, 0.05, OURS).prefault({}),
    "how the learning rate goes over the steps; layers of many inputs have a share of it",
    OURS,
  ),
  checkpoint: checkpoint(100),
  samples: freeKey(
    z
      .strictObject({
        everySteps: freeKey(
          count.nullable().default(500),
          "steps from one sample sheet to the next; null: none",
          OURS,
        ),
        clips: freeKey(count.default(4), "held-out clips on a sheet", OURS),
      })
      .prefault({}),
    "sheets of held-out clips beside what the VAE makes of them",
    OURS,
  ),
});
