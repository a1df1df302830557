import { describe, expect, it } from "vitest";
import { BODY_POINTS, bodyIndex } from "../media/pose-keypoints.ts";
import { BODY_LANDMARKS, type BodyLandmark, type BodyLandmarkName } from "./body-landmarks.ts";
import type { HandPose } from "./hands.ts";
import { UNSEEN_POSE, handDepths, poseFromBody } from "./keypoints.ts";
import type { BodyPose } from "./pose.ts";

const SIZE = { width: 400, height: 600 };
const REGION = { center: { x: 200, y: 300 }, size: 500, rotation: 0 };
const NO_HANDS = { left: null, right: null };

/** A body whose landmark i lies at (10 i + 5, 300 + i), with the given exceptions. */
function bodyWith(changes: Partial<Record<BodyLandmarkName, Partial<BodyLandmark>>> = {}): BodyPose {
  const landmarks = BODY_LANDMARKS.map((name, i) => ({
    x: 10 * i + 5,
    y: 300 + i,
    z: 0,
    visibility: 0.5 + i / 100,
    presence: 1,
    world: { x: 0, y: 0, z: 0 },
    ...changes[name],
  }));
  return { landmarks, score: 1, region: REGION, mask: null, keypoints: null };
}

function handAt(x: number, score: number): HandPose {
  const landmarks = Array.from({ length: 21 }, (_, i) => ({
    x: x + i,
    y: 100,
    z: 2 * i,
    world: { x: 0, y: 0, z: 0 },
  }));
  return { landmarks, score, rightness: 0, region: REGION };
}

describe("poseFromBody", () => {
  it("takes each point from its landmark, with its visibility as the score", () => {
    const { body } = poseFromBody(bodyWith(), NO_HANDS, SIZE);
    expect(body).toHaveLength(BODY_POINTS.length);
    // Landmark numbers of the published 33-point model.
    const numbers = { nose: 0, rightShoulder: 12, leftWrist: 15, rightHip: 24, leftKnee: 25, rightAnkle: 28 };
    const faceAndFeet = { leftEye: 2, rightEar: 8, leftHeel: 29, rightBigToe: 32 };
    for (const [name, i] of Object.entries({ ...numbers, ...faceAndFeet })) {
      const point = body[bodyIndex(name as keyof typeof numbers)]!;
      expect(point).toEqual({ x: 10 * i + 5, y: 300 + i, score: 0.5 + i / 100 });
    }
  });

  it("makes the neck the mean of the shoulders in place and score", () => {
    const { body } = poseFromBody(
      bodyWith({ leftShoulder: { visibility: 0.9 }, rightShoulder: { visibility: 0.1 } }),
      NO_HANDS,
      SIZE,
    );
    expect(body[bodyIndex("neck")]).toEqual({ x: 120, y: 311.5, score: 0.5 });
  });

  it("puts the small toe on the outer side of a foot that points to the viewer or away", () => {
    const foot = (z: number) =>
      bodyWith({
        leftHeel: { x: 100, y: 500, z: 0 },
        leftFootIndex: { x: 100, y: 520, z },
        rightHeel: { x: 60, y: 500, z: 0 },
        rightFootIndex: { x: 60, y: 520, z },
      });
    const toViewer = poseFromBody(foot(-40), NO_HANDS, SIZE).body;
    expect(toViewer[bodyIndex("leftSmallToe")]).toMatchObject({ x: 106, y: 517 });
    expect(toViewer[bodyIndex("rightSmallToe")]).toMatchObject({ x: 54, y: 517 });
    const away = poseFromBody(foot(40), NO_HANDS, SIZE).body;
    expect(away[bodyIndex("leftSmallToe")]).toMatchObject({ x: 94 });
  });

  it("does not see what lies outside the picture", () => {
    const { body } = poseFromBody(bodyWith({ leftKnee: { x: 400 }, rightKnee: { y: -1 } }), NO_HANDS, SIZE);
    expect(body[bodyIndex("leftKnee")]!.score).toBe(0);
    expect(body[bodyIndex("rightKnee")]!.score).toBe(0);
  });

  it("gives the points of a hand the hand's score", () => {
    const pose = poseFromBody(bodyWith(), { left: handAt(50, 0.8), right: null }, SIZE);
    expect(pose.leftHand.map(({ score }) => score)).toEqual(Array.from({ length: 21 }, () => 0.8));
    expect(pose.leftHand[3]).toMatchObject({ x: 53, y: 100 });
    expect(pose.rightHand.every(({ score }) => score === 0)).toBe(true);
  });

  it("sees nothing without a body", () => {
    expect(poseFromBody(null, NO_HANDS, SIZE)).toEqual(UNSEEN_POSE);
  });
});

describe("handDepths", () => {
  it("sets both hands off by the depth of their wrists", () => {
    const body = bodyWith({ leftWrist: { z: -100 }, rightWrist: { z: 30 } });
    const depths = handDepths(body, { left: handAt(0, 1), right: handAt(0, 1) });
    expect(depths.left.slice(0, 3)).toEqual([-100, -98, -96]);
    expect(depths.right.slice(0, 3)).toEqual([30, 32, 34]);
  });
});
