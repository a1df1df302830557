import { UserError } from "../tensor/errors.ts";
import type { Fraction } from "./frame-rate.ts";
import { MAX_FRAME_PIXELS, type Size, type VideoInfo } from "./video-backend.ts";

/** How coded pictures become shown ones. */
export interface Orientation {
  readonly width: number;
  readonly height: number;
  readonly rotation: VideoInfo["rotation"];
  /** FFmpeg filters that turn them. */
  readonly turns: readonly string[];
}

/**
 * What a video's header says about showing it.
 * `matrix` is the display matrix of the stream (nine 16.16 numbers, row by row), if it has one.
 */
export interface CodedPicture {
  readonly width: number;
  readonly height: number;
  readonly pixelAspect: Fraction;
  readonly matrix: readonly number[] | undefined;
}

/** Size and turn of upright frames with square pixels. Throws UserError for an absurd size. */
export function orientationOf(path: string, coded: CodedPicture): Orientation {
  const { num, den } = coded.pixelAspect;
  const stretch = num > 0 && den > 0 ? num / den : 1;
  const squareWidth = Math.max(1, Math.round(coded.width * stretch));
  if (squareWidth * coded.height > MAX_FRAME_PIXELS || coded.width * coded.height > MAX_FRAME_PIXELS) {
    const size = `${squareWidth}x${coded.height}`;
    throw new UserError(
      `${path} is too large: ${size} has more than ${MAX_FRAME_PIXELS / 1e6} megapixels; scale it down`,
    );
  }
  const { rotation, turns } = turnOf(coded.matrix);
  const isSideways = rotation === 90 || rotation === 270;
  const [width, height] = isSideways ? [coded.height, squareWidth] : [squareWidth, coded.height];
  return { width, height, rotation, turns };
}

/** Same rounding on every processor. */
const SCALE_FLAGS = "bilinear+accurate_rnd+bitexact";

/**
 * FFmpeg filters from coded pictures to upright RGB ones of a size, with square pixels. Untagged colours are taken as
 * BT.601, as FFmpeg and OpenCV take them.
 */
export function rgbFilters({ turns }: Orientation, { width, height }: Size): string {
  return [...turns, `scale=${width}:${height}:flags=${SCALE_FLAGS}`, "setsar=1", "format=rgb24"].join(",");
}

/** A size whose longer side is at most `longest`, in proportion. */
export function shrunkSize({ width, height }: Size, longest = Infinity): Size {
  const scale = Math.min(1, longest / Math.max(width, height));
  const side = (full: number): number => Math.max(1, Math.round(full * scale));
  return { width: side(width), height: side(height) };
}

/** The nearest quarter turn of a display matrix, with its mirroring, in FFmpeg's filters. */
function turnOf(matrix: readonly number[] | undefined): { rotation: VideoInfo["rotation"]; turns: string[] } {
  const [a = 0, b = 0, , c = 0, d = 0] = matrix ?? [];
  const [scaleX, scaleY] = [Math.hypot(a, c), Math.hypot(b, d)];
  if (scaleX === 0 || scaleY === 0) return { rotation: 0, turns: [] };
  const quarters = Math.round(Math.atan2(b / scaleY, a / scaleX) / (Math.PI / 2));
  switch (((quarters % 4) + 4) % 4) {
    case 1:
      return { rotation: 90, turns: [c > 0 ? "transpose=cclock_flip" : "transpose=clock"] };
    case 2:
      return { rotation: 180, turns: [...(a < 0 ? ["hflip"] : []), ...(d < 0 ? ["vflip"] : [])] };
    case 3:
      return { rotation: 270, turns: [c < 0 ? "transpose=clock_flip" : "transpose=cclock"] };
    default:
      return { rotation: 0, turns: d < 0 ? ["vflip"] : [] };
  }
}
