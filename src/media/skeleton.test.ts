import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { createImage, swapRedBlue, type Image } from "./pixels.ts";
import {
  poseFromWholebody,
  transformPose,
  UNSEEN,
  UNSEEN_HAND,
  type PoseKeypoints,
} from "./pose-keypoints.ts";
import { drawSkeleton, renderSkeleton } from "./skeleton.ts";

const folder = new URL("../../fixtures/skeleton/", import.meta.url);

interface Case {
  width: number;
  height: number;
  png: string;
  keypoints: [number, number][];
  keypoint_scores: number[];
}
const cases: Record<string, Case> = JSON.parse(readFileSync(new URL("keypoints.json", folder), "utf8"));

function poseOf({ keypoints, keypoint_scores }: Case): PoseKeypoints {
  return poseFromWholebody(keypoints.map(([x, y], i) => ({ x, y, score: keypoint_scores[i]! })));
}

/** A single left forearm, elbow to wrist. */
function forearm(score: number): PoseKeypoints {
  const body = Array.from({ length: 24 }, () => UNSEEN);
  body[6] = { x: 20, y: 20, score };
  body[7] = { x: 44, y: 40, score };
  return { body, leftHand: UNSEEN_HAND, rightHand: UNSEEN_HAND };
}

const litPixels = ({ data }: Image) => {
  let lit = 0;
  for (let i = 0; i < data.length; i += 3) if (data[i]! + data[i + 1]! + data[i + 2]! > 0) lit += 1;
  return lit;
};

describe("published style", () => {
  it.each(Object.keys(cases))("equals the published renderer on %s", async (name) => {
    const given = cases[name]!;
    const expected = await sharp(fileURLToPath(new URL(given.png, folder)))
      .removeAlpha()
      .raw()
      .toBuffer();
    const image = renderSkeleton(poseOf(given), given.width, given.height);
    expect(Buffer.compare(image.data, expected)).toBe(0);
  });

  it("exchanges red and blue in the published channel order", () => {
    const given = Object.values(cases)[0]!;
    const draw = (channelOrder: "palette" | "published") =>
      renderSkeleton(poseOf(given), given.width, given.height, { channelOrder });
    expect(Buffer.compare(draw("published").data, swapRedBlue(draw("palette")).data)).toBe(0);
    expect(Buffer.compare(draw("published").data, draw("palette").data)).not.toBe(0);
  });
});

describe("both styles", () => {
  it.each(["published", "scaled"] as const)("%s: draws from the threshold on", (style) => {
    expect(litPixels(renderSkeleton(forearm(0.29), 64, 64, { style }))).toBe(0);
    expect(litPixels(renderSkeleton(forearm(0.3), 64, 64, { style }))).toBeGreaterThan(20);
    expect(litPixels(renderSkeleton(forearm(0.3), 64, 64, { style, bodyThreshold: 0.5 }))).toBe(0);
  });

  it.each(["published", "scaled"] as const)(
    "%s: survives points that are not numbers or far away",
    (style) => {
      const pose = forearm(1);
      const body = pose.body
        .with(6, { x: Number.NaN, y: 3, score: 1 })
        .with(5, { x: 1e9, y: Infinity, score: 1 });
      const lit = litPixels(renderSkeleton({ ...pose, body }, 64, 64, { style }));
      expect(lit).toBeGreaterThan(0);
      expect(lit).toBeLessThan(100);
    },
  );

  it("keeps what lies under the skeleton", () => {
    const image = createImage(64, 64, [9, 9, 9]);
    drawSkeleton(image, forearm(1), { style: "scaled" });
    expect([...image.data.subarray(0, 3)]).toEqual([9, 9, 9]);
  });
});

describe("scaled style", () => {
  it("covers the same share of the picture at every size", () => {
    const given = cases["standing_all_visible_512x288"]!;
    const share = (scale: number) => {
      const pose = transformPose(poseOf(given), { left: 0, top: 0, scaleX: scale, scaleY: scale });
      const [width, height] = [given.width * scale, given.height * scale];
      const { data } = renderSkeleton(pose, width, height, { style: "scaled" });
      return data.reduce((sum, v) => sum + v, 0) / data.length;
    };
    expect(share(0.5) / share(1)).toBeGreaterThan(0.95);
    expect(share(0.5) / share(1)).toBeLessThan(1.05);
  });
});

describe("poseFromWholebody", () => {
  it("refuses another number of points", () => {
    expect(() => poseFromWholebody([UNSEEN])).toThrow("expected 133 COCO-wholebody points, got 1");
  });
});
