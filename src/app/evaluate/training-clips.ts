/** The trivial baseline that copies: of all training clips the one whose pose is nearest. */
import { jointsOf, projectPoint } from "../../avatar/keypoints.ts";
import { solveSkeleton, standingHeight } from "../../avatar/kinematics.ts";
import { cameraFor } from "../../avatar/scene.ts";
import type { Image } from "../../media/pixels.ts";
import type { Point } from "../../media/draw.ts";
import { invariant } from "../../tensor/errors.ts";
import {
  type ClipRecipe,
  conditionFrames,
  renderSeriesClip,
  seriesClipRequest,
} from "../../training/render-training-clip.ts";

/** Frame rate of rendered clips. */
const FPS = 16;

/** The first clips of a training series. Their poses are known without rendering them. */
export class TrainingClips {
  /** By clip and frame: where the joints of the body are, in the order of `BODY_POINTS`. */
  private readonly tracks: readonly (readonly Point[])[][];

  constructor(
    private readonly recipe: ClipRecipe,
    numClips: number,
  ) {
    this.tracks = Array.from({ length: numClips }, (_, index) => jointTrack(recipe, index));
  }

  /**
   * A video as long as the given one, put together from training clips: for each stretch of a clip's length the one
   * clip whose joints are nearest, in the mean over joints and frames.
   * @param joints of each frame, in the order of `BODY_POINTS`
   */
  nearestVideo(joints: readonly (readonly Point[])[]): Image[] {
    const { numFrames } = this.recipe;
    const video: Image[] = [];
    while (video.length < joints.length) {
      const stretch = joints.slice(video.length, video.length + numFrames);
      const { clip } = renderSeriesClip(this.recipe, this.nearest(stretch));
      video.push(...conditionFrames(clip).frames.slice(0, stretch.length));
    }
    return video;
  }

  /** The clip whose first frames have the nearest joints. */
  nearest(joints: readonly (readonly Point[])[]): number {
    const distances = this.tracks.map((track) => totalDistance(joints, track));
    const index = distances.indexOf(Math.min(...distances));
    invariant(index >= 0, "there are no training clips to search");
    return index;
  }
}

/** Where the joints of a series' clip are. Joints outside the picture count too. */
export function jointTrack(recipe: ClipRecipe, index: number): Point[][] {
  const { identity, scene, motion, width, height, numFrames, startS } = seriesClipRequest(recipe, index).clip;
  const camera = cameraFor(scene, standingHeight(identity.body), width, height);
  return Array.from({ length: numFrames }, (_, f) => {
    const skeleton = solveSkeleton(identity.body, motion.poseAt(startS + f / FPS));
    return jointsOf(skeleton).body.map((joint) => projectPoint(camera, joint));
  });
}

function totalDistance(a: readonly (readonly Point[])[], b: readonly (readonly Point[])[]): number {
  let sum = 0;
  a.forEach((joints, f) => {
    joints.forEach(({ x, y }, i) => {
      const other = b[f]![i]!;
      sum += Math.hypot(x - other.x, y - other.y);
    });
  });
  return sum;
}
