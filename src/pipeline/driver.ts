/** The driving motion, at the frame rate of the result. */
import { type DrivingVideos } from "../diffusion/conditions.ts";
import type { SkeletonOptions } from "../media/skeleton.ts";
import { renderConditions } from "../perception/conditions-video.ts";
import {
  type AnalysisSummary,
  EMPTY_SUMMARY,
  type PersonFrame,
  addToSummary,
} from "../perception/person-frame.ts";
import { KeypointsFile } from "./keypoints-file.ts";
import type { Shot } from "./request.ts";
import { ShotJudge } from "./shot.ts";

export class Driver {
  private constructor(
    private readonly file: KeypointsFile,
    private readonly fps: number,
    private readonly align: (frame: PersonFrame) => PersonFrame,
    /** What the frames of the file held. */
    readonly summary: AnalysisSummary,
    readonly shot: Shot,
  ) {}

  /**
   * Opens a file of poses.
   * @param fps of the result; poses at another rate are resampled by time
   * @param align how each pose is changed
   * @throws UserError when it is no such file
   */
  static async open(
    path: string,
    fps: number,
    align: (frame: PersonFrame) => PersonFrame = (frame) => frame,
  ): Promise<Driver> {
    let summary = EMPTY_SUMMARY;
    const judge = new ShotJudge();
    const file = await KeypointsFile.open(path, (frame) => {
      summary = addToSummary(summary, frame);
      judge.add(align(frame));
    });
    return new Driver(file, fps, align, summary, judge.shot());
  }

  /** Frames at the rate of the result. */
  get numFrames(): number {
    return Math.max(1, Math.ceil((this.file.numFrames / this.file.fps) * this.fps - ROUNDING));
  }

  /** The pose on screen at frame `index` of the result. */
  async frame(index: number): Promise<PersonFrame> {
    const inFile = Math.floor((index / this.fps) * this.file.fps + ROUNDING);
    return this.align(await this.file.read(Math.min(inFile, this.file.numFrames - 1)));
  }

  /**
   * Draws skeletons and hand normals of some frames.
   * @param onFrame called after each of them
   */
  async render(
    frames: readonly number[],
    size: { readonly width: number; readonly height: number },
    skeleton: SkeletonOptions,
    onFrame: (numDrawn: number) => void,
  ): Promise<DrivingVideos> {
    const videos = { skeleton: [], handNormals: [] } as {
      [V in keyof DrivingVideos]: DrivingVideos[V][number][];
    };
    for (const index of frames) {
      const drawn = renderConditions(await this.frame(index), size, skeleton);
      videos.skeleton.push(drawn.skeleton);
      videos.handNormals.push(drawn.handNormals);
      onFrame(videos.skeleton.length);
    }
    return videos;
  }
}

/** Keeps a rate that divides evenly from losing or gaining a frame. */
const ROUNDING = 1e-6;
