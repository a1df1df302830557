/** Segments that a model generates to be calibrated on: a rendered dancer, the same for every model of a size. */
import { NOTHING_KEPT, encodeConditions } from "../../diffusion/conditions.ts";
import type { CalibrationSegment } from "../../diffusion/calibrate-int8.ts";
import type { LoadedModel, SegmentSize } from "../../diffusion/loaded-model.ts";
import { planSegments } from "../../pipeline/plan.ts";
import { conditionFrames, renderSeriesClip } from "../../training/render-training-clip.ts";

/** Clips of a series that nothing else uses. */
const SERIES = "int8 calibration";
const NUM_CLIPS = 2;

/** One segment of each phase for each clip; those of phase 2 keep frames of the rendered truth. */
export async function sampleSegments(model: LoadedModel, size: SegmentSize): Promise<CalibrationSegment[]> {
  const { defaults, skeleton } = model.description;
  const { headFrames, tailFrames } = planSegments(size.numFrames + 1, { segmentFrames: size.numFrames });
  const recipe = { series: SERIES, world: "easy", ...size, headFrames, tailFrames } as const;
  const segments: CalibrationSegment[] = [];
  for (let index = 0; index < NUM_CLIPS; index++) {
    const { clip, reference } = renderSeriesClip(recipe, index);
    const { frames, skeletons, handNormals } = conditionFrames(clip, skeleton);
    const scene = {
      ...(await model.encodeReference(reference)),
      contexts: {
        positive: (await model.encodePrompt(clip.caption)).context,
        negative: (await model.encodePrompt(defaults.negativePrompt)).context,
      },
      subjectTokens: null,
    };
    const kept = { head: frames.slice(0, headFrames), tail: frames.slice(frames.length - tailFrames) };
    for (const phase of ["phase1", "phase2"] as const) {
      const videos = { skeleton: skeletons, handNormals };
      const conditions = await encodeConditions(model.vae, videos, phase === "phase1" ? NOTHING_KEPT : kept);
      segments.push({ phase, inputs: { ...scene, ...conditions } });
    }
  }
  return segments;
}
