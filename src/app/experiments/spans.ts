/** Figures of stretches of long videos, out of those of their frames. */
import { identityDistance } from "../../evaluation/identity-distance.ts";
import { jumpRatio } from "../../evaluation/seam-jump.ts";
import { type Figures, type MetricFormat, finite, mean, meanFigures } from "../evaluate/figures.ts";
import { FPS } from "../evaluate/series.ts";
import { LONG_VIDEOS, type LongClip, type LongVideo } from "./long-clip.ts";

export const SPAN_METRICS = {
  consistency: { title: "temporal consistency", digits: 4 },
  firstConsistency: { title: "consistency with the first frame", digits: 3 },
  change: { title: "change from frame to frame, L1", digits: 4 },
  seamJump: { title: "seam jump", digits: 2 },
  backgroundPsnr: { title: "background PSNR, dB", digits: 2 },
  personPsnr: { title: "person PSNR, dB", digits: 2 },
  identity: { title: "identity distance to the reference", digits: 3 },
} as const satisfies Record<string, MetricFormat>;

export type SpanMetric = keyof typeof SPAN_METRICS;

/** A stretch of time: from one second to before another. */
export interface Span {
  readonly fromS: number;
  readonly toS: number;
}

export interface MeasuredSpan extends Span {
  readonly videos: Readonly<Record<LongVideo, Figures<SpanMetric>>>;
}

/** The beginnings of a video, from its first frame to each length. */
export function lengthSpans(seconds: readonly number[]): Span[] {
  return seconds.map((toS) => ({ fromS: 0, toS }));
}

/** Windows of equal length, one after another; an incomplete last one is left out. */
export function windowSpans(lengthS: number, windowS: number): Span[] {
  const numWindows = Math.floor(lengthS / windowS);
  return Array.from({ length: numWindows }, (_, i) => ({ fromS: i * windowS, toS: (i + 1) * windowS }));
}

/**
 * Figures of a stretch of a clip. What compares a frame with the one before belongs to the later one's stretch.
 * @param unit of `distanceBetweenPeople`
 */
export function measureSpan(clip: LongClip, span: Span, unit: number): MeasuredSpan {
  const entries = LONG_VIDEOS.map((video) => [video, spanFigures(clip, video, span, unit)]);
  return { ...span, videos: Object.fromEntries(entries) as MeasuredSpan["videos"] };
}

/** The same stretch of several clips: the means of its figures. */
export function meanSpan(spans: readonly MeasuredSpan[]): MeasuredSpan {
  const entries = LONG_VIDEOS.map((video) => [video, meanFigures(spans.map(({ videos }) => videos[video]))]);
  return { ...spans[0]!, videos: Object.fromEntries(entries) as MeasuredSpan["videos"] };
}

function spanFigures(
  { seams, reference, videos }: LongClip,
  video: LongVideo,
  { fromS, toS }: Span,
  unit: number,
): Figures<SpanMetric> {
  const from = Math.round(fromS * FPS);
  const frames = videos[video].slice(from, Math.round(toS * FPS));
  const [atSeams, elsewhere]: [number[], number[]] = [[], []];
  frames.forEach(({ figures: { change } }, i) => {
    if (change !== undefined) (seams.includes(from + i) ? atSeams : elsewhere).push(change);
  });
  const person = reference.map((_, channel) => mean(frames.map((frame) => frame.person[channel]!)));
  return {
    ...meanFigures(frames.map(({ figures }) => figures)),
    ...finite({
      seamJump: jumpRatio(atSeams, elsewhere),
      identity: identityDistance(Float64Array.from(person), Float64Array.from(reference), unit),
    }),
  };
}
