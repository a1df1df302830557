/** Sample sheets of a VAE training: held-out clips beside what the averaged weights make of them. */
import { VideoVae } from "../../diffusion/latents.ts";
import { serialize } from "../../graph/index.ts";
import { type Image, imageFromBytes } from "../../media/pixels.ts";
import { Engine, type SlotMemory } from "../../runtime/engine.ts";
import { type TrainingState, averagedParams } from "../../training/checkpoint.ts";
import type { VaeClip } from "../../training/vae-clips.ts";
import { type VaeRun, heldOutClips } from "../../training/vae-train.ts";
import type { Params } from "../../training/train.ts";
import { collect } from "../evaluate/collect.ts";
import { pictureRow } from "../evaluate/contact-sheet.ts";
import type { VaeConfig } from "./config.ts";
import { type Sheet, writeSheet } from "./sheet.ts";

/** What a sheet shows of each clip, each beside its reconstruction. */
const SHOWN = ["frames", "skeleton", "handNormals"] as const;

export async function writeVaeSheet(config: VaeConfig, run: VaeRun, state: TrainingState): Promise<Sheet> {
  const start = typeof run.start === "object" ? run.start : {};
  const vae = openVae(run, { ...start, ...averagedParams(state) });
  const all = await heldOutClips(config.out, run.numHeldOut);
  // One size on a sheet.
  const clips = all.filter(({ width, height }) => width === all[0]!.width && height === all[0]!.height);
  const rows: Image[] = [];
  for (const clip of clips.slice(0, config.samples.clips)) {
    const videos: (readonly Image[])[] = [];
    for (const name of SHOWN) {
      const frames = framesOf(clip, clip[name]);
      videos.push(frames, await collect(vae.decode(await vae.encode(frames))));
    }
    rows.push(pictureRow(videos[0]![0]!, videos));
  }
  await vae.release();
  return writeSheet(config.out, state.step, rows);
}

function openVae({ config, threads }: VaeRun, weights: Params): VideoVae {
  const slots: SlotMemory = new Map();
  return new VideoVae(config, (graph, name) => {
    const inputs = Object.fromEntries([...graph.params.keys()].map((key) => [key, weights[key]!]));
    return Engine.create(serialize(graph), { name, threads, inputs }, slots);
  });
}

function framesOf({ width, height, numFrames }: VaeClip, video: Uint8Array): Image[] {
  const size = 3 * width * height;
  return Array.from({ length: numFrames }, (_, f) =>
    imageFromBytes(width, height, video.subarray(f * size, (f + 1) * size)),
  );
}
