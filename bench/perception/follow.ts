/** Follows a person as `analyzeFrames` does, and keeps the poses before smoothing too. */
import { PersonFinder, type SourceFrame } from "../../src/perception/analyze-video.ts";
import {
  choosePerson,
  type PersonChoice,
  rankPeople,
  tracksToFollow,
} from "../../src/perception/choose-person.ts";
import { EmbeddedEyes } from "../../src/perception/embedded-eyes.ts";
import { fillGaps } from "../../src/perception/fill-gaps.ts";
import { Guide } from "../../src/perception/guide.ts";
import type { PersonFrame } from "../../src/perception/person-frame.ts";
import type { PoseTrackerOptions } from "../../src/perception/pose.ts";
import { smoothPoses } from "../../src/perception/smooth.ts";
import { surveyFrames } from "../../src/perception/survey.ts";
import { trackPeople } from "../../src/perception/tracks.ts";

export type Quality = NonNullable<PoseTrackerOptions["quality"]>;

export interface Followed {
  /** Gaps filled; nothing smoothed. */
  readonly found: readonly PersonFrame[];
  readonly smoothed: readonly PersonFrame[];
}

/** @param open begins the same frames anew each time */
export async function follow(
  open: () => Iterable<SourceFrame> | AsyncIterable<SourceFrame>,
  quality: Quality,
  person?: PersonChoice,
): Promise<Followed> {
  const eyes = await EmbeddedEyes.load({ quality: "lite" });
  const survey = await surveyFrames(open(), eyes);
  await eyes.release();
  const people = rankPeople(trackPeople(survey));
  const chosen = choosePerson(people, person);
  const guide = new Guide(tracksToFollow(chosen, people, survey), people, survey);
  const finder = await PersonFinder.load({ quality });
  const found: PersonFrame[] = [];
  for await (const frame of fillGaps(finder.find(open(), { guide }))) found.push(frame);
  await finder.release();
  const smoothed: PersonFrame[] = [];
  for await (const frame of smoothPoses(stream(found))) smoothed.push(frame);
  return { found, smoothed };
}

async function* stream(frames: readonly PersonFrame[]): AsyncGenerator<PersonFrame> {
  yield* frames;
}
