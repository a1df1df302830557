import { likeness, meanClothes } from "./clothes.ts";
import type { Sighting, Survey } from "./survey.ts";

/** Sightings of one person without a longer break, in one shot, in order. */
export interface Track {
  readonly sightings: readonly Sighting[];
}

/** One of the people of a video: their tracks in order. No two of a person's tracks are at the same time. */
export interface TrackedPerson {
  readonly tracks: readonly Track[];
}

/** A track ends when its person has not been seen for this long, or at a cut. */
export const MAX_BREAK_S = 1.2;
/** How far people may be from where they are expected, in sizes: at once, and more per second unseen. */
const REACH = 0.12;
const REACH_PER_S = 0.5;
/** Largest logarithm of the ratio of sizes from one sighting to the next. */
const MAX_GROWTH = 0.6;
/** Weight of different clothes, against 1 for the edge of reach. */
const CLOTHES_WEIGHT = 2.5;
/** Someone in clothes less alike than this is somebody else, wherever they are. */
const OTHER_CLOTHES = 0.4;
/** Expected places follow the last movement for no longer than this. */
const MAX_PREDICTION_S = 0.5;
/** Tracks whose clothes are at least this alike may be the same person. */
const SAME_CLOTHES = 0.76;
/** Somebody who is seen fewer times in a longer video is taken for an error. */
const MIN_SIGHTINGS = 3;

/**
 * Everybody in a surveyed video. Sightings are joined by place, movement, size and clothes to tracks, and tracks that
 * are apart in time by clothes to people: those hidden for a while, who have left and come back, or in another shot.
 */
export function trackPeople({ samples, cuts }: Pick<Survey, "samples" | "cuts">): TrackedPerson[] {
  const tracks: Sighting[][] = [];
  let open: Sighting[][] = [];
  let lastFrame = 0;
  for (const { frame, people } of samples) {
    const isNewShot = cuts.some((cut) => cut > lastFrame && cut <= frame);
    open = isNewShot ? [] : open.filter((track) => timeSince(track, people[0]) <= MAX_BREAK_S);
    for (const [sighting, track] of assign(open, people)) {
      if (track) track.push(sighting);
      else {
        const started = [sighting];
        tracks.push(started);
        open.push(started);
      }
    }
    lastFrame = frame;
  }
  const least = Math.min(MIN_SIGHTINGS, samples.length);
  return joinByClothes(tracks).filter(({ tracks: own }) => numSightings(own) >= least);
}

function numSightings(tracks: readonly Track[]): number {
  return tracks.reduce((sum, { sightings }) => sum + sightings.length, 0);
}

function timeSince(track: readonly Sighting[], now: Sighting | undefined): number {
  return now ? now.timeS - track.at(-1)!.timeS : 0;
}

/** The track that each of the people of a frame continues, or null: the cheapest pairs first. */
function assign(
  tracks: readonly Sighting[][],
  people: readonly Sighting[],
): Map<Sighting, Sighting[] | null> {
  const pairs = people.flatMap((sighting) =>
    tracks.map((track) => ({ sighting, track, cost: costOf(track, sighting) })),
  );
  const result = new Map<Sighting, Sighting[] | null>(people.map((sighting) => [sighting, null]));
  const taken = new Set<Sighting[]>();
  for (const { sighting, track, cost } of pairs.toSorted((a, b) => a.cost - b.cost)) {
    if (cost === Infinity || taken.has(track) || result.get(sighting)) continue;
    result.set(sighting, track);
    taken.add(track);
  }
  return result;
}

/** How unlikely it is that a track goes on with a sighting; Infinity when it cannot. */
function costOf(track: readonly Sighting[], next: Sighting): number {
  const last = track.at(-1)!;
  const elapsedS = next.timeS - last.timeS;
  const { x, y } = expectedCenter(track, next.timeS);
  const reach = REACH + REACH_PER_S * elapsedS;
  const distance = Math.hypot(next.center.x - x, next.center.y - y) / Math.max(last.size, next.size);
  const growth = Math.abs(Math.log(next.size / last.size));
  if (distance > reach || growth > MAX_GROWTH) return Infinity;
  // The last few views: light and posture change.
  const clothes = meanClothes(track.slice(-5).map((sighting) => sighting.clothes));
  const alike = likeness(clothes, next.clothes);
  if (alike < OTHER_CLOTHES) return Infinity;
  return distance / reach + growth / MAX_GROWTH + CLOTHES_WEIGHT * (1 - alike);
}

/** Where the person of a track is at a time after its end, if they go on as in their last few sightings. */
function expectedCenter(track: readonly Sighting[], timeS: number): { x: number; y: number } {
  const last = track.at(-1)!;
  const earlier = track.at(-3) ?? track[0]!;
  const elapsedS = last.timeS - earlier.timeS;
  if (elapsedS <= 0) return last.center;
  const ahead = Math.min(MAX_PREDICTION_S, timeS - last.timeS) / elapsedS;
  return {
    x: last.center.x + (last.center.x - earlier.center.x) * ahead,
    y: last.center.y + (last.center.y - earlier.center.y) * ahead,
  };
}

/** Joins the tracks that are most alike first. */
function joinByClothes(tracks: readonly Sighting[][]): TrackedPerson[] {
  const looks = tracks.map((track) => meanClothes(track.map(({ clothes }) => clothes)));
  const pairs = tracks.flatMap((_, i) =>
    tracks.slice(0, i).map((__, j) => ({ i, j, alike: likeness(looks[i]!, looks[j]!) })),
  );
  const groupOf = tracks.map((_, i) => i);
  const members = (group: number): number[] => groupOf.flatMap((g, i) => (g === group ? [i] : []));
  for (const { i, j, alike } of pairs.toSorted((a, b) => b.alike - a.alike)) {
    if (alike < SAME_CLOTHES) break;
    const [into, from] = [groupOf[j]!, groupOf[i]!];
    if (into === from) continue;
    const isApart = members(into).every((a) =>
      members(from).every((b) => !areTogether(tracks[a]!, tracks[b]!)),
    );
    if (isApart) for (const member of members(from)) groupOf[member] = into;
  }
  return [...new Set(groupOf)].map((group) => ({
    tracks: members(group)
      .map((member) => ({ sightings: tracks[member]! }))
      .toSorted((a, b) => a.sightings[0]!.frame - b.sightings[0]!.frame),
  }));
}

/** Whether two tracks share some time. */
function areTogether(a: readonly Sighting[], b: readonly Sighting[]): boolean {
  return a[0]!.frame <= b.at(-1)!.frame && b[0]!.frame <= a.at(-1)!.frame;
}
