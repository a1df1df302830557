import { z } from "zod";
import { sharingRanges } from "../../pipeline/request.ts";
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
  share,
  wholeNumber,
} from "./config-keys.ts";

const stages = key(
  z
    .array(
      z.strictObject({
        untilStep: key(count, "first step after the stage; the last stage's ends the training", OURS),
        latentFrames: key(
          count,
          "length of a clip: k latent frames are 4 k - 3 frames; longer clips are cut",
          OURS,
        ),
        batch: key(count, "clips that pass at the same time", OURS),
      }),
    )
    .nonempty(),
  "the curriculum: parts of the training with clips of their own length",
  OURS,
);

interface DenoiserDefaults {
  readonly optimizer: "adamw" | "muon";
  readonly warmup: number;
  readonly floor: number;
  readonly scheduleSource: string;
  readonly dropPose: number;
  readonly dropReference: number;
  readonly timesteps: "published" | "uniform";
}

/** Linear layers that the paper adapts: self-attention, cross-attention and feed-forward. */
const LORA_LAYERS = [
  ...["q", "k", "v", "o"].map((name) => `blocks.*.self_attn.${name}`),
  ...["q", "k", "v", "o"].map((name) => `blocks.*.cross_attn.${name}`),
  "blocks.*.ffn.*",
] as const;

const FINETUNING: DenoiserDefaults = {
  optimizer: "adamw",
  warmup: 0.1,
  floor: 0,
  scheduleSource: "paper S2",
  dropPose: 0,
  dropReference: 0,
  timesteps: "published",
};

const denoiserKeys = (defaults: DenoiserDefaults) => ({
  model: key(
    path,
    "tiny, mini or published, which start from random weights, or a model folder to start from",
    "paper 4.1",
  ),
  from: key(
    path.nullable().default(null),
    "folder of a training whose averaged weights this one starts from; null: those of `model`",
    OURS,
  ),
  vae: freeKey(
    path.nullable().default(null),
    "model folder that made the dataset, as `train export` writes one of a VAE alone; null: `model`",
    OURS,
  ),
  ...common,
  recompute: freeKey(
    z.enum(["none", "blocks"]).default("none"),
    "blocks: the backward pass computes each block again, so that memory holds the results of one block; with LoRA on a " +
      "model folder, without `from`, frozen weights stay in their files too",
    OURS,
  ),
  width: key(pixels.nullable().default(null), "columns of the clips; null: those of the dataset", OURS),
  height: key(pixels.nullable().default(null), "rows of the clips; null: those of the dataset", OURS),
  dataset: key(
    z.strictObject({
      folder: freeKey(path, "folder of clips", OURS),
      clips: key(
        count.nullable().default(null),
        "use the first so many clips, and wait for them while they are made; null: all that are there",
        OURS,
      ),
      first: key(
        count.nullable().default(null),
        "clips that the first step draws from; null: all. Later steps draw from `perStep` more each",
        OURS,
      ),
      perStep: key(z.number().nonnegative().default(0), "see `first`", OURS),
    }),
    "the clips; with `first`, a base training may begin while they are still made",
    OURS,
  ),
  stages,
  optimizer: key(
    z
      .strictObject({
        name: key(
          z.enum(["adamw", "muon"]).default(defaults.optimizer),
          "muon is for the matrices of blocks; the rest has adamw in any case",
          OURS,
        ),
        beta1: key(share.default(0.9), "decay of the mean of gradients (adamw)", "AdamW"),
        beta2: key(share.default(0.99), "decay of the mean of squared gradients (adamw)", OURS),
        epsilon: key(above0.default(1e-8), "added to the root of that mean (adamw)", "AdamW"),
        weightDecay: key(share.default(0.01), "share of the learning rate by which weights shrink", "AdamW"),
      })
      .prefault({}),
    "how gradients become steps",
    OURS,
  ),
  learningRate: key(
    learningRate(above0, defaults.warmup, defaults.floor, defaults.scheduleSource),
    "how the learning rate goes over the steps",
    OURS,
  ),
  drop: key(
    z
      .strictObject({
        hands: key(share.default(0.1), "chance of a clip to lose its hand normals", "paper S1.2"),
        text: key(share.default(0.1), "chance to lose its text", "classifier-free guidance"),
        pose: key(
          share.default(defaults.dropPose),
          "chance to lose its skeleton, and hand normals with it",
          OURS,
        ),
        reference: key(share.default(defaults.dropReference), "chance to lose its reference", OURS),
      })
      .prefault({}),
    "conditions left out by chance; a black picture or an empty prompt takes their place",
    "paper S1.2",
  ),
  personWeight: key(
    z.number().nonnegative().default(0),
    "extra weight of errors where the person is; 0: as everywhere",
    OURS,
  ),
  faceWeight: key(
    z.number().nonnegative().default(0),
    "extra weight of errors where eyes, nose and mouth are; 0: none. It needs a dataset with poses",
    OURS,
  ),
  shift: key(above0.default(5), "moves noise levels towards noise", "published code"),
  timesteps: key(
    z.enum(["published", "uniform"]).default(defaults.timesteps),
    "noise levels and their weight: the published 1,000 steps under a bell, or any level, all alike",
    "published code",
  ),
  checkpoint: checkpoint(50),
  samples: freeKey(
    z
      .strictObject({
        everySteps: freeKey(
          count.nullable().default(500),
          "steps from one sample sheet to the next; null: none",
          OURS,
        ),
        folder: freeKey(
          path.nullable().default(null),
          "folder of clips to show, best held-out ones; null: those of the dataset",
          OURS,
        ),
        clips: freeKey(
          z.array(wholeNumber).nonempty().default([0, 1, 2, 3]),
          "numbers of the clips on a sheet",
          OURS,
        ),
        seed: freeKey(wholeNumber.default(0), "seed of the noise that samples start from", OURS),
      })
      .prefault({}),
    "sheets of reference, skeleton, truth and what the averaged weights generate",
    OURS,
  ),
  generation: freeKey(
    z
      .strictObject({
        fps: freeKey(count.nullable().default(null), "frames per second; null: those of the dataset", OURS),
        steps: freeKey(count.default(25), "denoising steps", "published code"),
        guidanceScale: freeKey(above0.default(5), "1: without guidance", "published code"),
        negativePrompt: freeKey(z.string().default(""), "what guidance leads away from", OURS),
        sharing: freeKey(
          sharingRanges.nullable().default(null),
          "steps and blocks that share the anchor's background, such as 0..2:4..8, in every shot; null: the " +
            "published shares of both, by shot",
          OURS,
        ),
      })
      .prefault({}),
    "how samples are generated, and the defaults of an exported model, unless it starts from a model folder, whose stay",
    "published code",
  ),
});

const lora = key(
  z
    .strictObject({
      rank: key(count.default(16), "rank of the pairs", "paper 4.1"),
      alpha: key(above0.default(16), "pairs count alpha / rank times", "paper S2"),
      targets: key(
        z
          .array(z.string().min(1))
          .nonempty()
          .default([...LORA_LAYERS]),
        "linear layers of the denoiser that get a pair; * stands for any number or name",
        "paper 4.1",
      ),
    })
    .prefault({}),
  "what learns, together with the patch embeddings",
  "paper 3.2",
);

const kept = key(
  z
    .strictObject({
      headFrames: key(
        count.nullable().default(null),
        "first frames, 4a + 1; null: those of the dataset",
        "paper 4.1",
      ),
      tailFrames: key(
        wholeNumber.nullable().default(null),
        "last frames, 4b; null: those of the dataset",
        "paper 4.1",
      ),
    })
    .prefault({}),
  "frames that the mask keeps, about a quarter at either end; the dataset has them pasted over skeletons and hand normals",
  "paper 4.1",
);

const interpolation = key(
  z
    .strictObject({
      folder: freeKey(
        path.nullable().default(null),
        "folder of clips with pictures pasted at their ends, as phase2 takes; null: no such steps",
        OURS,
      ),
      share: key(share.default(0.25), "chance of a step to take its clips from there", OURS),
    })
    .prefault({}),
  "steps that fill in between given frames, as Wan2.1-I2V has learnt before it is finetuned",
  "Wan2.1-I2V",
);

/** Settings of `kind: base`: the whole network learns. */
export const baseConfig = z.strictObject({
  kind: kindKey("base"),
  ...denoiserKeys({
    optimizer: "muon",
    warmup: 0.05,
    floor: 0.05,
    scheduleSource: OURS,
    dropPose: 0.05,
    dropReference: 0.05,
    timesteps: "uniform",
  }),
  interpolation,
});

/** Settings of `kind: phase1`: LoRA for anchor and base segments. */
export const phase1Config = z.strictObject({ kind: kindKey("phase1"), ...denoiserKeys(FINETUNING), lora });

/** Settings of `kind: phase2`: LoRA for interpolated segments. */
export const phase2Config = z.strictObject({
  kind: kindKey("phase2"),
  ...denoiserKeys(FINETUNING),
  lora,
  kept,
});
