import type { VideoVae } from "../../diffusion/latents.ts";
import type { Image } from "../../media/pixels.ts";
import type { Plan } from "../../pipeline/plan.ts";
import { stitchImages } from "../../pipeline/stitch.ts";
import { collect } from "./collect.ts";

/** The truth through the VAE, segment by segment and stitched like a generated video: what no denoiser can surpass. */
export async function reconstruct(truth: readonly Image[], plan: Plan, vae: VideoVae): Promise<Image[]> {
  const reconstructed = stitchImages(plan, async function* ({ frames }) {
    yield* vae.decode(await vae.encode(frames.map((frame) => truth[frame]!)));
  });
  return collect(reconstructed);
}
