/** What was decided for a driving video, why, and how to decide otherwise. */
import type { Preparation } from "../../pipeline/prepare.ts";
import type { PrepareRequest, Shot } from "../../pipeline/request.ts";
import { formatNumber } from "../cli/quantities.ts";

export interface Choice {
  readonly what: string;
  readonly taken: string;
  /** Why it was; "as asked" where nothing was left to choose. */
  readonly why: string;
  /** The flags that override it. */
  readonly flags: string;
}

const AS_ASKED = "as asked";

const SEEN: Readonly<Record<Shot, string>> = {
  "close-up": "most frames show no hips",
  "half-body": "most frames show hips, but no ankles",
  "full-body": "most frames show ankles",
  distant: "most frames show ankles, and the whole body takes less than 45 % of the height",
};

/** @param request what `prepare` was asked for */
export function choicesOf(preparation: Preparation, request: PrepareRequest): Choice[] {
  const { width, height, fps, shot } = preparation;
  const model = (value: unknown): string => (value === undefined ? "the model's" : AS_ASKED);
  const eyes = request.eyes?.length ?? 0;
  return [
    personChoice(preparation, request),
    {
      what: "networks that see",
      taken: eyes > 0 ? "models of your own, as far as they go" : "those of the package",
      why: eyes > 0 ? AS_ASKED : "no others were named",
      flags: "--eyes FILE or FOLDER",
    },
    stretchChoice(preparation, request),
    {
      what: "frames per second",
      taken: formatNumber(fps),
      why: model(request.fps),
      flags: "--fps N, --fps source",
    },
    { what: "size", taken: `${width}x${height}`, why: model(request.size), flags: "--size WIDTHxHEIGHT" },
    alignmentChoice(preparation, request),
    {
      what: "preset of background sharing",
      taken: shot,
      why: SEEN[shot],
      flags: "--kv-share of posegen generate",
    },
    anchorChoice(preparation),
  ];
}

function personChoice({ people, followed }: Preparation, { person, keypoints }: PrepareRequest): Choice {
  const choice = { what: "person to follow", flags: "--person N, --person X,Y" };
  if (keypoints !== undefined) return { ...choice, taken: "the one of the given poses", why: AS_ASKED };
  const taken = `person ${followed} of ${people.length}`;
  if (person !== undefined) return { ...choice, taken, why: AS_ASKED };
  return {
    ...choice,
    taken,
    why: people.length > 1 ? "the largest for the longest" : "nobody else was found",
  };
}

function stretchChoice({ numFrames, fps }: Preparation, { start, end }: PrepareRequest): Choice {
  const isAsked = (start ?? end) !== undefined;
  return {
    what: "part of the driving video",
    taken: `${formatNumber(numFrames / fps)} s from ${formatNumber(start ?? 0)} s on`,
    why: isAsked ? AS_ASKED : "all of it",
    flags: "--start TIME, --end TIME",
  };
}

function alignmentChoice({ align: taken }: Preparation, { align = "auto", image }: PrepareRequest): Choice {
  const choice = { what: "alignment to the reference", taken, flags: "--align off, frame or bones" };
  if (image === undefined) return { ...choice, why: "no reference was given (--image)" };
  if (align !== "auto")
    return { ...choice, why: taken === align ? AS_ASKED : "too little is seen of a body" };
  const why =
    taken === "off"
      ? "place, size and proportions fit already, or too little is seen of a body"
      : "place, size or proportions differ from the reference";
  return { ...choice, why };
}

function anchorChoice({ stillness, anchor }: Preparation): Choice {
  const choice = { what: "anchor", taken: `segment ${anchor}`, flags: "--anchor N of posegen generate" };
  const chosen = stillness.find(({ segment }) => segment === anchor);
  if (!chosen) return { ...choice, why: "there is no video to judge by" };
  if (stillness.length === 1) return { ...choice, why: "the only base segment" };
  if (!chosen.isStill) return { ...choice, why: "no segment has a still background; this one is stillest" };
  return {
    ...choice,
    why: anchor === 0 ? "the first with a still background" : "its background is stillest",
  };
}
