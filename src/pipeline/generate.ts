/** The long video: from a reference image and a driving video to the finished file (method section 4). */
import { chooseAnchor } from "./background.ts";
import { BackgroundSharing } from "./kv-share.ts";
import { perceive } from "./perceive.ts";
import { type Plan, type Segment, type SegmentKind, planSegments } from "./plan.ts";
import type { GenerateResult, ObservedRunOptions } from "./progress.ts";
import { choosePrompt } from "./prompt.ts";
import { type GenerateRequest, checkGenerateRequest } from "./request.ts";
import { Run } from "./run.ts";
import { SegmentMaker } from "./segment-maker.ts";
import { overlapOptions } from "./settings.ts";
import { chooseSharing, keyKeeping } from "./sharing-plan.ts";
import { writeVideo } from "./write-video.ts";

/**
 * Makes a video of the person in the reference image who moves as the driving video shows. Finished work lies in a
 * work directory, so that a run that was stopped or killed goes on where it was and ends with the same bytes.
 * @throws UserError for bad input; the signal's reason when it is aborted
 */
export async function generate(
  request: GenerateRequest,
  options: ObservedRunOptions = {},
): Promise<GenerateResult> {
  const run = await Run.open(checkGenerateRequest(request), options);
  try {
    const { sampling, model, meter } = run;
    const { width, height, fps } = sampling;
    const prompt = await choosePrompt(run);
    const perceived = await perceive(run);
    const { numFrames, shot } = perceived.driver;
    const overlaps = overlapOptions(sampling);
    const anchor = await chooseAnchor(run, perceived, planSegments(numFrames, overlaps));
    const plan = planSegments(numFrames, { ...overlaps, anchor });
    const sharing = chooseSharing(run, { plan, shot, prompt }, (message) => run.notify(message));
    run.report({ type: "plan", plan, sharing, tiling: run.tiling, fps, width, height });

    const denoiser = model.denoiser({ width, height, numFrames: plan.segmentFrames });
    const keeping = keyKeeping(run.request, run.work.path);
    const background = sharing && new BackgroundSharing(denoiser, sharing, run.signal, keeping);
    const maker = new SegmentMaker(run, perceived, prompt, plan, denoiser, background);
    const { bases, interpolated } = segmentOrder(plan);

    meter.begin("base", bases.length * maker.workPerSegment.total);
    await denoiser.use("phase1");
    for (const segment of bases) await maker.make(segment);
    await background?.release();

    meter.begin("interpolate", interpolated.length * maker.workPerSegment.total);
    await denoiser.use("phase2");
    for (const segment of interpolated) await maker.make(segment);

    const audio = await writeVideo(run, plan, (segment) => maker.frames(segment));
    return await run.finish({ plan, sharing, audio });
  } finally {
    await run.close();
  }
}

/** Every base segment, the anchor first, and then the interpolated ones, which need their neighbours. */
function segmentOrder({ segments }: Plan): { bases: Segment[]; interpolated: Segment[] } {
  const ofKind = (kind: SegmentKind): Segment[] => segments.filter((segment) => segment.kind === kind);
  return { bases: [...ofKind("anchor"), ...ofKind("base")], interpolated: ofKind("interpolated") };
}
