import { readdir, readFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const SRC = dirname(fileURLToPath(import.meta.url));

/** Which room may import which: data walks from the top of this table to its bottom. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  tensor: [],
  files: ["tensor"],
  graph: ["tensor"],
  models: ["graph", "tensor"],
  runtime: ["graph", "files", "tensor"],
  media: ["files", "tensor"],
  perception: ["runtime", "graph", "media", "files", "tensor"],
  avatar: ["media", "tensor"],
  diffusion: ["models", "runtime", "media", "files", "tensor"],
  pipeline: ["diffusion", "perception", "runtime", "media", "files", "tensor"],
  training: ["diffusion", "models", "graph", "runtime", "avatar", "media", "files", "tensor"],
  evaluation: ["models", "runtime", "perception", "media", "tensor"],
  app: [
    "index.ts",
    "tensor",
    "files",
    "graph",
    "models",
    "runtime",
    "media",
    "perception",
    "avatar",
    "diffusion",
    "pipeline",
    "training",
    "evaluation",
  ],
};

/** Packages that only some rooms may import: everything else talks to these. */
const OWNERS: Readonly<Record<string, readonly string[]>> = {
  "onnxruntime-node": ["runtime"],
  // ONNX files, and TensorBoard's events.
  protobufjs: ["graph", "app"],
  sharp: ["media"],
  "node-av": ["media"],
  koffi: ["training"],
  flatbuffers: ["perception"],
  commander: ["app"],
};

interface Import {
  readonly file: string;
  readonly room: string;
  readonly target: string;
}

async function allImports(): Promise<Import[]> {
  const names = await readdir(SRC, { recursive: true });
  const files = names.filter(
    (name) => name.endsWith(".ts") && !/(\.test|testing)\.ts$/.test(name) && name.includes("/"),
  );
  const found = await Promise.all(
    files.map(async (file) => {
      const text = await readFile(join(SRC, file), "utf8");
      const targets = [...text.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map((match) => match[1]!);
      return targets.map((target) => ({ file, room: file.split("/")[0]!, target }));
    }),
  );
  return found.flat();
}

function roomOf({ file, target }: Import): string {
  return relative(SRC, resolve(SRC, dirname(file), target)).split("/")[0]!;
}

test("rooms import only the rooms below them", async () => {
  const faults = (await allImports()).filter((entry) => {
    if (!entry.target.startsWith(".")) return false;
    const room = roomOf(entry);
    return room !== entry.room && !ALLOWED[entry.room]?.includes(room);
  });
  expect(faults.map(({ file, target }) => `${file} imports ${target}`)).toEqual([]);
});

test("every folder is a known room", async () => {
  const entries = await readdir(SRC, { withFileTypes: true });
  const folders = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  expect(folders.filter((name) => !(name in ALLOWED))).toEqual([]);
});

test("packages are imported by their owners alone", async () => {
  const faults = (await allImports()).filter(({ room, target }) => !(OWNERS[target]?.includes(room) ?? true));
  expect(faults.map(({ file, target }) => `${file} imports ${target}`)).toEqual([]);
});
