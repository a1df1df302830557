/** What is measured, by name. */

/** Figures of a video beside the truth. */
export const VIDEO_METRICS = {
  psnr: { title: "PSNR, dB", digits: 2 },
  ssim: { title: "SSIM", digits: 3 },
  l1: { title: "L1", digits: 4 },
  personPsnr: { title: "person PSNR, dB", digits: 2 },
  personSsim: { title: "person SSIM", digits: 3 },
  personL1: { title: "person L1", digits: 4 },
  pck10: { title: "PCK@0.1", digits: 3 },
  pck05: { title: "PCK@0.05", digits: 3 },
  armsPck10: { title: "arms PCK@0.1", digits: 3 },
  missed: { title: "no pose", digits: 3 },
  consistency: { title: "consistency", digits: 3 },
  seamJump: { title: "seam jump", digits: 2 },
} as const satisfies Record<string, MetricFormat>;

/** Figures of what base segments share. */
export const SHARING_METRICS = {
  backgroundDrift: { title: "background between segments, L1", digits: 5 },
  backgroundL1: { title: "background against the truth, L1", digits: 5 },
  personL1: { title: "person L1", digits: 5 },
  personPsnr: { title: "person PSNR, dB", digits: 3 },
} as const satisfies Record<string, MetricFormat>;

export interface MetricFormat {
  /** Heading of its column. */
  readonly title: string;
  readonly digits: number;
}

export type VideoMetric = keyof typeof VIDEO_METRICS;
export type SharingMetric = keyof typeof SHARING_METRICS;

/** Measured values by metric; what cannot be measured is left out. */
export type Figures<M extends string> = Readonly<Partial<Record<M, number>>>;

/** The videos that are compared with the truth, in the order of reports. */
export const VIDEOS = {
  truth: "the true frames",
  vae: "VAE reconstruction of the truth",
  generated: "generated",
  unshared: "generated, KV-sharing off",
  reference: "reference frame repeated",
  nearest: "nearest training clip",
} as const;

export type VideoName = keyof typeof VIDEOS;

/** The videos whose segments are compared with each other. */
export const SHARING_VIDEOS = {
  truth: "the true frames",
  unshared: "KV-sharing off",
  generated: "KV-sharing on",
} as const satisfies Partial<Record<VideoName, string>>;

export type SharingVideoName = keyof typeof SHARING_VIDEOS;

/** All figures of one clip. */
export interface ClipFigures {
  readonly index: number;
  readonly caption: string;
  /** Whose preset of sharing was taken; null when nothing was shared. */
  readonly shot: string | null;
  readonly videos: Readonly<Record<VideoName, Figures<VideoMetric>>>;
  readonly sharing: Readonly<Record<SharingVideoName, Figures<SharingMetric>>>;
}

/** The mean of each metric over those that have it. */
export function meanFigures<M extends string>(all: readonly Figures<M>[]): Figures<M> {
  const values = new Map<M, number[]>();
  for (const figures of all) {
    for (const [metric, value] of entriesOf(figures))
      values.set(metric, [...(values.get(metric) ?? []), value]);
  }
  return Object.fromEntries([...values].map(([metric, list]) => [metric, mean(list)])) as Figures<M>;
}

/** Leaves out what could not be measured (NaN) or has no end (the PSNR of equal pictures), which JSON cannot tell. */
export function finite<M extends string>(figures: Readonly<Record<M, number>>): Figures<M> {
  return Object.fromEntries(entriesOf(figures).filter(([, value]) => Number.isFinite(value))) as Figures<M>;
}

function entriesOf<M extends string>(figures: Figures<M>): [M, number][] {
  return Object.entries(figures) as [M, number][];
}

/** NaN of nothing. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
