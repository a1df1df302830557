import { createHash } from "node:crypto";
import { join } from "node:path";
import { mkdir, readFile } from "node:fs/promises";
import { VideoVae } from "../../diffusion/latents.ts";
import { paddedIds, PromptTokenizer } from "../../diffusion/tokenizer.ts";
import { parseTokenizerFile } from "../../diffusion/tokenizer-file.ts";
import { type WanVaeConfig } from "../../models/wan-vae/config.ts";
import { openCheckpoint } from "../../runtime/checkpoint.ts";
import { Lane } from "../../runtime/lane.ts";
import { SharedWeights } from "../../runtime/shared-weights.ts";
import { hasClips, shardName, writeClips } from "../../training/dataset.ts";
import { makeTrainingClip } from "../../training/render-training-clip.ts";
import { captionTokenizerJson } from "../../training/tokenizer.ts";
import { avatarIndex, CLIPS_PER_SHARD } from "../dataset/avatar-series.ts";
import { writeDatasetIndex } from "../dataset/write-index.ts";
import { clipShapes } from "./denoiser.ts";
import { MODELS, SERIES, type SeriesName, TEXT_TOKENS } from "./recipe.ts";

/** The VAE whose latents the denoiser learns: weights and configuration of a run's `vae` folder. */
export interface TrainedVae {
  readonly vae: VideoVae;
  /** Hash of the encoder: datasets encoded by another one do not fit. */
  readonly fingerprint: string;
  release(): Promise<void>;
}

/** Opens `vae/vae.safetensors` and `vae/config.json` of a run. */
export async function openTrainedVae(run: string): Promise<TrainedVae> {
  const config = JSON.parse(await readFile(join(run, "vae", "config.json"), "utf8")) as WanVaeConfig;
  const checkpoint = await openCheckpoint(join(run, "vae", "vae.safetensors"));
  const hash = createHash("sha256").update(JSON.stringify(config));
  for (const key of [...checkpoint.tensors.keys()].sort()) {
    if (!key.startsWith("encoder.") && !key.startsWith("conv1.")) continue;
    hash.update(key).update(new Uint8Array((await checkpoint.readFloat32(key)).data.buffer));
  }
  const lane = new Lane();
  const weights = new SharedWeights(lane, checkpoint, { model: "the VAE" });
  const vae = new VideoVae(config, (graph, name) => weights.session(graph, { name }));
  return {
    vae,
    fingerprint: hash.digest("hex"),
    async release() {
      await vae.release();
      await weights.release();
      await lane.close();
    },
  };
}

const TOKENIZER = "the caption tokenizer";

/** The tokenizer of the embedded model. */
export function captionTokenizer(): PromptTokenizer {
  return new PromptTokenizer(parseTokenizerFile(captionTokenizerJson(), TOKENIZER), TOKENIZER);
}

/** Renders and encodes clips 0 … count - 1 of a series, shard by shard; shards that exist are left alone. */
export async function renderSeries(
  run: string,
  name: SeriesName,
  count: number,
  { vae, fingerprint }: TrainedVae,
  onShard: (finished: number, total: number) => void,
): Promise<void> {
  const folder = join(run, `clips-${name}`);
  await mkdir(folder, { recursive: true });
  const shapes = clipShapes(name);
  await writeDatasetIndex(folder, avatarIndex(SERIES[name], count, shapes, fingerprint));
  const tokenizer = captionTokenizer();
  const encoders = {
    vae,
    tokenize: (prompt: string) =>
      Int32Array.from(paddedIds(tokenizer.tokenize(prompt, TEXT_TOKENS), TEXT_TOKENS)),
    imageSize: MODELS.imageEncoder.imageSize,
  };
  const numShards = Math.ceil(count / CLIPS_PER_SHARD);
  for (let shard = 0; shard < numShards; shard++) {
    const path = join(folder, shardName(shard));
    if (!(await hasClips(path))) {
      const clips = [];
      for (let i = 0; i < CLIPS_PER_SHARD; i++) {
        clips.push(await makeTrainingClip(SERIES[name], shard * CLIPS_PER_SHARD + i, encoders));
      }
      await writeClips(path, clips, shapes, fingerprint);
    }
    onShard(shard + 1, numShards);
  }
}
