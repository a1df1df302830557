import type { Image } from "../media/pixels.ts";
import type { Keypoint } from "../media/pose-keypoints.ts";
import type { Point } from "./region.ts";

/** Normals of a hand as a network saw them: samples on an even grid over a part of the picture. Plain data. */
export interface NormalPatch {
  /** Samples in a row, and rows. */
  readonly width: number;
  readonly height: number;
  /** Corner of the first sample in the picture, pixels. */
  readonly origin: Point;
  /** Ways in the picture from a sample to the next in its row, and to the next row. */
  readonly across: Point;
  readonly down: Point;
  /** [height, width, 3]: x right, y up, z to the viewer, each from [-1, 1] to 0..255; 0, 0, 0 off the hand. */
  readonly normals: Uint8Array;
}

/** Both hands of a person: null where no pixel shows one. */
export interface HandSurfaces {
  readonly left: NormalPatch | null;
  readonly right: NormalPatch | null;
}

/** Longer side of a patch in samples, at most: a video keeps one for each hand of each frame. */
export const MAX_PATCH_SIDE = 64;

/** The same patch in a picture cut at (left, top) and then scaled: x' = (x - left) * scaleX. */
export function transformPatch(
  patch: NormalPatch,
  { left, top, scaleX, scaleY }: { left: number; top: number; scaleX: number; scaleY: number },
): NormalPatch {
  const turn = ({ x, y }: Point): Point => ({ x: x * scaleX, y: y * scaleY });
  const { origin, across, down } = patch;
  return {
    ...patch,
    origin: turn({ x: origin.x - left, y: origin.y - top }),
    across: turn(across),
    down: turn(down),
  };
}

/**
 * The patch of a hand that has been moved, turned and scaled, as the root and the knuckle of the middle finger say. The
 * normals turn with it. A hand without extent keeps its patch.
 */
export function movePatch(
  patch: NormalPatch,
  before: readonly Keypoint[],
  after: readonly Keypoint[],
): NormalPatch {
  const [from, to] = [axisOf(before), axisOf(after)];
  const lengthSquared = from.x ** 2 + from.y ** 2;
  if (!(lengthSquared > 0) || !(to.x ** 2 + to.y ** 2 > 0)) return patch;
  // The similarity as a complex number: to / from.
  const cos = (from.x * to.x + from.y * to.y) / lengthSquared;
  const sin = (from.x * to.y - from.y * to.x) / lengthSquared;
  const turn = ({ x, y }: Point): Point => ({ x: x * cos - y * sin, y: x * sin + y * cos });
  const offset = turn({ x: patch.origin.x - before[0]!.x, y: patch.origin.y - before[0]!.y });
  return {
    ...patch,
    origin: { x: after[0]!.x + offset.x, y: after[0]!.y + offset.y },
    across: turn(patch.across),
    down: turn(patch.down),
    normals: turnedNormals(patch.normals, Math.atan2(sin, cos)),
  };
}

/** From the root of a hand to the knuckle of its middle finger. */
function axisOf(hand: readonly Keypoint[]): Point {
  return { x: hand[9]!.x - hand[0]!.x, y: hand[9]!.y - hand[0]!.y };
}

/** Normals of a surface turned by an angle, radians from +x towards +y, which is down in pictures. */
function turnedNormals(normals: Uint8Array, angle: number): Uint8Array {
  if (Math.abs(angle) < 1e-6) return normals;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const out = Uint8Array.from(normals);
  for (let i = 0; i < out.length; i += 3) {
    if (isEmpty(normals, i)) continue;
    const [x, down] = [normals[i]! - 127.5, 127.5 - normals[i + 1]!];
    out[i] = Math.round(127.5 + x * cos - down * sin);
    out[i + 1] = Math.round(127.5 - (x * sin + down * cos));
  }
  return out;
}

const isEmpty = (normals: Uint8Array, i: number): boolean =>
  normals[i] === 0 && normals[i + 1] === 0 && normals[i + 2] === 0;

/** Looks per output pixel and side, at most: patches are at most this many times finer than the output. */
const MAX_LOOKS = 8;

/**
 * Draws patches into `image`, in place. A pixel that is covered by half or more takes the mean direction of the samples
 * in it; what no patch covers keeps its colour.
 */
export function drawNormalPatches(image: Image, patches: readonly NormalPatch[]): void {
  for (const patch of patches) drawPatch(image, patch);
}

function drawPatch({ width, height, data }: Image, patch: NormalPatch): void {
  const { origin, across, down, normals } = patch;
  const determinant = across.x * down.y - across.y * down.x;
  if (!(Math.abs(determinant) > 0)) return;
  const corners = [0, 1, 2, 3].map((k) => {
    const [u, v] = [(k & 1) * patch.width, (k >> 1) * patch.height];
    return { x: origin.x + u * across.x + v * down.x, y: origin.y + u * across.y + v * down.y };
  });
  const [xs, ys] = [corners.map(({ x }) => x), corners.map(({ y }) => y)];
  const looks = Math.min(MAX_LOOKS, Math.max(2, Math.ceil(1 / Math.sqrt(Math.abs(determinant)))));
  for (let y = Math.max(0, Math.floor(Math.min(...ys))); y < Math.min(height, Math.max(...ys)); y++) {
    for (let x = Math.max(0, Math.floor(Math.min(...xs))); x < Math.min(width, Math.max(...xs)); x++) {
      let [hits, nx, ny, nz] = [0, 0, 0, 0];
      for (let k = 0; k < looks * looks; k++) {
        const dx = x + ((k % looks) + 0.5) / looks - origin.x;
        const dy = y + (Math.floor(k / looks) + 0.5) / looks - origin.y;
        const u = Math.floor((dx * down.y - dy * down.x) / determinant);
        const v = Math.floor((dy * across.x - dx * across.y) / determinant);
        if (u < 0 || v < 0 || u >= patch.width || v >= patch.height) continue;
        const i = 3 * (v * patch.width + u);
        if (isEmpty(normals, i)) continue;
        hits++;
        nx += normals[i]! - 127.5;
        ny += normals[i + 1]! - 127.5;
        nz += normals[i + 2]! - 127.5;
      }
      if (2 * hits < looks * looks) continue;
      const scale = 127.5 / Math.max(1e-6, Math.hypot(nx, ny, nz));
      const at = 3 * (y * width + x);
      data[at] = Math.round(127.5 + nx * scale);
      data[at + 1] = Math.round(127.5 + ny * scale);
      data[at + 2] = Math.round(127.5 + nz * scale);
    }
  }
}
