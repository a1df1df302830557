/** The VAE whose latents a dataset holds. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { VideoVae } from "../../diffusion/latents.ts";
import { MODEL_FILES, MODEL_JSON, openModelFolder } from "../../diffusion/model-folder.ts";
import { exists } from "../../files/exists.ts";
import { createImage } from "../../media/pixels.ts";
import { type WanVaeConfig, numLatentFrames } from "../../models/wan-vae/config.ts";
import { openCheckpoint } from "../../runtime/checkpoint.ts";
import { Lane } from "../../runtime/lane.ts";
import { type Checkpoint } from "../../runtime/safetensors.ts";
import { SharedWeights } from "../../runtime/shared-weights.ts";
import { UserError } from "../../tensor/errors.ts";
import { VAE_CONFIG, VAE_WEIGHTS } from "../../training/vae-train.ts";

/** Configuration and weights of a VAE in a folder. */
export interface VaeFiles {
  readonly config: WanVaeConfig;
  readonly weights: Checkpoint;
}

/**
 * Opens the result of a VAE training, or the VAE of a model folder.
 * @throws UserError when the folder holds neither
 */
export async function openVaeFiles(folder: string): Promise<VaeFiles> {
  if (await isModelFolder(folder)) {
    const { description } = await openModelFolder(folder);
    return { config: description.vae, weights: await openCheckpoint(join(folder, MODEL_FILES.vae)) };
  }
  const configPath = join(folder, VAE_CONFIG);
  if (!(await exists(configPath))) {
    throw new UserError(
      `${folder} holds no VAE: expected ${VAE_CONFIG} and ${VAE_WEIGHTS}, as a training of kind vae leaves them, or a ` +
        "model folder",
    );
  }
  const config = JSON.parse(await readFile(configPath, "utf8")) as WanVaeConfig;
  return { config, weights: await openCheckpoint(join(folder, VAE_WEIGHTS)) };
}

/** A VAE in a thread of its own. */
export interface OpenVae {
  readonly vae: VideoVae;
  /** Hash of the encoder: datasets encoded by another one do not fit. */
  readonly fingerprint: string;
  release(): Promise<void>;
}

/** Opens the VAE of a folder; see `openVaeFiles`. */
export async function openTrainedVae(folder: string): Promise<OpenVae> {
  const { config, weights: checkpoint } = await openVaeFiles(folder);
  const fingerprint = await encoderFingerprint({ config, weights: checkpoint });
  const lane = new Lane();
  const weights = new SharedWeights(lane, checkpoint, { model: "the VAE" });
  const vae = new VideoVae(config, (graph, name) => weights.session(graph, { name }));
  return {
    vae,
    fingerprint,
    async release() {
      await vae.release();
      await weights.release();
      await lane.close();
    },
  };
}

async function encoderFingerprint({ config, weights }: VaeFiles): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify(config));
  for (const key of [...weights.tensors.keys()].sort()) {
    if (!key.startsWith("encoder.") && !key.startsWith("conv1.")) continue;
    hash.update(key).update(new Uint8Array((await weights.readFloat32(key)).data.buffer));
  }
  return hash.digest("hex");
}

/** Latents of a black picture at the start of a video and after it, [C, h, w] each. */
export async function blackLatents(
  vae: VideoVae,
  size: { readonly width: number; readonly height: number },
  numFrames: number,
): Promise<{ blackFirst: Float32Array; blackNext: Float32Array }> {
  const frames = Array.from({ length: numFrames }, () => createImage(size.width, size.height));
  const { data, shape } = await vae.encode(frames);
  const [, channels, , height, width] = shape as [number, number, number, number, number];
  const plane = height * width;
  const latentFrames = numLatentFrames(vae.config, numFrames);
  const at = (t: number): Float32Array => {
    const out = new Float32Array(channels * plane);
    for (let c = 0; c < channels; c++) {
      const from = (c * latentFrames + t) * plane;
      out.set(data.subarray(from, from + plane), c * plane);
    }
    return out;
  };
  return { blackFirst: at(0), blackNext: at(latentFrames - 1) };
}

/** Whether a folder is a model folder rather than that of a training. */
export function isModelFolder(folder: string): Promise<boolean> {
  return exists(join(folder, MODEL_JSON));
}
