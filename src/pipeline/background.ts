/** How the driving video's background moves: a step of the run, for the choice of the anchor. */
import { readFile, writeFile } from "node:fs/promises";
import { z } from "zod";
import type { Image } from "../media/pixels.ts";
import { decodeVideo } from "../media/video.ts";
import { type BackgroundMotion, BackgroundWatch } from "../perception/background-motion.ts";
import type { PersonFrame } from "../perception/person-frame.ts";
import { judgeSegments, remarkOnAnchor, remarkOnAskedAnchor, stillest } from "./anchor.ts";
import { Driver } from "./driver.ts";
import type { Perceived } from "./perceive.ts";
import type { Plan } from "./plan.ts";
import type { ProgressMeter } from "./progress-meter.ts";
import type { Run } from "./run.ts";
import type { Stretch } from "./timing.ts";

const motionsSchema = z.array(
  z.object({ x: z.number(), y: z.number(), zoom: z.number(), change: z.number() }),
);

/** A driving video and its poses as they are, which tell where the person hides the background. */
export interface BackgroundSource {
  readonly video: string;
  readonly driver: Driver;
  /** The part of the video that the poses are of. */
  readonly stretch: Stretch;
  readonly fps: number;
  readonly meter: ProgressMeter;
  readonly signal: AbortSignal | undefined;
}

/** Longer side of the pictures that the background is watched in, at most; it is enough to look at, too. */
export const WATCHED_LONGEST = 640;

/**
 * The background's motion at each frame of the driver.
 * @param onFrame shown every frame and who is in it, for other uses of the same reading; awaited
 */
export async function watchBackground(
  source: BackgroundSource,
  onFrame: (image: Image, person: PersonFrame) => Promise<void> = async () => {},
): Promise<BackgroundMotion[]> {
  const { video, driver, stretch, fps, meter, signal } = source;
  const of = driver.numFrames;
  meter.begin("perceive", of);
  const watch = new BackgroundWatch();
  const motions: BackgroundMotion[] = [];
  const { startS, endS } = stretch;
  const range = { fps, startS, endS, longest: WATCHED_LONGEST, ...(signal && { signal }) };
  for await (const { image } of decodeVideo(video, range)) {
    const person = await driver.frame(motions.length);
    motions.push(watch.next(image, person));
    await onFrame(image, person);
    meter.advance({ activity: "perceive", segment: null, step: motions.length, of, work: 1 });
    if (motions.length === of) break;
  }
  return motions;
}

/**
 * The anchor of a run: that of its request, or the stillest base segment of the driving video; the first where there is
 * no choice, or no video to judge by. Tells the user when its background is not still.
 */
export async function chooseAnchor(run: Run, perceived: Perceived, plan: Plan): Promise<number> {
  const { request, sampling, stretch, work, meter, signal } = run;
  const asked = request.anchor === "auto" ? null : request.anchor;
  if (request.video === undefined || plan.segments.length < 2 || request.kvShare === "off") return asked ?? 0;
  // What cannot be an anchor is refused with the plan, at once.
  if (asked !== null && (plan.segments[asked]?.kind ?? "interpolated") === "interpolated") return asked;
  const { fps } = sampling;
  const source = { video: request.video, stretch: stretch!, fps, meter, signal };
  const step = await work.step({
    id: "background",
    needs: [perceived.step?.key ?? "given"],
    files: ["background.motions"],
    run: async ([path]) => {
      const driver = await Driver.open(perceived.poses, fps);
      await writeFile(path!, JSON.stringify(await watchBackground({ ...source, driver })));
    },
  });
  const motions = motionsSchema.parse(JSON.parse(await readFile(step.paths[0]!, "utf8")));
  const segments = judgeSegments(plan, motions);
  const best = stillest(segments);
  const remark = asked === null ? remarkOnAnchor(best) : remarkOnAskedAnchor(asked, segments);
  if (remark !== null) run.notify(remark);
  return asked ?? best.segment;
}
