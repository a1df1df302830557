import { type Keypoint, bodyIndex } from "../media/pose-keypoints.ts";
import type { PersonFrame } from "./person-frame.ts";

/** Frames from this long before to this long after one take part in its smoothing. */
export const SMOOTHING_S = 0.22;
/** Their weights fall off as a Gaussian of this width. */
const WIDTH_S = 0.11;
/**
 * Speed, in lengths of the trunk per second, at which a point counts as half at rest and half in motion. What its
 * acceleration adds to it within the width counts as well: a limb that turns round is not at rest.
 */
const SLOW = 0.35;

/**
 * Takes the tremble out of poses, by least squares over the frames around each one, before and after alike: nothing
 * lags behind. A point at rest is fitted by a line, one in motion by a parabola, which follows it closely; in between
 * the two are blended by the point's speed. Nothing is taken across a cut. Scores stay.
 */
export async function* smoothPoses(
  frames: AsyncIterable<PersonFrame>,
): AsyncGenerator<PersonFrame, void, undefined> {
  const window: PersonFrame[] = [];
  let current = 0;
  const emit = function* (untilS: number): Generator<PersonFrame> {
    while (current < window.length && window[current]!.timeS + SMOOTHING_S < untilS) {
      const { timeS } = window[current]!;
      while (window[0]!.timeS < timeS - SMOOTHING_S - TIME_TOLERANCE_S) {
        window.shift();
        current--;
      }
      yield smoothed(window, current);
      current++;
    }
  };
  for await (const frame of frames) {
    if (frame.cut) {
      yield* emit(Infinity);
      window.length = current = 0;
    }
    window.push(frame);
    yield* emit(frame.timeS - TIME_TOLERANCE_S);
  }
  yield* emit(Infinity);
}

const TIME_TOLERANCE_S = 0.001;

const PARTS = ["body", "leftHand", "rightHand"] as const;
type Part = (typeof PARTS)[number];

function smoothed(window: readonly PersonFrame[], index: number): PersonFrame {
  const frame = window[index]!;
  const unit = trunkLength(frame);
  const pose = { ...frame.pose };
  const depths = { ...frame.depths };
  for (const part of PARTS) {
    if (!isKnown(frame, part)) continue;
    const around = window.filter(
      (other) => Math.abs(other.timeS - frame.timeS) <= SMOOTHING_S && isKnown(other, part),
    );
    const fit = fitAt(around.map(({ timeS }) => timeS - frame.timeS));
    if (!fit) continue;
    pose[part] = frame.pose[part].map((point, i): Keypoint => {
      const [xs, ys] = [
        around.map((other) => other.pose[part][i]!.x),
        around.map((other) => other.pose[part][i]!.y),
      ];
      const [speed, change] = [fit.slope, fit.curvature].map((by) => Math.hypot(sum(by, xs), sum(by, ys)));
      const motion = Math.hypot(speed!, change! * WIDTH_S) / (SLOW * unit);
      const moving = motion ** 2 / (1 + motion ** 2);
      const value = (values: number[]): number =>
        sum(fit.line, values) * (1 - moving) + sum(fit.parabola, values) * moving;
      return { x: value(xs), y: value(ys), score: point.score };
    });
    if (part === "body") continue;
    const side = part === "leftHand" ? "left" : "right";
    depths[side] = frame.depths[side].map((_, i) =>
      sum(
        fit.line,
        around.map((other) => other.depths[side][i]!),
      ),
    );
  }
  return { ...frame, pose, depths };
}

/** Seen, or bridged over a short gap. */
function isKnown({ pose, found }: PersonFrame, part: Part): boolean {
  return found[part] || pose[part].some(({ score }) => score > 0);
}

/** From the neck to the middle of the hips; at least the width of the shoulders, and a pixel. */
function trunkLength({ pose: { body } }: PersonFrame): number {
  const at = (name: Parameters<typeof bodyIndex>[0]): Keypoint => body[bodyIndex(name)]!;
  const [neck, left, right] = [at("neck"), at("leftHip"), at("rightHip")];
  const shoulders = [at("leftShoulder"), at("rightShoulder")] as const;
  return Math.max(
    1,
    Math.hypot(neck.x - (left.x + right.x) / 2, neck.y - (left.y + right.y) / 2),
    Math.hypot(shoulders[0].x - shoulders[1].x, shoulders[0].y - shoulders[1].y),
  );
}

/** Coefficients of samples: the sum of coefficient times value is the fitted value at time 0, or a derivative there. */
interface Fit {
  readonly line: readonly number[];
  readonly slope: readonly number[];
  readonly parabola: readonly number[];
  readonly curvature: readonly number[];
}

/** Fits through samples at the given times, 0 among them; null for fewer than three. */
function fitAt(times: readonly number[]): Fit | null {
  if (times.length < 3) return null;
  const t = times.map((time) => time / WIDTH_S);
  const w = t.map((u) => Math.exp(-0.5 * u * u));
  const moment = (power: number): number => t.reduce((total, u, i) => total + w[i]! * u ** power, 0);
  const [m0, m1, m2, m3, m4] = [moment(0), moment(1), moment(2), moment(3), moment(4)] as const;
  const determinant = m0 * m2 - m1 * m1;
  // First row of the adjoint of the 3 x 3 matrix of moments, and its determinant; then the end of the third row.
  const [c0, c1, c2] = [m2 * m4 - m3 * m3, m2 * m3 - m1 * m4, m1 * m3 - m2 * m2];
  const cubic = m0 * c0 + m1 * c1 + m2 * c2;
  const isCurved = cubic > 1e-9;
  const [c21, c22] = [m1 * m2 - m0 * m3, determinant];
  const line = t.map((u, i) => (w[i]! * (m2 - m1 * u)) / determinant);
  return {
    line,
    slope: t.map((u, i) => (w[i]! * (m0 * u - m1)) / determinant / WIDTH_S),
    parabola: isCurved ? t.map((u, i) => (w[i]! * (c0 + c1 * u + c2 * u * u)) / cubic) : line,
    curvature: t.map((u, i) =>
      isCurved ? (2 * w[i]! * (c2 + c21 * u + c22 * u * u)) / cubic / WIDTH_S ** 2 : 0,
    ),
  };
}

function sum(coefficients: readonly number[], values: readonly number[]): number {
  return coefficients.reduce((total, coefficient, i) => total + coefficient * values[i]!, 0);
}
