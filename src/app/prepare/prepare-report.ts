/** Writes the page of a preparation beside its other files. */
import { join } from "node:path";
import { writeFileAtomically } from "../../files/atomic-file.ts";
import { encodeImage, readImage } from "../../media/image.ts";
import type { Image } from "../../media/pixels.ts";
import { resize } from "../../media/resize.ts";
import { decodeVideo } from "../../media/video.ts";
import type { Preparation } from "../../pipeline/prepare.ts";
import type { PrepareRequest } from "../../pipeline/request.ts";
import { readConfidence } from "./confidence.ts";
import { type ReportFigures, reportPage } from "./report-page.ts";

const NUM_MOMENTS = 6;
/** Height of a moment's picture in pixels. */
const MOMENT_HEIGHT = 300;

/**
 * One HTML file that needs no other.
 * @param request what `prepare` was asked for, and what came of it
 * @returns the page's path
 */
export async function writeReport(request: PrepareRequest, preparation: Preparation): Promise<string> {
  const { files } = preparation;
  const page = reportPage({
    preparation,
    request,
    confidence: await readConfidence(files.keypoints ?? request.keypoints!),
    moments: await momentsOf(preparation),
    alignment: files.alignment === null ? null : await encodeImage(await readImage(files.alignment), "jpeg"),
  });
  const path = join(request.out, "report.html");
  await writeFileAtomically(path, (handle) => handle.writeFile(page));
  return path;
}

async function momentsOf({ files, numFrames, fps }: Preparation): Promise<ReportFigures["moments"]> {
  const moments: ReportFigures["moments"][number][] = [];
  const count = Math.min(NUM_MOMENTS, numFrames);
  for (let i = 0; i < count; i++) {
    const frame = Math.floor(((i + 0.5) * numFrames) / count);
    const image = await frameAt(files.overlay ?? files.skeleton, frame / fps);
    if (!image) continue;
    const width = Math.max(1, Math.round((image.width * MOMENT_HEIGHT) / image.height));
    const picture = await encodeImage(resize(image, width, MOMENT_HEIGHT), "jpeg");
    moments.push({ timeS: frame / fps, picture });
  }
  return moments;
}

/** The first frame from a time on. */
async function frameAt(path: string, startS: number): Promise<Image | null> {
  for await (const { image } of decodeVideo(path, { startS })) return image;
  return null;
}
