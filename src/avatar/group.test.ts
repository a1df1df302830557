import { expect, test } from "vitest";
import { bodyIndex } from "../media/pose-keypoints.ts";
import { renderFrames } from "./clip.ts";
import { type FloorPlace, renderGroup } from "./group.ts";
import { makeIdentity } from "./identity.ts";
import { makeMotion, makeStanding } from "./motion.ts";
import { makeScene } from "./scene.ts";

const SCENE = { ...makeScene(1), shot: "full body", span: [-0.07, 1.16] } as const;
const SIZE = { width: 160, height: 128 };
const HIPS = [bodyIndex("leftHip"), bodyIndex("rightHip")];

const person = (seed: number, placeAt?: (timeS: number) => FloorPlace) => ({
  identity: makeIdentity(seed),
  motion: makeStanding(seed),
  ...(placeAt && { placeAt }),
});

const covered = (mask: Uint8Array): number => mask.reduce((sum, m) => sum + m / 255, 0);

test("a group of one is the person alone", () => {
  const request = { scene: SCENE, numFrames: 2, ...SIZE };
  const one = { identity: makeIdentity(3), motion: makeMotion(3) };
  const [alone] = renderFrames({ ...request, ...one });
  const [group] = renderGroup({ ...request, people: [one] });
  expect({ image: group!.image, handNormals: group!.handNormals, ...group!.people[0] }).toEqual(alone);
});

test("people stand where they are placed, and the nearer one hides the other", () => {
  // The second one comes nearer to the viewer and passes in front of the first, from the left to the right.
  const pass = (timeS: number): FloorPlace => ({ x: timeS - 1, z: 0.6 });
  const request = { scene: SCENE, numFrames: 3, fps: 1, ...SIZE };
  const frames = [...renderGroup({ ...request, people: [person(1), person(2, pass)] })];
  const [left, front, right] = frames;
  const hipX = (frame: typeof left, who: number): number =>
    HIPS.reduce((sum, i) => sum + frame!.people[who]!.keypoints.body[i]!.x / 2, 0);
  expect(hipX(left, 1)).toBeLessThan(hipX(left, 0) - 20);
  expect(hipX(right, 1)).toBeGreaterThan(hipX(right, 0) + 20);
  expect(Math.abs(hipX(front, 1) - hipX(front, 0))).toBeLessThan(4);
  expect(covered(front!.people[0]!.mask)).toBeLessThan(0.35 * covered(left!.people[0]!.mask));
  expect(covered(front!.people[1]!.mask)).toBeGreaterThan(0.95 * covered(left!.people[1]!.mask));
  for (const { people } of frames) {
    expect(people[0]!.mask.every((m, i) => m + people[1]!.mask[i]! <= 256)).toBe(true);
    for (const [who, z] of [0, 0.6].entries()) {
      expect(people[who]!.joints.body[HIPS[0]!]![2]).toBeCloseTo(z, 1);
    }
  }
});

test("a person outside the picture is not seen", () => {
  const away = (): FloorPlace => ({ x: 6, z: 0 });
  const [frame] = renderGroup({ scene: SCENE, numFrames: 1, ...SIZE, people: [person(1, away), person(2)] });
  expect(covered(frame!.people[0]!.mask)).toBe(0);
  expect(frame!.people[0]!.keypoints.body.every(({ score }) => score === 0)).toBe(true);
  expect(covered(frame!.people[1]!.mask)).toBeGreaterThan(500);
});
