import type { Image } from "../../media/pixels.ts";
import { resize } from "../../media/resize.ts";

/** Frames are compared at this size: movement of a person changes few of its cells much. */
const GRID = 24;

/** Mean change of colour, 0..255, from which on a frame may be the first of another shot. */
const MIN_CHANGE = 27;

/** … and by how much it must exceed the change before it. */
const MIN_RATIO = 4;

/** Finds hard cuts: a frame that differs from the one before it much more than that did from its own. */
export class CutDetector {
  private previous: Uint8Array | null = null;
  private lastChange = 0;

  /** True when the next frame begins another shot. */
  next(frame: Image): boolean {
    const { data } = resize(frame, GRID, GRID);
    const change = this.previous ? meanChange(this.previous, data) : 0;
    const isCut = change > MIN_CHANGE && change > MIN_RATIO * this.lastChange;
    this.previous = data;
    this.lastChange = change;
    return isCut;
  }
}

function meanChange(a: Uint8Array, b: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += Math.abs(a[i]! - b[i]!);
  return sum / a.length;
}
