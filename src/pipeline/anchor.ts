/** Which base segment the others share their background with (method section 5: the anchor must be still). */
import type { BackgroundMotion } from "../perception/background-motion.ts";
import type { Plan, Segment } from "./plan.ts";

/** How still the driving video's background is during a base segment. */
export interface Stillness {
  readonly segment: number;
  /** How far the camera moves from where the segment begins, at most, as a share of the picture's longer side. */
  readonly cameraMotion: number;
  /** Mean change of the background's brightness from frame to frame, 0..1. */
  readonly backgroundChange: number;
  readonly isStill: boolean;
}

/** What hands and tripods leave, and compression: more is motion. */
export const STILL = { cameraMotion: 0.015, backgroundChange: 0.012 };

/** Base segments in order. */
export function judgeSegments(plan: Plan, motions: readonly BackgroundMotion[]): Stillness[] {
  return plan.segments
    .filter(({ kind }) => kind !== "interpolated")
    .map((segment) => stillnessOf(segment, plan, motions));
}

function stillnessOf({ index, start }: Segment, plan: Plan, motions: readonly BackgroundMotion[]): Stillness {
  let [x, y, zoom, change, farthest] = [0, 0, 0, 0, 0];
  // What leads up to the first frame happened in the segment before.
  const inside = motions.slice(start + 1, start + plan.segmentFrames);
  for (const motion of inside) {
    x += motion.x;
    y += motion.y;
    zoom += motion.zoom;
    change += motion.change;
    // The edge of the picture moves by half of what it grows.
    farthest = Math.max(farthest, Math.hypot(x, y) + Math.abs(zoom) / 2);
  }
  const backgroundChange = change / Math.max(1, inside.length);
  const isStill = farthest <= STILL.cameraMotion && backgroundChange <= STILL.backgroundChange;
  return { segment: index, cameraMotion: farthest, backgroundChange, isStill };
}

/** The stillest of segments, at least one; of those where next to nothing moves the first. */
export function stillest(segments: readonly Stillness[]): Stillness {
  const unrest = ({ cameraMotion, backgroundChange }: Stillness): number =>
    Math.max(1, cameraMotion / STILL.cameraMotion + backgroundChange / STILL.backgroundChange);
  return segments.reduce((best, each) => (unrest(each) < unrest(best) ? each : best));
}

/** What a user should know about the anchor that was chosen; null where the first segment is as good as any. */
export function remarkOnAnchor(chosen: Stillness): string | null {
  const { segment, isStill } = chosen;
  if (!isStill) {
    return (
      `no segment of the driving video has a still background; the stillest, ${segment}, is the anchor ` +
      `(${unrestOf(chosen)}): if backgrounds smear, take kvShare off`
    );
  }
  return segment === 0 ? null : `segment ${segment} is the anchor: its background is the stillest`;
}

/** What a user should know about the anchor that they chose themselves; null where its background is still. */
export function remarkOnAskedAnchor(asked: number, segments: readonly Stillness[]): string | null {
  const chosen = segments.find(({ segment }) => segment === asked);
  if (!chosen || chosen.isStill) return null;
  const best = stillest(segments);
  return (
    `segment ${asked} is the anchor as asked, but its background is not still (${unrestOf(chosen)}); ` +
    (best.isStill
      ? `that of segment ${best.segment} is`
      : "nor is any other: if backgrounds smear, take kvShare off")
  );
}

/** What there is more of, by its threshold. */
function unrestOf({ cameraMotion, backgroundChange }: Stillness): string {
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  return cameraMotion / STILL.cameraMotion > backgroundChange / STILL.backgroundChange
    ? `its camera moves by ${percent(cameraMotion)} of the picture`
    : `its brightness changes by ${percent(backgroundChange)} from frame to frame`;
}
