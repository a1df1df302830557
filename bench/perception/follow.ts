/** Follows the first person of a clip as `analyzeFrames` does, and keeps the poses before smoothing too. */
import type { PoseTrackerOptions } from "../../src/perception/pose.ts";
import { PersonFinder, type SourceFrame } from "../../src/perception/analyze-video.ts";
import { choosePerson, rankPeople, tracksToFollow } from "../../src/perception/choose-person.ts";
import { EmbeddedEyes } from "../../src/perception/embedded-eyes.ts";
import { fillGaps } from "../../src/perception/fill-gaps.ts";
import { Guide } from "../../src/perception/guide.ts";
import type { PersonFrame } from "../../src/perception/person-frame.ts";
import { smoothPoses } from "../../src/perception/smooth.ts";
import { surveyFrames } from "../../src/perception/survey.ts";
import { trackPeople } from "../../src/perception/tracks.ts";
import type { Clip } from "./clip.ts";
import { hipsOf } from "./judge.ts";

export type Quality = NonNullable<PoseTrackerOptions["quality"]>;

/** Chooses the person by a pixel on them, as `--person X,Y` does. */
export async function follow(
  { frames, fps, truth }: Clip,
  quality: Quality,
): Promise<{ found: PersonFrame[]; smoothed: PersonFrame[] }> {
  const source: SourceFrame[] = frames.map((image, i) => ({ image, timeS: i / fps }));
  const eyes = await EmbeddedEyes.load({ quality: "lite" });
  const survey = await surveyFrames(source, eyes);
  await eyes.release();
  const people = rankPeople(trackPeople(survey));
  const chosen = choosePerson(people, hipsOf(truth[0]![0]!.pose));
  const guide = new Guide(tracksToFollow(chosen, people, survey), people, survey);
  const finder = await PersonFinder.load({ quality });
  const found: PersonFrame[] = [];
  for await (const frame of fillGaps(finder.find(source, { guide }))) found.push(frame);
  await finder.release();
  const smoothed: PersonFrame[] = [];
  for await (const frame of smoothPoses(stream(found))) smoothed.push(frame);
  return { found, smoothed };
}

async function* stream(frames: readonly PersonFrame[]): AsyncGenerator<PersonFrame> {
  yield* frames;
}
