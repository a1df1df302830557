import { blend, type Rgb, shade } from "./palette.ts";
import type { Camera } from "./raster.ts";
import type { Scene, Thing } from "./scene.ts";
import { smoothstep } from "./vector.ts";

/** Colour of a thing at (x, y) inside its box, both in [0, 1], y up; nothing where the thing has a gap. */
type ThingPaint = (x: number, y: number, thing: Thing) => Rgb | undefined;

const SKY: Rgb = [0.68, 0.84, 0.96];
const FRAME_WHITE: Rgb = [0.93, 0.93, 0.9];
const LEAF: Rgb = [0.24, 0.5, 0.28];
const near = (value: number, to: number, by: number) => Math.abs(value - to) < by;

const PAINTS: { readonly [K in Thing["kind"]]: ThingPaint } = {
  window: (x, y) => {
    if (x < 0.07 || x > 0.93 || y < 0.06 || y > 0.94 || near(x, 0.5, 0.03) || near(y, 0.5, 0.025))
      return FRAME_WHITE;
    return y < 0.28 + 0.06 * Math.sin(7 * x) ? [0.5, 0.7, 0.46] : blend([0.84, 0.92, 0.97], SKY, y);
  },
  picture: (x, y, { colour, second }) => {
    if (x < 0.08 || x > 0.92 || y < 0.1 || y > 0.9) return [0.3, 0.24, 0.2];
    if (Math.hypot(x - 0.66, 0.8 * (y - 0.66)) < 0.13) return FRAME_WHITE;
    return y < 0.38 + 0.14 * Math.sin(5 * x + 1) ? second : colour;
  },
  door: (x, y, { colour }) => {
    if (x < 0.07 || x > 0.93 || y > 0.965) return FRAME_WHITE;
    if (Math.hypot(x - 0.84, (y - 0.48) * 2.4) < 0.035) return [0.86, 0.76, 0.4];
    const inPanel = x > 0.2 && x < 0.8 && ((y > 0.1 && y < 0.44) || (y > 0.54 && y < 0.9));
    return shade(blend(colour, FRAME_WHITE, 0.3), inPanel ? 0.9 : 1);
  },
  shelf: (x, y, { colour, second }) => {
    const level = y * 2.2;
    if (level % 1 < 0.12) return [0.46, 0.33, 0.24];
    const book = Math.floor(x * 9 + Math.floor(level) * 3);
    if (level % 1 > 0.62 + 0.1 * (book % 3) || book % 7 === 5) return undefined;
    return [colour, second, LEAF, FRAME_WHITE][book % 4];
  },
  plant: (x, y, { second }) => {
    if (y < 0.28) return Math.abs(x - 0.5) < 0.17 + 0.25 * y ? second : undefined;
    for (let leaf = 0; leaf < 7; leaf++) {
      const angle = -1.25 + leaf * 0.42;
      const [dx, dy] = [Math.sin(angle), Math.cos(angle)];
      const [px, py] = [(x - 0.5) * 0.9, (y - 0.26) * 1.1];
      const t = px * dx + py * dy;
      const off = Math.abs(px * dy - py * dx);
      if (t > 0 && t < 0.72 && off < 0.09 * Math.sin((Math.PI * t) / 0.72))
        return shade(LEAF, leaf % 2 ? 1.2 : 0.9);
    }
    return undefined;
  },
  lamp: (x, y, { colour }) => {
    if (y > 0.78)
      return Math.abs(x - 0.5) < 0.5 - 0.9 * (y - 0.78) ? blend([1, 0.93, 0.72], colour, 0.15) : undefined;
    if (y < 0.02) return Math.abs(x - 0.5) < 0.32 ? [0.3, 0.3, 0.32] : undefined;
    return near(x, 0.5, 0.035) ? [0.3, 0.3, 0.32] : undefined;
  },
  sofa: (x, y, { colour }) => {
    if (y < 0.08) return x < 0.06 || x > 0.94 ? [0.3, 0.22, 0.18] : undefined;
    if (x < 0.1 || x > 0.9) return y < 0.66 ? shade(colour, 0.88) : undefined;
    if (y > 0.5) return shade(colour, near(x, 0.5, 0.008) ? 0.75 : 1);
    return shade(colour, near(y, 0.48, 0.03) || near(x, 0.5, 0.008) ? 0.75 : 1.08);
  },
  crate: (x, y) => {
    const edge = Math.min(x, y, 1 - x, 1 - y) < 0.09 || near(x, y, 0.06);
    return edge ? [0.62, 0.44, 0.27] : [0.74, 0.55, 0.36];
  },
};

function roomWall(scene: Scene, x: number, y: number): Rgb {
  for (const thing of scene.things) {
    const u = (x - thing.x) / thing.width + 0.5;
    const v = (y - thing.bottom) / thing.height;
    if (u < 0 || u > 1 || v < 0 || v > 1) continue;
    const colour = PAINTS[thing.kind](u, v, thing);
    if (colour) return colour;
  }
  const base = scene.wall.rgb;
  if (y < 0.1) return blend(base, [0.95, 0.95, 0.93], 0.65);
  if (y < 0.115) return shade(base, 0.72);
  return base;
}

function stageWall(x: number): Rgb {
  const fold = 0.5 + 0.5 * Math.sin(x * 19) * Math.sin(x * 7.3 + 1);
  return blend([0.34, 0.07, 0.1], [0.58, 0.13, 0.16], fold);
}

function parkView(scene: Scene, x: number, y: number): Rgb {
  if (Math.hypot(x - 0.75, y - 2.15) < 0.16) return [1, 0.96, 0.74];
  const hill = 1.05 + 0.16 * Math.sin(1.7 * x + scene.aside * 40) + 0.07 * Math.sin(4.1 * x);
  if (y < hill) return blend([0.36, 0.58, 0.36], [0.5, 0.7, 0.46], smoothstep(0, 1.1, y));
  return blend([0.86, 0.92, 0.95], [0.52, 0.74, 0.93], smoothstep(0.9, 3, y));
}

function floorColour(scene: Scene, x: number, z: number): Rgb {
  const base = scene.place === "park" ? ([0.42, 0.6, 0.34] as const) : scene.floor.rgb;
  if (scene.place === "studio" || scene.place === "park" || scene.floorKind === "plain") return base;
  if (scene.floorKind === "planks" || scene.place === "stage") {
    const plank = Math.floor(x / 0.16);
    if (x / 0.16 - plank < 0.06) return shade(base, 0.78);
    return shade(base, 0.95 + 0.1 * (((plank * 37) % 5) / 4));
  }
  return shade(base, (Math.floor(x / 0.45) + Math.floor(z / 0.45)) % 2 === 0 ? 1 : 0.88);
}

/** The empty scene as the camera sees it: RGB [height, width, 3] in 0..255. */
export function paintBackground(scene: Scene, camera: Camera, width: number, height: number): Float32Array {
  const picture = new Float32Array(width * height * 3);
  const wallDepth = camera.distance + scene.wallDistance;
  const [lx, ly] = [scene.light.direction[0] * 2.2, 1.3 + scene.light.direction[1]];
  for (let row = 0; row < height; row++) {
    const dy = (camera.centreY - row - 0.5) / camera.focal;
    for (let column = 0; column < width; column++) {
      const dx = (column + 0.5 - camera.centreX) / camera.focal;
      const wallY = camera.y + dy * wallDepth;
      let colour: Rgb;
      let light: number;
      if (wallY >= 0) {
        const x = camera.x + dx * wallDepth;
        if (scene.place === "room") colour = roomWall(scene, x, wallY);
        else if (scene.place === "stage") colour = stageWall(x);
        else if (scene.place === "park") colour = parkView(scene, x, wallY);
        else colour = blend(scene.floor.rgb, scene.wall.rgb, smoothstep(0, 0.5, wallY));
        const far = ((x - lx) ** 2 + (wallY - ly) ** 2) / 12;
        light = scene.place === "park" ? 1 : 1.06 - 0.26 * Math.min(1, far);
      } else {
        const depth = -camera.y / dy;
        const [x, z] = [camera.x + dx * depth, camera.distance - depth];
        colour = floorColour(scene, x, z);
        light = 1.02 - 0.2 * smoothstep(0.4, -scene.wallDistance, z) * (scene.place === "studio" ? 0.3 : 1);
      }
      const i = 3 * (row * width + column);
      for (let c = 0; c < 3; c++) picture[i + c] = Math.min(255, 255 * light * colour[c]!);
    }
  }
  return picture;
}
