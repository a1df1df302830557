import { noFrames, type DecodeOptions, type VideoFrame } from "./video-backend.ts";

/** A decoded frame, before its conversion to an Image. */
export interface TimedContent<T> {
  readonly content: T;
  /** Seconds from the video's first frame, rising. */
  readonly timeS: number;
  /** How long it is shown if nothing follows. */
  readonly durationS: number;
}

/** A frame as it is given out, but for its time. */
export type Picture = Omit<VideoFrame, "timeS">;

/** Containers round times to their clock, at worst to milliseconds. */
const TOLERANCE_S = 0.001;

/** Decodes from the key frame at or before a time on; where a container cannot seek, from elsewhere. */
export type DecodeFrom<T> = (startS: number) => AsyncIterable<TimedContent<T>>;

/**
 * Picks the frames that `options` ask for from those of a video and converts only those: the rule of `DecodeOptions`,
 * whatever decodes. Time before the first frame shows the first frame. Every content given is released exactly once.
 */
export async function* sampleFrames<T>(
  path: string,
  decodeFrom: DecodeFrom<T>,
  options: DecodeOptions,
  toPicture: (content: T) => Promise<Picture>,
  release: (content: T) => void,
): AsyncGenerator<VideoFrame, void, undefined> {
  const { endS = Infinity, signal } = options;
  const schedule = new Schedule(options);
  let held: TimedContent<T> | undefined;

  async function* show(frame: TimedContent<T>, nextS: number): AsyncGenerator<VideoFrame, void, undefined> {
    let picture: Picture | undefined;
    for (const timeS of schedule.timesOf(frame.timeS, nextS)) {
      signal?.throwIfAborted();
      picture ??= await toPicture(frame.content);
      yield { ...picture, timeS };
    }
  }

  try {
    for await (const frame of framesFrom(path, decodeFrom, options.startS ?? 0, release)) {
      const previous = held;
      held = frame;
      if (previous) {
        try {
          yield* show(previous, frame.timeS);
        } finally {
          release(previous.content);
        }
      }
      signal?.throwIfAborted();
      if (frame.timeS >= endS - TOLERANCE_S) return;
    }
    if (held) yield* show(held, held.timeS + held.durationS);
  } finally {
    if (held) release(held.content);
  }
}

/** When frames are given out. */
class Schedule {
  private readonly options: DecodeOptions;
  private numGiven = 0;

  constructor(options: DecodeOptions) {
    this.options = options;
  }

  /** Output times of the frame that is on screen from `timeS` to `nextS`; ask once per frame, in order. */
  *timesOf(timeS: number, nextS: number): Generator<number, void, undefined> {
    const { fps, startS = 0, endS = Infinity } = this.options;
    if (fps === undefined) {
      if (timeS >= startS - TOLERANCE_S && timeS < endS - TOLERANCE_S) yield timeS;
      return;
    }
    for (;;) {
      const at = startS + this.numGiven / fps;
      if (at >= Math.min(nextS, endS) - TOLERANCE_S) return;
      this.numGiven += 1;
      yield at;
    }
  }
}

/**
 * All frames from `startS` on, and some before. A seek may land late or nowhere (wrong index, no key frame after it):
 * then everything is decoded. Throws UserError when there is no frame at all.
 */
async function* framesFrom<T>(
  path: string,
  decodeFrom: DecodeFrom<T>,
  startS: number,
  release: (content: T) => void,
): AsyncGenerator<TimedContent<T>, void, undefined> {
  let isFound = false;
  for await (const frame of decodeFrom(startS)) {
    if (!isFound && startS > 0 && frame.timeS > startS + TOLERANCE_S) {
      release(frame.content);
      break;
    }
    isFound = true;
    yield frame;
  }
  if (isFound) return;
  if (startS === 0) throw noFrames(path);
  yield* framesFrom(path, decodeFrom, 0, release);
}
