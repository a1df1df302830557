/** The skeleton over the driving video, to look at. */
import type { Image } from "../media/pixels.ts";
import { transformPose } from "../media/pose-keypoints.ts";
import { type Box, crop } from "../media/resize.ts";
import { drawSkeleton } from "../media/skeleton.ts";
import { type Size, type VideoEncoder, openVideoEncoder, shrunkSize } from "../media/video.ts";
import type { PersonFrame } from "../perception/person-frame.ts";
import { type BackgroundSource, WATCHED_LONGEST } from "./background.ts";

/** Nothing is made of an overlay: it is coded quickly, and as well as x264 does when it is not told how. */
export const OVERLAY_CODING = { preset: "ultrafast", crf: 23 } as const;

/** Writes a video of the driving video's frames with their poses, and its sound. */
export class OverlayWriter {
  private constructor(
    private readonly encoder: VideoEncoder,
    /** What of a frame is shown: H.264 takes even sizes. */
    private readonly shown: Box,
  ) {}

  /** @throws UserError when the file cannot be written */
  static async open(
    path: string,
    { video, stretch, fps }: Pick<BackgroundSource, "video" | "stretch" | "fps">,
    info: Size,
  ): Promise<OverlayWriter> {
    const seen = shrunkSize(info, WATCHED_LONGEST);
    const [width, height] = [seen.width - (seen.width % 2), seen.height - (seen.height % 2)];
    const audioFrom = { path: video, startS: stretch.startS };
    const encoder = await openVideoEncoder(path, { width, height, fps, audioFrom, ...OVERLAY_CODING });
    return new OverlayWriter(encoder, { left: 0, top: 0, width, height });
  }

  /** Adds a frame of the driving video and who is in it, in pixels of a picture of the person's own `size`. */
  async write(image: Image, { pose, size }: PersonFrame): Promise<void> {
    const frame = crop(image, this.shown);
    const scale = { scaleX: image.width / size.width, scaleY: image.height / size.height };
    drawSkeleton(frame, transformPose(pose, { left: 0, top: 0, ...scale }), { style: "scaled" });
    await this.encoder.write(frame);
  }

  async close(): Promise<void> {
    await this.encoder.close();
  }

  async abort(): Promise<void> {
    await this.encoder.abort();
  }
}
