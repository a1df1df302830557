import { UserError } from "../tensor/errors.ts";
import type { Point } from "./region.ts";
import type { Sighting, Survey } from "./survey.ts";
import type { Track, TrackedPerson } from "./tracks.ts";

/** Whom to follow: a number, 1 for the most prominent, or a place in the picture where they are first seen. */
export type PersonChoice = number | Point;

/** One of the people of a video, as a user is told of them. */
export interface PersonSummary {
  /** 1 for the most prominent: the largest for the longest. */
  readonly number: number;
  /** Seconds of the first and the last sighting. */
  readonly fromS: number;
  readonly toS: number;
  /** The same for each stretch of the video in which they are seen, in order. */
  readonly stretches: readonly { readonly fromS: number; readonly toS: number }[];
  /** Share of the searched frames that show them. */
  readonly presence: number;
  /** The middle of the hips at the first sighting, in whole pixels. */
  readonly at: Point;
}

/** The people of a video, the most prominent first: by the sum of the areas of their squares. */
export function rankPeople(people: readonly TrackedPerson[]): TrackedPerson[] {
  const prominence = new Map(
    people.map((person) => [person, sightingsOf(person).reduce((sum, { size }) => sum + size ** 2, 0)]),
  );
  return people.toSorted((a, b) => prominence.get(b)! - prominence.get(a)!);
}

export function sightingsOf({ tracks }: TrackedPerson): Sighting[] {
  return tracks.flatMap(({ sightings }) => sightings);
}

/**
 * The chosen one of ranked people; the first by default. A place chooses the person whose body is around it in the
 * earliest searched frame, the smallest box of several.
 * @throws UserError when there is no such person, naming those there are
 */
export function choosePerson(
  ranked: readonly TrackedPerson[],
  choice: PersonChoice = 1,
  name = "the video",
): TrackedPerson {
  const person = typeof choice === "number" ? ranked[choice - 1] : personAt(ranked, choice);
  if (person) return person;
  const list = ranked.map((each, i) => describePerson(summarizePerson(each, i + 1, 0))).join("; ");
  const asked = typeof choice === "number" ? `no person ${choice}` : `nobody at ${choice.x},${choice.y}`;
  throw new UserError(
    `there is ${asked} in ${name}; found: ${list || "nobody"}. Give a number, or the x,y of a pixel on the person`,
  );
}

function personAt(people: readonly TrackedPerson[], { x, y }: Point): TrackedPerson | undefined {
  const hits = people.flatMap((person) =>
    sightingsOf(person)
      .filter(({ box }) => x >= box.left && x <= box.right && y >= box.top && y <= box.bottom)
      .slice(0, 1)
      .map((sighting) => ({ person, sighting })),
  );
  const area = ({ box }: Sighting): number => (box.right - box.left) * (box.bottom - box.top);
  return hits.toSorted(
    (a, b) => a.sighting.frame - b.sighting.frame || area(a.sighting) - area(b.sighting),
  )[0]?.person;
}

/** What a user is told about a person. `numSamples` searched frames are the whole. */
export function summarizePerson(person: TrackedPerson, number: number, numSamples: number): PersonSummary {
  const sightings = sightingsOf(person);
  const [first, last] = [sightings[0]!, sightings.at(-1)!];
  return {
    number,
    fromS: first.timeS,
    toS: last.timeS,
    stretches: person.tracks.map(({ sightings: own }) => ({
      fromS: own[0]!.timeS,
      toS: own.at(-1)!.timeS,
    })),
    presence: numSamples > 0 ? sightings.length / numSamples : 0,
    at: { x: Math.round(first.center.x), y: Math.round(first.center.y) },
  };
}

/** "2 at 310,420 from 1.4 s on". */
export function describePerson({ number, at, fromS }: PersonSummary): string {
  return `${number} at ${at.x},${at.y}${fromS > 0 ? ` from ${fromS.toFixed(1)} s on` : ""}`;
}

/**
 * The tracks to follow: the person's own, and in shots where nobody is recognised as them those of the most prominent
 * person there, because clothes change their look with light and framing.
 */
export function tracksToFollow(
  person: TrackedPerson,
  ranked: readonly TrackedPerson[],
  { cuts, numFrames }: Pick<Survey, "cuts" | "numFrames">,
): Track[] {
  const starts = [0, ...cuts];
  return starts.flatMap((start, shot) => {
    const end = starts[shot + 1] ?? numFrames;
    const within = ({ tracks }: TrackedPerson): Track[] =>
      tracks.filter(({ sightings }) => sightings[0]!.frame >= start && sightings[0]!.frame < end);
    const own = within(person);
    if (own.length > 0 || shot === 0) return own;
    const [stand] = rankPeople(
      ranked.map((each) => ({ tracks: within(each) })).filter((each) => each.tracks.length > 0),
    );
    return stand?.tracks ?? [];
  });
}
