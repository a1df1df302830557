/** Generates a held-out clip's video as a user does: with `generate`, from files. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeImage } from "../../media/image.ts";
import type { Image } from "../../media/pixels.ts";
import { generate } from "../../pipeline/generate.ts";
import { writeKeypoints } from "../../pipeline/keypoints-file.ts";
import type { Plan } from "../../pipeline/plan.ts";
import type { GenerateRequest } from "../../pipeline/request.ts";
import { readFrames } from "../../media/frame-store.ts";
import { segmentFramesFile } from "../../pipeline/segment-maker.ts";
import type { SharingPlan } from "../../pipeline/sharing-plan.ts";
import { stitchImages } from "../../pipeline/stitch.ts";
import { invariant } from "../../tensor/errors.ts";
import { collect } from "./collect.ts";
import type { HeldOutClip } from "./held-out-clip.ts";

/** How videos are generated; the rest are the model's defaults. */
export type GenerationOptions = Pick<
  GenerateRequest,
  "model" | "seed" | "steps" | "guidanceScale" | "kvMode" | "threads"
>;

export interface GeneratedVideo {
  readonly plan: Plan;
  /** Where background was shared; null for nowhere. */
  readonly sharing: SharingPlan | null;
  /** As they are before video compression. */
  readonly frames: readonly Image[];
}

/**
 * Generates the clip once for each way of sharing. The driver is the exact poses: skeletons and hand normals are drawn
 * from them as from those that perception finds.
 */
export async function generateVideos<K extends string>(
  clip: HeldOutClip,
  sharing: Readonly<Record<K, NonNullable<GenerateRequest["kvShare"]>>>,
  { fps, signal, ...options }: GenerationOptions & { fps: number; signal?: AbortSignal | undefined },
): Promise<Record<K, GeneratedVideo>> {
  const folder = await mkdtemp(join(tmpdir(), "posegen-evaluate-"));
  try {
    const inputs = { image: join(folder, "reference.png"), keypoints: join(folder, "keypoints.jsonl") };
    await writeImage(inputs.image, clip.reference);
    await writeKeypoints(inputs.keypoints, fps, posesOf(clip));
    const videos: Partial<Record<K, GeneratedVideo>> = {};
    for (const [name, kvShare] of Object.entries(sharing) as [K, GenerateRequest["kvShare"]][]) {
      const out = join(folder, `${name}.mp4`);
      const request = {
        ...options,
        ...inputs,
        prompt: clip.caption,
        kvShare,
        // The driver is the person of the reference in the very place of the truth.
        align: "off" as const,
        out,
        workDir: join(folder, name),
      };
      videos[name] = await generateVideo({ ...request, fps }, signal);
    }
    return videos as Record<K, GeneratedVideo>;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function* posesOf({ poses }: HeldOutClip): AsyncGenerator<HeldOutClip["poses"][number]> {
  yield* poses;
}

/** Takes the frames from the work directory, since those of the result are compressed. */
async function generateVideo(
  request: GenerateRequest & { readonly workDir: string },
  signal: AbortSignal | undefined,
): Promise<GeneratedVideo> {
  let plan: Plan | undefined;
  const { sharing } = await generate(request, {
    ...(signal && { signal }),
    onProgress(event) {
      if (event.type === "plan") ({ plan } = event);
    },
  });
  invariant(plan, "a run without a plan");
  const { segmentFrames } = plan;
  const frames = stitchImages(plan, (segment) =>
    readFrames(join(request.workDir, segmentFramesFile(segment)), 0, segmentFrames),
  );
  return { plan, sharing, frames: await collect(frames) };
}
