import { addBody, type Detail } from "./body-mesh.ts";
import { addHand } from "./hand-mesh.ts";
import { addHead } from "./head-mesh.ts";
import type { Identity } from "./identity.ts";
import type { Skeleton } from "./kinematics.ts";
import type { Mesh } from "./mesh.ts";
import type { Pose } from "./motion.ts";

/** Fineness of the meshes for a person drawn with `pixelsPerMetre` on the fine grid. */
export function detailFor(pixelsPerMetre: number): Detail {
  const k = Math.min(2.2, Math.max(0.8, Math.sqrt(pixelsPerMetre / 180)));
  return {
    sides: (base) => 2 * Math.round((base * k) / 2),
    rings: (base) => Math.round(base * Math.min(1.6, k)),
  };
}

/** Fills an emptied mesh with a person in a pose. */
export function buildFigure(
  mesh: Mesh,
  identity: Identity,
  skeleton: Skeleton,
  pose: Pose,
  detail: Detail,
): void {
  mesh.clear();
  addBody(mesh, identity, skeleton, detail, [pose.leftArm.twist, -pose.rightArm.twist]);
  addHead(mesh, identity, skeleton, detail);
  addHand(mesh, skeleton.leftHand, identity.body.height, detail);
  addHand(mesh, skeleton.rightHand, identity.body.height, detail);
}
