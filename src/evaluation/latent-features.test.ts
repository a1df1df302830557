import { describe, expect, it } from "vitest";
import { UserError } from "../tensor/errors.ts";
import { Random } from "../tensor/random.ts";
import { type Tensor, float32 } from "../tensor/tensor.ts";
import { featureStatistics, frechetDistance } from "./frechet.ts";
import { distanceBetweenPeople, identityDistance, personFeature } from "./identity-distance.ts";
import { latentFeatures } from "./latent-features.ts";

/** Nine frames of 16x16 pixels whose left half the person covers, and latents [1, 2, 3, 2, 2] of them. */
const LEFT = Array.from({ length: 9 }, () =>
  Uint8Array.from({ length: 256 }, (_, i) => (i % 16 < 8 ? 255 : 0)),
);
const columns = (left: number, right: number): number[] =>
  Array.from({ length: 6 }, () => [left, right]).flat();
const latents = (...channels: number[][]): Tensor<"float32"> =>
  float32(Float32Array.from(channels.flat()), [1, channels.length, 3, 2, 2]);

describe("personFeature", () => {
  it("is the mean over what the person covers", () => {
    const left = personFeature(latents(columns(3, 100), columns(-1, 100)), LEFT);
    expect([...left]).toEqual([3, -1].map((value) => expect.closeTo(value, 12)));
    const everywhere = LEFT.map(() => new Uint8Array(256).fill(255));
    const all = personFeature(latents(columns(3, 5), columns(0, 1)), everywhere);
    expect([...all]).toEqual([4, 0.5].map((value) => expect.closeTo(value, 12)));
  });

  it("counts a half covered cell a quarter", () => {
    const wider = LEFT.map(() => Uint8Array.from({ length: 256 }, (_, i) => (i % 16 < 12 ? 255 : 0)));
    expect(personFeature(latents(columns(0, 1), columns(1, 1)), wider)[0]).toBeCloseTo(0.25 / 1.25, 12);
  });

  it("gives each latent frame the frames that it codes", () => {
    // The person is there in the first frame, and in the last two of the next four.
    const coming = LEFT.map((frame, f) => (f === 0 || f === 3 || f === 4 ? frame : new Uint8Array(256)));
    const [first, next, last] = [
      [1, 0, 1, 0],
      [2, 0, 2, 0],
      [9, 9, 9, 9],
    ] as const;
    const feature = personFeature(latents([...first, ...next, ...last]), coming);
    expect(feature[0]).toBeCloseTo((1 + 0.25 * 2) / 1.25, 12);
  });

  it("takes a single picture", () => {
    const picture = float32(Float32Array.of(7, 1, 7, 1), [1, 1, 1, 2, 2]);
    expect(personFeature(picture, LEFT.slice(0, 1))[0]).toBeCloseTo(7, 12);
    expect(() => personFeature(picture, LEFT)).toThrow("not those of 9 frames");
  });
});

describe("identityDistance", () => {
  const people = [Float64Array.of(0, 0), Float64Array.of(3, 4), Float64Array.of(0, 1)];

  it("is 0 for the person itself, and 1 in the mean over others", () => {
    const unit = distanceBetweenPeople(people);
    expect(unit).toBeCloseTo((5 + 1 + Math.hypot(3, 3)) / 3, 12);
    expect(identityDistance(people[1]!, people[1]!, unit)).toBe(0);
    const others = people.flatMap((person) =>
      people.filter((other) => other !== person).map((other) => [person, other] as const),
    );
    const distances = others.map(([a, b]) => identityDistance(a, b, unit));
    expect(distances.reduce((sum, value) => sum + value) / distances.length).toBeCloseTo(1, 12);
  });

  it("does not depend on the scale of latents, and needs two people", () => {
    const larger = people.map((person) => person.map((value) => 10 * value));
    expect(identityDistance(larger[0]!, larger[2]!, distanceBetweenPeople(larger))).toBeCloseTo(
      identityDistance(people[0]!, people[2]!, distanceBetweenPeople(people)),
      12,
    );
    expect(() => distanceBetweenPeople(people.slice(1, 2))).toThrow(UserError);
  });
});

describe("latentFeatures", () => {
  it("are means, then deviations, of the channels", () => {
    expect([...latentFeatures(latents(columns(1, 5), columns(2, 2)))]).toEqual([3, 2, 2, 0]);
  });

  it("bring clips of the same kind near to each other", () => {
    const clips = (seed: number, deviation: number): number[] => {
      const random = new Random(seed);
      return Array.from({ length: 12 }, () => [
        ...latentFeatures(latents(...[1, 2].map(() => [...random.normals(12)].map((x) => deviation * x)))),
      ]).flat();
    };
    const [a, alike, other] = [clips(1, 1), clips(2, 1), clips(3, 3)].map((all) => featureStatistics(all, 4));
    expect(frechetDistance(a!, other!)).toBeGreaterThan(5 * frechetDistance(a!, alike!));
  });
});
