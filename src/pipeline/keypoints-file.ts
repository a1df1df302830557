/**
 * Poses of a driving video as lines of JSON: a header, then one line per frame. Files are written and read frame by
 * frame, so memory does not grow with their length; people can make their own, with poses from elsewhere.
 */
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { z } from "zod";
import { checkSourceFile } from "../media/source-file.ts";
import { BODY_POINTS, HAND_POINTS, UNSEEN_HAND, type Keypoint } from "../media/pose-keypoints.ts";
import { writeFileAtomically } from "../files/atomic-file.ts";
import type { PersonFrame } from "../perception/person-frame.ts";
import { UserError } from "../tensor/errors.ts";
import { surfacesSchema, surfacesToLine } from "./patch-line.ts";

const FORMAT = "posegen-keypoints";
const VERSION = 1;

/** A frame with all its points takes about 3,000 bytes, normals of hands up to 34,000. */
const MAX_LINE_BYTES = 1 << 16;

const headerSchema = z.object({
  format: z.literal(FORMAT),
  version: z.literal(VERSION),
  /** Frames per second of the lines that follow. */
  fps: z.number().positive().max(1000),
});

const coordinate = z.number().min(-1e6).max(1e6);
const score = z.number().min(0).max(1);

/** x, y and confidence; z of hands in pixels, smaller is nearer to the viewer. */
const bodyPoint = z.tuple([coordinate, coordinate, score]);
const handPoint = z.tuple([coordinate, coordinate, score, coordinate]);
const hand = z.array(handPoint).length(HAND_POINTS.length).nullable();

const frameSchema = z.object({
  /** Width and height of the picture that positions refer to. */
  size: z.tuple([z.number().int().positive(), z.number().int().positive()]),
  /** In the order of BODY_POINTS. */
  body: z.array(bodyPoint).length(BODY_POINTS.length),
  leftHand: hand.default(null),
  rightHand: hand.default(null),
  people: z.number().int().nonnegative().default(1),
  /** Around everybody else: left, top, right, bottom. */
  others: z
    .array(z.tuple([coordinate, coordinate, coordinate, coordinate]))

    .optional(),
  /** Present when the frame begins a new shot. */
  cut: z.literal(true).optional(),
  /** Normals of the hands, where a network has seen them. */
  surfaces: surfacesSchema.optional(),
  /** What was seen in this very frame: body, left hand, right hand. */
  found: z.tuple([z.boolean(), z.boolean(), z.boolean()]).optional(),
});

type FrameLine = z.output<typeof frameSchema>;
type WrittenLine = z.input<typeof frameSchema>;

/** Writes a file of poses; it appears complete or not at all. */
export async function writeKeypoints(
  path: string,
  fps: number,
  frames: AsyncIterable<PersonFrame> | Iterable<PersonFrame>,
): Promise<void> {
  await writeFileAtomically(path, async (handle) => {
    await handle.writeFile(`${JSON.stringify({ format: FORMAT, version: VERSION, fps })}\n`);
    for await (const frame of frames) await handle.writeFile(`${JSON.stringify(toLine(frame))}\n`);
  });
}

/** Positions to a hundredth of a pixel, scores to a thousandth. */
function toLine({ size, pose, depths, numPeople, others, cut, surfaces, found }: PersonFrame): WrittenLine {
  const point = ({ x, y, score: s }: Keypoint): [number, number, number] => [
    round(x, 100),
    round(y, 100),
    round(s, 1000),
  ];
  const handOf = (points: readonly Keypoint[], depth: readonly number[]): FrameLine["leftHand"] =>
    points.some((p) => p.score > 0) ? points.map((p, i) => [...point(p), round(depth[i] ?? 0, 100)]) : null;
  return {
    size: [size.width, size.height],
    body: pose.body.map(point),
    leftHand: handOf(pose.leftHand, depths.left),
    rightHand: handOf(pose.rightHand, depths.right),
    people: numPeople,
    ...(others && {
      others: others.map(({ left, top, right, bottom }) => [
        round(left, 1),
        round(top, 1),
        round(right, 1),
        round(bottom, 1),
      ]),
    }),
    ...(cut && { cut }),
    ...(surfaces && { surfaces: surfacesToLine(surfaces) }),
    found: [found.body, found.leftHand, found.rightHand],
  };
}

const round = (value: number, steps: number): number => Math.round(value * steps) / steps;

function fromLine(line: FrameLine, index: number, fps: number): PersonFrame {
  const [width, height] = line.size;
  const handOf = (points: FrameLine["leftHand"]): readonly Keypoint[] =>
    points?.map(([x, y, s]) => ({ x, y, score: s })) ?? UNSEEN_HAND;
  const depthOf = (points: FrameLine["leftHand"]): number[] =>
    points?.map(([, , , depth]) => depth) ?? UNSEEN_HAND.map(() => 0);
  const body = line.body.map(([x, y, s]) => ({ x, y, score: s }));
  const [foundBody, foundLeft, foundRight] = line.found ?? [
    body.some((p) => p.score > 0),
    line.leftHand !== null,
    line.rightHand !== null,
  ];
  return {
    index,
    timeS: index / fps,
    size: { width, height },
    pose: { body, leftHand: handOf(line.leftHand), rightHand: handOf(line.rightHand) },
    depths: { left: depthOf(line.leftHand), right: depthOf(line.rightHand) },
    numPeople: line.people,
    ...(line.others && {
      others: line.others.map(([left, top, right, bottom]) => ({ left, top, right, bottom })),
    }),
    ...(line.cut && { cut: line.cut }),
    ...(line.surfaces && { surfaces: line.surfaces }),
    found: { body: foundBody, leftHand: foundLeft, rightHand: foundRight },
  };
}

/** An opened file of poses, checked throughout. Only the places of its lines are in memory, and nothing stays open. */
export class KeypointsFile {
  private constructor(
    private readonly path: string,
    /** Byte at which each frame's line begins, and the end of the last one. */
    private readonly offsets: readonly number[],
    readonly fps: number,
  ) {}

  /**
   * @param visit called with every frame while the file is checked
   * @throws UserError naming the line at fault, or when there is no frame
   */
  static async open(path: string, visit: (frame: PersonFrame) => void = () => {}): Promise<KeypointsFile> {
    await checkSourceFile(path, "keypoints");
    const offsets: number[] = [];
    let fps: number | null = null;
    let number = 0;
    for await (const { text, start, end } of linesOf(path)) {
      number++;
      if (fps === null) fps = parseLine(headerSchema, text, path, number).fps;
      else if (text.trim() !== "") {
        const line = parseLine(frameSchema, text, path, number);
        visit(fromLine(line, Math.max(0, offsets.length - 1), fps));
        if (offsets.length === 0) offsets.push(start);
        offsets.push(end);
      }
    }
    if (fps === null || offsets.length === 0) {
      throw new UserError(
        `${path} holds no poses; expected a line of JSON for each frame after the first line`,
      );
    }
    return new KeypointsFile(path, offsets, fps);
  }

  get numFrames(): number {
    return this.offsets.length - 1;
  }

  /** The pose of one frame, 0 <= index < numFrames. */
  async read(index: number): Promise<PersonFrame> {
    const [start, end] = [this.offsets[index]!, this.offsets[index + 1]!];
    const bytes = new Uint8Array(end - start);
    const handle = await open(this.path, "r");
    try {
      await handle.read(bytes, 0, bytes.length, start);
    } finally {
      await handle.close();
    }
    const text = new TextDecoder().decode(bytes);
    return fromLine(parseLine(frameSchema, text, this.path, index + 2), index, this.fps);
  }
}

function parseLine<T>(schema: z.ZodType<T>, text: string, path: string, number: number): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new UserError(`${path}, line ${number}, is not JSON: ${(cause as Error).message}`, { cause });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new UserError(
    `${path}, line ${number}, is no pose as \`prepare\` writes it:\n${z.prettifyError(result.error)}`,
  );
}

interface Line {
  readonly text: string;
  readonly start: number;
  /** After the line break. */
  readonly end: number;
}

/** The lines of a file with their places in bytes. */
async function* linesOf(path: string): AsyncGenerator<Line> {
  let start = 0;
  let rest = Buffer.alloc(0);
  for await (const chunk of createReadStream(path)) {
    rest = Buffer.concat([rest, chunk as Buffer]);
    for (let at = rest.indexOf(10); at >= 0; at = rest.indexOf(10)) {
      yield { text: rest.toString("utf8", 0, at), start, end: start + at + 1 };
      start += at + 1;
      rest = rest.subarray(at + 1);
    }
    if (rest.length > MAX_LINE_BYTES) {
      throw new UserError(
        `${path} has a line of more than ${MAX_LINE_BYTES} bytes; expected one line of JSON per frame`,
      );
    }
  }
  if (rest.length > 0) yield { text: rest.toString("utf8"), start, end: start + rest.length };
}
