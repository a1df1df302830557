import { UserError } from "../tensor/errors.ts";
import type { Fraction } from "./frame-rate.ts";
import { MAX_FRAME_PIXELS, type VideoInfo } from "./video-backend.ts";

/** How coded pictures become shown ones. */
export interface Orientation {
  readonly width: number;
  readonly height: number;
  readonly rotation: VideoInfo["rotation"];
  /** FFmpeg filters: turn, square pixels, RGB. */
  readonly filters: string;
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

/** Same rounding on every processor. */
const SCALE_FLAGS = "bilinear+accurate_rnd+bitexact";

/**
 * Size, turn and filters for upright RGB frames with square pixels. Throws UserError for an absurd size.
 * Untagged colours are taken as BT.601, as FFmpeg and OpenCV take them.
 */
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
  const filters = [
    ...turns,
    `scale=${width}:${height}:flags=${SCALE_FLAGS}`,
    "setsar=1",
    "format=rgb24",
  ].join(",");
  return { width, height, rotation, filters };
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
