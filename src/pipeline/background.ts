/** How the driving video's background moves: a step of the run, for the choice of the anchor. */
import { readFile, writeFile } from "node:fs/promises";
import { z } from "zod";
import type { Image } from "../media/pixels.ts";
import { decodeVideo } from "../media/video.ts";
import { type BackgroundMotion, BackgroundWatch } from "../perception/background-motion.ts";
import type { PersonFrame } from "../perception/person-frame.ts";
import { judgeSegments, remarkOnAnchor, remarkOnAskedAnchor, stillest } from "./anchor.ts";
import { Driver } from "./driver.ts";
import { type Perceived, replayPoses } from "./perceive.ts";
import type { Plan } from "./plan.ts";
import type { Run } from "./run.ts";
import type { Stretch } from "./timing.ts";

const motionsSchema = z.array(
  z.object({ x: z.number(), y: z.number(), zoom: z.number(), change: z.number() }),
);

/** A driving video to watch. */
export interface BackgroundSource {
  readonly video: string;
  /** The part of it that the poses are of. */
  readonly stretch: Stretch;
  readonly fps: number;
  readonly signal: AbortSignal | undefined;
}

/** A frame of the driving video, who is in it, and how its background has moved since the one before. */
export interface WatchedFrame {
  readonly image: Image;
  readonly person: PersonFrame;
  readonly motion: BackgroundMotion;
}

/** Longer side of the pictures that the background is watched in, at most; it is enough to look at, too. */
export const WATCHED_LONGEST = 640;

/**
 * Follows the background of a driving video, as far as video and people go.
 * @param people who is in each frame, which tells where the background is hidden; may be found meanwhile
 */
export async function* watchBackground(
  { video, stretch, fps, signal }: BackgroundSource,
  people: AsyncIterable<PersonFrame>,
): AsyncGenerator<WatchedFrame, void, undefined> {
  const { startS, endS } = stretch;
  const frames = decodeVideo(video, {
    fps,
    startS,
    endS,
    longest: WATCHED_LONGEST,
    ...(signal && { signal }),
  });
  const watch = new BackgroundWatch();
  try {
    for await (const person of people) {
      const { done, value } = await frames.next();
      if (done) return;
      yield { image: value.image, person, motion: watch.next(value.image, person) };
    }
  } finally {
    await frames.return();
  }
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
  const source = { video: request.video, stretch: stretch!, fps, signal };
  const step = await work.step({
    id: "background",
    needs: [perceived.step?.key ?? "given"],
    files: ["background.motions"],
    run: async ([path]) => {
      const people = replayPoses(await Driver.open(perceived.poses, fps), meter);
      const motions: BackgroundMotion[] = [];
      for await (const { motion } of watchBackground(source, people)) motions.push(motion);
      await writeFile(path!, JSON.stringify(motions));
    },
  });
  const motions = motionsSchema.parse(JSON.parse(await readFile(step.paths[0]!, "utf8")));
  const segments = judgeSegments(plan, motions);
  const best = stillest(segments);
  const remark = asked === null ? remarkOnAnchor(best) : remarkOnAskedAnchor(asked, segments);
  if (remark !== null) run.notify(remark);
  return asked ?? best.segment;
}
