/** Does a video stay the same however long it gets (paper Tab. 5)? Long videos, measured in parts. */
import type { VideoVae } from "../../diffusion/latents.ts";
import { LoadedModel } from "../../diffusion/loaded-model.ts";
import { openModelFolder } from "../../diffusion/model-folder.ts";
import { distanceBetweenPeople, personFeature } from "../../evaluation/identity-distance.ts";
import type { Image } from "../../media/pixels.ts";
import { UserError } from "../../tensor/errors.ts";
import type { ClipRecipe } from "../../training/render-training-clip.ts";
import { contactSheet } from "../evaluate/contact-sheet.ts";
import { clipStep, hashModel, openWork, picturedClipStep } from "../evaluate/evaluation-folder.ts";
import { renderHeldOutClip } from "../evaluate/held-out-clip.ts";
import { type JobOptions, type JobTools, inJobs } from "../evaluate/jobs.ts";
import { FPS, HELD_OUT_SERIES } from "../evaluate/series.ts";
import { measureLongClip } from "./long-clip.ts";
import { type MeasuredSpan, lengthSpans, meanSpan, measureSpan, windowSpans } from "./spans.ts";

export interface VideoLengthOptions extends JobOptions {
  /** Model folder. */
  readonly model: string;
  /** Lengths in whole seconds. The longest is generated; the shortest is that of the windows, too. */
  readonly seconds: readonly number[];
  /** Seed of the noise. */
  readonly seed: number;
  /** Folder of finished clips. */
  readonly work: string;
  readonly onClip?: (numFinished: number) => void;
}

export interface VideoLength {
  /** The model's name, and a hash of all its files. */
  readonly model: string;
  readonly modelHash: string;
  readonly settings: Readonly<Record<string, number | string>>;
  /** Means over the clips: of the first seconds up to each length, ascending. */
  readonly lengths: readonly MeasuredSpan[];
  /** Means over the clips: of one window after another. */
  readonly windows: readonly MeasuredSpan[];
  readonly clips: readonly ClipLength[];
}

/** The same of one clip. */
export interface ClipLength {
  readonly index: number;
  readonly caption: string;
  readonly lengths: readonly MeasuredSpan[];
  readonly windows: readonly MeasuredSpan[];
}

/** Changes whenever the same settings would give other figures. */
const LENGTH_VERSION = 1;

/** References of so many people say how far people are from each other. */
const NUM_PEOPLE = 20;

/** Clips of the contact sheet at most: the first ones. */
const SHEET_CLIPS = 8;

/** Seconds between the frames of a row; the last frame ends it. */
const SHEET_STEP_S = 5;

/**
 * Generates each held-out clip once, at the greatest length, and measures its beginnings and windows beside those of the
 * truth and of the truth through the VAE. Finished clips are kept.
 * @returns the figures, and the contact sheet: rows of true and generated frames of each clip
 * @throws UserError for lengths that are none, or a folder that holds no model; the signal's reason when it is aborted
 */
export async function videoLength(
  options: VideoLengthOptions,
): Promise<{ readonly result: VideoLength; readonly sheet: Image }> {
  const { model, numClips, seed } = options;
  const seconds = checkSeconds(options.seconds);
  const [windowS, lengthS] = [seconds[0]!, seconds.at(-1)!];
  const { description } = await openModelFolder(model);
  const { width, height, segmentFrames, steps, guidanceScale } = description.defaults;
  const series: ClipRecipe = { ...HELD_OUT_SERIES, width, height, numFrames: lengthS * FPS };
  const sheetFrames = framesOfSheet(series.numFrames);
  const modelHash = await hashModel(model);
  const { numFrames } = series;
  const size = { width, height, fps: FPS, numFrames, segmentFrames };
  const settings = { version: LENGTH_VERSION, ...size, steps, guidanceScale, seed };
  const work = await openWork(options.work, { modelHash, ...settings });
  try {
    let numFinished = 0;
    const measured = await inJobs(
      options,
      () => openVae(model),
      async (index, vae, signal) => {
        const clip = await picturedClipStep(work, "long", index, () =>
          measureLongClip(renderHeldOutClip(series, index), vae, sheetFrames, {
            model,
            seed,
            threads: 1,
            signal,
          }),
        );
        options.onClip?.(++numFinished);
        return clip;
      },
    );
    const unit = await clipStep(work, "people", 0, () => personUnit(model, series));
    const clips = measured.map(({ figures: clip }) => ({
      index: clip.index,
      caption: clip.caption,
      lengths: lengthSpans(seconds).map((span) => measureSpan(clip, span, unit)),
      windows: windowSpans(lengthS, windowS).map((span) => measureSpan(clip, span, unit)),
    }));
    const meansOf = (spans: "lengths" | "windows"): MeasuredSpan[] =>
      clips[0]![spans].map((_, i) => meanSpan(clips.map((clip) => clip[spans][i]!)));
    return {
      result: {
        model: description.name,
        modelHash,
        settings: { numClips, ...settings },
        lengths: meansOf("lengths"),
        windows: meansOf("windows"),
        clips,
      },
      sheet: contactSheet(measured.slice(0, SHEET_CLIPS).map(({ row }) => row)),
    };
  } finally {
    await work.close();
  }
}

/** A frame every few seconds, then the last one. */
function framesOfSheet(numFrames: number): number[] {
  const numSteps = Math.ceil((numFrames - 1) / (SHEET_STEP_S * FPS));
  return [...Array.from({ length: numSteps }, (_, i) => i * SHEET_STEP_S * FPS), numFrames - 1];
}

/** Ascending, each once. */
function checkSeconds(seconds: readonly number[]): number[] {
  if (seconds.length === 0 || !seconds.every((value) => Number.isInteger(value) && value > 0)) {
    throw new UserError(`got lengths of ${seconds.join(", ")} seconds; expected whole numbers of at least 1`);
  }
  return [...new Set(seconds)].toSorted((a, b) => a - b);
}

async function openVae(model: string): Promise<JobTools<VideoVae>> {
  const loaded = await LoadedModel.open(model, { device: "cpu", threads: 1 });
  return { tools: loaded.vae, release: () => loaded.release() };
}

/** The unit of identity distances: that between the references of held-out people. */
async function personUnit(model: string, series: ClipRecipe): Promise<number> {
  const { tools: vae, release } = await openVae(model);
  try {
    const people: Float64Array[] = [];
    for (let index = 0; index < NUM_PEOPLE; index++) {
      const { reference, referenceCoverage } = renderHeldOutClip({ ...series, numFrames: 1 }, index);
      people.push(personFeature(await vae.encode([reference]), [referenceCoverage]));
    }
    return distanceBetweenPeople(people);
  } finally {
    await release();
  }
}
