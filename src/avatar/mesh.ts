import { add, cross, type Frame, scale, type Vec3 } from "./vector.ts";

/**
 * One cross-section of a tube: an ellipse in the plane of `a` and `b`, whose half axis along +b (`front`) may differ
 * from the one along -b (`back`). A tube runs along a x b from its first ring to its last.
 */
export interface Ring {
  readonly centre: Vec3;
  readonly a: Vec3;
  readonly b: Vec3;
  readonly side: number;
  readonly front: number;
  readonly back: number;
  /** Position along the tube in the coordinates of its pattern, metres. */
  readonly v: number;
}

/** Cosines and sines of the corners of a ring; `power` above 2 makes it squarer (superellipse). */
const circles = new Map<string, Float64Array>();

function circle(sides: number, power: number): Float64Array {
  const key = `${sides} ${power}`;
  const known = circles.get(key);
  if (known) return known;
  const corners = new Float64Array(sides * 2);
  const soft = (value: number) => Math.sign(value) * Math.abs(value) ** (2 / power);
  for (let j = 0; j < sides; j++) {
    const angle = (2 * Math.PI * (j + 0.5)) / sides;
    corners[2 * j] = soft(Math.cos(angle));
    corners[2 * j + 1] = soft(Math.sin(angle));
  }
  circles.set(key, corners);
  return corners;
}

export interface TubeOptions {
  /** Corners per ring. */
  readonly sides: number;
  /** 2 is an ellipse (the default), more is squarer. */
  readonly power?: number;
  /** Factor on the radius of each corner, ring after ring: [rings * sides]. */
  readonly swell?: Float32Array;
}

/** Triangles of one frame. It is cleared and filled again for each frame, and grows as needed. */
export class Mesh {
  numVertices = 0;
  numTriangles = 0;
  /** World positions and unit normals, [numVertices * 3]. */
  position = new Float32Array(3 * 4096);
  normal = new Float32Array(3 * 4096);
  /** Coordinates of the part before it was bent: patterns are painted in these. */
  rest = new Float32Array(3 * 4096);
  /** Corner indices, counter-clockwise seen from outside, [numTriangles * 3]. */
  corners = new Int32Array(3 * 8192);
  /** Material of each triangle. */
  material = new Uint8Array(8192);

  clear(): void {
    this.numVertices = 0;
    this.numTriangles = 0;
  }

  #reserve(vertices: number, triangles: number): void {
    const numVertices = 3 * (this.numVertices + vertices);
    const numTriangles = this.numTriangles + triangles;
    if (numVertices > this.position.length) {
      for (const name of ["position", "normal", "rest"] as const) {
        const larger = new Float32Array(2 * numVertices);
        larger.set(this[name]);
        this[name] = larger;
      }
    }
    if (numTriangles > this.material.length) {
      const corners = new Int32Array(6 * numTriangles);
      corners.set(this.corners);
      this.corners = corners;
      const material = new Uint8Array(2 * numTriangles);
      material.set(this.material);
      this.material = material;
    }
  }

  /** A surface through rings; first and last ring should be points (all radii 0) to close it. */
  addTube(rings: readonly Ring[], material: number, { sides, power = 2, swell }: TubeOptions): void {
    const numRings = rings.length;
    this.#reserve(numRings * sides, 2 * (numRings - 1) * sides);
    const first = this.numVertices;
    const unit = circle(sides, power);
    const { position, rest } = this;
    rings.forEach(({ centre, a, b, side, front, back, v }, r) => {
      for (let j = 0; j < sides; j++) {
        const s = swell ? swell[r * sides + j]! : 1;
        const cos = unit[2 * j]! * side * s;
        const sin = unit[2 * j + 1]!;
        const along = sin * (sin > 0 ? front : back) * s;
        const i = 3 * (first + r * sides + j);
        position[i] = centre[0] + a[0] * cos + b[0] * along;
        position[i + 1] = centre[1] + a[1] * cos + b[1] * along;
        position[i + 2] = centre[2] + a[2] * cos + b[2] * along;
        rest[i] = cos;
        rest[i + 1] = v;
        rest[i + 2] = along;
      }
    });
    this.#addNormals(rings, first, sides);
    let t = this.numTriangles;
    const { corners } = this;
    for (let r = 0; r + 1 < numRings; r++) {
      for (let j = 0; j < sides; j++) {
        const k = j + 1 === sides ? 0 : j + 1;
        const p = first + r * sides;
        const q = p + sides;
        this.material[t] = material;
        corners[3 * t] = p + j;
        corners[3 * t + 1] = p + k;
        corners[3 * t + 2] = q + j;
        t++;
        this.material[t] = material;
        corners[3 * t] = p + k;
        corners[3 * t + 1] = q + k;
        corners[3 * t + 2] = q + j;
        t++;
      }
    }
    this.numTriangles = t;
    this.numVertices = first + numRings * sides;
  }

  /** Normals from the neighbours around the ring and along the tube; at a point they follow the tube's axis. */
  #addNormals(rings: readonly Ring[], first: number, sides: number): void {
    const { position: p, normal } = this;
    const last = rings.length - 1;
    rings.forEach((ring, r) => {
      const above = first + Math.max(0, r - 1) * sides;
      const below = first + Math.min(last, r + 1) * sides;
      const here = first + r * sides;
      const axis = scale(cross(ring.a, ring.b), r === 0 ? -1 : 1);
      for (let j = 0; j < sides; j++) {
        const n = 3 * (here + ((j + 1) % sides));
        const o = 3 * (here + ((j + sides - 1) % sides));
        const u = 3 * (below + j);
        const w = 3 * (above + j);
        const tx = p[n]! - p[o]!;
        const ty = p[n + 1]! - p[o + 1]!;
        const tz = p[n + 2]! - p[o + 2]!;
        const dx = p[u]! - p[w]!;
        const dy = p[u + 1]! - p[w + 1]!;
        const dz = p[u + 2]! - p[w + 2]!;
        let nx = ty * dz - tz * dy;
        let ny = tz * dx - tx * dz;
        let nz = tx * dy - ty * dx;
        let norm = Math.sqrt(nx * nx + ny * ny + nz * nz);
        if (norm < 1e-9) {
          nx = axis[0];
          ny = axis[1];
          nz = axis[2];
          norm = 1;
        }
        const i = 3 * (here + j);
        normal[i] = nx / norm;
        normal[i + 1] = ny / norm;
        normal[i + 2] = nz / norm;
      }
    });
  }

  /** An ellipsoid in the axes of `frame`, centred at its origin moved by `offset` (world). */
  addEllipsoid(frame: Frame, radii: Vec3, material: number, sides: number, offset: Vec3 = [0, 0, 0]): void {
    const centre = add(frame.origin, offset);
    const numRings = Math.max(5, (sides >> 1) + 1);
    const rings: Ring[] = [];
    for (let r = 0; r < numRings; r++) {
      const angle = (Math.PI * r) / (numRings - 1);
      const [ring, up] = [Math.sin(angle), Math.cos(angle) * radii[1]];
      rings.push({
        centre: add(centre, scale(frame.y, up)),
        a: frame.x,
        b: frame.z,
        side: ring * radii[0],
        front: ring * radii[2],
        back: ring * radii[2],
        v: up,
      });
    }
    this.addTube(rings, material, { sides });
  }
}
