import { ANKLE_HEIGHT, type Skeleton } from "./kinematics.ts";
import type { Camera } from "./raster.ts";

type Patch = readonly [x: number, z: number, halfWidth: number, halfDepth: number, strength: number];

/** Soft dark patches on the floor, metres: one under the body, one at each foot. */
function patches(skeleton: Skeleton, height: number): Patch[] {
  const foot = ({ origin, z }: Skeleton["leftFoot"]): Patch => {
    // fades while the foot is in the air
    const lift = Math.max(0, origin[1] - ANKLE_HEIGHT * height);
    return [origin[0] + z[0] * 0.05, origin[2] + z[2] * 0.05, 0.13, 0.17, 0.5 / (1 + 12 * lift)];
  };
  const { pelvis, leftFoot, rightFoot } = skeleton;
  const middle = (k: 0 | 2) => (2 * pelvis.origin[k] + leftFoot.origin[k] + rightFoot.origin[k]) / 4;
  return [[middle(0), middle(2), 0.48, 0.34, 0.34], foot(leftFoot), foot(rightFoot)];
}

/**
 * Takes the light that a person keeps from the floor in the lower part of a picture: multiplies `light`
 * [height * width] by factors in (0, 1], 1 away from the person.
 */
export function castShadow(
  skeleton: Skeleton,
  bodyHeight: number,
  camera: Camera,
  width: number,
  height: number,
  light: Float32Array,
): void {
  const list = patches(skeleton, bodyHeight);
  for (let row = 0; row < height; row++) {
    const dy = (camera.centreY - row - 0.5) / camera.focal;
    if (dy >= 0) continue;
    const depth = -camera.y / dy;
    const z = camera.distance - depth;
    for (const [px, pz, halfWidth, halfDepth, strength] of list) {
      const far = ((z - pz) / halfDepth) ** 2;
      if (far >= 1) continue;
      const toPixel = camera.focal / depth;
      const reach = halfWidth * Math.sqrt(1 - far);
      const left = Math.max(0, Math.floor(camera.centreX + (px - reach - camera.x) * toPixel));
      const right = Math.min(width - 1, Math.ceil(camera.centreX + (px + reach - camera.x) * toPixel));
      for (let column = left; column <= right; column++) {
        const x = camera.x + (column + 0.5 - camera.centreX) / toPixel;
        const inside = 1 - far - ((x - px) / halfWidth) ** 2;
        if (inside > 0) light[row * width + column]! *= 1 - strength * inside * inside * (3 - 2 * inside);
      }
    }
  }
}
