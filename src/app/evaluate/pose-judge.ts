/** Does a video show the pose it should? The pose network looks at its frames, one by one, as it does at real ones. */
import { type JointComparison, type JointPosition, boundingBoxSide, pck } from "../../evaluation/pck.ts";
import type { Image } from "../../media/pixels.ts";
import { BODY_POINTS, type BodyPoint, type PoseKeypoints } from "../../media/pose-keypoints.ts";
import { resize } from "../../media/resize.ts";
import { poseFromBody } from "../../perception/keypoints.ts";
import { PoseTracker, type PoseTrackerOptions } from "../../perception/pose.ts";
import { ImagePyramid } from "../../perception/region.ts";
import { type Figures, type VideoMetric, finite } from "./figures.ts";

/** Frames are enlarged to this height: the network has learned from photographs. */
const POSE_HEIGHT = 512;

/** The 18 points of OpenPose. Those of the feet are a pixel apart at small sizes. */
const NUM_JUDGED = 18;

const ARMS: readonly BodyPoint[] = ["leftElbow", "rightElbow", "leftWrist", "rightWrist"];

export class PoseJudge {
  private constructor(private readonly tracker: PoseTracker) {}

  static async load(options: PoseTrackerOptions = {}): Promise<PoseJudge> {
    return new PoseJudge(await PoseTracker.load(options));
  }

  /**
   * Compares the poses in a video with the exact ones. Joints count where they lie inside the picture and, on the
   * head, do not look away; limbs hidden behind the body count. A frame without a pose counts all of them as wrong.
   * @param step only every step-th frame is looked at
   */
  async judge(
    video: readonly Image[],
    truth: readonly PoseKeypoints[],
    step: number,
  ): Promise<Figures<VideoMetric>> {
    const known = new Map<Image, readonly JointPosition[] | null>();
    const frames: JointComparison[] = [];
    let numMissed = 0;
    for (let f = 0; f < truth.length; f += step) {
      const image = video[f]!;
      if (!known.has(image)) known.set(image, await this.jointsIn(image));
      const found = known.get(image) ?? null;
      if (!found) numMissed++;
      frames.push(compare(found, truth[f]!));
    }
    /** Arms move most; as with the whole body, the unit is the size of the body. */
    const bodies = new Map(frames.map((frame) => [armsOnly(frame), frame]));
    return finite({
      pck10: pck(frames, 0.1),
      pck05: pck(frames, 0.05),
      armsPck10: pck([...bodies.keys()], 0.1, (arms) => boundingBoxSide(bodies.get(arms)!)),
      missed: numMissed / frames.length,
    });
  }

  async release(): Promise<void> {
    await this.tracker.release();
  }

  /** Each frame is searched anew: nothing is taken over from the frame before. */
  private async jointsIn(image: Image): Promise<readonly JointPosition[] | null> {
    const scale = POSE_HEIGHT / image.height;
    const size = { width: Math.round(image.width * scale), height: POSE_HEIGHT };
    this.tracker.reset();
    const { body } = await this.tracker.next(new ImagePyramid(resize(image, size.width, size.height)));
    if (!body) return null;
    const { body: points } = poseFromBody(body, { left: null, right: null }, size);
    return points.map(({ x, y }) => ({ x: x / scale, y: y / scale }));
  }
}

function compare(found: readonly JointPosition[] | null, truth: PoseKeypoints): JointComparison {
  const joints = truth.body.slice(0, NUM_JUDGED);
  return {
    predicted: joints.map((_, i) => found?.[i]),
    truth: joints,
    visible: joints.map(({ score }) => score > 0),
  };
}

function armsOnly({ predicted, truth, visible }: JointComparison): JointComparison {
  return { predicted, truth, visible: visible.map((seen, i) => seen && ARMS.includes(BODY_POINTS[i]!)) };
}
