import type { Vec3 } from "./vector.ts";

/** How far each finger is bent (0 straight, 1 in the palm), thumb first, and how far they fan out. */
export interface HandShape {
  readonly curl: readonly [number, number, number, number, number];
  readonly spread: number;
}

/** One arm. The same numbers mean mirrored poses on the left and on the right. */
export interface ArmPose extends HandShape {
  /** Wrist from the shoulder in arm lengths: outward, up, forward. */
  readonly reach: Vec3;
  /** Turns the elbow about the line from shoulder to wrist, radians; positive lifts it outward. */
  readonly swivel: number;
  /** Pronation of the forearm, radians: 0 thumb up at a bent elbow, positive turns the palm down. */
  readonly twist: number;
  /** Bend of the wrist towards the palm, radians. */
  readonly flex: number;
}

const OPEN: HandShape = { curl: [0, 0.04, 0.02, 0.04, 0.06], spread: 1 };
const RELAXED: HandShape = { curl: [0.25, 0.22, 0.27, 0.32, 0.36], spread: 0.45 };
const FIST: HandShape = { curl: [0.75, 0.95, 0.97, 0.97, 0.95], spread: 0 };
const POINT: HandShape = { curl: [0.6, 0.02, 0.92, 0.95, 0.92], spread: 0.2 };
const VICTORY: HandShape = { curl: [0.75, 0, 0, 0.92, 0.92], spread: 1.2 };
const FLAT: HandShape = { curl: [0.1, 0, 0, 0, 0], spread: 0.25 };

const arm = (reach: Vec3, swivel: number, twist: number, flex: number, hand: HandShape): ArmPose => ({
  reach,
  swivel,
  twist,
  flex,
  ...hand,
});

/** Arm at rest beside the body. */
export const ARM_AT_REST = arm([0.16, -0.95, 0.1], 0, 0.35, 0.05, RELAXED);

/** The vocabulary of arm positions that dances are made of. */
export const ARM_MOVES: readonly ArmPose[] = [
  ARM_AT_REST,
  arm([0.5, -0.8, 0.12], 0, 0.2, 0, OPEN), // low and wide
  arm([0.93, -0.05, 0.1], 0, 0.9, 0, FLAT), // straight out to the side
  arm([0.66, 0.66, 0.15], 0, -0.2, 0, OPEN), // half of a V
  arm([0.3, 0.86, 0.12], 0.2, -0.3, 0, OPEN), // overhead
  arm([0.52, 0.46, 0.32], 0.3, 0.9, -0.1, OPEN), // greeting, palm to the viewer
  arm([0.44, 0.36, 0.28], 0.2, 0.8, 0, VICTORY), // victory sign beside the head
  arm([0.16, -0.62, 0.16], 1.0, 0.7, 0.2, FIST), // hand on the hip
  arm([0.16, -0.08, 0.62], 0.1, 0.2, 0, FIST), // fist in front
  arm([0.35, -0.2, 0.66], 0, 0.6, -0.1, OPEN), // palm held out low
  arm([-0.24, -0.28, 0.5], 0.5, 0.6, 0, FLAT), // forearm across the belly
  arm([0.62, 0.7, 0.25], 0, 0.4, 0, POINT), // finger to the sky
  arm([0.6, -0.36, 0.36], 0.1, -0.4, 0, OPEN), // open, palm up
  arm([0.62, 0.1, 0.34], 0.5, 0.9, 0.1, RELAXED), // elbow high, hand in front
  arm([0.46, -0.46, 0.3], 0.4, 0.5, 0, FIST), // swinging, elbow bent
  arm([0.72, 0.36, 0.22], 0.2, 0.6, -0.2, OPEN), // wing up
  arm([0.78, -0.5, 0.1], 0.1, 0.8, -0.3, FLAT), // wing down
];
