import { mkdir, mkdtemp, readFile, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Graph, type Value } from "../graph/index.ts";
import { sampleTensor } from "../graph/testing.ts";
import { buildClipVision } from "../models/clip-vision/build.ts";
import { CLIP_VISION_PRESETS } from "../models/clip-vision/config.ts";
import { LORA_TARGETS, addLora } from "../models/layers/lora.ts";
import { buildUmt5 } from "../models/umt5/build.ts";
import { UMT5_PRESETS } from "../models/umt5/config.ts";
import { WAN_DIT_PRESETS } from "../models/wan-dit/config.ts";
import { openSafetensors } from "../runtime/safetensors.ts";
import { writeSafetensors } from "../runtime/safetensors-writer.ts";
import { UserError } from "../tensor/errors.ts";
import { Random } from "../tensor/random.ts";
import { type Tensor, float32, sizeOf, tensor } from "../tensor/tensor.ts";
import { ClipDataset, POSE_POINTS, clipShapes, shardName, writeClips } from "./dataset.ts";
import { DATASET_JSON, datasetJson } from "./dataset-index.ts";
import { buildDenoiserLoss, denoiserInTraining, givenEncodings, learningEncoders } from "./denoiser-loss.ts";
import { trainableOf } from "./denoiser-run.ts";
import { type EncodeOptions, encodeConditions } from "./encode-conditions.ts";
import { type ConditionEncodings, EncodedStep } from "./encoded-step.ts";
import { Encodings } from "./encodings.ts";
import { frozenImageEncoder, frozenTextEncoder } from "./frozen-encoders.ts";
import { groupHere } from "./testing.ts";
import { type Batch, type Params, type StepResult, type TrainStep, compileTrainStep } from "./train.ts";

const models = {
  dit: WAN_DIT_PRESETS.tiny,
  textEncoder: UMT5_PRESETS.tiny,
  imageEncoder: CLIP_VISION_PRESETS.tiny,
};
const textTokens = 6;
const SIZE = { width: 16, height: 16, numFrames: 1 } as const;
const SHAPES = clipShapes({
  ...SIZE,
  latentChannels: 1,
  textTokens,
  imageSize: models.imageEncoder.imageSize,
});

/** Three clips of two captions and two references. */
const CAPTIONS = [
  [5, 7, 9, 1, 0, 0],
  [8, 1, 0, 0, 0, 0],
  [5, 7, 9, 1, 0, 0],
].map((ids) => Int32Array.from(ids));
const REFERENCES = [1, 2, 2].map((seed) =>
  Float32Array.from({ length: sizeOf(SHAPES.image) }, (_, i) => ((7 * i * seed) % 64) / 16 - 2),
);
const EMPTY_PROMPT = Int32Array.of(1, 0, 0, 0, 0, 0);
/** The empty prompt, two captions, two references. */
const NUM_ENCODINGS = 5;

let folder: string;
let dataset: ClipDataset;
let encodings: ConditionEncodings;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-encodings-"));
  await mkdir(join(folder, "clips"));
  const zeros = (field: keyof typeof SHAPES) => new Float32Array(sizeOf(SHAPES[field]));
  const clips = CAPTIONS.map((tokens, i) => ({
    video: zeros("video"),
    pose: zeros("pose"),
    hand: zeros("hand"),
    reference: zeros("reference"),
    person: new Uint8Array(sizeOf(SHAPES.person)),
    tokens,
    image: REFERENCES[i]!,
    poses: new Float32Array(POSE_POINTS * 3),
  }));
  // Two files: the walk over the clips goes from one to the next.
  await writeClips(join(folder, "clips", shardName(0)), clips.slice(0, 2), SHAPES, "f");
  await writeClips(join(folder, "clips", shardName(1)), clips.slice(2), SHAPES, "f");
  const index = datasetJson({
    kind: "avatar",
    fingerprint: "f",
    ...SIZE,
    fps: 8,
    headFrames: 0,
    tailFrames: 0,
    shapes: SHAPES,
    settings: {},
    clips: clips.map((_, i) => ({
      file: shardName(Math.floor(i / 2)),
      at: i % 2,
      caption: "",
      source: { index: i },
    })),
    rejected: [],
  });
  await writeFile(join(folder, "clips", DATASET_JSON), index);
  dataset = await ClipDataset.open(join(folder, "clips"));
  encodings = await openEncodings("a");
});
afterEach(() => rm(folder, { recursive: true }));

function randomWeights(graph: Graph, random: Random): Record<string, Tensor<"float32">> {
  return Object.fromEntries(
    [...graph.params.values()].map(({ name, shape }) => {
      const scale = shape.length > 1 ? 1 / Math.sqrt(shape.at(-1)!) : 0.5;
      const values = random.fork(name).normals(sizeOf(shape));
      return [
        name,
        float32(
          values.map((x) => scale * x),
          shape,
        ),
      ];
    }),
  );
}

const weightsOf = (seed: string) => ({
  text: randomWeights(buildUmt5(models.textEncoder, { numTokens: 1 }), new Random(seed)),
  image: randomWeights(buildClipVision(models.imageEncoder), new Random(seed)),
});

/** Encodings of the clips by encoders whose weights lie in files. */
async function openEncodings(seed: string): Promise<ConditionEncodings> {
  const files: Record<"text" | "image", string> = {
    text: join(folder, `text-${seed}.safetensors`),
    image: join(folder, `image-${seed}.safetensors`),
  };
  const weights = weightsOf(seed);
  for (const part of ["text", "image"] as const) await writeSafetensors(files[part], weights[part]);
  const settings = { textTokens, threads: 1 };
  const text = await frozenTextEncoder(models.textEncoder, await openSafetensors(files.text), settings);
  const image = await frozenImageEncoder(models.imageEncoder, await openSafetensors(files.image), settings);
  const clips = join(folder, "clips");
  return { text: new Encodings(clips, text), image: new Encodings(clips, image) };
}

/** Encodes what is missing; returns what was told of it. */
async function encode(of = encodings, options: EncodeOptions = {}): Promise<[done: number, all: number][]> {
  const told: [number, number][] = [];
  const clips = { dataset, numClips: dataset.numClips, emptyPrompt: EMPTY_PROMPT };
  await encodeConditions(of, clips, {
    ...options,
    onEncoded: (...progress) => {
      told.push(progress);
      options.onEncoded?.(...progress);
    },
  });
  return told;
}

/** Paths of all files of encodings. */
async function filesOf(): Promise<string[]> {
  const root = join(folder, "clips", "encoded");
  const names = await readdir(root, { recursive: true });
  return names
    .filter((name) => name.endsWith(".safetensors"))
    .sort()
    .map((name) => join(root, name));
}

describe("a step with encodings equals one with encoders in the graph", () => {
  const shape = { batch: 3, latentFrames: 1, latentHeight: 4, latentWidth: 4, textTokens };
  const lora = { rank: 2, alpha: 2, targets: LORA_TARGETS };
  const isTrainable = trainableOf({ lora });

  function build(conditions: typeof givenEncodings): { graph: Graph; loss: Value } {
    const built = buildDenoiserLoss(denoiserInTraining(models, shape, conditions));
    addLora(built.graph, { ...lora, scale: 1 });
    return built;
  }

  async function runOnce(step: TrainStep, params: Params, batch: Batch): Promise<StepResult> {
    try {
      return await step.run(params, batch);
    } finally {
      await step.release();
    }
  }

  test("in its loss and in the gradients of LoRA, to 1e-5 of their largest element", async () => {
    const whole = build(learningEncoders);
    const draw = (values: Iterable<Value>, limit: number) =>
      Object.fromEntries(
        [...values].map(({ name, shape: size }, i) => [
          name,
          sampleTensor(size, i, { dtype: "float32", low: -limit, high: limit }) as Tensor<"float32">,
        ]),
      );
    const denoiser = draw(build(givenEncodings).graph.params.values(), 0.4);
    const { text, image } = weightsOf("a");
    const encoders = [
      ...Object.entries(text).map(([key, value]) => [`text_encoder.${key}`, value] as const),
      ...Object.entries(image).map(
        ([key, value]) => [key.replace(/^visual/, "image_encoder"), value] as const,
      ),
    ];
    const batch: Batch = {
      ...draw(whole.graph.inputs.values(), 1),
      timestep: float32([10, 400, 990], [3]),
      // A clip whose text was dropped is among them.
      tokens: tensor(
        "int32",
        [3, textTokens],
        Int32Array.from([...CAPTIONS[0]!, ...EMPTY_PROMPT, ...CAPTIONS[1]!]),
      ),
      image: float32(
        REFERENCES.flatMap((pixels) => [...pixels]),
        [3, ...SHAPES.image],
      ),
    };
    const expected = await runOnce(
      await compileTrainStep(whole.graph, whole.loss, isTrainable, 1),
      { ...denoiser, ...Object.fromEntries(encoders) },
      batch,
    );
    await encode();
    const { graph, loss } = build(givenEncodings);
    const inner = await compileTrainStep(graph, loss, isTrainable, 1);
    const actual = await runOnce(new EncodedStep(inner, encodings), denoiser, batch);

    expect(actual.metrics["loss"]! / expected.metrics["loss"]! - 1).toBeCloseTo(0, 5);
    expect(Object.keys(actual.gradients)).toEqual(Object.keys(expected.gradients));
    for (const [key, gradient] of Object.entries(expected.gradients)) {
      const largest = gradient.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      const found = actual.gradients[key]!;
      const worst = gradient.reduce((most, x, i) => Math.max(most, Math.abs(x - found[i]!)), 0);
      expect(worst / largest, key).toBeLessThan(1e-5);
    }
  });
});

test("each caption and each reference is encoded once, and a second time nothing is", async () => {
  const told = await encode();
  expect(told).toEqual([0, 1, 2, 3, 4, 5].map((done) => [done, NUM_ENCODINGS]));
  expect(await filesOf()).toHaveLength(NUM_ENCODINGS);
  expect((await encodings.text.take(CAPTIONS[0]!)).length).toBe(4 * models.textEncoder.dim);
  expect(await encode()).toEqual([]);
});

test("after an interruption it goes on with the rest", async () => {
  const controller = new AbortController();
  const stop = (done: number) => void (done === 2 && controller.abort());
  expect(await encode(encodings, { signal: controller.signal, onEncoded: stop })).toHaveLength(3);
  expect((await encode())[0]).toEqual([0, NUM_ENCODINGS - 2]);
});

test.each<[string, (path: string) => Promise<void>]>([
  ["truncated", (path) => truncate(path, 200)],
  ["empty", (path) => truncate(path, 0)],
  [
    "changed",
    async (path) => {
      const bytes = await readFile(path);
      bytes[bytes.length - 5]! ^= 1;
      await writeFile(path, bytes);
    },
  ],
  ["of another shape", (path) => writeSafetensors(path, { rows: float32([1, 2], [1, 2]) }, { sha256: "" })],
])("an encoding that is %s is made anew", async (_, damage) => {
  const told = await encode();
  const paths = await filesOf();
  const read = () => Promise.all(paths.map((path) => readFile(path)));
  const whole = await read();
  for (const path of paths) await damage(path);
  expect(await encode()).toEqual(told);
  expect(await read()).toEqual(whole);
});

test("one that is gone while the training runs is told of", async () => {
  await encode();
  await rm(join(folder, "clips", "encoded"), { recursive: true });
  await expect(encodings.text.take(CAPTIONS[0]!)).rejects.toThrow(/was removed or damaged .* start it again/);
});

test("other weights have encodings of their own", async () => {
  await encode();
  const others = await openEncodings("b");
  expect((await encode(others))[0]).toEqual([0, NUM_ENCODINGS]);
  expect(await filesOf()).toHaveLength(2 * NUM_ENCODINGS);
  expect(await others.image.take(REFERENCES[0]!)).not.toEqual(await encodings.image.take(REFERENCES[0]!));
  expect(await encode()).toEqual([]);
});

test("in a group the first process encodes, and the others find it there", async () => {
  const told = await Promise.all(groupHere(2).map((group) => encode(encodings, { group })));
  expect(told.map((each) => each.length)).toEqual([NUM_ENCODINGS + 1, 0]);
});

test("a dataset whose folder cannot be written is refused", async () => {
  await writeFile(join(folder, "clips", "encoded"), "a file");
  const refused = encode();
  await expect(refused).rejects.toThrow(UserError);
  await expect(refused).rejects.toThrow(/cannot write .*encoded: .* name a copy of the dataset/);
});
