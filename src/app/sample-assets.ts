/** The sample assets: a reference image, its description, and a driving video. */
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { renderSample } from "../avatar/sample.ts";
import { writeAtomically } from "../files/atomic-file.ts";
import { writeImage } from "../media/image.ts";
import { openVideoEncoder } from "../media/video.ts";

/** Where the package has them. */
export const SAMPLE_FOLDER = fileURLToPath(new URL("../../assets/sample", import.meta.url));

/** Large enough for perception to see hands, in the aspect ratio of the embedded model: nothing is cut off. */
export const SAMPLE_SIZE = { width: 512, height: 768 };

/** Quality of the driving video: small enough for a repository, no fault to be seen. */
const CRF = 22;

export interface SampleAssets {
  readonly reference: string;
  readonly video: string;
  readonly prompt: string;
}

/** Renders the sample assets into a folder, in less than a minute; the same bytes each time. */
export async function writeSampleAssets(folder: string): Promise<SampleAssets> {
  const assets = pathsIn(folder);
  const { reference, prompt, fps, drivingFrames } = renderSample(SAMPLE_SIZE);
  await writeImage(assets.reference, reference);
  await writeAtomically(assets.prompt, (path) => writeFile(path, `${prompt}\n`));
  const encoder = await openVideoEncoder(assets.video, { ...SAMPLE_SIZE, fps, crf: CRF });
  try {
    for (const frame of drivingFrames) await encoder.write(frame);
    await encoder.close();
  } finally {
    await encoder.abort();
  }
  return { ...assets, prompt };
}

/** The package's sample assets, or the same ones rendered into `folder` where the package lacks them. */
export async function sampleAssets(
  folder: string,
  announce: (message: string) => void,
): Promise<SampleAssets> {
  for (const place of [SAMPLE_FOLDER, folder]) {
    const assets = pathsIn(place);
    const found = await Promise.all(Object.values(assets).map((path) => stat(path).catch(() => null)));
    if (found.every((file) => file?.isFile())) {
      return { ...assets, prompt: (await readFile(assets.prompt, "utf8")).trim() };
    }
  }
  announce(`Rendering the sample assets into ${folder}.`);
  return writeSampleAssets(folder);
}

function pathsIn(folder: string) {
  return {
    reference: join(folder, "reference.png"),
    video: join(folder, "dance.mp4"),
    prompt: join(folder, "prompt.txt"),
  };
}
