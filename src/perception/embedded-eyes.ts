import { Lane } from "../runtime/lane.ts";
import { Session } from "../runtime/session.ts";
import { float32 } from "../tensor/tensor.ts";
import { BODY_LANDMARKS, type BodyLandmark, unrotated } from "./body-landmarks.ts";
import { sigmoid } from "./detections.ts";
import type { DetectedPerson, Eyes, SeenBody } from "./eyes.ts";
import { bodyRegion, detectPeople } from "./person-detector.ts";
import { type ImagePyramid, type Region, fromRegion, sampleRegion } from "./region.ts";
import { loadConvertedModel } from "./tflite/model-cache.ts";

export interface EmbeddedEyesOptions {
  /** Networks from fast to accurate; `heavy` by default. */
  readonly quality?: "lite" | "full" | "heavy";
  /** Also gives the person's mask, for about a quarter more time. */
  readonly mask?: boolean;
  readonly cacheFolder?: string;
  /** The thread to live in, which ends with these eyes; a new one by default. */
  readonly lane?: Lane;
}

const RESOLUTION = 256;
const MIN_SCORE = 0.5;

/** The networks that come with the package. */
export class EmbeddedEyes implements Eyes {
  private constructor(
    private readonly detector: Session,
    private readonly landmarker: Session,
    private readonly cacheFolder: string | undefined,
    /** What is released with these eyes. */
    private readonly owned: Lane | Session,
  ) {}

  /** Converts the networks at first use (seconds); both run in one thread. */
  static async load(options: EmbeddedEyesOptions = {}): Promise<EmbeddedEyes> {
    const { quality = "heavy", mask = false, cacheFolder } = options;
    const detectorModel = await loadConvertedModel("pose-detector", cacheFolder);
    const landmarkModel = await loadConvertedModel(
      mask ? `pose-${quality}-mask` : `pose-${quality}`,
      cacheFolder,
    );
    const { lane = new Lane() } = options;
    const detector = await Session.create(detectorModel, { lane, name: "person detector" });
    const landmarker = await Session.create(landmarkModel, { lane, name: "pose network" });
    return new EmbeddedEyes(detector, landmarker, cacheFolder, lane);
  }

  /** Eyes that share thread and detector with these, and see poses with the quickest network; release them first. */
  async lighter(): Promise<EmbeddedEyes> {
    const { lane } = this.detector;
    const model = await loadConvertedModel("pose-lite", this.cacheFolder);
    const landmarker = await Session.create(model, { lane, name: "quick pose network" });
    return new EmbeddedEyes(this.detector, landmarker, this.cacheFolder, landmarker);
  }

  async detect(frame: ImagePyramid, enough: number): Promise<DetectedPerson[]> {
    return detectPeople(this.detector, frame, enough);
  }

  async look(frame: ImagePyramid, region: Region): Promise<SeenBody | null> {
    const pixels = sampleRegion(frame, region, RESOLUTION, [0, 1]);
    const image = float32(pixels, [1, 3, RESOLUTION, RESOLUTION]);
    const outputs = await this.landmarker.run({ image }, { transfer: "all" });
    const score = outputs["score"]!.data[0] as number;
    if (score < MIN_SCORE) return null;
    const rows = outputs["landmarks"]!.data as Float32Array;
    const world = outputs["world"]!.data as Float32Array;
    const mask = outputs["mask"]?.data as Float32Array | undefined;
    const pose = {
      landmarks: BODY_LANDMARKS.map((_, i) => readLandmark(rows, world, i, region)),
      score,
      region,
      mask: mask ? { region, resolution: RESOLUTION, values: mask.map(sigmoid) } : null,
      keypoints: null,
    };
    // Two more rows serve tracking: the middle of the hips and a point on the circle around the body.
    const [hips, rim] = [
      readPoint(rows, BODY_LANDMARKS.length, region),
      readPoint(rows, BODY_LANDMARKS.length + 1, region),
    ];
    const nextRegion = bodyRegion(hips, rim);
    return { pose, nextRegion, place: nextRegion };
  }

  async release(): Promise<void> {
    await (this.owned instanceof Lane ? this.owned.close() : this.owned.release());
  }
}

/** Values per row of the network's output: x, y, z in input pixels, visibility and presence as logits. */
const ROW = 5;

function readPoint(rows: Float32Array, index: number, region: Region) {
  return fromRegion(region, rows[index * ROW]! / RESOLUTION, rows[index * ROW + 1]! / RESOLUTION);
}

function readLandmark(rows: Float32Array, world: Float32Array, index: number, region: Region): BodyLandmark {
  return {
    ...readPoint(rows, index, region),
    z: (rows[index * ROW + 2]! / RESOLUTION) * region.size,
    visibility: sigmoid(rows[index * ROW + 3]!),
    presence: sigmoid(rows[index * ROW + 4]!),
    world: unrotated(world, index, region.rotation),
  };
}
