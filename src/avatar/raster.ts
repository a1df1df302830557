import type { Mesh } from "./mesh.ts";

/**
 * A pinhole that looks straight along -z, so camera axes are world axes. Pixel coordinates count from the
 * top left corner of the picture: pixel i covers i to i + 1.
 */
export interface Camera {
  /** Position: x and y metres, and its distance from the plane z = 0. */
  readonly x: number;
  readonly y: number;
  readonly distance: number;
  /** Pixels per metre at distance 1. */
  readonly focal: number;
  /** Where the camera's own height and x fall in the picture, pixels. */
  readonly centreX: number;
  readonly centreY: number;
}

/** The same view on a grid `k` times finer. */
export function finer(camera: Camera, k: number): Camera {
  return {
    ...camera,
    focal: camera.focal * k,
    centreX: camera.centreX * k,
    centreY: camera.centreY * k,
  };
}

/** Which person's which triangle each pixel shows, and where in it. */
export class VisibilityBuffer {
  readonly width: number;
  readonly height: number;
  /** 1 / distance from the camera plane, 0 where nothing is seen. */
  readonly nearness: Float32Array;
  /** Number of the person whose mesh is seen, and of the triangle in it; meaningful where nearness is above 0. */
  readonly person: Uint8Array;
  readonly triangle: Int32Array;
  /** Barycentric weights of the second and third corner. */
  readonly second: Float32Array;
  readonly third: Float32Array;
  /** Pixels that may be covered: left and top inclusive, right and bottom exclusive. */
  left: number;
  right = 0;
  top: number;
  bottom = 0;
  #screen = new Float32Array(0);

  constructor(width: number, height: number) {
    this.width = this.left = width;
    this.height = this.top = height;
    this.nearness = new Float32Array(width * height);
    this.person = new Uint8Array(width * height);
    this.triangle = new Int32Array(width * height);
    this.second = new Float32Array(width * height);
    this.third = new Float32Array(width * height);
  }

  /** Empties the buffer. */
  clear(): void {
    this.nearness.fill(0);
    [this.left, this.right, this.top, this.bottom] = [this.width, 0, this.height, 0];
  }

  /** Draws the mesh of a person, 0 to 255; the nearest surface wins, faces turned away are skipped. */
  draw(mesh: Mesh, camera: Camera, person = 0): void {
    this.#project(mesh, camera);
    const { width, height, nearness, triangle, second, third } = this;
    const screen = this.#screen;
    const { corners, numTriangles } = mesh;
    for (let t = 0; t < numTriangles; t++) {
      const i0 = 3 * corners[3 * t]!;
      // the picture's y points down, which turns counter-clockwise into clockwise: swap two corners
      const i1 = 3 * corners[3 * t + 2]!;
      const i2 = 3 * corners[3 * t + 1]!;
      const x0 = screen[i0]!;
      const y0 = screen[i0 + 1]!;
      const x1 = screen[i1]! - x0;
      const y1 = screen[i1 + 1]! - y0;
      const x2 = screen[i2]! - x0;
      const y2 = screen[i2 + 1]! - y0;
      const area = x1 * y2 - x2 * y1;
      if (area < 1e-9) continue;
      let left = x1 < x2 ? x1 : x2;
      let right = x1 > x2 ? x1 : x2;
      let top = y1 < y2 ? y1 : y2;
      let bottom = y1 > y2 ? y1 : y2;
      left = Math.ceil((left < 0 ? left : 0) + x0 - 0.5);
      right = Math.floor((right > 0 ? right : 0) + x0 - 0.5);
      top = Math.ceil((top < 0 ? top : 0) + y0 - 0.5);
      bottom = Math.floor((bottom > 0 ? bottom : 0) + y0 - 0.5);
      if (left < 0) left = 0;
      if (top < 0) top = 0;
      if (right >= width) right = width - 1;
      if (bottom >= height) bottom = height - 1;
      if (left > right || top > bottom) continue;
      const inverse = 1 / area;
      const w1x = y2 * inverse;
      const w1y = -x2 * inverse;
      const w2x = -y1 * inverse;
      const w2y = x1 * inverse;
      const z0 = screen[i0 + 2]!;
      const z1 = screen[i1 + 2]! - z0;
      const z2 = screen[i2 + 2]! - z0;
      const px = left + 0.5 - x0;
      for (let y = top; y <= bottom; y++) {
        const py = y + 0.5 - y0;
        let w1 = px * w1x + py * w1y;
        let w2 = px * w2x + py * w2y;
        let i = y * width + left;
        for (let x = left; x <= right; x++) {
          if (w1 >= 0 && w2 >= 0 && w1 + w2 <= 1) {
            const z = z0 + w1 * z1 + w2 * z2;
            if (z > nearness[i]!) {
              nearness[i] = z;
              this.person[i] = person;
              triangle[i] = t;
              second[i] = w2;
              third[i] = w1;
            }
          }
          w1 += w1x;
          w2 += w2x;
          i++;
        }
      }
    }
  }

  /** Screen x, y and nearness of every vertex; widens the rectangle to what they fill. */
  #project(mesh: Mesh, camera: Camera): void {
    const { position, numVertices } = mesh;
    if (this.#screen.length < 3 * numVertices) this.#screen = new Float32Array(3 * numVertices);
    const screen = this.#screen;
    const { x, y, distance, focal, centreX, centreY } = camera;
    let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < 3 * numVertices; i += 3) {
      const nearness = 1 / (distance - position[i + 2]!);
      const sx = centreX + (position[i]! - x) * focal * nearness;
      const sy = centreY - (position[i + 1]! - y) * focal * nearness;
      screen[i] = sx;
      screen[i + 1] = sy;
      screen[i + 2] = nearness;
      if (sx < left) left = sx;
      if (sx > right) right = sx;
      if (sy < top) top = sy;
      if (sy > bottom) bottom = sy;
    }
    this.left = Math.min(this.left, Math.max(0, Math.floor(left)));
    this.top = Math.min(this.top, Math.max(0, Math.floor(top)));
    this.right = Math.max(this.right, Math.min(this.width, Math.ceil(right)));
    this.bottom = Math.max(this.bottom, Math.min(this.height, Math.ceil(bottom)));
  }
}
