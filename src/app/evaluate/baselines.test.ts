/** What needs no model: the truth against itself, clips that are found again, seams and backgrounds. */
import { describe, expect, it, test } from "vitest";
import { createImage } from "../../media/pixels.ts";
import { renderConditions } from "../../perception/conditions-video.ts";
import { planSegments } from "../../pipeline/plan.ts";
import { conditionFrames, renderSeriesClip } from "../../training/render-training-clip.ts";
import { HELD_OUT_SERIES, TRAINING_SERIES } from "./series.ts";
import { renderHeldOutClip } from "./held-out-clip.ts";
import { pictureFigures } from "./picture-figures.ts";
import { PoseJudge } from "./pose-judge.ts";
import { continuityFigures, ownFrames, seamsOf, sharingFigures } from "./segment-figures.ts";
import { TrainingClips, jointTrack } from "./training-clips.ts";

const plan = planSegments(22, { segmentFrames: 9 });
const clip = renderHeldOutClip({ ...HELD_OUT_SERIES, numFrames: plan.numFrames }, 1);
const poses = clip.poses.map(({ pose }) => pose);

describe("the truth beside itself", () => {
  it("has no error", () => {
    const figures = pictureFigures(clip.frames, clip.frames, clip.coverage);
    expect(figures).toEqual({ ssim: 1, personSsim: 1, l1: 0, personL1: 0 });
  });

  it("differs between segments by the person's shadow only", () => {
    const figures = sharingFigures(clip.frames, clip.frames, clip.coverage, plan);
    expect(figures).toMatchObject({ backgroundL1: 0, personL1: 0 });
    expect(figures.backgroundDrift).toBeLessThan(0.005);
    expect(continuityFigures(clip.frames, plan).seamJump).toBeLessThan(1.5);
  });

  it("shows a background that jumps", () => {
    const { start } = plan.segments[2]!;
    const jumping = clip.frames.map((frame, f) =>
      f < start ? frame : { ...frame, data: frame.data.map((value) => Math.max(0, value - 51)) },
    );
    const figures = sharingFigures(jumping, clip.frames, clip.coverage, plan);
    expect(figures.backgroundDrift).toBeGreaterThan(0.15);
    expect(figures.backgroundL1).toBeCloseTo(figures.personL1!, 1);
    expect(continuityFigures(jumping, plan).seamJump).toBeGreaterThan(3);
  });
});

describe("PoseJudge", () => {
  it("finds the true pose in the true frames, and none in black ones", async () => {
    const judge = await PoseJudge.load({ quality: "lite" });
    try {
      const truth = await judge.judge(clip.frames, poses, 8);
      expect(truth.pck10).toBeGreaterThan(0.95);
      expect(truth.missed).toBe(0);
      const still = await judge.judge(
        poses.map(() => clip.reference),
        poses,
        8,
      );
      expect(still.pck10).toBeLessThan(truth.pck10!);
      const black = poses.map(() => createImage(96, 128));
      expect(await judge.judge(black, poses, 8)).toEqual({ pck10: 0, pck05: 0, armsPck10: 0, missed: 1 });
    } finally {
      await judge.release();
    }
  });
});

describe("TrainingClips", () => {
  const recipe = { ...TRAINING_SERIES, width: 48, height: 64, numFrames: 9 };

  it("knows the joints of the rendered clips", () => {
    const rendered = renderSeriesClip(recipe, 3).clip.keypoints;
    jointTrack(recipe, 3).forEach((joints, f) => {
      joints.forEach(({ x, y }, i) => {
        expect(x).toBeCloseTo(rendered[f]!.body[i]!.x, 9);
        expect(y).toBeCloseTo(rendered[f]!.body[i]!.y, 9);
      });
    });
  });

  it("finds the clip that strikes the same poses, stretch by stretch", () => {
    const clips = new TrainingClips(recipe, 6);
    const track = [...jointTrack(recipe, 4), ...jointTrack(recipe, 2).slice(0, 5)];
    const frames = (index: number) => conditionFrames(renderSeriesClip(recipe, index).clip).frames;
    expect(clips.nearestVideo(track)).toEqual([...frames(4), ...frames(2).slice(0, 5)]);
  });
});

test("hand normals drawn from exact poses are those of the rendered hands", () => {
  const size = { width: 192, height: 256 };
  const recipe = { ...HELD_OUT_SERIES, ...size, numFrames: 9 };
  const rendered = conditionFrames(renderSeriesClip(recipe, 0).clip).handNormals;
  const { poses: exact } = renderHeldOutClip(recipe, 0);
  const errorAt = (sign: 1 | -1): number => {
    let [sum, count] = [0, 0];
    exact.forEach(({ depths, ...pose }, f) => {
      const turned = { left: depths.left.map((z) => sign * z), right: depths.right.map((z) => sign * z) };
      const { data } = renderConditions({ ...pose, depths: turned }, size).handNormals;
      data.forEach((value, i) => {
        const expected = rendered[f]!.data[i]!;
        if (value === 0 || expected === 0) return;
        sum += Math.abs(value - expected);
        count++;
      });
    });
    return sum / count;
  };
  expect(errorAt(1)).toBeLessThan(40);
  expect(errorAt(1)).toBeLessThan(errorAt(-1));
});

test("seams and frames of one segment follow from the plan", () => {
  const long = planSegments(82, { segmentFrames: 33 });
  expect([...seamsOf(long)]).toEqual([24, 33, 49, 57]);
  expect(ownFrames(long, 0)).toEqual(Array.from({ length: 24 }, (_, i) => i));
  expect(ownFrames(long, 2)).toEqual(Array.from({ length: 25 }, (_, i) => 57 + i));
  expect(ownFrames(planSegments(70, { segmentFrames: 33 }), 2).at(-1)).toBe(69);
});
