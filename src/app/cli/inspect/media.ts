import { readImage } from "../../../media/image.ts";
import { probeVideo } from "../../../media/video.ts";
import { formatNumber } from "../quantities.ts";

export async function describeImage(path: string): Promise<string> {
  const { width, height } = await readImage(path);
  return `image, ${width}x${height}`;
}

export async function describeVideo(path: string): Promise<string> {
  const { width, height, frameRate, numFrames, durationS, rotation, hasAudio, codec } =
    await probeVideo(path);
  return [
    `video, ${width}x${height}`,
    `${numFrames} frame${numFrames === 1 ? "" : "s"} at ${formatNumber(frameRate)} fps`,
    `${formatNumber(durationS)} s`,
    codec,
    ...(rotation === 0 ? [] : [`turned by ${rotation} degrees`]),
    hasAudio ? "with sound" : "no sound",
  ].join(", ");
}
