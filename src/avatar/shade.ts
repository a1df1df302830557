import { type Material, PART } from "./material.ts";
import type { Mesh } from "./mesh.ts";
import type { VisibilityBuffer } from "./raster.ts";
import type { Light } from "./scene.ts";

/** What each pixel of the people shows, on the fine grid. Filled only where `covered` is 1. */
export interface ShadedPixels {
  /** 1 where a person is; to be emptied before the first of them is shaded. */
  readonly covered: Uint8Array;
  /** RGB in 0..255. */
  readonly colour: Float32Array;
  /** Unit normals of the hands (x right, y up, z to the viewer); 0, 0, 0 off the hands. */
  readonly handNormal: Float32Array;
}

export function createShadedPixels(width: number, height: number): ShadedPixels {
  const size = width * height;
  return {
    covered: new Uint8Array(size),
    colour: new Float32Array(3 * size),
    handNormal: new Float32Array(3 * size),
  };
}

/**
 * Lights every visible pixel of one person: a sky and a soft key light that wraps around, darker edges that part limbs from the
 * trunk, a rim from behind and a highlight.
 */
export function shadePixels(
  buffer: VisibilityBuffer,
  person: number,
  mesh: Mesh,
  materials: readonly Material[],
  light: Light,
  out: ShadedPixels,
): void {
  const { nearness, triangle, second, third, width } = buffer;
  const { corners, material, normal, rest } = mesh;
  const { covered, colour, handNormal } = out;
  const [lx, ly, lz] = light.direction;
  // half-way between the light and the viewer
  const halfNorm = Math.sqrt(lx * lx + ly * ly + (lz + 1) ** 2);
  const [hx, hy, hz] = [lx / halfNorm, ly / halfNorm, (lz + 1) / halfNorm];
  const rgb = new Float32Array(3);
  for (let y = buffer.top; y < buffer.bottom; y++) {
    for (let x = buffer.left; x < buffer.right; x++) {
      const i = y * width + x;
      if (nearness[i] === 0 || buffer.person[i] !== person) continue;
      const t = triangle[i]!;
      const a = 3 * corners[3 * t]!;
      const b = 3 * corners[3 * t + 1]!;
      const c = 3 * corners[3 * t + 2]!;
      const wb = second[i]!;
      const wc = third[i]!;
      const wa = 1 - wb - wc;
      let nx = wa * normal[a]! + wb * normal[b]! + wc * normal[c]!;
      let ny = wa * normal[a + 1]! + wb * normal[b + 1]! + wc * normal[c + 1]!;
      let nz = wa * normal[a + 2]! + wb * normal[b + 2]! + wc * normal[c + 2]!;
      // between two corners of an outline the mean may look away, which nothing visible does
      if (nz < 0) nz = 0;
      const norm = 1 / Math.sqrt(nx * nx + ny * ny + nz * nz + 1e-12);
      nx *= norm;
      ny *= norm;
      nz *= norm;
      const part = material[t]!;
      const { paint, gloss } = materials[part]!;
      paint(
        wa * rest[a]! + wb * rest[b]! + wc * rest[c]!,
        wa * rest[a + 1]! + wb * rest[b + 1]! + wc * rest[c + 1]!,
        wa * rest[a + 2]! + wb * rest[b + 2]! + wc * rest[c + 2]!,
        rgb,
      );
      const key = nx * lx + ny * ly + nz * lz;
      const wrapped = key > -0.35 ? (key + 0.35) / 1.35 : 0;
      const grazing = 1 - nz;
      const edge = 0.7 + 0.3 * nz;
      const diffuse = (light.ambient * (0.92 + 0.1 * ny) + light.key * wrapped) * edge;
      const behind = -nx * lx + 0.4 * ny;
      const rim = behind > 0 ? light.rim * behind * grazing * grazing : 0;
      let shine = nx * hx + ny * hy + nz * hz;
      shine = shine > 0 ? shine * shine : 0; // power 2, then 4, 8, 16
      shine *= shine;
      shine *= shine;
      shine *= shine;
      const glow = 255 * (rim + 0.5 * gloss * shine);
      covered[i] = 1;
      const o = 3 * i;
      colour[o] = rgb[0]! * 255 * diffuse + glow;
      colour[o + 1] = rgb[1]! * 255 * diffuse + glow;
      colour[o + 2] = rgb[2]! * 255 * diffuse + glow;
      const isHand = part === PART.hand;
      handNormal[o] = isHand ? nx : 0;
      handNormal[o + 1] = isHand ? ny : 0;
      handNormal[o + 2] = isHand ? nz : 0;
    }
  }
}
