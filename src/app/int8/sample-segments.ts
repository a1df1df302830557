/** Segments that a model generates to be calibrated on: a rendered dancer, the same for every model of a size. */
import { NOTHING_KEPT, encodeConditions } from "../../diffusion/conditions.ts";
import type { CalibrationSegment } from "../../diffusion/calibrate-int8.ts";
import type { LoadedModel, SegmentSize } from "../../diffusion/loaded-model.ts";
import { planSegments } from "../../pipeline/plan.ts";
import { conditionFrames, renderSeriesClip } from "../../training/render-training-clip.ts";

/** Clips of a series that nothing else uses. */
const SERIES = "int8 calibration";

/**
 * One segment of each phase for a clip; that of phase 2 keeps frames of the rendered truth.
 * @param index of the clip; each has a dancer of its own
 */
export async function sampleSegments(
  model: LoadedModel,
  size: SegmentSize,
  index: number,
): Promise<CalibrationSegment[]> {
  const { defaults, skeleton } = model.description;
  const { headFrames, tailFrames } = planSegments(size.numFrames + 1, { segmentFrames: size.numFrames });
  const recipe = { series: SERIES, world: "easy", ...size, headFrames, tailFrames } as const;
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
  const videos = { skeleton: skeletons, handNormals };
  const segments: CalibrationSegment[] = [];
  for (const phase of ["phase1", "phase2"] as const) {
    const conditions = await encodeConditions(model.vae, videos, phase === "phase1" ? NOTHING_KEPT : kept);
    segments.push({ phase, inputs: { ...scene, ...conditions } });
  }
  return segments;
}
