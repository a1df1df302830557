/**
 * Peak memory of a run that makes 20 seconds of video and of one that makes 5 minutes, with the tiny model.
 * Usage: npx tsx bench/memory.ts
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generateInChild, writeTinyInputs } from "../src/pipeline/testing.ts";

const FPS = 8;
const folder = await mkdtemp(join(tmpdir(), "posegen-memory-"));
try {
  const peaks: number[] = [];
  for (const durationS of [20, 300]) {
    const { model, image, keypoints } = await writeTinyInputs(join(folder, `${durationS}`), durationS * FPS);
    const out = join(folder, `${durationS}.mp4`);
    const request = { model, image, keypoints, out, steps: 1, guidanceScale: 1, threads: 1 };
    const { peakBytes } = await generateInChild(request, null);
    peaks.push(peakBytes);
    console.log(`${durationS} s: ${(peakBytes / 1e6).toFixed(1)} MB`);
  }
  console.log(`growth: ${((100 * peaks[1]!) / peaks[0]! - 100).toFixed(1)} %`);
} finally {
  await rm(folder, { recursive: true, force: true });
}
