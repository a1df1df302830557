/**
 * Networks with the shapes of published ones whose answers are known: they find the middle of what is red in their
 * input, as they are meant to be fed it, and answer with points, boxes and maps around it.
 */
import {
  Graph,
  type Value,
  add,
  concat,
  div,
  exp,
  maximum,
  mul,
  neg,
  reshape,
  serialize,
  slice,
  sub,
  sum,
  expand,
} from "../../graph/index.ts";
import { type Image, createImage } from "../../media/pixels.ts";
import { float32, int64 } from "../../tensor/tensor.ts";
import type { ChannelScale, Point } from "../region.ts";

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** A dark picture with a red disc of soft edge: its middle is what the networks find. */
export function pictureWithDisc(size: Size, disc: Point, radius: number): Image {
  const image = createImage(size.width, size.height, [0, 0, 0]);
  for (let y = 0; y < size.height; y++) {
    for (let x = 0; x < size.width; x++) {
      const distance = Math.hypot(x + 0.5 - disc.x, y + 0.5 - disc.y);
      image.data[3 * (y * size.width + x)] = Math.round(
        255 * Math.min(1, Math.max(0, (radius - distance) / 4 + 0.5)),
      );
    }
  }
  return image;
}

/** The input picture, and the place of the disc in it, [1], in pixels between the centres of pixels. */
interface Seen {
  readonly g: Graph;
  readonly x: Value;
  readonly y: Value;
}

function seeDisc(size: Size, channels: ChannelScale): Seen {
  const g = new Graph();
  const image = g.input("images", [1, 3, size.height, size.width]);
  const red = channels.order.indexOf(0);
  const range = channels.high[red]! - channels.low[red]!;
  // Bytes 0..1 again; the grey of letter boxes and rounding do not count.
  const bytes = div(sub(slice(image, 1, red, red + 1), channels.low[red]!), range);
  const other = (red + 1) % 3;
  const grey = div(
    sub(slice(image, 1, other, other + 1), channels.low[other]!),
    channels.high[other]! - channels.low[other]!,
  );
  const redness = maximum(sub(bytes, grey), 0);
  const total = sum(redness, [0, 1, 2, 3]);
  const ramp = (shape: number[], length: number) =>
    g.constant(
      float32(
        Float32Array.from({ length }, (_, i) => i),
        shape,
      ),
    );
  const place = (axis: Value) => reshape(div(sum(mul(redness, axis), [0, 1, 2, 3]), total), [1]);
  return {
    g,
    x: place(ramp([1, 1, 1, size.width], size.width)),
    y: place(ramp([1, 1, size.height, 1], size.height)),
  };
}

const column = (g: Graph, values: readonly number[], shape: readonly number[]): Value =>
  g.constant(float32(Float32Array.from(values), shape));

const ramp = (g: Graph, length: number, shape: readonly number[]): Value =>
  column(
    g,
    Array.from({ length }, (_, i) => i),
    shape,
  );

/** exp(-(ramp - center)² / 2 sigma²) */
function gaussian(axis: Value, center: Value, sigma: number): Value {
  const offset = sub(axis, center);
  return exp(mul(neg(mul(offset, offset)), 1 / (2 * sigma * sigma)));
}

/** A network of SimCC whose points lie at the disc plus `offsets`, in pixels of its input. */
export function simccNetwork(size: Size, channels: ChannelScale, offsets: readonly Point[]): Uint8Array {
  const { g, x, y } = seeDisc(size, channels);
  const along = (at: Value, ways: readonly number[], side: number) => {
    const center = mul(add(at, column(g, ways, [1, ways.length, 1])), 2);
    return mul(gaussian(ramp(g, 2 * side, [1, 1, 2 * side]), center, 6), 0.9);
  };
  g.output(
    "simcc_x",
    along(
      x,
      offsets.map((o) => o.x),
      size.width,
    ),
  );
  g.output(
    "simcc_y",
    along(
      y,
      offsets.map((o) => o.y),
      size.height,
    ),
  );
  return serialize(g);
}

/** A network of heat maps at a quarter of its input whose points lie at the disc plus `offsets`. */
export function heatmapNetwork(size: Size, channels: ChannelScale, offsets: readonly Point[]): Uint8Array {
  const { g, x, y } = seeDisc(size, channels);
  const [columns, rows] = [size.width / 4, size.height / 4];
  // The first and the last pixels of both grids fall on one another.
  const along = (at: Value, ways: readonly number[], side: number, cells: number) =>
    mul(add(at, column(g, ways, [1, ways.length, 1, 1])), (cells - 1) / (side - 1));
  const acrossMap = gaussian(
    ramp(g, columns, [1, 1, 1, columns]),
    along(
      x,
      offsets.map((o) => o.x),
      size.width,
      columns,
    ),
    2,
  );
  const downMap = gaussian(
    ramp(g, rows, [1, 1, rows, 1]),
    along(
      y,
      offsets.map((o) => o.y),
      size.height,
      rows,
    ),
    2,
  );
  g.output("heatmaps", mul(mul(downMap, acrossMap), 0.9));
  return serialize(g);
}

/** How much larger than the disc's place a box reaches, pixels of the input. */
export interface Reach {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/**
 * A YOLOX network of raw rows: the cell of the middle grid in row and column 3 sees the disc's person; all others see
 * nothing but the second, which sees a thing of another class.
 */
export function yoloxNetwork(size: Size, channels: ChannelScale, reach: Reach): Uint8Array {
  const { g, x, y } = seeDisc(size, channels);
  const cells = [8, 16, 32].map((stride) => (size.width / stride) * (size.height / stride));
  const numCells = cells.reduce((total, n) => total + n, 0);
  const at = cells[0]! + 3 * (size.width / 16) + 3;
  const marks = (cell: number) =>
    column(
      g,
      Array.from({ length: numCells }, (_, i) => (i === cell ? 1 : 0)),
      [1, numCells, 1],
    );
  const row = (values: readonly (Value | number)[]) =>
    concat(
      values.map((value) =>
        typeof value === "number" ? column(g, [value], [1, 1, 1]) : reshape(value, [1, 1, 1]),
      ),
      2,
    );
  const middle = (place: Value, before: number, after: number) =>
    // Boxes count from the corner of the first pixel.
    sub(div(add(place, 0.5 + (after - before) / 2), 16), 3);
  const size16 = (length: number) => Math.log(length / 16);
  const classes = Array.from({ length: 80 }, (_, c) => (c === 0 ? 0.95 : 0.01));
  const person = row([
    middle(x, reach.left, reach.right),
    middle(y, reach.top, reach.bottom),
    size16(reach.left + reach.right),
    size16(reach.top + reach.bottom),
    0.9,
    ...classes,
  ]);
  const dog = row([1, 1, 1, 1, 0.9, ...classes.map((_, c) => (c === 16 ? 0.95 : 0.01))]);
  g.output("output", add(mul(marks(at), person), mul(marks(1), dog)));
  return serialize(g);
}

/** A network of finished boxes: the disc's person, the same a little less sure, and something else. */
export function boxNetwork(size: Size, channels: ChannelScale, reach: Reach): Uint8Array {
  const { g, x, y } = seeDisc(size, channels);
  const person = (score: number, shift: number) =>
    concat(
      [
        sub(x, reach.left - 0.5 - shift),
        sub(y, reach.top - 0.5),
        add(x, reach.right + 0.5 + shift),
        add(y, reach.bottom + 0.5),
        column(g, [score], [1]),
      ].map((value) => reshape(value, [1, 1, 1])),
      2,
    );
  const chair = column(g, [0, 0, 50, 50, 0.99], [1, 1, 5]);
  g.output("dets", concat([chair, person(0.9, 0), person(0.6, 3)], 1));
  // An output must be computed.
  const labels = g.constant(int64([56, 0, 0], [1, 3]));
  g.output("labels", add(labels, g.constant(int64([0], [1, 1]))));
  return serialize(g);
}

/** Scores of 28 parts at half the input: left hand around the disc, right hand `apart` pixels beside it. */
export function partNetwork(size: Size, channels: ChannelScale, apart: number): Uint8Array {
  const { g, x, y } = seeDisc(size, channels);
  const [columns, rows] = [size.width / 2, size.height / 2];
  const half = (place: Value) => sub(mul(add(place, 0.5), 0.5), 0.5);
  const blob = (center: Value) =>
    mul(
      mul(
        gaussian(ramp(g, rows, [1, 1, rows, 1]), half(y), 12),
        gaussian(ramp(g, columns, [1, 1, 1, columns]), half(center), 12),
      ),
      2,
    );
  const nothing = mul(expand(column(g, [1], [1, 1, 1, 1]), [1, 1, rows, columns]), 1);
  const none = mul(nothing, -1);
  const channelsOut = Array.from({ length: 28 }, (_, c) =>
    c === 0 ? nothing : c === 5 ? blob(x) : c === 14 ? blob(add(x, apart)) : none,
  );
  g.output("parts", concat(channelsOut, 1));
  return serialize(g);
}

/** Normals of length 3 and more that lean to the right by the column: (3u, 0.75, 3), u from 0 to 1 over the width. */
export function normalNetwork(size: Size, channels: ChannelScale): Uint8Array {
  const { g, x } = seeDisc(size, channels);
  // The disc's place takes part with no weight: an answer must depend on the input.
  const zero = mul(reshape(x, [1, 1, 1, 1]), 0);
  const plane = (value: Value) => expand(value, [1, 1, size.height, size.width]);
  const lean = mul(ramp(g, size.width, [1, 1, 1, size.width]), 3 / (size.width - 1));
  g.output("normals", concat([plane(add(lean, zero)), plane(add(zero, 0.75)), plane(add(zero, 3))], 1));
  return serialize(g);
}
