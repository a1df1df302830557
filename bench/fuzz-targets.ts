/** The kinds of files that come from strangers, each with a good example to damage. */
import { dirname } from "node:path";
import { TINY_MODEL } from "../src/diffusion/testing.ts";
import { openLora } from "../src/diffusion/lora-file.ts";
import { openModelFolder } from "../src/diffusion/model-folder.ts";
import { PromptTokenizer } from "../src/diffusion/tokenizer.ts";
import { openCheckpoint } from "../src/runtime/checkpoint.ts";
import {
  bytesOf,
  legacyStart,
  legacyStorages,
  pickled,
  pickledTensor,
  torchFile,
  torchZip,
  uint64,
} from "../src/runtime/pytorch/testing.ts";
import type { Random } from "../src/tensor/random.ts";
import { float32, int64, tensor } from "../src/tensor/tensor.ts";
import { captionTokenizerJson } from "../src/training/tokenizer.ts";

type Mutate = (bytes: Uint8Array, random: Random) => Uint8Array;

export interface FuzzTarget {
  readonly fileName: string;
  make(random: Random, mutate: Mutate): Uint8Array;
  /** Opens the file and reads everything in it. */
  open(path: string): Promise<void>;
}

const TENSORS = {
  "blocks.0.weight": float32([1, 2, 3, 4, 5, 6], [2, 3]),
  "blocks.0.bias": tensor("bfloat16", [2], Uint16Array.of(1, 2)),
  ids: int64([1, 2]),
  mask: tensor("bool", [2], Uint8Array.of(1, 0)),
};

const PICKLE = pickled.whole(
  pickled.dict([
    ["state_dict", pickled.dict([["w", pickledTensor({ count: 6, shape: [3, 2], strides: [1, 3] })]])],
    ["epoch", pickled.int(3)],
    ["size", pickled.call(pickled.global("torch", "Size"), pickled.sizes([1, 2]))],
    ["hooks", pickled.orderedDict()],
  ]),
);
const STORAGE = new Uint8Array(24);

const HEADER = JSON.stringify({
  __metadata__: { format: "pt" },
  a: { dtype: "F32", shape: [2, 1], data_offsets: [0, 8] },
  b: { dtype: "BF16", shape: [4], data_offsets: [8, 16] },
});

const LORA_LAYER = "diffusion_model.blocks.0.self_attn.q";
const LORA_HEADER = JSON.stringify({
  [`${LORA_LAYER}.lora_down.weight`]: { dtype: "F32", shape: [1, 2], data_offsets: [0, 8] },
  [`${LORA_LAYER}.lora_up.weight`]: { dtype: "F32", shape: [1, 1], data_offsets: [8, 12] },
  [`${LORA_LAYER}.alpha`]: { dtype: "F32", shape: [], data_offsets: [12, 16] },
});

const PARTS =
  '{"folder":".","parts":{"vae":"whole.safetensors","dit":"header.safetensors","base":"pickle.ckpt"}}';

/** A target whose whole file is damaged. */
function whole(fileName: string, bytes: Uint8Array, open: FuzzTarget["open"]): FuzzTarget {
  return { fileName, open, make: (random, mutate) => mutate(bytes, random) };
}

/** Targets in turn: damaged as a whole, and damaged inside with an honest outside. */
export function fuzzTargets(): FuzzTarget[] {
  const withHeader = (header: Uint8Array): Uint8Array =>
    bytesOf(uint64(header.byteLength), header, new Uint8Array(16));
  return [
    whole("whole.pth", torchFile(TENSORS), readAll),
    {
      fileName: "pickle.ckpt",
      open: readAll,
      make: (random, mutate) => torchZip(mutate(PICKLE, random), { 0: STORAGE }),
    },
    whole("legacy.bin", torchFile(TENSORS, "legacy"), readAll),
    {
      fileName: "object.pt",
      open: readAll,
      make: (random, mutate) =>
        bytesOf(legacyStart(mutate(PICKLE, random)), legacyStorages({ 0: [6, STORAGE] })),
    },
    whole("whole.safetensors", withHeader(bytesOf(HEADER)), readAll),
    {
      fileName: "header.safetensors",
      open: readAll,
      make: (random, mutate) => withHeader(mutate(bytesOf(HEADER), random)),
    },
    whole(
      "model.safetensors.index.json",
      bytesOf(
        '{"metadata":{"total_size":16},"weight_map":{"a":"header.safetensors","b":"whole.safetensors"}}',
      ),
      readAll,
    ),
    whole("tokenizer.json", bytesOf(captionTokenizerJson()), async (path) => {
      const tokenizer = await PromptTokenizer.load(path);
      tokenizer.tokenize("a woman is dancing in a street, 舞蹈 <pad> </s>");
    }),
    {
      fileName: "lora.safetensors",
      open: async (path) => {
        await (await openLora(path)).readFloat32();
      },
      make: (random, mutate) => withHeader(mutate(bytesOf(LORA_HEADER), random)),
    },
    whole("parts.json", bytesOf(PARTS), async (path) => {
      await openModelFolder(path);
    }),
    whole("model.json", bytesOf(JSON.stringify(TINY_MODEL)), async (path) => {
      await openModelFolder(dirname(path));
    }),
  ];
}

async function readAll(path: string): Promise<void> {
  const checkpoint = await openCheckpoint(path);
  for (const name of checkpoint.tensors.keys()) await checkpoint.readTensor(name);
}
