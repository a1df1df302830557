/**
 * A run of the embedded model beside what its dry run foresees: memory, and processor time at the speed of matrix
 * products around it. Usage: npx tsx bench/dry-run.ts [--frames 49] [--threads 1]
 */
import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { planGeneration } from "../src/pipeline/generation-plan.ts";
import { EMBEDDED_MODEL } from "../src/pipeline/request.ts";
import { generateInChild, writeTinyInputs } from "../src/pipeline/testing.ts";
import { compared, processorPeak } from "./stopwatch.ts";

const { values } = parseArgs({
  options: { frames: { type: "string", default: "49" }, threads: { type: "string", default: "1" } },
});
const threads = Number(values.threads);
const folder = await mkdtemp(join(tmpdir(), "posegen-dry-run-"));
try {
  // The driver has half the model's frame rate.
  const numFrames = Math.ceil(Number(values.frames) / 2);
  const { image, keypoints } = await writeTinyInputs(join(folder, "inputs"), numFrames);
  const request = { model: EMBEDDED_MODEL, image, keypoints, threads, out: join(folder, "out.mp4") };
  const { plan, gflops, estimatedMs, memory } = await planGeneration(request);
  const peakBefore = await processorPeak(threads);
  const { processorSeconds: seconds, peakBytes } = await generateInChild(request, null);
  const peak = (peakBefore + (await processorPeak(threads))) / 2;
  const foreseenSeconds = ((estimatedMs.total / 1000) * gflops) / peak;
  const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
  console.log(
    `${cpus()[0]?.model ?? "unknown processor"}, ${threads} of ${cpus().length} threads; embedded model, ` +
      `${plan.segments.length} segments of ${plan.segmentFrames} frames`,
  );
  console.log(
    `foreseen ${foreseenSeconds.toFixed(1)} s of processor time at ${peak.toFixed(0)} GFLOPS, taken ${seconds.toFixed(1)} s: ` +
      compared(foreseenSeconds, seconds),
  );
  console.log(
    `foreseen ${mib(memory.totalBytes)}, taken ${mib(peakBytes)}: ` + compared(memory.totalBytes, peakBytes),
  );
} finally {
  await rm(folder, { recursive: true, force: true });
}
