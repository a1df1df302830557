import { expect, test } from "vitest";
import { Mesh } from "./mesh.ts";
import { sampleProfile } from "./profile.ts";
import { type Camera, VisibilityBuffer } from "./raster.ts";
import { moved, WORLD } from "./vector.ts";

const CAMERA: Camera = { x: 0, y: 0, distance: 4, focal: 160, centreX: 32, centreY: 32 };

test("a sphere covers its disc, with normals pointing away from its centre", () => {
  const mesh = new Mesh();
  mesh.addEllipsoid(moved(WORLD, [0.1, 0.2, 0]), [0.4, 0.4, 0.4], 5, 48);
  const buffer = new VisibilityBuffer(64, 64);
  buffer.draw(mesh, CAMERA);
  const covered = buffer.nearness.reduce((count, n) => count + (n > 0 ? 1 : 0), 0);
  // seen from 4 m the outline of the sphere is a little wider than its radius
  expect(covered).toBeGreaterThan(Math.PI * 16 * 16 * 0.98);
  expect(covered).toBeLessThan(Math.PI * 16 * 16 * 1.05);
  expect(buffer.nearness[(32 - 8) * 64 + 32 + 4]).toBeCloseTo(1 / 3.6, 2);
  for (let i = 0; i < 3 * mesh.numVertices; i += 3) {
    const [x, y, z] = mesh.position.slice(i, i + 3);
    const [nx, ny, nz] = mesh.normal.slice(i, i + 3);
    expect(((x! - 0.1) * nx! + (y! - 0.2) * ny! + z! * nz!) / 0.4).toBeGreaterThan(0.98);
  }
});

test("the nearer of two things hides the other, whatever is drawn first", () => {
  for (const order of [
    [0.5, -0.5],
    [-0.5, 0.5],
  ]) {
    const mesh = new Mesh();
    for (const z of order) mesh.addEllipsoid(moved(WORLD, [0, 0, z]), [0.3, 0.3, 0.3], z > 0 ? 1 : 2, 24);
    const buffer = new VisibilityBuffer(64, 64);
    buffer.draw(mesh, CAMERA);
    expect(mesh.material[buffer.triangle[32 * 64 + 32]!]).toBe(1);
  }
});

test("what lies outside the picture is cut off", () => {
  const mesh = new Mesh();
  mesh.addEllipsoid(moved(WORLD, [-0.8, 0, 0]), [0.4, 0.4, 0.4], 0, 24);
  const buffer = new VisibilityBuffer(64, 64);
  buffer.draw(mesh, CAMERA);
  const rows = Array.from({ length: 64 }, (_, y) => buffer.nearness.subarray(y * 64, y * 64 + 64));
  expect(rows[32]![0]).toBeGreaterThan(0);
  expect(rows.every((row) => row[63] === 0)).toBe(true);
});

test("a profile passes through its rows and never leaves their range", () => {
  const profile = [
    [0, 1],
    [1, 3],
    [1.2, 3],
    [2, -1],
  ];
  for (const [position, value] of profile)
    expect(sampleProfile(profile, position!)[0]).toBeCloseTo(value!, 12);
  for (let p = -1; p < 3; p += 0.01) {
    const [value] = sampleProfile(profile, p);
    expect(value).toBeGreaterThanOrEqual(-1);
    expect(value).toBeLessThanOrEqual(3 + 1e-12);
  }
});
