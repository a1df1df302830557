/**
 * The embedded model with its weights stored in other precisions, as `posegen models convert` writes them: size of the
 * denoiser's file, and error of the velocity against the model as it ships, in all denoising steps of both phases with
 * a rendered dancer. Usage: npx tsx bench/stored-precision.ts [--model weights/posegen-mini] [--threads 1]
 */
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { sampleSegments } from "../src/app/int8/sample-segments.ts";
import type { CalibrationSegment } from "../src/diffusion/calibrate-int8.ts";
import { denoise, initialState } from "../src/diffusion/denoise.ts";
import type { DenoiserCall } from "../src/diffusion/denoiser.ts";
import { LoadedModel, latentShapeOf } from "../src/diffusion/loaded-model.ts";
import { MODEL_FILES, openModelFolder } from "../src/diffusion/model-folder.ts";
import { rewriteModelFolder } from "../src/diffusion/rewrite-model.ts";
import { flowMatchSchedule } from "../src/diffusion/schedule.ts";
import { EMBEDDED_MODEL } from "../src/pipeline/request.ts";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: EMBEDDED_MODEL },
    threads: { type: "string", default: "1" },
  },
});
const placement = { device: "cpu", threads: Number(values.threads) } as const;

/** One evaluation of the velocity. */
interface Recorded {
  readonly segment: CalibrationSegment;
  readonly call: DenoiserCall;
  readonly velocity: Float32Array;
}

const shipped = await openModelFolder(values.model);
const { width, height, segmentFrames: numFrames, steps, shift, guidanceScale } = shipped.description.defaults;
const size = { width, height, numFrames };
const recorded = await record();
await report("as it ships", values.model);
const folder = await mkdtemp(join(tmpdir(), "posegen-precision-"));
try {
  for (const precision of ["f32", "f16", "bf16", "q8", "q4"] as const) {
    const out = join(folder, precision);
    await rewriteModelFolder(shipped, out, { precision, loras: [], isMerged: false });
    await report(precision, out);
    await rm(out, { recursive: true });
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** All evaluations while the model generates a segment of each phase. */
async function record(): Promise<Recorded[]> {
  const model = await LoadedModel.of(shipped, placement);
  const evaluations: Recorded[] = [];
  for (const segment of await sampleSegments(model, size, 1)) {
    const denoiser = model.denoiser(size);
    await denoiser.use(segment.phase);
    await denoise({
      schedule: flowMatchSchedule(steps, { shift }),
      guidanceScale,
      from: initialState(latentShapeOf(model.description, size), 0),
      predict: async (call) => {
        const velocity = await denoiser.predict(segment.inputs, call);
        evaluations.push({ segment, call: { ...call, latents: call.latents.slice() }, velocity });
        return velocity;
      },
    });
  }
  await model.release();
  return evaluations;
}

async function report(name: string, path: string): Promise<void> {
  const model = await LoadedModel.open(path, placement);
  const denoiser = model.denoiser(size);
  let [noise, power] = [0, 0];
  for (const { segment, call, velocity } of recorded) {
    await denoiser.use(segment.phase);
    const got = await denoiser.predict(segment.inputs, call);
    velocity.forEach((wanted, i) => {
      noise += (got[i]! - wanted) ** 2;
      power += wanted ** 2;
    });
  }
  await model.release();
  const { size: numBytes } = await stat(join(path, MODEL_FILES.dit));
  const error = Math.sqrt(noise / power);
  console.log(
    `${name.padEnd(12)} ${(numBytes / 1e6).toFixed(1).padStart(6)} MB, velocity off by ${(100 * error).toFixed(3)} % in ` +
      `${recorded.length} evaluations`,
  );
}
