import { describe, expect, it } from "vitest";
import { createImage } from "../media/pixels.ts";
import type { Point3 } from "./body-landmarks.ts";
import { HandField, handPieces, palmLength } from "./hand-field.ts";
import { renderHandNormals } from "./hand-normals.ts";

/** A flat hand seen from the front, fingers up, wrist at (x, y), palm 1 · size long. */
function flatHand(x: number, y: number, size: number, z = 0): Point3[] {
  const roots = [
    [-0.45, 0.35],
    [-0.3, 0.95],
    [0, 1],
    [0.25, 0.93],
    [0.45, 0.85],
  ] as const;
  const directions = [
    [-0.7, 0.7],
    [-0.15, 1],
    [0, 1],
    [0.12, 1],
    [0.25, 1],
  ] as const;
  const fingers = roots.flatMap(([rootX, rootY], finger) =>
    [0, 1, 2, 3].map((joint) => {
      const along = 0.25 * joint;
      const [dx, dy] = directions[finger]!;
      return { x: x + size * (rootX + dx * along), y: y - size * (rootY + dy * along), z };
    }),
  );
  return [{ x, y, z }, ...fingers];
}

const normalAt = (image: { data: Uint8Array; width: number }, x: number, y: number): number[] =>
  [0, 1, 2].map((c) => image.data[3 * (Math.floor(y) * image.width + Math.floor(x)) + c]! / 127.5 - 1);

describe("renderHandNormals", () => {
  const hand = flatHand(100, 160, 60);
  const image = renderHandNormals([hand], 200, 200);
  const middle = hand[10]!;

  it("points to the viewer along the middle of a finger", () => {
    const [x, y, z] = normalAt(image, middle.x, middle.y - 8) as [number, number, number];
    expect(Math.abs(x)).toBeLessThan(0.15);
    expect(Math.abs(y)).toBeLessThan(0.15);
    expect(z).toBeGreaterThan(0.97);
  });

  it("has x to the right and y up", () => {
    const radius = 0.1 * 60;
    expect(normalAt(image, middle.x - 0.8 * radius, middle.y)[0]).toBeLessThan(-0.5);
    expect(normalAt(image, middle.x + 0.8 * radius, middle.y)[0]).toBeGreaterThan(0.5);
    expect(normalAt(image, hand[12]!.x, hand[12]!.y - 3)[1]).toBeGreaterThan(0.4);
  });

  it("holds unit normals that face the viewer, on black", () => {
    let covered = 0;
    for (let i = 0; i < image.data.length; i += 3) {
      const pixel = [...image.data.subarray(i, i + 3)];
      if (pixel.every((value) => value === 0)) continue;
      covered++;
      const [x, y, z] = pixel.map((value) => value / 127.5 - 1) as [number, number, number];
      expect(Math.hypot(x, y, z)).toBeCloseTo(1, 1);
      expect(z).toBeGreaterThan(-0.1);
    }
    // Palm and fingers: about half of the square around the hand.
    expect(covered).toBeGreaterThan(0.35 * 120 ** 2);
    expect(covered).toBeLessThan(0.6 * 120 ** 2);
    expect(image.data[0]).toBe(0);
  });

  it("covers the same share of the picture at every size", () => {
    const share = (size: number): number => {
      const n = 4 * size;
      const { data } = renderHandNormals([flatHand(2 * size, 3 * size, size)], n, n);
      return data.filter((_, i) => i % 3 === 2).filter((blue) => blue > 0).length / n ** 2;
    };
    const reference = share(80);
    expect(share(33) / reference).toBeCloseTo(1, 1);
    expect(share(12) / reference).toBeCloseTo(1, 0.7);
  });

  it("shows the nearer hand where two overlap, whatever their order", () => {
    const [near, far] = [flatHand(110, 160, 60, -200), flatHand(90, 160, 60, 0)];
    const both = renderHandNormals([near, far], 200, 200);
    expect(Buffer.compare(both.data, renderHandNormals([far, near], 200, 200).data)).toBe(0);
    const alone = renderHandNormals([near], 200, 200).data;
    expect(alone.some((value, i) => value > 0 && both.data[i] !== value)).toBe(false);
    expect(both.data.some((value, i) => value > 0 && alone[i] === 0)).toBe(true);
  });

  it("clips hands at the border and leaves out impossible ones", () => {
    const outside = renderHandNormals([flatHand(-500, 40, 60), flatHand(5, 195, 60)], 200, 200);
    expect(outside.data.some((value) => value > 0)).toBe(true);
    const point = flatHand(100, 100, 0);
    const nan = flatHand(100, 100, 60).with(4, { x: Number.NaN, y: 0, z: 0 });
    expect(renderHandNormals([point, nan], 50, 50)).toEqual(createImage(50, 50));
  });
});

describe("HandField", () => {
  it("has the gradient of its distance", () => {
    const points = flatHand(0, 0, 10).map((point, i) => ({ ...point, z: Math.sin(i) }));
    const pieces = handPieces(points);
    const field = new HandField(palmLength(points));
    const distance = (x: number, y: number, z: number): number => {
      field.at(pieces, x, y, z);
      return field.distance;
    };
    for (const [x, y, z] of [
      [1, -4, -3],
      [-3, -12, -2],
      [4, -15, 1],
      [0, -9, -2.2],
      [6, 2, 0],
    ] as const) {
      const e = 1e-5;
      const numeric = [
        (distance(x + e, y, z) - distance(x - e, y, z)) / (2 * e),
        (distance(x, y + e, z) - distance(x, y - e, z)) / (2 * e),
        (distance(x, y, z + e) - distance(x, y, z - e)) / (2 * e),
      ];
      field.at(pieces, x, y, z);
      const gradient = [field.gradientX, field.gradientY, field.gradientZ];
      // The change of radius along a bone, which the gradient leaves out, is a tenth at most.
      gradient.forEach((value, axis) => expect(Math.abs(value - numeric[axis]!)).toBeLessThan(0.12));
    }
  });
});
