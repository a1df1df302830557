import { describe, expect, it } from "vitest";
import { readDetections } from "./detections.ts";

/** Two grids of 2x2 and 1x1 cells with one anchor each; rows hold a box and one point. */
const LAYOUT = {
  resolution: 100,
  grids: [
    { side: 2, perCell: 1 },
    { side: 1, perCell: 1 },
  ],
};
const REGION = { center: { x: 50, y: 150 }, size: 200, rotation: 0 };

describe("readDetections", () => {
  it("places boxes and points relative to their anchors, in picture pixels", () => {
    const rows = new Float32Array(5 * 6);
    // The anchor of cell (1, 0) lies at (0.75, 0.25) of the region.
    rows.set([5, 10, 20, 40, -25, 25], 6);
    const logits = Float32Array.of(-9, 3, -9, -9, -9);
    expect(readDetections(rows, logits, LAYOUT, REGION, 0.5)).toEqual([
      {
        score: expect.closeTo(0.9526, 4),
        center: { x: expect.closeTo(110, 4), y: expect.closeTo(120, 4) },
        width: expect.closeTo(40, 4),
        height: expect.closeTo(80, 4),
        keypoints: [{ x: expect.closeTo(50, 4), y: expect.closeTo(150, 4) }],
      },
    ]);
  });

  it("keeps the best of overlapping boxes and both of separate ones, best first", () => {
    const box = [0, 0, 40, 40, 0, 0];
    const rows = Float32Array.from([box, [3, 0, 40, 40, 0, 0], box, box, [-25, -22, 40, 40, 0, 0]].flat());
    // The last anchor, in the middle, is moved onto the first cell's box.
    const scores = readDetections(rows, Float32Array.of(1, 4, -9, 2, 3), LAYOUT, REGION, 0.5).map(
      ({ score, center }) => [Math.round(score * 100), Math.round(center.x), Math.round(center.y)],
    );
    expect(scores).toEqual([
      [98, 106, 100],
      [95, 0, 106],
      [88, 100, 200],
    ]);
  });
});
