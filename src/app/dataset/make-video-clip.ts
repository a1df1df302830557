/** One clip of a video: looked at, judged, and encoded when it is worth it. */
import { join } from "node:path";
import { type Image } from "../../media/pixels.ts";
import { UNSEEN_HAND } from "../../media/pose-keypoints.ts";
import { centerCropBox, crop, resize } from "../../media/resize.ts";
import { decodeVideo } from "../../media/video.ts";
import { PersonFinder, type SourceFrame } from "../../perception/analyze-video.ts";
import { CutFinder } from "../../perception/cuts.ts";
import { mapToOutput, renderConditions } from "../../perception/conditions-video.ts";
import { fillGaps } from "../../perception/fill-gaps.ts";
import type { PersonFrame } from "../../perception/person-frame.ts";
import { type PersonMask, maskInPicture } from "../../perception/person-mask.ts";
import type { PoseTrackerOptions } from "../../perception/pose.ts";
import { ImagePyramid } from "../../perception/region.ts";
import { smoothPoses } from "../../perception/smooth.ts";
import { UserError, invariant } from "../../tensor/errors.ts";
import { Random } from "../../tensor/random.ts";
import { type ClipShapes, type StoredClip, writeClips } from "../../training/dataset.ts";
import { encodeClip } from "../../training/render-training-clip.ts";
import { type ClipRecord, clipFile, writeClipRecord } from "./clip-record.ts";
import { type OpenedEncoders, openEncoders } from "./encoders.ts";
import { type ClipFilters, boxShare, clipFigures, headConfidence, reasonAgainst } from "./judge-clip.ts";

/** How every clip is cut, judged and drawn. */
export interface VideoClipSettings extends ClipFilters {
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  readonly numFrames: number;
  readonly headFrames: number;
  readonly tailFrames: number;
  /** Share of the clips whose hands are left out of skeletons and hand normals. */
  readonly dropHands: number;
  readonly quality: NonNullable<PoseTrackerOptions["quality"]>;
  /** Hashes of the ONNX models that see people; left out where there are none. */
  readonly eyes?: string;
}

/** What every job shares. */
export interface VideoSetup {
  readonly kind: "video";
  readonly model: string;
  /** Folder of the videos. */
  readonly videos: string;
  /** ONNX models to see people with. */
  readonly eyes: readonly string[];
  readonly out: string;
  readonly settings: VideoClipSettings;
  readonly shapes: ClipShapes;
  readonly fingerprint: string;
}

export interface VideoJob {
  /** Hash of all that the clip depends on. */
  readonly key: string;
  /** Path below the folder of videos. */
  readonly video: string;
  readonly startS: number;
  readonly caption: string;
}

/** Confidence from which on points are drawn (method: training): the published thresholds. */
const THRESHOLDS = { bodyThreshold: 0.3, handThreshold: 0.7 };

export async function openVideoWorker(setup: VideoSetup) {
  const encoders = await openEncoders(setup.model);
  const { quality } = setup.settings;
  const finder = await PersonFinder.load({ quality, mask: true, eyes: { paths: setup.eyes, threads: 1 } });
  return async (job: VideoJob): Promise<ClipRecord> => {
    const { record, clip } = await makeClip(setup, job, finder, encoders);
    const { out, shapes, fingerprint } = setup;
    if (clip) await writeClips(join(out, clipFile(job.key)), [clip], shapes, fingerprint);
    await writeClipRecord(out, job.key, record);
    return record;
  };
}

async function makeClip(
  { videos, settings }: VideoSetup,
  job: VideoJob,
  finder: PersonFinder,
  encoders: OpenedEncoders,
): Promise<{ record: ClipRecord; clip?: StoredClip }> {
  const footage = new Footage(join(videos, job.video), job.startS, settings);
  const frames: PersonFrame[] = [];
  const found = finder.find(footage.frames(), { onMask: (mask, index) => footage.addMask(mask, index) });
  for await (const frame of smoothPoses(fillGaps(found))) frames.push(mapToOutput(frame, settings));
  if (footage.fault !== null) return { record: { reason: footage.fault } };

  const figures = clipFigures(frames, footage.boxShares);
  const reason = reasonAgainst(frames, figures, settings);
  if (reason !== null) return { record: { reason } };

  const random = new Random(job.key);
  const handsDropped = random.fork("hands").chance(settings.dropHands);
  const shown = handsDropped ? frames.map(withoutHands) : frames;
  const clear = frames.filter((frame) => headConfidence(frame) >= settings.minHeadConfidence);
  const reference = random.fork("reference").choice(clear.length > 0 ? clear : frames);
  const drawn = shown.map((frame) =>
    renderConditions(frame, settings, { ...encoders.skeleton, ...THRESHOLDS }),
  );
  const clip = await encodeClip(
    {
      frames: footage.pictures,
      skeletons: drawn.map(({ skeleton }) => skeleton),
      handNormals: drawn.map(({ handNormals }) => handNormals),
      reference: footage.pictures[reference.index]!,
      poses: shown.map(({ pose }) => pose),
      mask: footage.mask,
      caption: job.caption,
    },
    settings,
    encoders,
  );
  const referenceS = round(job.startS + reference.index / settings.fps);
  const { personArea, headConfidence: head } = figures;
  return {
    record: { referenceS, handsDropped, personArea: round(personArea), headConfidence: round(head) },
    clip,
  };
}

/** To four digits after the point: enough to read. */
const round = (value: number): number => Math.round(value * 1e4) / 1e4;

function withoutHands(frame: PersonFrame): PersonFrame {
  return { ...frame, pose: { ...frame.pose, leftHand: UNSEEN_HAND, rightHand: UNSEEN_HAND } };
}

/** The pictures of a clip as they pass: small ones and masks are kept, large ones are looked at and let go. */
class Footage {
  /** At the size of the clip. */
  readonly pictures: Image[] = [];
  /** [F, H, W], 0..255 */
  readonly mask: Uint8Array;
  /** By frame: the person's box as a share of the picture. */
  readonly boxShares: number[] = [];
  /** Why the clip cannot be used, or null. */
  fault: string | null = null;
  /** Width of the pictures that are looked at. */
  private fullWidth = 0;

  constructor(
    private readonly path: string,
    private readonly startS: number,
    private readonly settings: VideoClipSettings,
  ) {
    this.mask = new Uint8Array(settings.numFrames * settings.width * settings.height);
  }

  /** What the clip shows, at the video's own resolution. Ends early at a fault. */
  async *frames(): AsyncGenerator<SourceFrame> {
    const { width, height, fps, numFrames } = this.settings;
    const endS = this.startS + numFrames / fps;
    const cuts = new CutFinder();
    try {
      for await (const { image, timeS } of decodeVideo(this.path, { fps, startS: this.startS, endS })) {
        if (this.pictures.length === numFrames) break;
        const full = crop(image, centerCropBox(image.width, image.height, width, height));
        const picture = resize(full, width, height);
        cuts.add(new ImagePyramid(picture));
        this.pictures.push(picture);
        this.fullWidth = full.width;
        yield { image: full, timeS };
      }
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.fault = error.message;
      return;
    }
    const [cut] = cuts.cuts();
    if (cut !== undefined) this.fault = `a cut at ${(this.startS + cut / fps).toFixed(2)} s`;
    if (this.pictures.length < numFrames) this.fault = `only ${this.pictures.length} of ${numFrames} frames`;
  }

  addMask(mask: PersonMask | null, index: number): void {
    this.boxShares[index] = 0;
    if (!mask) return;
    const { width, height } = this.settings;
    const scale = width / this.fullWidth;
    const { center, size, rotation } = mask.region;
    const region = { center: { x: center.x * scale, y: center.y * scale }, size: size * scale, rotation };
    const picture = Uint8Array.from(maskInPicture({ ...mask, region }, { width, height }), (p) =>
      Math.round(255 * p),
    );
    invariant(index < this.settings.numFrames, "a mask of a frame that the clip does not have");
    this.mask.set(picture, index * width * height);
    this.boxShares[index] = boxShare(picture, width, height);
  }
}
