import { stat } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { renderSample } from "../avatar/sample.ts";
import { readImage } from "../media/image.ts";
import { decodeVideo, probeVideo } from "../media/video.ts";
import { SAMPLE_FOLDER, SAMPLE_SIZE, sampleAssets } from "./sample-assets.ts";

test("the package's sample assets are what the avatar renders", async () => {
  const assets = await sampleAssets(join(SAMPLE_FOLDER, "absent"), () =>
    expect.unreachable("they are in the package"),
  );
  const { reference, prompt, numFrames, fps, drivingFrames } = renderSample(SAMPLE_SIZE);
  expect(assets.prompt).toBe(prompt);
  expect(Buffer.compare((await readImage(assets.reference)).data, reference.data)).toBe(0);

  const video = await probeVideo(assets.video);
  expect(video).toMatchObject({ ...SAMPLE_SIZE, codec: "h264", frameRate: fps, numFrames });
  expect(video.durationS).toBeGreaterThanOrEqual(10);
  const [rendered] = drivingFrames;
  for await (const { image } of decodeVideo(assets.video)) {
    const difference = image.data.reduce((sum, value, i) => sum + Math.abs(value - rendered!.data[i]!), 0);
    expect(difference / image.data.length).toBeLessThan(4);
    break;
  }
  const sizes = await Promise.all(
    [assets.reference, assets.video].map(async (path) => (await stat(path)).size),
  );
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(1.5e6);
});
