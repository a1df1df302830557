/** Normals of hands in a line of JSON: their samples deflated, in base 64. */
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { z } from "zod";
import { type HandSurfaces, MAX_PATCH_SIDE, type NormalPatch } from "../perception/normal-patch.ts";

const number = z.number().min(-1e6).max(1e6);
const side = z.number().int().min(1).max(MAX_PATCH_SIDE);

/** 64 x 64 samples that do not compress, in base 64. */
const MAX_TEXT = 17_000;

const patchSchema = z
  .object({
    /** Samples in a row, and rows. */
    size: z.tuple([side, side]),
    /** x and y of the first sample's corner, of the way to the next in its row, and of that to the next row. */
    place: z.tuple([number, number, number, number, number, number]),
    normals: z.base64().max(MAX_TEXT),
  })
  .transform(({ size: [width, height], place, normals }, context): NormalPatch => {
    const numBytes = 3 * width * height;
    const bytes = inflated(normals, numBytes);
    if (bytes?.length !== numBytes) {
      context.addIssue({ code: "custom", message: `expected ${numBytes} deflated bytes` });
      return z.NEVER;
    }
    const [x, y, acrossX, acrossY, downX, downY] = place;
    return {
      width,
      height,
      origin: { x, y },
      across: { x: acrossX, y: acrossY },
      down: { x: downX, y: downY },
      normals: bytes,
    };
  });

/** Left and right. */
export const surfacesSchema = z
  .tuple([patchSchema.nullable(), patchSchema.nullable()])
  .transform(([left, right]): HandSurfaces => ({ left, right }));

/** What `surfacesSchema` reads. */
export function surfacesToLine({ left, right }: HandSurfaces): z.input<typeof surfacesSchema> {
  return [left && toLine(left), right && toLine(right)];
}

function toLine({ width, height, origin, across, down, normals }: NormalPatch): z.input<typeof patchSchema> {
  return {
    size: [width, height],
    place: [origin.x, origin.y, across.x, across.y, down.x, down.y],
    normals: deflateRawSync(normals).toString("base64"),
  };
}

/** Null for what is no deflated data, or more than expected. */
function inflated(text: string, numBytes: number): Uint8Array | null {
  try {
    return new Uint8Array(inflateRawSync(Buffer.from(text, "base64"), { maxOutputLength: numBytes }));
  } catch {
    return null;
  }
}
