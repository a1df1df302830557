/** Compares the poses that were found with the truth of a clip. */
import { type PoseKeypoints, bodyIndex } from "../../src/media/pose-keypoints.ts";
import type { PersonFrame } from "../../src/perception/person-frame.ts";
import type { Point } from "../../src/perception/region.ts";
import type { Clip } from "./clip.ts";

/** Figures of one clip. Lengths are shares of the true length of the trunk. */
export interface Figures {
  /** Frames in which at least half of what is usual is to be seen of the person. */
  readonly numVisible: number;
  /** Those of them whose pose is nearer to this person than to anybody else. */
  readonly numRight: number;
  /** Frames whose pose is somebody else's. */
  readonly numWrong: number;
  /** How often the followed person changes, and one more if the first pose is somebody else's. */
  readonly numSwitches: number;
  /** Median distance of body points from the truth. */
  readonly error: number;
  /** RMS of the second differences of that distance from frame to frame. */
  readonly jitter: number;
  readonly smoothedJitter: number;
  /** Frames by which smoothing lags behind. */
  readonly delayFrames: number;
  /** Hands that were found of those whose points are all visible. */
  readonly numHandsFound: number;
  readonly numHandsVisible: number;
}

/** Middle of the hips. */
export function hipsOf({ body }: PoseKeypoints): Point {
  const [left, right] = [body[bodyIndex("leftHip")]!, body[bodyIndex("rightHip")]!];
  return { x: (left.x + right.x) / 2, y: (left.y + right.y) / 2 };
}

const distance = (a: Point, b: Point): number => Math.hypot(a.x - b.x, a.y - b.y);

const trunkOf = (pose: PoseKeypoints): number => distance(pose.body[bodyIndex("neck")]!, hipsOf(pose));

const meanDistance = (a: PoseKeypoints, b: PoseKeypoints): number =>
  a.body.reduce((sum, point, i) => sum + distance(point, b.body[i]!), 0) / a.body.length;

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;

/** @param found poses with gaps filled, `smoothed` the same after smoothing; one for each frame of the clip */
export function judge(clip: Clip, found: readonly PersonFrame[], smoothed: readonly PersonFrame[]): Figures {
  const shares = clip.truth.map((people) => people[0]!.share);
  const usualShare = shares.toSorted((a, b) => b - a)[Math.floor(shares.length / 3)]!;
  const isVisible = shares.map((share) => share > 0.5 * usualShare);
  const isRight = found.map(
    (frame, f) =>
      nearestPerson(
        frame,
        clip.truth[f]!.map(({ pose }) => pose),
      ) === 0,
  );
  const counts = (f: number): boolean => found[f]?.found.body === true && isRight[f]! && isVisible[f]!;
  const exact = (f: number): PoseKeypoints => clip.truth[f]![0]!.pose;
  const errors: number[] = [];
  const [tremble, smoothTremble] = [new Tremble(), new Tremble()];
  let [missingSpeed, turns] = [0, 0];
  let [numHandsFound, numHandsVisible] = [0, 0];
  for (let f = 0; f < found.length; f++) {
    if (!counts(f)) continue;
    const unit = trunkOf(exact(f));
    for (const side of ["leftHand", "rightHand"] as const) {
      if (!exact(f)[side].every(({ score }) => score >= 0.7)) continue;
      numHandsVisible++;
      if (found[f]!.found[side]) numHandsFound++;
    }
    const hasNeighbours = counts(f - 1) && counts(f + 1) && !found[f]!.cut && !found[f + 1]!.cut;
    exact(f).body.forEach((point, i) => {
      if (point.score === 0 || found[f]!.pose.body[i]!.score < 0.3) return;
      errors.push(distance(smoothed[f]!.pose.body[i]!, point) / unit);
      if (!hasNeighbours) return;
      for (const axis of ["x", "y"] as const) {
        const around = (at: (k: number) => PoseKeypoints): number[] =>
          [f - 1, f, f + 1].map((k) => at(k).body[i]![axis]);
        const truth = around(exact);
        const raw = around((k) => found[k]!.pose);
        const smooth = around((k) => smoothed[k]!.pose);
        tremble.add(secondDifference(raw.map((value, k) => value - truth[k]!)) / unit);
        smoothTremble.add(secondDifference(smooth.map((value, k) => value - truth[k]!)) / unit);
        // What smoothing adds to the delay: the change of speed that is missing, by the true change of speed.
        const turn = secondDifference(truth);
        missingSpeed += ((raw[2]! - raw[0]! - (smooth[2]! - smooth[0]!)) / 2) * turn;
        turns += turn * turn;
      }
    });
  }
  return {
    numVisible: isVisible.filter(Boolean).length,
    numRight: found.filter((_, f) => counts(f)).length,
    numWrong: found.filter((frame, f) => frame.found.body && !isRight[f]).length,
    numSwitches: countSwitches(found, clip),
    error: median(errors),
    jitter: tremble.rms(),
    smoothedJitter: smoothTremble.rms(),
    delayFrames: missingSpeed / turns,
    numHandsFound,
    numHandsVisible,
  };
}

const secondDifference = (values: readonly number[]): number => values[0]! - 2 * values[1]! + values[2]!;

class Tremble {
  private squares = 0;
  private count = 0;

  add(value: number): void {
    this.squares += value * value;
    this.count++;
  }

  rms(): number {
    return Math.sqrt(this.squares / this.count);
  }
}

/** Whose true pose is nearest. */
function nearestPerson({ pose }: PersonFrame, people: readonly PoseKeypoints[]): number {
  const distances = people.map((truth) => meanDistance(pose, truth));
  return distances.indexOf(Math.min(...distances));
}

function countSwitches(found: readonly PersonFrame[], { truth }: Clip): number {
  let followed = 0;
  let numSwitches = 0;
  found.forEach((frame, f) => {
    if (!frame.found.body) return;
    const nearest = nearestPerson(
      frame,
      truth[f]!.map(({ pose }) => pose),
    );
    if (nearest !== followed) numSwitches++;
    followed = nearest;
  });
  return numSwitches;
}
