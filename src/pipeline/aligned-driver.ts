/** The driving motion fitted to the person of the reference image. */
import { alignFrame } from "../perception/align-frame.ts";
import { type AlignmentMode, type AlignmentPlan, planAlignment } from "../perception/alignment-plan.ts";
import { BodyMeasure } from "../perception/body-measure.ts";
import { mapToOutput } from "../perception/conditions-video.ts";
import type { Size } from "../perception/keypoints.ts";
import type { PersonFrame } from "../perception/person-frame.ts";
import { Driver } from "./driver.ts";
import { KeypointsFile } from "./keypoints-file.ts";

export interface AlignedDriver {
  readonly driver: Driver;
  /** Null where the motion is taken as it is. */
  readonly alignment: AlignmentPlan | null;
}

/**
 * Opens a file of poses and fits them to a reference.
 * @param fps of the result
 * @param reference who was found in the reference image, in its pixels; null takes the motion as it is
 * @param output size of the result, to which both are cut
 * @throws UserError when it is no such file
 */
export async function openAlignedDriver(
  path: string,
  fps: number,
  reference: PersonFrame | null,
  mode: AlignmentMode | "auto",
  output: Size,
): Promise<AlignedDriver> {
  const measure = new BodyMeasure();
  if (reference && mode !== "off") {
    await KeypointsFile.open(path, (frame) => measure.add(mapToOutput(frame, output)));
    const alignment = planAlignment(mapToOutput(reference, output), measure, mode);
    if (alignment) {
      const align = (frame: PersonFrame): PersonFrame => alignFrame(mapToOutput(frame, output), alignment);
      return { driver: await Driver.open(path, fps, align), alignment };
    }
  }
  return { driver: await Driver.open(path, fps), alignment: null };
}

/** What a user should know about how the motion was fitted. */
export function remarkOnAlignment(
  alignment: AlignmentPlan | null,
  asked: AlignmentMode | "auto",
): string | null {
  if (asked === "off" || (asked === "auto" && !alignment)) return null;
  if (!alignment) {
    return "the motion is not aligned: it fits the reference already, or too little of a body is seen in both";
  }
  const size = `${Math.round(100 * alignment.scale)} % of its size`;
  if (alignment.mode === "frame") return `the motion is moved to the place of the reference, at ${size}`;
  return (
    `the motion is given the place and the bone lengths of the reference, at ${size}` +
    (alignment.absent.size > 0 ? "; what the driving video never shows of the body stands as there" : "") +
    (asked === "auto" ? " (align off takes it as it is)" : "")
  );
}
