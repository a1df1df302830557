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
    (x, y) => Math.hypot(x - cx, y - cy) - radius,
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
    return Math.hypot(x - ax - t * dx, y - ay - t * dy) - radius;
  });
}

/** Filled ellipse; `angle` in radians turns its first axis from +x towards +y. */
export function fillEllipse(image: Image, center: Point, radii: Point, angle: number, color: Rgb): void {
  const { x: cx, y: cy } = center;
  const { x: rx, y: ry } = radii;
  if (!(rx > 0 && ry > 0)) return;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const [halfWidth, halfHeight] = [Math.hypot(rx * cos, ry * sin), Math.hypot(rx * sin, ry * cos)];
  paint(image, cx - halfWidth, cy - halfHeight, cx + halfWidth, cy + halfHeight, color, (x, y) => {
    const u = ((x - cx) * cos + (y - cy) * sin) / rx;
    const v = ((y - cy) * cos - (x - cx) * sin) / ry;
    // First-order distance: value of the implicit function over the length of its gradient.
    const value = Math.hypot(u, v);
    const gradient = Math.hypot(u / rx, v / ry);
    return gradient > 0 ? (value * (value - 1)) / gradient : -Math.min(rx, ry);
  });
}

/** Filled simple polygon, convex or not, of three or more corners. */
export function fillPolygon(image: Image, corners: readonly Point[], color: Rgb): void {
  if (corners.length < 3) return;
  const xs = corners.map((p) => p.x);
  const ys = corners.map((p) => p.y);
  paint(image, Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys), color, (x, y) =>
    polygonDistance(corners, x, y),
  );
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

/** Never more than the way to the shape. */
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
    for (let x = x0; x <= x1; x++) {
      const away = distance(x + 0.5, y + 0.5);
      if (!(away < 0.5)) {
        // No pixel nearer than that is covered.
        x += Math.max(0, Math.ceil(away - 0.5) - 1);
        continue;
      }
      const coverage = Math.min(1, 0.5 - away);
      const at = (y * width + x) * 3;
      for (let c = 0; c < 3; c++) {
        const old = data[at + c]!;
        data[at + c] = Math.round(old + (color[c]! - old) * coverage);
      }
    }
  }
}

function polygonDistance(corners: readonly Point[], x: number, y: number): number {
  let nearest = Infinity;
  let inside = false;
  let b = corners[corners.length - 1]!;
  for (const a of corners) {
    const ex = b.x - a.x;
    const ey = b.y - a.y;
    const px = x - a.x;
    const py = y - a.y;
    const lengthSquared = ex * ex + ey * ey;
    const t = lengthSquared > 0 ? Math.min(1, Math.max(0, (px * ex + py * ey) / lengthSquared)) : 0;
    nearest = Math.min(nearest, Math.hypot(px - t * ex, py - t * ey));
    // Even-odd rule: count the edges that a ray towards +x crosses.
    if (a.y > y !== b.y > y && px < (ex * py) / ey) inside = !inside;
    b = a;
  }
  return inside ? -nearest : nearest;
}
