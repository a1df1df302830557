import { type BodyPoint, bodyIndex } from "../media/pose-keypoints.ts";
import type { PersonFrame } from "../perception/person-frame.ts";
import type { Shot } from "./request.ts";

/** Least confidence of a point that counts as seen, as for drawn ones. */
const SEEN = 0.3;

/** A whole body lower than this share of the picture is a distant one. */
const DISTANT_HEIGHT = 0.45;

/** Judges from all frames of a driving video how much of the person it shows. */
export class ShotJudge {
  private numBodies = 0;
  private numWithAnkles = 0;
  private numWithHips = 0;
  /** Sum over the frames with ankles: from nose to ankles, as a share of the picture's height. */
  private totalHeight = 0;

  add({ pose, size, found }: PersonFrame): void {
    if (!found.body) return;
    this.numBodies++;
    const point = (name: BodyPoint) => pose.body[bodyIndex(name)]!;
    const isSeen = (name: BodyPoint): boolean => point(name).score >= SEEN;
    if (isSeen("leftHip") || isSeen("rightHip")) this.numWithHips++;
    if (!isSeen("leftAnkle") && !isSeen("rightAnkle")) return;
    this.numWithAnkles++;
    const lowest = Math.max(point("leftAnkle").y, point("rightAnkle").y);
    this.totalHeight += (lowest - point("nose").y) / size.height;
  }

  /** What most frames show. */
  shot(): Shot {
    if (2 * this.numWithAnkles >= this.numBodies && this.numWithAnkles > 0) {
      return this.totalHeight / this.numWithAnkles < DISTANT_HEIGHT ? "distant" : "full-body";
    }
    return 2 * this.numWithHips >= this.numBodies ? "half-body" : "close-up";
  }
}
