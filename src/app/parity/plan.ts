import { join } from "node:path";
import { z } from "zod";
import { planSegments, type KeptFrames, type Plan, type Segment } from "../../pipeline/plan.ts";
import { crossFade, stitch } from "../../pipeline/stitch.ts";
import { invariant } from "../../tensor/errors.ts";
import { difference, readJson, parityRow, type ParityCheck, type ParityRow } from "./rows.ts";

const range = z.tuple([z.number(), z.number()]);
const place = z.object({ chunk: z.number(), local: range });
const runs = z.array(z.tuple([z.number(), z.number(), z.number()]));
const planSchema = z.object({
  num_frames: z.number(),
  head_length: z.number(),
  tail_length: z.number(),
  plans: z.array(
    z.object({
      video_length: z.number(),
      pad: z.boolean(),
      output_length: z.number(),
      chunks: z.array(
        z.object({
          kind: z.enum(["base", "cond"]),
          start: z.number(),
          reflected_indices_rle: runs,
          official_indices_rle: runs.nullish(),
          official_ok: z.boolean(),
          head_frames_from: place.optional(),
          tail_frames_from: place.optional(),
        }),
      ),
      merge_timeline: z.array(
        z.discriminatedUnion("type", [
          z.object({ type: z.literal("copy"), out: range, ...place.shape }),
          z.object({ type: z.literal("crossfade"), out: range, from: place, to: place }),
        ]),
      ),
    }),
  ),
});
const frames = z.array(z.array(z.number()));
const crossFadeSchema = z.object({
  cases: z.array(z.object({ overlap: z.number(), history: frames, current: frames, output: frames })),
});
type Golden = z.infer<typeof planSchema>["plans"][number];
type GoldenChunk = Golden["chunks"][number];
type Place = z.infer<typeof place>;

export const planCheck: ParityCheck = {
  folder: "plan",
  async run(dir) {
    const golden = await readJson(join(dir, "plan.json"), planSchema);
    const rows: ParityRow[] = [];
    for (const goldenPlan of golden.plans) {
      const name = `${goldenPlan.video_length} frames${goldenPlan.pad ? "" : ", not padded"}`;
      const ours = planSegments(goldenPlan.video_length, {
        segmentFrames: golden.num_frames,
        headFrames: golden.head_length,
        tailFrames: golden.tail_length,
        incompleteEnd: goldenPlan.pad ? "reflect" : "drop",
      });
      rows.push(parityRow(`${name}: segments`, segmentDifferences(ours, goldenPlan), 0));
      rows.push(parityRow(`${name}: timeline`, await timelineError(ours, goldenPlan), 0));
    }
    const { cases } = await readJson(join(dir, "crossfade.json"), crossFadeSchema);
    for (const { overlap, history, current, output } of cases) {
      const start = history.length - overlap;
      const errors = Array.from({ length: overlap }, (_, i) => {
        const [earlier, later] = [Uint8Array.from(history[start + i]!), Uint8Array.from(current[i]!)];
        return difference(
          crossFade(earlier, later, i, overlap, { rounding: "truncate" }),
          output[start + i]!,
          "absolute",
        );
      });
      rows.push(parityRow(`cross-fade over ${overlap} frames`, Math.max(...errors), 0));
    }
    return rows;
  },
};

/** Number of segments that are not the golden chunk of their place. */
function segmentDifferences(ours: Plan, golden: Golden): number {
  const length = Math.max(ours.segments.length, golden.chunks.length);
  const different = Array.from({ length }, (_, i) => !isChunk(ours.segments[i], golden.chunks[i]));
  return different.filter(Boolean).length + Math.abs(ours.numFrames - golden.output_length);
}

/** The official indices count where the official plan is sane, the reflected ones always. */
function isChunk(segment: Segment | undefined, chunk: GoldenChunk | undefined): boolean {
  if (!segment || !chunk) return false;
  const official = chunk.official_ok && chunk.official_indices_rle;
  return (
    segment.start === chunk.start &&
    (segment.kind === "interpolated") === (chunk.kind === "cond") &&
    difference(segment.frames, expand(chunk.reflected_indices_rle), "absolute") === 0 &&
    (!official || difference(segment.frames, expand(official), "absolute") === 0) &&
    isSamePlace(segment.head, chunk.head_frames_from) &&
    isSamePlace(segment.tail, chunk.tail_frames_from)
  );
}

function isSamePlace(kept: KeptFrames | undefined, golden: Place | undefined): boolean {
  if (!kept || !golden) return !kept && !golden;
  return kept.segment === golden.chunk && kept.from === golden.local[0] && kept.to === golden.local[1];
}

/** Run-length coded indices: [first, last, step]. */
function expand(coded: z.infer<typeof runs>): number[] {
  return coded.flatMap(([first, last, by]) =>
    Array.from({ length: (last - first) / by + 1 }, (_, i) => first + i * by),
  );
}

/** Stitches segments whose frames are all different, and does the same by the golden timeline. */
async function timelineError(ours: Plan, golden: Golden): Promise<number> {
  const frame = (chunk: number, local: number): Uint8Array =>
    Uint8Array.of(chunk * 37 + local * 3, 255 - local);
  const stitched: number[] = [];
  for await (const bytes of stitch(ours, ({ index, frames: all }) =>
    all.map((_, local) => frame(index, local)),
  )) {
    stitched.push(...bytes);
  }
  const expected: number[] = [];
  for (const entry of golden.merge_timeline) {
    const numFrames = entry.out[1] - entry.out[0];
    invariant(entry.out[0] * 2 === expected.length, "the golden timeline has a gap");
    for (let i = 0; i < numFrames; i++) {
      const at = ({ chunk, local }: Place): Uint8Array => frame(chunk, local[0] + i);
      expected.push(
        ...(entry.type === "copy" ? at(entry) : crossFade(at(entry.from), at(entry.to), i, numFrames)),
      );
    }
  }
  return difference(stitched, expected.slice(0, 2 * golden.output_length), "absolute");
}
