/** Clips that no part of the model has been trained on, with their exact truth. */
import type { Clip } from "../../avatar/clip.ts";
import { standingHeight } from "../../avatar/kinematics.ts";
import { cameraFor } from "../../avatar/scene.ts";
import type { Image } from "../../media/pixels.ts";
import type { PersonFrame } from "../../perception/person-frame.ts";
import {
  type ClipRecipe,
  conditionFrames,
  renderSeriesClip,
  seriesClipRequest,
} from "../../training/render-training-clip.ts";

export interface HeldOutClip {
  /** In its series. */
  readonly index: number;
  /** The prompt. */
  readonly caption: string;
  readonly reference: Image;
  /** Share of each pixel of the reference that the person covers, 0..255, [H, W]. */
  readonly referenceCoverage: Uint8Array;
  /** The true frames, and skeletons as the model sees them. */
  readonly frames: readonly Image[];
  readonly skeletons: readonly Image[];
  /** By frame: share of each pixel that the person covers, 0..255, [H, W]. */
  readonly coverage: readonly Uint8Array[];
  /** Exact poses, in place of what perception would find in the frames. */
  readonly poses: readonly PersonFrame[];
}

/** Renders clip number `index` of a series. */
export function renderHeldOutClip(recipe: ClipRecipe, index: number): HeldOutClip {
  const { clip, reference, referenceMask } = renderSeriesClip(recipe, index);
  const { identity, scene, width, height } = seriesClipRequest(recipe, index).clip;
  const { focal, distance } = cameraFor(scene, standingHeight(identity.body), width, height);
  const { frames, skeletons } = conditionFrames(clip);
  const numPixels = width * height;
  return {
    index,
    caption: clip.caption,
    reference,
    referenceCoverage: referenceMask,
    frames,
    skeletons,
    coverage: frames.map((_, f) => clip.mask.subarray(f * numPixels, (f + 1) * numPixels)),
    poses: frames.map((_, f) => exactPose(clip, f, focal / distance)),
  };
}

/** @param pixelsPerMetre at the person; depths count from there, smaller is nearer to the viewer */
function exactPose(clip: Clip, index: number, pixelsPerMetre: number): PersonFrame {
  const { width, height, fps } = clip;
  const joints = clip.joints[index]!;
  const depths = (hand: (typeof joints)["leftHand"]): number[] => hand.map(([, , z]) => -z * pixelsPerMetre);
  return {
    index,
    timeS: index / fps,
    size: { width, height },
    pose: clip.keypoints[index]!,
    depths: { left: depths(joints.leftHand), right: depths(joints.rightHand) },
    numPeople: 1,
    found: { body: true, leftHand: true, rightHand: true },
  };
}
