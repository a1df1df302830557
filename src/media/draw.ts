import type { Image, Rgb } from "./pixels.ts";

/**
 * Anti-aliased shapes, painted in place. Every shape is a signed distance (pixels, negative inside) and a pixel is
 * covered by clamp(0.5 - distance): deterministic, the same bytes on every machine. Coordinates are in pixels from
 * the top left corner of the picture: pixel i covers i to i + 1. Parts outside the picture are clipped.
 */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/** Filled disc. */
export function fillCircle(image: Image, center: Point, radius: number, color: Rgb): void {
  const { x: cx, y: cy } = center;
  paint(
    image,
    cx - radius,
    cy - radius,
    cx + radius,
    cy + radius,
    color,
    (x, y) => Math.sqrt((x - cx) * (x - cx) + (y - cy) * (y - cy)) - radius,
  );
}

/** Straight stroke of the given radius (half its thickness) with round ends. */
export function strokeLine(image: Image, from: Point, to: Point, radius: number, color: Rgb): void {
  const { x: ax, y: ay } = from;
  const dx = to.x - ax;
  const dy = to.y - ay;
  const lengthSquared = dx * dx + dy * dy;
  const [left, right] = [Math.min(ax, to.x) - radius, Math.max(ax, to.x) + radius];
  const [top, bottom] = [Math.min(ay, to.y) - radius, Math.max(ay, to.y) + radius];
  paint(image, left, top, right, bottom, color, (x, y) => {
    const along = lengthSquared > 0 ? ((x - ax) * dx + (y - ay) * dy) / lengthSquared : 0;
    const t = Math.min(1, Math.max(0, along));
    const [awayX, awayY] = [x - ax - t * dx, y - ay - t * dy];
    return Math.sqrt(awayX * awayX + awayY * awayY) - radius;
  });
}

/** Copies `source` into `target` with its top left corner at (left, top); what falls outside is cut off. */
export function blit(target: Image, source: Image, left: number, top: number): void {
  const x0 = Math.max(0, left);
  const x1 = Math.min(target.width, left + source.width);
  if (x0 >= x1) return;
  for (let y = Math.max(0, top); y < Math.min(target.height, top + source.height); y++) {
    const from = ((y - top) * source.width + x0 - left) * 3;
    target.data.set(source.data.subarray(from, from + (x1 - x0) * 3), (y * target.width + x0) * 3);
  }
}

/** Way from a point to the edge of a shape, negative inside. Asked for so often that `Math.hypot` would be felt. */
type Distance = (x: number, y: number) => number;

function paint(
  image: Image,
  left: number,
  top: number,
  right: number,
  bottom: number,
  color: Rgb,
  distance: Distance,
) {
  const { width, height, data } = image;
  const x0 = Math.max(0, Math.floor(left - 1));
  const x1 = Math.min(width - 1, Math.ceil(right));
  const y1 = Math.min(height - 1, Math.ceil(bottom));
  for (let y = Math.max(0, Math.floor(top - 1)); y <= y1; y++) {
    for (let x = x0; x <= x1;) {
      const away = distance(x + 0.5, y + 0.5);
      const coverage = Math.min(1, 0.5 - away);
      // The edge is as far from here: until then all pixels are covered wholly, or none is at all.
      const end = Math.min(x1 + 1, x + Math.max(1, Math.ceil(Math.abs(away) - 0.5)));
      if (coverage > 0) blend(data, (y * width + x) * 3, (y * width + end) * 3, color, coverage);
      x = end;
    }
  }
}

/** Moves the bytes from `from` to before `end` towards a colour, by a share of 0..1. */
function blend(data: Uint8Array, from: number, end: number, [r, g, b]: Rgb, share: number): void {
  for (let at = from; at < end; at += 3) {
    data[at] = Math.round(data[at]! + (r - data[at]!) * share);
    data[at + 1] = Math.round(data[at + 1]! + (g - data[at + 1]!) * share);
    data[at + 2] = Math.round(data[at + 2]! + (b - data[at + 2]!) * share);
  }
}
