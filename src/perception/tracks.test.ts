import { describe, expect, it } from "vitest";
import { UserError } from "../tensor/errors.ts";
import { choosePerson, rankPeople, sightingsOf, tracksToFollow } from "./choose-person.ts";
import type { Clothes } from "./clothes.ts";
import type { Sighting } from "./survey.ts";
import { type TrackedPerson, trackPeople } from "./tracks.ts";

/** Clothes in colours of which each has its own bin. */
function wearing(trunk: number, legs = trunk): Clothes {
  const shares = new Float32Array(2 * 216);
  shares[trunk] = 1;
  shares[216 + legs] = 1;
  return { shares };
}

function seen(frame: number, x: number, clothes: Clothes, size = 100): Sighting {
  const box = { left: x - size / 5, top: 100 - size / 2, right: x + size / 5, bottom: 100 + size / 2 };
  return { frame, timeS: frame / 10, center: { x, y: 100 }, size, box, clothes };
}

const RED = wearing(3);
const BLUE = wearing(70);

/** People per searched frame, two frames apart. */
function track(people: readonly (readonly Sighting[])[], cuts: readonly number[] = []): TrackedPerson[] {
  const samples = people.map((sightings, i) => ({ frame: 2 * i, people: sightings }));
  return trackPeople({ samples, cuts });
}

/** The places of each person, in time. */
const placesOf = (people: readonly TrackedPerson[]): number[][] =>
  people.map((person) => sightingsOf(person).map(({ center }) => center.x));

describe("trackPeople", () => {
  it("keeps people apart by clothes where they cross", () => {
    const steps = [0, 1, 2, 3, 4, 5, 6];
    const people = track(steps.map((i) => [seen(2 * i, 20 * i, RED), seen(2 * i, 120 - 20 * i, BLUE)]));
    expect(placesOf(people)).toEqual([steps.map((i) => 20 * i), steps.map((i) => 120 - 20 * i)]);
  });

  it("keeps people in the same clothes apart by their movement", () => {
    const steps = [0, 1, 2, 3, 4, 5, 6];
    const people = track(steps.map((i) => [seen(2 * i, 10 * i, RED), seen(2 * i, 65 - 10 * i, RED)]));
    expect(placesOf(people)).toEqual([steps.map((i) => 10 * i), steps.map((i) => 65 - 10 * i)]);
  });

  it("joins a person who was hidden, or away, by their clothes", () => {
    const away = [4, 5, 6, 7, 8, 9, 10, 11, 12, 13];
    const people = track(
      Array.from({ length: 18 }, (_, i) => [
        seen(2 * i, 200, BLUE),
        ...(away.includes(i) ? [] : [seen(2 * i, i < 4 ? 0 : 400, RED)]),
      ]),
    );
    expect(placesOf(rankPeople(people))).toEqual([
      Array.from({ length: 18 }, () => 200),
      [0, 0, 0, 0, 400, 400, 400, 400],
    ]);
  });

  it("does not take somebody who comes later in other clothes for the one who left", () => {
    const people = track(
      Array.from({ length: 12 }, (_, i) =>
        i < 4 ? [seen(2 * i, 0, RED)] : i > 7 ? [seen(2 * i, 0, BLUE)] : [],
      ),
    );
    expect(people).toHaveLength(2);
  });

  it("ends tracks at a cut, where somebody else may stand in the same place", () => {
    const shots = Array.from({ length: 8 }, (_, i) => [seen(2 * i, 50, i < 4 ? RED : BLUE)]);
    expect(track(shots, [8])).toHaveLength(2);
    const again = Array.from({ length: 8 }, (_, i) => [seen(2 * i, i < 4 ? 50 : 300, RED)]);
    const [person, ...others] = track(again, [8]);
    expect(others).toEqual([]);
    expect(person!.tracks).toHaveLength(2);
  });

  it("takes somebody who is seen but twice for an error, except in a video as short as that", () => {
    const steps = Array.from({ length: 6 }, (_, i) => [
      seen(2 * i, 0, RED),
      ...(i < 2 ? [seen(2 * i, 300, BLUE)] : []),
    ]);
    expect(track(steps)).toHaveLength(1);
    expect(track([[seen(0, 0, RED), seen(0, 300, BLUE)]])).toHaveLength(2);
    expect(track([])).toEqual([]);
  });
});

describe("choosing a person", () => {
  const small = Array.from({ length: 8 }, (_, i) => seen(2 * i, 300, BLUE, 60));
  const large = Array.from({ length: 4 }, (_, i) => seen(2 * i, 0, RED, 100));
  const ranked = rankPeople(track(small.map((sighting, i) => [sighting, ...(large[i] ? [large[i]] : [])])));

  it("ranks the larger for the longer first", () => {
    // 4 x 100² against 8 x 60².
    expect(ranked.map((person) => sightingsOf(person)[0]!.size)).toEqual([100, 60]);
    expect(choosePerson(ranked)).toBe(ranked[0]);
    expect(choosePerson(ranked, 2)).toBe(ranked[1]);
  });

  it("takes whose body is at a place, and refuses a place where nobody is", () => {
    expect(choosePerson(ranked, { x: 305, y: 120 })).toBe(ranked[1]);
    expect(() => choosePerson(ranked, { x: 200, y: 100 })).toThrow(UserError);
    expect(() => choosePerson([], 1)).toThrow(/found: nobody/);
  });

  it("follows the most prominent of a shot that the person is not recognised in", () => {
    const shots = track([...large.map((s) => [s]), ...small.slice(4).map((s) => [s])], [8]);
    const [red] = rankPeople(shots);
    const tracks = tracksToFollow(red!, rankPeople(shots), { cuts: [8], numFrames: 16 });
    expect(tracks.map(({ sightings }) => sightings[0]!.center.x)).toEqual([0, 300]);
  });
});
