import { type Image, createImage } from "../media/pixels.ts";
import type { Point3 } from "./body-landmarks.ts";
import { palmLength } from "./hand-field.ts";
import { HandTracer } from "./hand-tracer.ts";

/**
 * Draws the surface normals of hands into `image`, in place, by sphere tracing a hand made of finger cones and palm
 * slabs. A hand is 21 points in pixels of the picture (x right, y down, z away from the viewer), seen without
 * perspective. A normal's x (right), y (up) and z (to the viewer) go from [-1, 1] to 0..255 in red, green and
 * blue; what no hand covers keeps its colour. Where hands overlap the nearer surface wins.
 */
export function drawHandNormals(image: Image, hands: readonly (readonly Point3[])[]): void {
  const depth = new Float32Array(image.width * image.height).fill(Infinity);
  for (const points of hands) {
    if (points.every(({ x, y, z }) => Number.isFinite(x + y + z)) && palmLength(points) > 0) {
      drawHand(image, depth, points);
    }
  }
}

/** A new black picture with the normals of hands; see `drawHandNormals`. */
export function renderHandNormals(
  hands: readonly (readonly Point3[])[],
  width: number,
  height: number,
): Image {
  const image = createImage(width, height);
  drawHandNormals(image, hands);
  return image;
}

/** Hands with a shorter palm, in pixels, are traced at twice the resolution: their fingers are a pixel or two wide. */
const FINE_BELOW = 32;
function drawHand(image: Image, depth: Float32Array, points: readonly Point3[]): void {
  const finer = palmLength(points) < FINE_BELOW ? 2 : 1;
  const tracer = new HandTracer(
    points.map(({ x, y, z }) => ({ x: x * finer, y: y * finer, z: z * finer })),
    { width: image.width * finer, height: image.height * finer },
  );
  const { left, top, right, bottom } = tracer.box;
  for (let y = Math.floor(top / finer); y * finer < bottom; y++) {
    for (let x = Math.floor(left / finer); x * finer < right; x++) {
      let [hits, nx, ny, nz, z] = [0, 0, 0, 0, Infinity];
      for (let i = 0; i < finer * finer; i++) {
        const at = tracer.indexOf(x * finer + (i % finer), y * finer + Math.floor(i / finer));
        if (at < 0 || tracer.depth[at] === Infinity) continue;
        hits++;
        nx += tracer.normals[3 * at]!;
        ny += tracer.normals[3 * at + 1]!;
        nz += tracer.normals[3 * at + 2]!;
        z = Math.min(z, tracer.depth[at]! / finer);
      }
      const pixel = y * image.width + x;
      if (2 * hits < finer * finer || z >= depth[pixel]!) continue;
      depth[pixel] = z;
      const scale = 127.5 / Math.max(1e-6, Math.hypot(nx, ny, nz));
      image.data[3 * pixel] = Math.round(127.5 + nx * scale);
      image.data[3 * pixel + 1] = Math.round(127.5 + ny * scale);
      image.data[3 * pixel + 2] = Math.round(127.5 + nz * scale);
    }
  }
}
