import type { BodyPose } from "./pose.ts";
import type { ImagePyramid, Point, Region } from "./region.ts";

/** A person found in a picture: where a pose network should look. */
export interface DetectedPerson {
  readonly score: number;
  /** Around the whole body, the spine upright. */
  readonly region: Region;
}

/** A body that was looked at. */
export interface SeenBody {
  readonly pose: BodyPose;
  /** Where to look for it in the next frame: around the whole body. */
  readonly nextRegion: Region;
  readonly place: Place;
}

/** Where somebody is, by whichever network: comparable between people and over time. */
export interface Place {
  /** Middle of the hips. */
  readonly center: Point;
  /** Side of a square around the body: two and a half times the reach from the hips to the head or the feet. */
  readonly size: number;
}

/** Networks that find people and their poses, one call at a time. */
export interface Eyes {
  /**
   * People in a picture, the largest first; one of them may come twice, seen in part. All of them, unless a quick look
   * finds `enough` of them already.
   */
  readonly detect: (frame: ImagePyramid, enough: number) => Promise<DetectedPerson[]>;
  /** The body in a region, null when it shows none. */
  readonly look: (frame: ImagePyramid, region: Region) => Promise<SeenBody | null>;
  readonly release: () => Promise<void>;
}

/** Largest finds that are looked at. */
const MAX_PEOPLE = 8;

/** People in a picture, the largest first, each once: everybody, unless `enough` of them are found by a quick look. */
export async function seePeople(eyes: Eyes, frame: ImagePyramid, enough = Infinity): Promise<SeenBody[]> {
  const people: SeenBody[] = [];
  for (const { region } of (await eyes.detect(frame, enough)).slice(0, MAX_PEOPLE)) {
    const body = await eyes.look(frame, region);
    if (!body) continue;
    const twin = people.findIndex((other) => isSameBody(other, body));
    if (twin < 0) people.push(body);
    else if (body.pose.score > people[twin]!.pose.score) people[twin] = body;
  }
  return people.toSorted((a, b) => b.place.size - a.place.size);
}

/** Bodies whose shoulders and hips lie this near on average, as a share of their size, are one. */
const SAME_BODY = 0.06;

/** Whether two looks have ended on the same body, as they do when a detector finds somebody and a part of them. */
export function isSameBody(a: SeenBody, b: SeenBody): boolean {
  const [ours, theirs] = [torsoOf(a.pose), torsoOf(b.pose)];
  const distances = ours.map((point, i) => Math.hypot(point.x - theirs[i]!.x, point.y - theirs[i]!.y));
  const average = distances.reduce((sum, distance) => sum + distance, 0) / distances.length;
  return average < SAME_BODY * Math.max(a.place.size, b.place.size);
}

/** Left and right shoulder, right and left hip: around the trunk. */
export function torsoOf({ landmarks }: BodyPose): Point[] {
  return [11, 12, 24, 23].map((index) => landmarks[index]!);
}
