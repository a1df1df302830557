/** Several people in one scene, with the exact truth of each: one figure is a group of one. */
import type { Image } from "../media/pixels.ts";
import type { PoseKeypoints } from "../media/pose-keypoints.ts";
import { invariant, UserError } from "../tensor/errors.ts";
import { paintBackground } from "./background.ts";
import { buildFigure, detailFor } from "./figure.ts";
import type { Identity } from "./identity.ts";
import { type Joints3d, jointsOf, keypointsOf } from "./keypoints.ts";
import { headRadiusOf, type Skeleton, solveSkeleton, standingHeight } from "./kinematics.ts";
import { makeMaterials } from "./material.ts";
import { Mesh } from "./mesh.ts";
import type { Motion } from "./motion.ts";
import { type Camera, finer, VisibilityBuffer } from "./raster.ts";
import { cameraFor, type Scene } from "./scene.ts";
import { createShadedPixels, shadePixels } from "./shade.ts";
import { castShadow } from "./shadow.ts";

/** Pixels are averaged over a grid this many times finer in both directions. */
const SUPERSAMPLE = 2;

/** People are numbered in bytes. */
const MAX_PEOPLE = 255;

/** A place on the floor, metres from the middle of the scene: x to the right, z to the viewer. */
export interface FloorPlace {
  readonly x: number;
  readonly z: number;
}

/** One of the people of a group. */
export interface Performer {
  readonly identity: Identity;
  readonly motion: Motion;
  /** Where they are at each time, seconds; in the middle by default. They may be out of the picture. */
  readonly placeAt?: (timeS: number) => FloorPlace;
}

export interface GroupRequest {
  /** At least one; the camera is set up for the first. */
  readonly people: readonly Performer[];
  readonly scene: Scene;
  readonly numFrames: number;
  /** Pixels; at least 16 each. */
  readonly width: number;
  readonly height: number;
  /** Frames per second (default 16). */
  readonly fps?: number;
  /** Time of the first frame, seconds (default 0). */
  readonly startS?: number;
}

/** What is true of one person in one frame. */
export interface PersonTruth {
  /** Share of each pixel that this person is seen in, [H, W], 0..255. */
  readonly mask: Uint8Array;
  readonly keypoints: PoseKeypoints;
  readonly joints: Joints3d;
}

/** One frame; the arrays are new for each. */
export interface GroupFrame {
  readonly image: Image;
  readonly handNormals: Image;
  /** In the order of the request. */
  readonly people: readonly PersonTruth[];
}

/** Renders a group frame after frame, in constant memory. Throws UserError for an impossible size. */
export function* renderGroup(request: GroupRequest): Generator<GroupFrame, void, void> {
  const { people, scene, numFrames, width, height, fps = 16, startS = 0 } = request;
  if (![numFrames, width, height].every(Number.isInteger) || numFrames < 1 || width < 16 || height < 16) {
    throw new UserError(
      `cannot render ${numFrames} frames of ${width}x${height}; expected whole numbers, at least 1 frame of 16x16`,
    );
  }
  invariant(people.length >= 1 && people.length <= MAX_PEOPLE, `a group of ${people.length}`);
  const camera = cameraFor(scene, standingHeight(people[0]!.identity.body), width, height);
  const fineCamera = finer(camera, SUPERSAMPLE);
  const [fineWidth, fineHeight] = [width * SUPERSAMPLE, height * SUPERSAMPLE];
  const background = paintBackground(scene, fineCamera, fineWidth, fineHeight);
  const still = averageBackground(background, width, height);
  const buffer = new VisibilityBuffer(fineWidth, fineHeight);
  const shaded = createShadedPixels(fineWidth, fineHeight);
  const floorLight = new Float32Array(width * height);
  const figures = people.map((performer) => new Figure(performer, camera));
  for (let f = 0; f < numFrames; f++) {
    buffer.clear();
    shaded.covered.fill(0);
    floorLight.fill(1);
    figures.forEach((figure, p) => {
      figure.moveTo(startS + f / fps);
      buffer.draw(figure.mesh, finer(figure.camera, SUPERSAMPLE), p);
    });
    figures.forEach(({ mesh, materials, skeleton, camera: view, performer }, p) => {
      shadePixels(buffer, p, mesh, materials, scene.light, shaded);
      castShadow(skeleton, performer.identity.body.height, view, width, height, floorLight);
    });
    const layers = { background, still, floorLight, buffer, shaded };
    const { image, handNormals, masks } = compose(width, height, figures.length, layers);
    yield {
      image,
      handNormals,
      people: figures.map(({ skeleton, camera: view, place: { x, z } }, p) => ({
        mask: masks[p]!,
        keypoints: keypointsOf(skeleton, view, { width, height }, buffer, SUPERSAMPLE),
        joints: jointsOf(skeleton, [x, 0, z]),
      })),
    };
  }
}

/** A person at one moment. Figures stand at the origin: the camera moves the other way instead. */
class Figure {
  readonly mesh = new Mesh();
  readonly materials: ReturnType<typeof makeMaterials>;
  skeleton: Skeleton;
  camera: Camera;
  place: FloorPlace = { x: 0, z: 0 };

  constructor(
    readonly performer: Performer,
    private readonly sceneCamera: Camera,
  ) {
    const { identity, motion } = performer;
    this.materials = makeMaterials(identity, headRadiusOf(identity.body));
    this.skeleton = solveSkeleton(identity.body, motion.poseAt(0));
    this.camera = sceneCamera;
  }

  moveTo(timeS: number): void {
    const { identity, motion, placeAt = () => this.place } = this.performer;
    const { x, distance, focal } = this.sceneCamera;
    this.place = placeAt(timeS);
    this.camera = { ...this.sceneCamera, x: x - this.place.x, distance: distance - this.place.z };
    const pose = motion.poseAt(timeS);
    this.skeleton = solveSkeleton(identity.body, pose);
    const detail = detailFor((SUPERSAMPLE * focal) / this.camera.distance);
    buildFigure(this.mesh, identity, this.skeleton, pose, detail);
  }
}

/** The background at the size of the output, RGB [H, W, 3]. */
function averageBackground(background: Float32Array, width: number, height: number): Float32Array {
  const still = new Float32Array(width * height * 3);
  for (let y = 0; y < height * SUPERSAMPLE; y++) {
    for (let x = 0; x < width * SUPERSAMPLE; x++) {
      const from = 3 * (y * width * SUPERSAMPLE + x);
      const to = 3 * (Math.floor(y / SUPERSAMPLE) * width + Math.floor(x / SUPERSAMPLE));
      for (let c = 0; c < 3; c++) still[to + c]! += background[from + c]! / SUPERSAMPLE ** 2;
    }
  }
  return still;
}

interface Layers {
  readonly background: Float32Array;
  readonly still: Float32Array;
  readonly floorLight: Float32Array;
  readonly buffer: VisibilityBuffer;
  readonly shaded: ReturnType<typeof createShadedPixels>;
}

/** Lays the people over the background and averages the fine grid; one mask per person. */
function compose(
  width: number,
  height: number,
  numPeople: number,
  layers: Layers,
): { image: Image; handNormals: Image; masks: Uint8Array[] } {
  const { background, still, floorLight, buffer, shaded } = layers;
  const { covered, colour, handNormal } = shaded;
  const size = width * height;
  const rgb = new Uint8ClampedArray(3 * size);
  const normals = new Uint8ClampedArray(3 * size);
  const masks = Array.from({ length: numPeople }, () => new Uint8Array(size));
  const shares = new Uint8Array(numPeople);
  const fineWidth = width * SUPERSAMPLE;
  const samples = SUPERSAMPLE * SUPERSAMPLE;
  const [left, right] = [Math.floor(buffer.left / SUPERSAMPLE), Math.ceil(buffer.right / SUPERSAMPLE)];
  const [top, bottom] = [Math.floor(buffer.top / SUPERSAMPLE), Math.ceil(buffer.bottom / SUPERSAMPLE)];
  for (let i = 0; i < size; i++) {
    const light = floorLight[i]!;
    rgb[3 * i] = still[3 * i]! * light;
    rgb[3 * i + 1] = still[3 * i + 1]! * light;
    rgb[3 * i + 2] = still[3 * i + 2]! * light;
  }
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const i = y * width + x;
      let count = 0;
      let numHand = 0;
      let r = 0;
      let g = 0;
      let b = 0;
      let nx = 0;
      let ny = 0;
      let nz = 0;
      const light = floorLight[i]!;
      for (let s = 0; s < samples; s++) {
        const fine =
          (y * SUPERSAMPLE + Math.floor(s / SUPERSAMPLE)) * fineWidth + x * SUPERSAMPLE + (s % SUPERSAMPLE);
        const o = 3 * fine;
        if (covered[fine] === 0) {
          r += background[o]! * light;
          g += background[o + 1]! * light;
          b += background[o + 2]! * light;
          continue;
        }
        count++;
        shares[buffer.person[fine]!]!++;
        r += Math.min(255, colour[o]!);
        g += Math.min(255, colour[o + 1]!);
        b += Math.min(255, colour[o + 2]!);
        const hx = handNormal[o]!;
        const hy = handNormal[o + 1]!;
        const hz = handNormal[o + 2]!;
        if (hx * hx + hy * hy + hz * hz > 0.5) numHand++;
        nx += hx;
        ny += hy;
        nz += hz;
      }
      if (count === 0) continue;
      rgb[3 * i] = r / samples;
      rgb[3 * i + 1] = g / samples;
      rgb[3 * i + 2] = b / samples;
      for (let p = 0; p < numPeople; p++) masks[p]![i] = Math.round((255 * shares[p]!) / samples);
      shares.fill(0);
      // half a pixel of hand or more: its mean direction, again of length 1
      if (2 * numHand >= samples) {
        const norm = 127.5 / Math.max(1e-6, Math.sqrt(nx * nx + ny * ny + nz * nz));
        normals[3 * i] = 127.5 + nx * norm;
        normals[3 * i + 1] = 127.5 + ny * norm;
        normals[3 * i + 2] = 127.5 + nz * norm;
      }
    }
  }
  const image = (data: Uint8ClampedArray): Image => ({
    width,
    height,
    channels: 3,
    data: new Uint8Array(data.buffer),
  });
  return { image: image(rgb), handNormals: image(normals), masks };
}
