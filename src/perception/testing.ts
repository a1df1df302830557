/** Rendered clips of several people with the truth, and measures of how well one of them is followed. */
import { type FloorPlace, type Performer, renderGroup } from "../avatar/group.ts";
import { makeIdentity } from "../avatar/identity.ts";
import { makeMotion } from "../avatar/motion.ts";
import { makeScene } from "../avatar/scene.ts";
import type { PoseKeypoints } from "../media/pose-keypoints.ts";
import type { SourceFrame } from "./analyze-video.ts";
import type { PersonFrame } from "./person-frame.ts";

export const FPS = 16;

/** A clip; `truth` is null for those who are not in it. */
export interface PeopleClip {
  readonly source: readonly SourceFrame[];
  /** By person, then by frame. */
  readonly truth: readonly (readonly (PoseKeypoints | null)[])[];
}

type Walk = (timeS: number) => FloorPlace;

/** A dancer: the seed is who, `walk` is where. */
export function dancer(seed: number, walk: Walk): Performer {
  return { identity: makeIdentity(seed), motion: makeMotion(seed), placeAt: walk };
}

export const SIZE = { width: 448, height: 288 };

/** Renders people, whole bodies in a wide picture. */
export function renderPeople(sceneSeed: number, people: readonly Performer[], numFrames: number): PeopleClip {
  const scene = { ...makeScene(sceneSeed), shot: "full body", span: [-0.12, 1.2] } as const;
  const frames = [...renderGroup({ scene, people, numFrames, fps: FPS, ...SIZE })];
  return {
    source: frames.map(({ image }, i) => ({ image, timeS: i / FPS })),
    truth: people.map((_, p) => frames.map((frame) => frame.people[p]!.keypoints)),
  };
}

/** One clip after the other: a cut between them. Person p of the result is person p of each. */
export function cutTogether(first: PeopleClip, second: PeopleClip): PeopleClip {
  const frames = [...first.source, ...second.source];
  const none = (clip: PeopleClip): null[] => clip.source.map(() => null);
  const numPeople = Math.max(first.truth.length, second.truth.length);
  return {
    source: frames.map(({ image }, i) => ({ image, timeS: i / FPS })),
    truth: Array.from({ length: numPeople }, (_, p) => [
      ...(first.truth[p] ?? none(first)),
      ...(second.truth[p] ?? none(second)),
    ]),
  };
}

/** Whose pose each frame shows: the person whose true points are nearest, -1 where nobody was found. */
export function whoIsFollowed(frames: readonly PersonFrame[], { truth }: PeopleClip): number[] {
  return frames.map((frame, f) => {
    if (!frame.found.body) return -1;
    const distances = truth.map((person) => meanDistance(frame.pose, person[f] ?? null));
    return distances.indexOf(Math.min(...distances));
  });
}

/** Mean distance of the body's points, pixels. */
export function meanDistance(pose: PoseKeypoints, truth: PoseKeypoints | null): number {
  if (!truth) return Infinity;
  const distances = pose.body.map(({ x, y }, i) => Math.hypot(x - truth.body[i]!.x, y - truth.body[i]!.y));
  return distances.reduce((sum, distance) => sum + distance, 0) / distances.length;
}
