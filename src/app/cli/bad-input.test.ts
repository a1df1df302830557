import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateSync, crc32 } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createImage } from "../../media/pixels.ts";
import { writeSampleVideo } from "../../media/testing.ts";
import { openVideoEncoder } from "../../media/video.ts";
import { writeTinyInputs, type TinyInputs } from "../../pipeline/testing.ts";
import { listFiles, runHere, start } from "./testing.ts";

let folder: string;
let inputs: TinyInputs;

const at = (name: string): string => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-bad-input-"));
  inputs = await writeTinyInputs(folder, 13);
});

afterAll(async () => rm(folder, { recursive: true, force: true }));

type Flags = Readonly<Record<string, string>>;

/** `generate` with good input but for `flags`. */
function generateArgs(flags: Flags = {}): string[] {
  const { model, image, keypoints } = inputs;
  const all: Flags = {
    model,
    image,
    ...(!("video" in flags) && { keypoints }),
    out: at("out.mp4"),
    ...flags,
  };
  return ["generate", "--quiet", ...Object.entries(all).flatMap(([name, value]) => [`--${name}`, value])];
}

/** One line on stderr, nothing on stdout, exit code 1, and the folder as it was. */
async function expectRefusal(args: readonly string[], message: RegExp): Promise<void> {
  const before = await listFiles(folder);
  const { exitCode, stdout, stderr } = await runHere(args);
  expect(stderr).toMatch(message);
  expect(stderr).toMatch(/^error: .+\n$/);
  expect(stdout).toBe("");
  expect(exitCode).toBe(1);
  expect(await listFiles(folder)).toEqual(before);
}

describe("driving videos", () => {
  beforeAll(async () => {
    const whole = await readFile(inputs.video);
    await writeFile(at("empty.mp4"), "");
    await writeFile(at("letter.mp4"), "this is a letter, not a film\n".repeat(100));
    await writeFile(at("cut.mp4"), whole.subarray(0, Math.floor(whole.length * 0.6)));
    await writeSampleVideo(at("no-frames.mp4"), { frames: [], timesS: [] });
    const encoder = await openVideoEncoder(at("no-person.mp4"), { width: 64, height: 96, fps: 8 });
    for (let i = 0; i < 3; i++) await encoder.write(createImage(64, 96, [90, 120, 60]));
    await encoder.close();
  });

  test.each([
    ["absent.mp4", /absent\.mp4 does not exist/],
    ["empty.mp4", /empty\.mp4 is empty \(0 bytes\)/],
    ["letter.mp4", /letter\.mp4 cannot be read as a video/],
    ["cut.mp4", /cut\.mp4 (cannot be read as a video|is truncated or damaged)/],
    ["no-frames.mp4", /no-frames\.mp4 (has no video frames|cannot be read as a video)/],
    ["no-person.mp4", /no person was found in .*no-person\.mp4/],
  ])("%s", async (name, message) => {
    await expectRefusal(generateArgs({ video: at(name) }), message);
  });

  test("no driver at all", async () => {
    const args = ["generate", "--image", inputs.image, "--model", inputs.model, "--out", at("out.mp4")];
    await expectRefusal(args, /video: expected a driving video, or a file of keypoints/);
  });

  test("prepare refuses them too", async () => {
    const args = [
      "prepare",
      "--quiet",
      "--model",
      inputs.model,
      "--out",
      at("prepared"),
      "--video",
      at("cut.mp4"),
    ];
    await expectRefusal(args, /cut\.mp4 (cannot be read as a video|is truncated or damaged)/);
  });
});

/** A PNG file of a kilobyte that claims a size. */
function hugePng(width: number, height: number): Buffer {
  const chunk = (type: string, data: Buffer): Buffer => {
    const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
    const frame = Buffer.alloc(8);
    frame.writeUInt32BE(data.length, 0);
    frame.writeUInt32BE(crc32(body), 4);
    return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2], 8);
  return Buffer.concat([
    Buffer.from("\u0089PNG\r\n\u001A\n", "latin1"),
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(Buffer.alloc(1000))),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

describe("reference images", () => {
  beforeAll(async () => {
    await writeFile(at("empty.png"), "");
    await writeFile(at("letter.png"), "this is a letter");
    await writeFile(at("cut.png"), (await readFile(inputs.image)).subarray(0, 3000));
    await writeFile(at("huge.png"), hugePng(60_000, 60_000));
  });

  test.each([
    ["absent.png", /absent\.png does not exist/],
    ["empty.png", /empty\.png is empty \(0 bytes\)/],
    ["letter.png", /letter\.png cannot be read as an image/],
    ["cut.png", /cut\.png cannot be read as an image/],
    ["huge.png", /huge\.png is too large: .*more than 100 megapixels/],
  ])("%s", async (name, message) => {
    await expectRefusal(generateArgs({ image: at(name) }), message);
  });
});

describe("model folders", () => {
  /** A copy of the model with another file in place of one of its. */
  async function brokenModel(
    name: string,
    file: string,
    change: (bytes: Buffer) => Buffer | string,
  ): Promise<string> {
    const path = at(name);
    await cp(inputs.model, path, { recursive: true });
    await writeFile(join(path, file), change(await readFile(join(path, file))));
    return path;
  }

  /** Changes the header of a safetensors file; what is stored stays as it is. */
  function withHeader(bytes: Buffer, edit: (header: Record<string, HeaderEntry>) => void): Buffer {
    const length = Number(bytes.readBigUInt64LE());
    const header = JSON.parse(bytes.toString("utf8", 8, 8 + length)) as Record<string, HeaderEntry>;
    edit(header);
    const json = Buffer.from(JSON.stringify(header));
    const prefix = Buffer.alloc(8);
    prefix.writeBigUInt64LE(BigInt(json.length));
    return Buffer.concat([prefix, json, bytes.subarray(8 + length)]);
  }

  interface HeaderEntry {
    dtype: string;
    shape: number[];
    data_offsets: [number, number];
  }

  const HEAD = "head.head.weight";
  const DIT = "dit.safetensors";

  const CHECKPOINTS: [string, (bytes: Buffer) => Buffer | string, RegExp][] = [
    ["empty", () => "", /it is empty/],
    ["a letter", () => "this is a letter", /header of \d+ bytes|truncated/],
    ["truncated in its header", (bytes) => bytes.subarray(0, 100), /truncated inside its header/],
    ["truncated in its data", (bytes) => bytes.subarray(0, -8), /not a valid safetensors file/],
    [
      "longer than its header says",
      (bytes) => Buffer.concat([bytes, Buffer.alloc(8)]),
      /not a valid safetensors file/,
    ],
    [
      "an enormous header",
      (bytes) => {
        const copy = Buffer.from(bytes);
        copy.writeBigUInt64LE(2n ** 60n);
        return copy;
      },
      /announces a header of 1152921504606846976 bytes/,
    ],
    [
      "overlapping tensors",
      (bytes) =>
        withHeader(bytes, (header) => {
          const [first, second] = Object.values(header).filter((entry) => "dtype" in entry);
          second!.data_offsets = first!.data_offsets;
        }),
      /not a valid safetensors file/,
    ],
    [
      "an unknown type",
      (bytes) => withHeader(bytes, (header) => void (header[HEAD]!.dtype = "F24")),
      /head\.head\.weight.*F24/,
    ],
    [
      "a shape that overflows",
      (bytes) => withHeader(bytes, (header) => void (header[HEAD]!.shape = [2 ** 40, 2 ** 40])),
      /head\.head\.weight/,
    ],
    [
      "a missing tensor",
      (bytes) =>
        withHeader(bytes, (header) => {
          header["head.renamed"] = header[HEAD]!;
          delete header[HEAD];
        }),
      /"head\.head\.weight" is missing, expected \[\d+, \d+\]/,
    ],
    [
      "a mis-shaped tensor",
      (bytes) => withHeader(bytes, (header) => void header[HEAD]!.shape.reverse()),
      /"head\.head\.weight" has shape \[(\d+), (\d+)\], expected \[\2, \1\]/,
    ],
  ];

  test.each(CHECKPOINTS)("checkpoint: %s", async (name, change, message) => {
    const model = await brokenModel(`model with ${name}`, DIT, change);
    await expectRefusal(generateArgs({ model }), message);
  });

  test("a checkpoint is refused by inspect as well", async () => {
    await brokenModel("model to inspect", DIT, (bytes) => bytes.subarray(0, 100));
    await expectRefusal(["inspect", at(`model to inspect/${DIT}`)], /truncated inside its header/);
  });

  test("descriptions", async () => {
    await expectRefusal(generateArgs({ model: at("absent") }), /absent is not a model folder/);
    const broken = await brokenModel("described as text", "model.json", () => "hello");
    await expectRefusal(generateArgs({ model: broken }), /model\.json is not JSON/);
    const partial = await brokenModel("half described", "model.json", () => '{"format":1}');
    await expectRefusal(generateArgs({ model: partial }), /model\.json does not describe a model/);
  });
});

describe("settings", () => {
  test.each<[Flags, RegExp]>([
    [{ size: "100x200" }, /size: got 100x200; both sides must be multiples of 16.*take 96x208/],
    [{ size: "big" }, /size: expected "WIDTHxHEIGHT"/],
    [{ seed: "-1" }, /seed: /],
    [{ device: "abacus" }, /unknown device "abacus"; expected one of cuda, .*auto/],
    [{ precision: "float8" }, /does not compute in "float8"/],
    [{ "kv-share": "sometimes" }, /kvShare: expected auto, off/],
    [{ "kv-share": "0..2:0..99" }, /kvShare\.blocks/],
    [{ anchor: "1" }, /anchor: expected auto, or the index of a base segment/],
    [{ "segment-frames": "10" }, /10 frames; expected 4k \+ 1/],
    [{ "caption-url": "http://localhost:1" }, /captionUrl: captionUrl and captionModel belong together/],
    [{ out: "video.avi" }, /out: expected a path that ends in \.mp4/],
    [{ subject: "zebra", prompt: "A man." }, /subject "zebra" is not in the prompt/],
  ])("%o", async (flags, message) => {
    await expectRefusal(generateArgs(flags), message);
  });

  test("keypoints that are no poses", async () => {
    await writeFile(at("poses.jsonl"), '{"format":"posegen-keypoints","version":1,"fps":8}\n{"size":[1]}\n');
    await expectRefusal(generateArgs({ keypoints: at("poses.jsonl") }), /poses\.jsonl, line 2, is no pose/);
  });
});

describe("work directories", () => {
  test("of another run, of another version, and folders that are none", async () => {
    const work = at("work");
    const first = await runHere(generateArgs({ "work-dir": work }));
    expect(first).toMatchObject({ exitCode: 0 });
    await rm(at("out.mp4"));
    await expectRefusal(
      generateArgs({ "work-dir": work, seed: "5" }),
      /belongs to a run with other settings: seed was 0, now 5/,
    );

    const manifest = JSON.parse(await readFile(join(work, "run.json"), "utf8")) as { format: number };
    await writeFile(join(work, "run.json"), JSON.stringify({ ...manifest, format: 999 }));
    await expectRefusal(
      generateArgs({ "work-dir": work }),
      /made by another version \(work directory format 999/,
    );

    await expectRefusal(
      generateArgs({ "work-dir": inputs.model }),
      /is not a work directory and holds other files/,
    );
  });
});

describe("as processes", () => {
  test("a user error is one line on stderr and exit code 1", async () => {
    const { exitCode, stdout, stderr } = await start(generateArgs({ image: at("absent.png") })).outcome;
    expect(stderr).toMatch(/^error: .*absent\.png does not exist.*\n$/);
    expect([exitCode, stdout]).toEqual([1, ""]);
    const unknown = await start([...generateArgs(), "--colour", "red"]).outcome;
    expect(unknown.stderr).toMatch(/^error: unknown option '--colour'/);
    expect(unknown.exitCode).toBe(1);
  });

  // Without a byte not even the lock can be written, with 512 bytes no manifest.
  test.skipIf(process.platform === "win32").each([0, 1])("a disk full after %i blocks", async (numBlocks) => {
    const before = await listFiles(folder);
    const { exitCode, stderr } = await start(generateArgs({ "work-dir": at("limited/work") }), numBlocks)
      .outcome;
    expect(stderr).toMatch(/^error: .*limited.*\n$/);
    expect(exitCode).toBe(1);
    expect(await listFiles(folder)).toEqual(before);
  });
});
